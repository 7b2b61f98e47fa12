"""A store (PS3.18 10.5): the walk of one STOW-RS request, part by part.

6.  The decision on the request is durable; only now is ``100 Continue`` said.
5a. Each part is judged by itself and as what it goes to (:mod:`proxy.parts`).
6a. Its answer is durable before the part's bytes go on.
7.  What goes on is a body of our own boundary with the allowed parts; the archive is not asked where none is.
10. The archive's report and our refusals become one answer.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from proxy import records
from proxy.errors import ArchiveError, BodyError, DicomwardError, PeerError, PeerGoneError, SpoolError
from proxy.lease import Lease, Leases
from proxy.model import DicomRequest, Grounds, Kind, OutcomeStatus, PartHeader, Reason
from proxy.parts import Parts
from proxy.ports import Exchange
from proxy.rooms import Rooms
from proxy.sending import Sending, collect, decision_record

REPORT_BYTES = 2**24


class Storing:
    def __init__(
        self, rooms: Rooms, leases: Leases, grounds: Grounds, request: DicomRequest, exchange: Exchange
    ) -> None:
        self._rooms = rooms
        self._leases = leases
        self._grounds = grounds
        self._request = request
        self._exchange = exchange
        self._accepted: list[PartHeader] = []
        self._refused: list[tuple[PartHeader, Reason]] = []
        self._parts = Parts(rooms, request)
        self._failure: DicomwardError | None = None

    async def walk(self) -> None:
        """:raises SpoolError: the decision, or a part's, is not durable and no answer has begun"""
        recording = self._rooms.recorder.record(Kind.DECISION, decision_record(self._grounds))
        self._exchange.decided = True
        durable = await recording
        answer = Sending(self._rooms, self._grounds, durable, self._exchange)
        ended: tuple[str, ...] = ()
        try:
            with self._leases.hold(self._grounds, self._exchange.abort) as lease:
                await self._answer(answer, lease)
            ended = lease.ended
        finally:
            answer.close(ended)

    async def _answer(self, answer: Sending, lease: Lease) -> None:
        try:
            status, body = await self._store(lease)
        except SpoolError:
            await answer.problem(Reason.RECORD_NOT_DURABLE, OutcomeStatus.FAILED)
        except PeerGoneError:
            answer.outcome(OutcomeStatus.ABORTED)
            self._exchange.abort()
        except (PeerError, ArchiveError) as error:
            await answer.problem(Reason(error.code), OutcomeStatus.FAILED)
        else:
            await answer.whole(status, "application/dicom+json", body)

    async def _store(self, lease: Lease) -> tuple[int, bytes]:
        rooms = self._rooms
        if self._request.expect_continue:
            await self._exchange.proceed()
        allowed = self._allowed_bytes(lease)
        first = await anext(allowed, None)
        if first is None:
            return rooms.store_report(None, (), self._refused)
        boundary = secrets.token_hex(16)
        try:
            async with rooms.archive.store(self._request, self._body(boundary, first, allowed), boundary) as found:
                report = await collect(found.chunks(), REPORT_BYTES)
        except ArchiveError as error:
            # The client library reports a failure inside the body as one of the connection.
            raise (self._failure or error) from error
        finally:
            for study in {header.study for header in self._accepted}:
                rooms.archive.forget(study)
        return rooms.store_report(report, self._accepted, self._refused)

    async def _body(
        self, boundary: str, first: tuple[bool, bytes], allowed: AsyncIterator[tuple[bool, bytes]]
    ) -> AsyncIterator[bytes]:
        """The body for the archive, encoded anew. Breaks off, unfinished, where the client's does."""
        rules = self._rooms.multipart
        yield rules.opening(boundary, True) + first[1]
        try:
            async for opens, data in allowed:
                yield rules.opening(boundary, False) + data if opens else data
        except DicomwardError as error:
            self._failure = error
            raise
        yield rules.closing(boundary)

    async def _allowed_bytes(self, lease: Lease) -> AsyncIterator[tuple[bool, bytes]]:
        """Bytes of allowed parts; the flag marks the first of a part."""
        if self._request.boundary is None:
            raise BodyError("a store without a boundary")
        reader = self._rooms.multipart.reader(self._request.boundary)
        source = self._exchange.body
        allowed = False
        number = 0
        while chunk := await source.read():
            for event in reader.feed(chunk):
                opens = event.header is not None
                if event.header is not None:
                    allowed = await self._judge(number, event.header, lease)
                    number += 1
                if allowed and (event.data or opens):
                    yield opens, event.data
        reader.end()

    async def _judge(self, number: int, header: PartHeader, lease: Lease) -> bool:
        """Decide on one part, durably."""
        now = self._rooms.clock()
        judged = await self._parts.judge(header, lease.grounds)
        verdict = judged.verdict
        await self._rooms.recorder.record(
            Kind.PART, records.part(self._grounds.decision, number, header, judged.policy_input, verdict, now)
        )
        self._rooms.observer.count("parts", {"result": "allow" if verdict.allow else "deny"})
        if judged.told is None:
            self._accepted.append(header)
        else:
            self._refused.append((header, judged.told))
        return verdict.allow
