"""A record that is made only to be followed: does what is recorded reach the chain, and how soon?

What is anchored late is not noticed by who asks little: nothing waits that could grow old. So each ``every_s`` an
event is recorded and followed until it is durable, in the contract, final and published. It is an event and not a
decision, since nobody asked: requests = decisions + suppressed stays true.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Final, Protocol

from proxy import records
from proxy.errors import SpoolError
from proxy.model import Durable, JsonObject, Kind
from proxy.succession import Reached

logger = logging.getLogger(__name__)

STAGES: Final = ("durable", "included", "final", "published")
MOST_WAITING: Final = 16
"""Beyond so many that are not final none is recorded, and of those that wait for evidence no more are followed: the
oldest say what there is to say.
"""


class Recording(Protocol):
    def record(self, kind: Kind, body: JsonObject) -> Awaitable[Durable]: ...


@dataclass(slots=True)
class _Canary:
    origin: bytes
    index: int
    born: float
    """Of the monotonic clock, so that a clock that is set does not count."""
    reached: set[str] = field(default_factory=set)


class Canary:
    def __init__(
        self,
        spool: Recording,
        reached: Callable[[bytes], Reached | None],
        wall: Callable[[], datetime],
        *,
        every_s: float,
        publishes: bool,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """
        :param reached: how far the chain is with an origin, where somebody can say
        :param every_s: 0 for none at all
        :param publishes: whether evidence is configured
        """
        self._spool = spool
        self._reached = reached
        self._wall = wall
        self._every_s = every_s
        self._last = STAGES[-1] if publishes else "final"
        self._now = now
        self._waiting: deque[_Canary] = deque()
        """Oldest first; those that are final and wait for evidence too."""
        self._next = 0.0
        self._failing_since: float | None = None
        self._seconds: dict[str, float] = {}

    async def look(self) -> None:
        """Follow those under way, and record another if it is time."""
        self._follow()
        now = self._now()
        if now < self._next or len(self._unfinished()) >= MOST_WAITING:
            return
        self._next = now + self._every_s
        try:
            place = await self._spool.record(Kind.EVENT, records.event("canary", self._wall()))
        except SpoolError as error:
            if self._failing_since is None:
                self._failing_since = now
                logger.error("a canary could not be recorded", extra={"detail": error.detail})
            return
        self._failing_since = None
        self._seconds["durable"] = self._now() - now
        self._waiting.append(_Canary(origin=place.origin, index=place.index, born=now, reached={"durable"}))

    def _follow(self) -> None:
        now = self._now()
        newest = self._waiting[-1].origin if self._waiting else b""
        for canary in tuple(self._waiting):
            if canary.origin != newest:
                # Its origin was left: what was not on the chain was carried to a place that is not looked for.
                self._waiting.remove(canary)
                continue
            for stage in self._stages(canary):
                canary.reached.add(stage)
                self._seconds[stage] = now - canary.born
            if self._last in canary.reached:
                self._waiting.remove(canary)
        # Evidence that does not come must not keep the chain from being watched.
        for canary in [each for each in self._waiting if "final" in each.reached][MOST_WAITING:]:
            self._waiting.remove(canary)

    def _unfinished(self) -> list[_Canary]:
        return [canary for canary in self._waiting if "final" not in canary.reached]

    def _stages(self, canary: _Canary) -> list[str]:
        """What it reached since it was looked at last."""
        far = self._reached(canary.origin)
        if far is None:
            return []
        counts = {"included": far.included, "final": far.final, "published": far.published}
        return [stage for stage, count in counts.items() if canary.index < count and stage not in canary.reached]

    @property
    def waiting_s(self) -> float:
        """Age of the oldest that is not final, or for how long none could be recorded."""
        begun = [canary.born for canary in self._unfinished()]
        if self._failing_since is not None:
            begun.append(self._failing_since)
        return self._now() - min(begun) if begun else 0.0

    async def run(self, poll_s: float) -> None:
        while self._every_s:
            await self.look()
            await asyncio.sleep(poll_s)

    def gauges(self, gauge: Callable[..., Any]) -> tuple[Any, ...]:
        """Metrics, made with the given constructor."""

        def waiting() -> Mapping[tuple[str, ...], float]:
            return {(): self.waiting_s} if self._every_s else {}

        return (
            gauge(
                name="canary_seconds",
                help="How long the last canary took to get so far.",
                labels=("stage",),
                read=lambda: {(stage,): seconds for stage, seconds in self._seconds.items()},
            ),
            gauge(
                name="canary_waiting_seconds",
                help="Age of the oldest canary that is not final, or for how long none could be recorded.",
                read=waiting,
            ),
        )
