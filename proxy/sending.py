"""Steps 10 and 11: the answer and what really left."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence

from proxy import records
from proxy.errors import ArchiveError, PeerGoneError
from proxy.lease import Lease
from proxy.model import DicomRequest, Durable, Grounds, JsonObject, Kind, OutcomeStatus, Reason, Refusal
from proxy.ports import Exchange
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
            await self._begin(status, content_type, len(body), more)
            await self._write(body)
            await self.exchange.finish()
        except PeerGoneError:
            self.outcome(OutcomeStatus.ABORTED)
            return
        self.outcome(OutcomeStatus.COMPLETE)

    async def problem(self, reason: Reason, status: OutcomeStatus = OutcomeStatus.COMPLETE) -> None:
        """An allowed request that ends in a refusal all the same; cuts an answer that has begun."""
        if self.started:
            self.exchange.abort()
            self.outcome(status, reason.value)
            return
        problem = self._rooms.problem((reason,), self.grounds.decision)
        try:
            await self._begin(problem.status, "application/problem+json", len(problem.body), ())
            await self._write(problem.body)
            await self.exchange.finish()
        except PeerGoneError:
            status = OutcomeStatus.ABORTED
        self.outcome(status, reason.value)

    async def stream(
        self, status: int, content_type: str, length: int | None, chunks: AsyncIterator[bytes], lease: Lease
    ) -> None:
        """A body that passes through."""
        try:
            await self._begin(status, content_type, length, ())
            async for chunk in chunks:
                await self._write(chunk)
            await self.exchange.finish()
        except PeerGoneError:
            if not lease.ended:
                self.outcome(OutcomeStatus.ABORTED)
            return
        except ArchiveError as error:
            self.exchange.abort()
            self.outcome(OutcomeStatus.FAILED, error.code)
            return
        self.outcome(OutcomeStatus.COMPLETE)

    def close(self, ended: Sequence[str]) -> None:
        """Leave an outcome however the walk ends: cut by its lease, cancelled by a stop, or by an error of ours."""
        if not self.ended:
            self.outcome(OutcomeStatus.TERMINATED, ended[0] if ended else None)

    def outcome(self, status: OutcomeStatus, reason: str | None = None) -> None:
        self.ended = True
        rooms = self._rooms
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
                "action": request.action.value if isinstance(request, DicomRequest) else "",
            },
        )

    async def _begin(
        self, status: int, content_type: str, length: int | None, more: tuple[tuple[str, str], ...]
    ) -> None:
        self.started = True
        self._status = status
        await self.exchange.start(status, (("Content-Type", content_type), *self._headers, *more), length)

    async def _write(self, chunk: bytes) -> None:
        if self.grounds.arrival.method == "HEAD":
            return  # RFC 9110 9.3.2: no content, whatever the length says
        # Counted first: of a chunk that could not be handed over whole, some may have left.
        self._digest.update(chunk)
        self._sent += len(chunk)
        await self.exchange.write(chunk)


def decision_record(grounds: Grounds, rows: list[list[str]] | None = None) -> JsonObject:
    return records.decision(
        grounds.decision,
        grounds.arrival,
        grounds.principal,
        grounds.posture,
        grounds.policy_input,
        grounds.request if isinstance(grounds.request, Refusal) else None,
        grounds.verdict,
        rows,
    )


async def collect(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """:raises ArchiveError: more came than a search may bring"""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise ArchiveError("the archive's answer to a search is larger than limits.search_bytes")
    return bytes(body)
