"""What the anchor process tells, and what follows: a spool whose chain holds another life of it is left behind.

The anchor process alone asks the chain. It tells through one small file; the proxy reads it each second, shows
it as metrics, opens a successor origin when the file says that chain and spool diverged, and lets records go that
are final on the chain and published as evidence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from proxy.errors import SpoolError
from proxy.ports import Clock

logger = logging.getLogger(__name__)


def last_origin(status_file: Path) -> bytes | None:
    """The origin that the anchor process last worked on: what a lost spool was. ``None`` where nobody knows."""
    try:
        return bytes.fromhex(orjson.loads(status_file.read_bytes())["origin"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Successible(Protocol):
    @property
    def origin(self) -> bytes: ...

    async def succeed(self, agreed: int, now: datetime) -> bytes: ...

    async def prune(self, upto: int, now: datetime) -> int: ...


class Succession:
    def __init__(self, spool: Successible, status_file: Path, clock: Clock) -> None:
        self._spool = spool
        self._file = status_file
        self._clock = clock
        self._status: dict[str, Any] = {}

    async def look(self) -> None:
        """Read the file once, and follow what it says."""
        try:
            status = orjson.loads(self._file.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, orjson.JSONDecodeError) as error:
            logger.warning("the anchor's status cannot be read", extra={"error": type(error).__name__})
            return
        if not isinstance(status, dict):
            return
        self._status = status
        if status.get("origin") != self._spool.origin.hex():
            return
        if status.get("state") == "diverged":
            await self._succeed(status)
        elif status.get("state") == "ok":
            await self._prune(status.get("final"), status.get("published"))

    async def _prune(self, final: object, published: object) -> None:
        """What the chain may still lose stays, and so does what no evidence holds."""
        if type(final) is not int or type(published) is not int:
            return
        try:
            gone = await self._spool.prune(min(final, published), self._clock())
        except SpoolError as error:
            logger.error("old records could not be pruned", extra={"detail": error.detail})
            return
        if gone:
            logger.info("old records were pruned", extra={"records": gone})

    async def _succeed(self, status: Mapping[str, Any]) -> None:
        agreed = status.get("agreed")
        if type(agreed) is int and agreed >= 0:
            try:
                successor = await self._spool.succeed(agreed, self._clock())
            except SpoolError as error:
                logger.critical("no successor origin could be opened", extra={"detail": error.detail})
                return
            logger.critical(
                "the chain holds another life of this spool: a successor origin was opened",
                extra={"predecessor": status["origin"], "agreed": agreed, "successor": successor.hex()},
            )

    async def run(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(poll_s)
            await self.look()

    def gauges(self, gauge: Callable[..., Any]) -> tuple[Any, ...]:
        """Metrics about anchoring, made with the given constructor."""
        return (
            gauge(
                name="anchor_included_records", help="Records that the contract holds.", read=self._number("included")
            ),
            gauge(name="anchor_final_records", help="Records that are final on the chain.", read=self._number("final")),
            gauge(name="anchor_lag_records", help="Records that wait for the chain.", read=self._number("lag")),
            gauge(
                name="anchor_oldest_unanchored_seconds",
                help="Age of the oldest record that the contract does not hold.",
                read=self._number("oldest_unanchored_s"),
            ),
            gauge(name="anchor_state", help="1 for the state it is in.", labels=("state",), read=self._state),
        )

    def _number(self, field: str) -> Callable[[], Mapping[tuple[str, ...], float]]:
        def read() -> Mapping[tuple[str, ...], float]:
            value = self._status.get(field)
            if value is None and field == "oldest_unanchored_s" and field in self._status:
                value = 0.0  # nothing waits
            return {(): float(value)} if isinstance(value, int | float) else {}

        return read

    def _state(self) -> Mapping[tuple[str, ...], float]:
        state = self._status.get("state")
        return {(state if isinstance(state, str) else "unknown",): 1.0}
