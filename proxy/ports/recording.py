"""What is kept of it all (steps 6, 11 and 12), and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Protocol

from proxy.model import (
    DecisionId,
    Durable,
    JsonObject,
    Kind,
    Principal,
    Recalled,
    RecordRow,
)


class Recorder(Protocol):
    def record(self, kind: Kind, body: JsonObject) -> Awaitable[Durable]:
        """Queue a record at once; awaiting returns after fsync.

        :raises SpoolError: it is not durable (from the call or from awaiting)
        """
        ...

    def record_later(self, kind: Kind, body: JsonObject) -> None:
        """Queue a record whose durability nobody waits for (outcomes). Loss in a crash shows as *unknown*."""
        ...

    def receipt(self, decision: str, durable: Durable, now: datetime) -> str:
        """Signed receipt, a compact JWS (RFC 7515)."""
        ...


class Lookup(Protocol):
    async def recall(self, decision: DecisionId, principal: Principal) -> Recalled | None:
        """What was decided on this device in the hands of this user. ``None`` for what was decided on anybody else,
        never, or so long ago that it was pruned: nobody is told which.

        :raises SpoolError: the records cannot be read
        :raises IntegrityError: they contradict themselves
        """
        ...


class Standing(Protocol):
    def __call__(self, origin: bytes, index: int) -> str:
        """How far the chain is with a record: ``final``, ``included``, ``waiting``, or ``unknown``."""
        ...


class SpoolReader(Protocol):
    """One origin's records as another process sees them, read-only. Only durable rows are visible."""

    origin: bytes
    predecessor: bytes | None
    agreed: int | None
    """With ``predecessor``: how many of its leaves this site still stands by."""
    chain_id: int
    contract: bytes
    receipt_key: bytes
    """Raw Ed25519 public key, 32 bytes, under which this origin's receipts verify."""

    def count(self) -> int:
        """Number of records; the highest index is one less."""
        ...

    def floor(self) -> int:
        """How many of the first records were pruned: rows begin there. 0 where none were."""
        ...

    def head(self, count: int) -> bytes | None:
        """Head after the first ``count`` records, as stored; ``None`` where the spool has fewer and below its floor."""
        ...

    def rows(self, first: int, count: int) -> list[RecordRow]:
        """Rows with ``first <= index < first + count`` in order, as stored and not judged."""
        ...

    def find(self, decision: str) -> list[RecordRow]:
        """Every record that carries this decision id, in order."""
        ...

    def close(self) -> None: ...


class Suppressor(Protocol):
    def suppress(self, reason: str, now: datetime) -> None:
        """Count a request that gets no decision record; a window later one ``suppressed`` record tells how many."""
        ...


class Observer(Protocol):
    """Where rooms report what happened. Labels are from closed sets; nothing of a patient passes here."""

    def count(self, name: str, labels: Mapping[str, str] | None = None, amount: int = 1) -> None: ...

    def seconds(self, room: str, elapsed: float) -> None: ...
