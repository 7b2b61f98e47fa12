"""What is told of a device's posture: by itself, or by its management (our own resources, steps 5 to 11).

5.  Policy says whether this certificate may tell at all.
3a. The body is read, which is small, and examined: signature, time, single use. What does not hold denies.
6.  The decision is durable, with the digest of what was signed, before it has an effect.
8.  The store takes it: from then on every request of the device is judged by it.
6a. Where a value changed, and not only its time, an event says so for each device.
10. The answer says until when it holds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from proxy import records
from proxy.errors import BodyTooLargeError, DicomwardError, PeerError, PeerGoneError, PostureUnavailableError
from proxy.model import (
    DeviceId,
    Grounds,
    JsonObject,
    Kind,
    OutcomeStatus,
    PostureReport,
    Reason,
    SiteRequest,
    SiteResource,
    Verdict,
    wire_time,
)
from proxy.ports import Exchange
from proxy.rooms import Rooms
from proxy.sending import Sending, decision_record

NONCE_S: Final = 60
JSON: Final = "application/json"


class Reporting:
    def __init__(self, rooms: Rooms, grounds: Grounds, request: SiteRequest, exchange: Exchange) -> None:
        self._rooms = rooms
        self._grounds = grounds
        self._request = request
        self._exchange = exchange

    async def walk(self) -> None:
        """:raises SpoolError: the decision is not durable, and nothing was taken in"""
        if self._request.resource is SiteResource.POSTURE_NONCE:
            await self._nonce()
            return
        found = await self._examined()
        if isinstance(found, Reason):
            self._grounds = replace(self._grounds, verdict=Verdict.denied(found, policy=self._grounds.verdict.policy))
            await (await self._recorded(None)).denied()
            return
        answer = await self._recorded(found)
        await self._accept(found, answer)

    async def _nonce(self) -> None:
        nonce = self._rooms.desk.nonce(self._grounds.principal, self._rooms.clock())
        answer = await self._recorded(None)
        await self._tell(answer, {"nonce": nonce, "expires_in": NONCE_S, "site": self._rooms.site})

    async def _examined(self) -> PostureReport | Reason:
        try:
            body = await self._read()
            grounds = self._grounds
            return self._rooms.desk.examine(
                body, grounds.arrival.peer, grounds.principal, self._request, self._rooms.clock()
            )
        except PeerGoneError:
            raise
        except (PeerError, PostureUnavailableError) as error:
            return Reason(error.code)

    async def _read(self) -> bytes:
        """The body is what is decided on: it is asked for once policy has let this certificate tell anything at all.

        :raises PeerError: it is too long or its framing is broken
        """
        if self._request.expect_continue:
            await self._exchange.proceed()
        longest = self._rooms.desk.longest(self._request)
        body = bytearray()
        while chunk := await self._exchange.body.read():
            body += chunk
            if len(body) > longest:
                raise BodyTooLargeError("a report is longer than the site takes")
        return bytes(body)

    async def _recorded(self, report: PostureReport | None) -> Sending:
        recording = self._rooms.recorder.record(Kind.DECISION, decision_record(self._grounds, report=report))
        self._exchange.decided = True
        return Sending(self._rooms, self._grounds, await recording, self._exchange)

    async def _accept(self, report: PostureReport, answer: Sending) -> None:
        try:
            changed = self._rooms.desk.accept(report, self._rooms.clock())
        except DicomwardError as error:
            await answer.problem(Reason(error.code), OutcomeStatus.FAILED)
            return
        if isinstance(changed, Reason):
            await answer.problem(changed)
            return
        for device in changed:
            self._rooms.recorder.record_later(Kind.EVENT, self._event(device, report))
        ends = [each.expires_at for claim in report.claims for each in claim.attributes.values()]
        told: JsonObject = {
            "accepted": True,
            "attributes": sum(len(claim.attributes) for claim in report.claims),
            "expires_at": wire_time(min(ends)) if ends else None,
        }
        if self._request.resource is SiteResource.MANAGED_POSTURE:
            told["devices"] = len(report.claims)
        await self._tell(answer, told)

    def _event(self, device: DeviceId, report: PostureReport) -> JsonObject:
        return records.event(
            "posture",
            self._rooms.clock(),
            device=device,
            source=report.source,
            trust=report.trust.value,
            report=report.sha256,
            decision=self._grounds.decision,
        )

    async def _tell(self, answer: Sending, body: JsonObject) -> None:
        await answer.whole(200, JSON, json.dumps(body).encode())
