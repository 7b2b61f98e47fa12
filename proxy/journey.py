"""The life of one request, over ports: no library, no socket.

0.  **arrive**: before this module: TLS, limits, admission. What comes here is an :class:`~proxy.model.Arrival`. What
    only asks about the grammar (OPTIONS, the root) is answered and counted; whoever has no certificate is refused and
    counted.
1.  **identify**: the certificate, and the access token that is bound to it, judged now.
2.  **posture**: what is known of the device.
3.  **interpret**: the head becomes a request of the closed grammar, or a refusal.
4.  **context**: attributes of what is asked for.
5.  **decide**: policy gives a verdict. No verdict is a denial.
6.  **record**: the decision is durable before the first byte of an answer, and before a write goes on. For a search
    that is after its rows are known, and names them.
7.  **forward**: what the archive is sent is built from the parsed request.
8.  **fulfil**: an obligation that cannot be met denies; this is known before anything is forwarded. The answer is held
    to those that can: rows, masks, limits; its links are made ours.
9.  **seal**: later.
10. **answer**: status, headers, body.
11. **outcome**: what really left.
12. **anchor**: another process.

Searches (``searching.py``) and stores (``storing.py``) walk 4 to 10 in an order of their own. What devices and their
management tell of posture (``reporting.py``) comes this way too, to our own resources, and who asks again what was
decided (``recalling.py``).

A denied request walks 1 to 6, then 10 and 11: refusing is recorded as carefully as allowing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from time import perf_counter

from proxy import records
from proxy.errors import ArchiveError, DicomwardError, SpoolError
from proxy.lease import Leases
from proxy.model import (
    CAPABILITIES,
    Action,
    Arrival,
    Capabilities,
    DecisionId,
    DicomRequest,
    Grounds,
    JsonObject,
    Kind,
    OutcomeStatus,
    Posture,
    Principal,
    Reason,
    Refusal,
    ResourceContext,
    SiteRequest,
    Verdict,
)
from proxy.ports import ArchiveAnswer, Exchange
from proxy.recalling import BARE, Recalling
from proxy.reporting import Reporting
from proxy.rooms import Rooms
from proxy.searching import Searching
from proxy.sending import Sending, decision_record
from proxy.storing import Storing


class Journey:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.leases = Leases(self._judge_again, self._stamp_now, rooms.clock)

    async def walk(self, arrival: Arrival, exchange: Exchange) -> None:
        """Answer one admitted request.

        :raises PeerGoneError: before an answer began; the outcome is recorded
        """
        begun = perf_counter()
        asked = self._rooms.interpret(arrival)  # 3, pure: a refused certificate's record shows what it asked for
        self._rooms.observer.seconds("interpret", perf_counter() - begun)
        if isinstance(asked, Capabilities):
            await self._tell(asked, arrival, exchange)
            return
        if arrival.peer.certificate is None:
            await self._unknown(arrival, exchange)
            return
        grounds = await self._judge(arrival, asked)
        try:
            request = grounds.request
            if not grounds.verdict.allow or isinstance(request, Refusal):
                await self._deny(grounds, exchange)
            elif isinstance(request, SiteRequest) and request.about is not None:
                await Recalling(self._rooms, grounds, request.about, exchange).walk()
            elif isinstance(request, SiteRequest):
                await Reporting(self._rooms, self.leases, grounds, request, exchange).walk()
            elif request.action is Action.SEARCH:
                await Searching(self._rooms, self.leases, grounds, request, exchange).walk()
            elif request.action is Action.STORE:
                await Storing(self._rooms, self.leases, grounds, request, exchange).walk()
            else:
                await self._read(grounds, request, exchange)
        except SpoolError:
            await self._unrecorded(grounds, exchange)

    # ------------------------------------------------------------------------------- 0

    async def _tell(self, asked: Capabilities, arrival: Arrival, exchange: Exchange) -> None:
        """What the grammar is: no decision, since there is nothing to decide on. Without a certificate OPTIONS only."""
        if arrival.peer.certificate is None and arrival.method != "OPTIONS":
            await self._unknown(arrival, exchange)
            return
        self._suppress(CAPABILITIES, arrival, exchange)
        allow = ("Allow", ", ".join(asked.methods))
        if not asked.root:
            await exchange.start(204, (allow,), None)
        else:
            body = self._rooms.capabilities(asked)
            await exchange.start(200, (allow, ("Content-Type", "application/json")), len(body))
            await exchange.write(body)
        await exchange.finish()

    async def _unknown(self, arrival: Arrival, exchange: Exchange) -> None:
        """Nobody in particular asks: refused and counted, so that it costs no fsync."""
        self._suppress(Reason.CERTIFICATE_MISSING, arrival, exchange)
        await self._plain_problem(Reason.CERTIFICATE_MISSING, exchange)

    def _suppress(self, reason: str, arrival: Arrival, exchange: Exchange) -> None:
        exchange.decided = True
        self._rooms.suppressor.suppress(reason, arrival.at)

    async def _plain_problem(self, reason: Reason, exchange: Exchange) -> None:
        problem = self._rooms.problem((reason,), "")
        await exchange.start(problem.status, (("Content-Type", "application/problem+json"),), len(problem.body))
        await exchange.write(problem.body)
        await exchange.finish()

    # ------------------------------------------------------------------------------- 1 to 5

    async def _judge(self, arrival: Arrival, request: DicomRequest | SiteRequest | Refusal) -> Grounds:
        rooms, seconds = self._rooms, self._rooms.observer.seconds
        now = arrival.at
        decision = records.new_decision_id(now)
        begun = perf_counter()
        principal = rooms.identifier.identify(arrival.peer, arrival.authorization, now)  # 1
        identified = perf_counter()
        seconds("identify", identified - begun)
        posture: Posture | None = None
        resource: ResourceContext | None = None
        policy_input: JsonObject | None = None
        generation = rooms.engine.generation
        request = _with_purpose(request, principal)
        against = _against(principal, request)
        if against or principal.device is None:
            verdict = Verdict.denied(*(against or (Reason.CERTIFICATE_PROFILE,)))
        elif isinstance(request, Refusal):
            verdict = Verdict.denied(request.reason)
        else:
            try:
                posture = rooms.posture.posture(principal.device, now)  # 2
                looked = perf_counter()
                seconds("posture", looked - identified)
                if isinstance(request, DicomRequest) and request.action not in (Action.SEARCH, Action.STORE):
                    resource = await rooms.archive.context(request, now)  # 4
                known = perf_counter()
                seconds("context", known - looked)
                policy_input = self._question(decision, arrival, principal, posture, request, resource, now)
                verdict = self._fulfillable(request, await rooms.engine.decide(policy_input))  # 5 and 8
                seconds("decide", perf_counter() - known)
            except DicomwardError as error:
                verdict = Verdict.denied(Reason(error.code))
        if principal.device is not None:
            rooms.counting.decided(principal, resource, verdict.allow, now)
        return Grounds(
            decision=decision,
            arrival=arrival,
            principal=principal,
            posture=posture,
            request=request,
            resource=resource,
            policy_input=policy_input,
            verdict=verdict,
            policy_generation=generation,
        )

    def _question(
        self,
        decision: DecisionId,
        arrival: Arrival,
        principal: Principal,
        posture: Posture,
        request: DicomRequest | SiteRequest,
        resource: ResourceContext | None,
        now: datetime,
    ) -> JsonObject:
        return self._rooms.policy_input(
            decision=decision,
            now=now,
            principal=principal,
            posture=posture,
            request=request,
            resource=resource,
            network=arrival.peer.address,
        )

    def _fulfillable(self, request: DicomRequest | SiteRequest, verdict: Verdict) -> Verdict:
        if not verdict.allow or not verdict.obligations:
            return verdict
        if isinstance(request, SiteRequest):
            bare = request.about is not None and all(each.type in BARE for each in verdict.obligations)
            return verdict if bare else verdict.against(Reason.OBLIGATION_UNKNOWN)
        reason = self._rooms.fulfilment.unmet(request, verdict.obligations)
        return verdict if reason is None else verdict.against(reason)

    async def _judge_again(self, grounds: Grounds, now: datetime) -> Grounds:
        """The same question with what is known now; the answer under way keeps its decision id."""
        rooms, arrival, request = self._rooms, grounds.arrival, grounds.request
        principal = rooms.identifier.identify(arrival.peer, arrival.authorization, now)
        generation = rooms.engine.generation
        posture, policy_input = grounds.posture, None
        against = _against(principal, request)
        verdict = Verdict.denied(*(against or (Reason.LEASE_ENDED,)))
        if not against and principal.device is not None and not isinstance(request, Refusal):
            try:
                posture = rooms.posture.posture(principal.device, now)
                policy_input = self._question(
                    grounds.decision, arrival, principal, posture, request, grounds.resource, now
                )
                verdict = self._fulfillable(request, await rooms.engine.decide(policy_input))
            except DicomwardError as error:
                verdict = Verdict.denied(Reason(error.code))
        return replace(
            grounds,
            principal=principal,
            posture=posture,
            policy_input=policy_input,
            verdict=verdict,
            policy_generation=generation,
        )

    def _stamp_now(self, grounds: Grounds, now: datetime) -> tuple[int, int, int]:
        rooms, device = self._rooms, grounds.principal.device
        try:
            posture = 0 if device is None else rooms.posture.posture(device, now).generation
        except DicomwardError:
            posture = -1
        principal = rooms.identifier.identify(grounds.arrival.peer, grounds.arrival.authorization, now)
        return (principal.generation, posture, rooms.engine.generation)

    # ------------------------------------------------------------------------------- 6 to 11

    async def _deny(self, grounds: Grounds, exchange: Exchange) -> None:
        begun = perf_counter()
        recording = self._rooms.recorder.record(Kind.DECISION, decision_record(grounds))
        exchange.decided = True
        durable = await recording
        self._rooms.observer.seconds("record", perf_counter() - begun)
        await Sending(self._rooms, grounds, durable, exchange).denied()

    async def _read(self, grounds: Grounds, request: DicomRequest, exchange: Exchange) -> None:
        """All reads but searches: fetched while the decision is on its way to the disk, answered after."""
        recording = self._rooms.recorder.record(Kind.DECISION, decision_record(grounds))
        exchange.decided = True
        begun = perf_counter()
        try:
            async with self._rooms.archive.fetch(request) as found:
                self._rooms.observer.seconds("forward", perf_counter() - begun)
                answer = Sending(self._rooms, grounds, await recording, exchange)
                if found.status != 200:
                    await answer.problem(Reason.RESOURCE_UNKNOWN)
                    return
                await self._stream(answer, request, found)
        except ArchiveError as error:
            answer = Sending(self._rooms, grounds, await recording, exchange)
            await answer.problem(Reason(error.code), OutcomeStatus.FAILED)

    async def _stream(self, answer: Sending, request: DicomRequest, found: ArchiveAnswer) -> None:
        """Where the archive took long to begin, what the decision was made from is looked at before anything leaves."""
        fresh = await self.leases.renewed(answer.grounds)
        if not fresh.verdict.allow:
            await answer.problem(fresh.verdict.reasons[0], OutcomeStatus.TERMINATED)
            return
        answer.grounds = fresh
        try:
            recoder = self._rooms.fulfilment.recoder(request, answer.grounds.verdict.obligations, found)  # 8
        except ArchiveError as error:
            await answer.problem(Reason(error.code), OutcomeStatus.FAILED)
            return
        ended: tuple[str, ...] = ()
        try:
            with self.leases.hold(answer.grounds, answer.exchange.abort) as lease:
                await answer.stream(recoder, found.chunks(), lease)
            ended = lease.ended
        finally:
            answer.close(ended)

    async def _unrecorded(self, grounds: Grounds, exchange: Exchange) -> None:
        """Nothing is answered but that nothing can be: no byte of an archive's answer has left."""
        self._suppress(Reason.RECORD_NOT_DURABLE, grounds.arrival, exchange)
        await self._plain_problem(Reason.RECORD_NOT_DURABLE, exchange)


def _with_purpose(
    request: DicomRequest | SiteRequest | Refusal, principal: Principal
) -> DicomRequest | SiteRequest | Refusal:
    """The purpose of use that a token states is vouched for: a header may repeat it and not change it."""
    stated = None if principal.user is None else principal.user.purpose
    if stated is None or not isinstance(request, DicomRequest):
        return request
    if request.purpose not in (None, stated):
        return Refusal(reason=Reason.PURPOSE_CONTRADICTED, detail="the token states another purpose of use")
    return replace(request, purpose=stated, purpose_source="token")


def _against(principal: Principal, request: DicomRequest | SiteRequest | Refusal) -> tuple[Reason, ...]:
    """What identifying found. A device tells its posture for itself, whoever uses it: it needs no user for that."""
    if isinstance(request, SiteRequest) and request.action is Action.REPORT_POSTURE:
        return tuple(reason for reason in principal.reasons if reason is not Reason.TOKEN_MISSING)
    return principal.reasons
