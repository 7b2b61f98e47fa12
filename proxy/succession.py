"""What the anchor process tells, and what follows: a spool whose chain holds another life of it is left behind.

The anchor process alone asks the chain. It tells through one small file; the proxy reads it each second, shows
it as metrics, opens a successor origin when the file says that chain and spool diverged, and lets records go that
are final on the chain and published as evidence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from proxy.errors import SpoolError
from proxy.ports import Clock

logger = logging.getLogger(__name__)

SILENT_S: Final = 60.0
"""The anchor process tells each few seconds how far it is."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_ASKED: Final = ("ok", "refused", "fees-too-high", "not-the-writer")
"""States in which the anchor process has asked the chain how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How many records of an origin got so far."""

    included: int
    final: int
    published: int


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

    def reached(self, origin: bytes) -> Reached | None:
        """How far the chain is with an origin. ``None`` for another than the anchor process works on, and where it
        could not ask the chain.
        """
        status = self._status
        if status.get("origin") != origin.hex() or status.get("state") not in _ASKED:
            return None
        numbers = [status.get(name) for name in ("included", "final", "published")]
        included, final, published = (number if type(number) is int else 0 for number in numbers)
        return Reached(included=included, final=final, published=published)

    def standing(self, origin: bytes, index: int) -> str:
        """:class:`proxy.ports.Standing`, by what the anchor process told last."""
        reached = self.reached(origin)
        if reached is None:
            return "unknown"
        if index < reached.final:
            return "final"
        return "included" if index < reached.included else "waiting"

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
            gauge(
                name="anchor_published_records",
                help="Records whose evidence the contract names.",
                read=self._number("published"),
            ),
            gauge(name="anchor_lag_records", help="Records that wait for the chain.", read=self._number("lag")),
            gauge(
                name="anchor_oldest_unanchored_seconds",
                help="Age of the oldest record that the contract does not hold.",
                read=self._number("oldest_unanchored_s"),
            ),
            gauge(name="anchor_state", help="1 for the state it is in.", labels=("state",), read=self._state),
            gauge(
                name="anchor_evidence",
                help="1 for the state that publishing evidence is in: off, ok, failing, unknown.",
                labels=("state",),
                read=lambda: {(self._evidence(),): 1.0},
            ),
            gauge(
                name="anchor_failing_nodes",
                help="Nodes of the chain that were passed over.",
                read=self._failing_nodes,
            ),
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

    def _evidence(self) -> str:
        said = self._status.get("evidence")
        if not isinstance(said, str):
            return "unknown"
        return said if said in ("off", "ok") else "failing"

    def _failing_nodes(self) -> Mapping[tuple[str, ...], float]:
        nodes = self._status.get("nodes")
        return {(): float(len(nodes))} if isinstance(nodes, list) else {}

    def troubles(self) -> Mapping[str, bool]:
        """What somebody should look at although requests are served, by name."""
        age = (self._clock() - self._told_at()).total_seconds() if self._status else 0.0
        return {
            "anchor": self._status.get("state", "ok") != "ok",
            "anchor_silent": age > SILENT_S,
            "evidence": self._evidence() == "failing",
        }

    def _told_at(self) -> datetime:
        try:
            return datetime.fromisoformat(self._status["updated_at"])
        except (KeyError, TypeError, ValueError):
            return _NEVER
