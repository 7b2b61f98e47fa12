"""A store (PS3.18 10.5): the walk of one STOW-RS request, part by part.

6.  The decision on the request is durable; only now is ``100 Continue`` said.
5a. Each part's own header makes a question of its own: institution, modality, patient, target.
6a. Its answer is durable before the part's bytes go on.
7.  What goes on is a body of our own boundary with the allowed parts; the archive is not asked where none is.
10. The archive's report and our refusals become one answer.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

from proxy import records
from proxy.errors import (
    ArchiveError,
    BodyError,
    DicomwardError,
    PeerError,
    PeerGoneError,
    PostureUnavailableError,
    SpoolError,
)
from proxy.lease import Lease, Leases
from proxy.model import (
    DicomRequest,
    Grounds,
    JsonObject,
    Kind,
    Level,
    OutcomeStatus,
    PartHeader,
    Reason,
    ResourceContext,
    StudyUid,
    Verdict,
)
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
        self._refused: list[tuple[PartHeader, str]] = []
        self._patients: dict[StudyUid, str] = {}
        """By study that the archive did not know: the patient its first part named."""
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
        policy_input: JsonObject | None = None
        if self._request.study is not None and header.study != self._request.study:
            verdict = Verdict.denied(Reason.STUDY_MISMATCH)
        else:
            policy_input, verdict = await self._decide(header, lease)
        await self._rooms.recorder.record(
            Kind.PART, records.part(self._grounds.decision, number, header, policy_input, verdict, now)
        )
        self._rooms.observer.count("parts", {"result": "allow" if verdict.allow else "deny"})
        if verdict.allow:
            self._accepted.append(header)
        else:
            self._refused.append((header, verdict.reasons[0]))
        return verdict.allow

    async def _decide(self, header: PartHeader, lease: Lease) -> tuple[JsonObject, Verdict]:
        """Ask policy about a part as it says it is, then about the study that it goes to and already is.

        Otherwise a part that names another institution's study would pass as its own, and that study would belong
        to two institutions from then on, or to two patients. What is refused by itself asks nothing of the archive.

        :raises ArchiveError: it is not known what the study is
        """
        policy_input = self._question(header, (header.institution,), lease)
        verdict = await self._ask(policy_input)
        if not verdict.allow:
            return policy_input, verdict
        target = await self._rooms.archive.context(
            replace(self._request, level=Level.STUDY, study=header.study), self._rooms.clock()
        )
        patient = target.patient_id if target.known else self._patients.setdefault(header.study, header.patient_id)
        if patient != header.patient_id:
            return policy_input, Verdict.denied(Reason.STUDY_MISMATCH)
        if not set(target.institutions) <= {header.institution}:
            policy_input = self._question(header, (header.institution, *target.institutions), lease)
            verdict = await self._ask(policy_input)
        return policy_input, verdict

    async def _ask(self, policy_input: JsonObject) -> Verdict:
        try:
            verdict = await self._rooms.engine.decide(policy_input)
        except DicomwardError as error:
            return Verdict.denied(Reason(error.code))
        reason = self._rooms.unmet(verdict.obligations) if verdict.allow else None
        return verdict if reason is None else Verdict.denied(reason, policy=verdict.policy)

    def _question(self, header: PartHeader, institutions: tuple[str, ...], lease: Lease) -> JsonObject:
        now = self._rooms.clock()
        grounds = lease.grounds
        if grounds.posture is None:
            raise PostureUnavailableError("a store was allowed without posture")
        return self._rooms.policy_input(
            decision=self._grounds.decision,
            now=now,
            principal=grounds.principal,
            posture=grounds.posture,
            request=replace(
                self._request,
                level=Level.INSTANCE,
                study=header.study,
                series=header.series,
                instance=header.instance,
            ),
            resource=ResourceContext(
                known=True,
                as_of=now,
                patient_id=header.patient_id,
                accession_number=header.accession_number,
                modalities=(header.modality,),
                institutions=tuple(sorted(set(institutions))),
                study_date=header.study_date,
            ),
            network=grounds.arrival.peer.address,
        )
