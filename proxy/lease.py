"""Leases: a stream goes on only while what it was allowed by still holds.

A lease ends at the earliest expiry of certificate, revocation data and posture, or when a generation of
certificates, posture or policy changes. The decision is then made again with what is known now: an allow renews
the lease, a denial cuts the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from proxy.model import Grounds, Reason
from proxy.ports import Clock

STALE_AFTER: Final = timedelta(seconds=1)
"""Grounds older than this are looked at again before anything leaves."""


@dataclass(slots=True, eq=False)
class Lease:
    """One stream under way. ``ended`` holds the reasons once it was cut."""

    grounds: Grounds
    task: asyncio.Task[object]
    abort: Callable[[], None]
    ended: tuple[str, ...] = ()

    def cut(self, reasons: tuple[str, ...]) -> None:
        self.ended = reasons
        self.abort()
        self.task.cancel()


class Leases:
    """Every stream under way, looked at once a poll."""

    def __init__(
        self,
        judge_again: Callable[[Grounds, datetime], Awaitable[Grounds]],
        stamp_now: Callable[[Grounds, datetime], tuple[int, int, int]],
        clock: Clock,
    ) -> None:
        self.judge_again = judge_again
        """The same question with what is known now."""
        self._stamp_now = stamp_now
        self._clock = clock
        self._held: set[Lease] = set()

    async def renewed(self, grounds: Grounds) -> Grounds:
        """The same where they are fresh; else judged again, and denied where the answer would be another one."""
        now = self._clock()
        if now - grounds.arrival.at < STALE_AFTER:
            return grounds
        fresh = await self.judge_again(grounds, now)
        if fresh.verdict.allow and fresh.verdict.obligations != grounds.verdict.obligations:
            # What leaves was made for other obligations; asked again it is made for these.
            return replace(fresh, verdict=fresh.verdict.against(Reason.LEASE_ENDED))
        return fresh

    @contextmanager
    def hold(self, grounds: Grounds, abort: Callable[[], None]) -> Iterator[Lease]:
        """Hold a lease for the current task.

        Leaving by the cancellation that a cut caused is an ordinary end: the caller asks ``lease.ended``.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a lease is held by a task")
        lease = Lease(grounds, task, abort)
        self._held.add(lease)
        try:
            yield lease
        except asyncio.CancelledError:
            if not lease.ended:
                raise
            task.uncancel()
        finally:
            self._held.discard(lease)

    async def look(self) -> None:
        """Judge again every stream whose grounds changed or ended."""
        now = self._clock()
        for lease in tuple(self._held):
            if lease.ended:
                continue
            grounds = lease.grounds
            until = grounds.until
            if (until is None or now < until) and self._stamp_now(grounds, now) == grounds.stamp:
                continue
            fresh = await self.judge_again(grounds, now)
            if lease not in self._held:
                continue
            if fresh.verdict.allow and fresh.verdict.obligations != grounds.verdict.obligations:
                # What leaves was made for other obligations; asked again it is made for these.
                lease.cut((Reason.LEASE_ENDED.value,))
            elif fresh.verdict.allow:
                lease.grounds = fresh
            else:
                lease.cut(fresh.verdict.reasons)

    async def run(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(poll_s)
            await self.look()
