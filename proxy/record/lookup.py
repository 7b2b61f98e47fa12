"""One decision found again for whoever it was made on, over every origin of a spool's folder. Reads only."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from proxy import commitment
from proxy.errors import IntegrityError, SpoolError
from proxy.model import DecisionId, Durable, Kind, Principal, Recalled, RecordRow
from proxy.record import origin_file
from proxy.record.reader import OriginReader, open_readers
from proxy.record.receipts import Receipts

logger = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""Lookups under way; more wait. Each opens files, and the spool's writer shares their disk."""


class Lookup:
    """:class:`proxy.ports.Lookup` over a folder of origins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def recall(self, decision: DecisionId, principal: Principal) -> Recalled | None:
        async with self._turns:
            return await asyncio.to_thread(self._recall, decision, principal)

    def _recall(self, decision: DecisionId, principal: Principal) -> Recalled | None:
        readers = open_readers(self._folder)
        try:
            # The newest first: what a succession carried over stands there, and in the one before no more.
            for reader in reversed(readers):
                found = reader.find(decision)
                made = next((row for row in found if row.kind == Kind.DECISION), None)
                if made is not None:
                    return self._told(reader, made, found, principal)
            return None
        finally:
            for reader in readers:
                reader.close()

    def _told(
        self, reader: OriginReader, made: RecordRow, found: list[RecordRow], principal: Principal
    ) -> Recalled | None:
        decision = _body(made)
        if not _is_of(decision, principal):
            return None
        outcome = next((_body(row) for row in found if row.kind == Kind.OUTCOME), None)
        return Recalled(
            chain_id=reader.chain_id,
            contract=reader.contract,
            origin=reader.origin,
            index=made.index,
            leaf=made.leaf,
            receipt=self._receipt(reader, made, decision),
            decision=decision,
            outcome=outcome,
            parts=tuple(_body(row) for row in found if row.kind == Kind.PART),
        )

    def _receipt(self, reader: OriginReader, made: RecordRow, decision: dict[str, Any]) -> str | None:
        """The one that was given at first, to the byte, unless the record was carried to another place since."""
        try:
            key = origin_file.load_key(self._folder, reader.origin)
        except SpoolError:
            return None  # the key of an origin that was left may be gone with a lost disk
        receipts = Receipts(key, chain_id=reader.chain_id, contract=reader.contract, origin=reader.origin)
        place = Durable(origin=reader.origin, index=made.index, leaf=made.leaf, head=made.head or b"")
        return receipts.sign(made.id, place, datetime.fromisoformat(decision["time"]))


def _body(row: RecordRow) -> dict[str, Any]:
    """:raises IntegrityError: it does not give the leaf beside it"""
    if commitment.leaf_of(row.salt, row.body) != row.leaf:
        logger.critical("a record of the spool was changed", extra={"index": row.index})
        raise IntegrityError(f"record {row.index} of the spool does not give its leaf: it was changed")
    body: dict[str, Any] = orjson.loads(row.body)
    return body


def _is_of(decision: dict[str, Any], principal: Principal) -> bool:
    """Whether this device asked, in the hands of this user."""
    asked = decision["input"]
    user = asked["subject"]["user"]
    held = None if principal.user is None else principal.user.id
    return (asked["device"]["id"], None if user is None else user["id"]) == (principal.device, held)
