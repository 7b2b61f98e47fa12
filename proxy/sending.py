"""Steps 10 and 11: the answer and what really left."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy import records
from proxy.errors import ArchiveError, PeerGoneError
from proxy.lease import Lease
from proxy.model import (
    Durable,
    Grounds,
    JsonObject,
    JsonValue,
    Kind,
    Obligation,
    OutcomeStatus,
    PostureReport,
    Reason,
    Refusal,
)
from proxy.ports import Exchange, Recoder
from proxy.rooms import Rooms


class Sending:
    """Steps 10 and 11 of one request: whoever holds this has a durable decision, and leaves an outcome behind."""

    def __init__(self, rooms: Rooms, grounds: Grounds, recorded: Durable, exchange: Exchange) -> None:
        self._rooms = rooms
        self.grounds = grounds
        self.exchange = exchange
        self._headers = (
            ("Decision-Id", grounds.decision),
            ("Decision-Receipt", rooms.recorder.receipt(grounds.decision, recorded, grounds.arrival.at)),
            ("Cache-Control", "no-store"),
        )
        self._count()
        self._digest = hashlib.sha256()
        self._sent = 0
        self._status = 0
        self.started = False
        self.ended = False

    async def whole(self, status: int, content_type: str, body: bytes, more: tuple[tuple[str, str], ...] = ()) -> None:
        """A body that is all here."""
        try:
            Bounds.of(self.grounds.verdict.obligations).check(len(body))
        except LimitReachedError:
            await self.problem(Reason.LIMIT_REACHED)
            return
        await self._sent_whole(status, content_type, body, more)

    async def _sent_whole(self, status: int, content_type: str, body: bytes, more: tuple[tuple[str, str], ...]) -> None:
        try:
            await self._begin(status, content_type, len(body), more)
            await self._write(body)
            await self.exchange.finish()
        except PeerGoneError:
            self.outcome(OutcomeStatus.ABORTED)
            return
        self.outcome(OutcomeStatus.COMPLETE)

    async def denied(self) -> None:
        """The answer to a verdict that denies; where policy says ``hide``, that of an absent object."""
        verdict = self.grounds.verdict
        hidden = any(obligation.type == "hide" for obligation in verdict.obligations)
        if hidden:
            problem = self._rooms.problem((Reason.RESOURCE_UNKNOWN,), self.grounds.decision)
        else:
            grounds = self.grounds
            problem = self._rooms.problem(verdict.reasons, grounds.decision, grounds.posture, grounds.arrival.at)
        # RFC 9110 11.6.1: who is told to authenticate is told how.
        more = (("WWW-Authenticate", "Bearer"),) if problem.status == 401 else ()
        await self._sent_whole(problem.status, "application/problem+json", problem.body, more)

    async def problem(self, reason: str, status: OutcomeStatus = OutcomeStatus.COMPLETE) -> None:
        """An allowed request that ends in a refusal all the same; cuts an answer that has begun."""
        if self.started:
            self.exchange.abort()
            self.outcome(status, str(reason))
            return
        problem = self._rooms.problem((reason,), self.grounds.decision)
        try:
            await self._begin(problem.status, "application/problem+json", len(problem.body), ())
            await self._write(problem.body)
            await self.exchange.finish()
        except PeerGoneError:
            status = OutcomeStatus.ABORTED
        self.outcome(status, str(reason))

    async def stream(self, recoder: Recoder, chunks: AsyncIterator[bytes], lease: Lease) -> None:
        """A body that passes through ``recoder``. Begins once its type is known, which is after the first bytes."""
        bounds = Bounds.of(self.grounds.verdict.obligations)
        try:
            if bounds.seconds is None:
                await self._recoded(recoder, chunks, bounds)
            else:
                async with asyncio.timeout(bounds.seconds):
                    await self._recoded(recoder, chunks, bounds)
        except TimeoutError:
            await self.problem(Reason.LIMIT_REACHED, OutcomeStatus.TERMINATED)
        except PeerGoneError:
            if not lease.ended:
                self.outcome(OutcomeStatus.ABORTED)
        except LimitReachedError:
            await self.problem(Reason.LIMIT_REACHED, OutcomeStatus.TERMINATED)
        except ArchiveError as error:
            await self.problem(Reason(error.code), OutcomeStatus.FAILED)
        else:
            self.outcome(OutcomeStatus.COMPLETE)

    async def _recoded(self, recoder: Recoder, chunks: AsyncIterator[bytes], bounds: Bounds) -> None:
        async for chunk in chunks:
            pieces = recoder.feed(chunk)
            if not pieces:
                continue
            if not self.started:
                bounds.check(recoder.length or 0)
                await self._begin(200, recoder.content_type, recoder.length, ())
                if self.grounds.arrival.method == "HEAD":
                    break
            # Joined: a copy costs less than another record of TLS and another system call.
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            bounds.check(self._sent + len(data))
            await self._write(data)
        else:
            last = recoder.end()
            if not self.started:
                await self._begin(200, recoder.content_type, len(last), ())
            if last:
                await self._write(last)
        await self.exchange.finish()

    def close(self, ended: Sequence[str]) -> None:
        """Leave an outcome however the walk ends: cut by its lease, cancelled by a stop, or by an error of ours."""
        if not self.ended:
            self.outcome(OutcomeStatus.TERMINATED, ended[0] if ended else None)

    def outcome(self, status: OutcomeStatus, reason: str | None = None) -> None:
        self.ended = True
        rooms = self._rooms
        rooms.counting.left(self.grounds.principal, self._sent, rooms.clock())
        rooms.observer.count("outcomes", {"status": status.value})
        rooms.recorder.record_later(
            Kind.OUTCOME,
            records.outcome(
                self.grounds.decision, status, self._status, self._sent, self._digest.hexdigest(), rooms.clock(), reason
            ),
        )

    def _count(self) -> None:
        """Now and not when it was made: one that is not durable is counted as suppressed."""
        verdict, request = self.grounds.verdict, self.grounds.request
        self._rooms.observer.count(
            "decisions",
            {
                "result": "allow" if verdict.allow else "deny",
                "reason": "" if verdict.allow else verdict.reasons[0],
                "action": "" if isinstance(request, Refusal) else request.action.value,
            },
        )

    async def _begin(
        self, status: int, content_type: str, length: int | None, more: tuple[tuple[str, str], ...]
    ) -> None:
        self.started = True
        self._status = status
        typed = (("Content-Type", content_type),) if content_type else ()
        await self.exchange.start(status, (*typed, *self._headers, *more), length)

    async def _write(self, chunk: bytes) -> None:
        if self.grounds.arrival.method == "HEAD":
            return  # RFC 9110 9.3.2: no content, whatever the length says
        # Counted first: of a chunk that could not be handed over whole, some may have left.
        self._digest.update(chunk)
        self._sent += len(chunk)
        await self.exchange.write(chunk)


class LimitReachedError(Exception):
    """More bytes than the ``limit`` of a verdict."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the ``limit`` obligations of a verdict leave: the smallest of each."""

    bytes: int | None = None
    seconds: int | None = None

    @classmethod
    def of(cls, obligations: Sequence[Obligation]) -> Bounds:
        limits = [obligation.body for obligation in obligations if obligation.type == "limit"]
        return cls(_least(limits, "bytes"), _least(limits, "seconds")) if limits else UNBOUNDED

    def check(self, sent: int) -> None:
        """:raises LimitReachedError: that would be too much"""
        if self.bytes is not None and sent > self.bytes:
            raise LimitReachedError


def _least(limits: Sequence[Mapping[str, JsonValue]], name: str) -> int | None:
    return min((value for limit in limits if isinstance(value := limit.get(name), int)), default=None)


UNBOUNDED: Final = Bounds()


def decision_record(
    grounds: Grounds,
    rows: list[list[str]] | None = None,
    scanned: int = 0,
    report: PostureReport | None = None,
) -> JsonObject:
    return records.decision(
        grounds.decision,
        grounds.arrival,
        grounds.principal,
        grounds.posture,
        grounds.policy_input,
        grounds.request if isinstance(grounds.request, Refusal) else None,
        grounds.verdict,
        rows,
        scanned,
        report,
    )


async def collect(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """:raises ArchiveError: more came than a search may bring"""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise ArchiveError("the archive's answer to a search is larger than limits.search_bytes")
    return bytes(body)
