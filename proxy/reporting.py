"""What is told of a device's posture: by itself, or by its management (our own resources, steps 5 to 11).

5.  Policy says whether this certificate may tell at all.
3a. The body is read, which is small and has its time. Certificate, policy and all are asked again, since a body may be
    slow: what is decided on is what holds when it is there.
3b. It is examined: signature, time, single use. What does not hold denies.
6.  The decision is durable, with the digest of what was signed, before it has an effect.
8.  The store takes it: from then on every request of the device is judged by it.
6a. Where a value changed, and not only its time, an event names the devices.
10. The answer says until when it holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from proxy import records
from proxy.errors import BodyTooLargeError, DicomwardError, PeerError, PeerGoneError, PostureUnavailableError
from proxy.lease import Leases
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
    wire_time,
)
from proxy.ports import Exchange
from proxy.rooms import Rooms
from proxy.sending import Sending, decision_record

NONCE_S: Final = 60
EVENT_DEVICES: Final = 100
"""Most devices of one record."""
BODY_S: Final = 15.0
"""For the whole body of a report."""
JSON: Final = "application/json"


class Reporting:
    def __init__(
        self, rooms: Rooms, leases: Leases, grounds: Grounds, request: SiteRequest, exchange: Exchange
    ) -> None:
        self._rooms = rooms
        self._leases = leases
        self._grounds = grounds
        self._request = request
        self._exchange = exchange

    async def walk(self) -> None:
        """:raises SpoolError: the decision is not durable, and nothing was taken in"""
        if self._request.resource is SiteResource.POSTURE_NONCE:
            await self._nonce()
            return
        found = await self._examined()
        if found is None:
            await (await self._recorded(None)).denied()
            return
        answer = await self._recorded(found)
        try:
            await self._accept(found, answer)
        finally:
            answer.close(())

    async def _nonce(self) -> None:
        nonce = self._rooms.desk.nonce(self._grounds.principal, self._rooms.clock())
        answer = await self._recorded(None)
        await self._tell(answer, {"nonce": nonce, "expires_in": NONCE_S, "site": self._rooms.site})

    async def _examined(self) -> PostureReport | None:
        """``None``: denied, and the verdict says why."""
        try:
            async with asyncio.timeout(BODY_S):
                body = await self._read()
        except TimeoutError as error:
            raise PeerGoneError("the body of a report did not come in time") from error
        except PeerGoneError:
            raise
        except PeerError as error:
            self._deny(error.code)
            return None
        self._grounds = await self._leases.judge_again(self._grounds, self._rooms.clock())
        if not self._grounds.verdict.allow:
            return None
        grounds = self._grounds
        try:
            found = await self._rooms.desk.examine(
                body, grounds.arrival.peer, grounds.principal, self._request, self._rooms.clock()
            )
        except PostureUnavailableError as error:
            self._deny(error.code)
            return None
        if isinstance(found, Reason):
            self._deny(found)
            return None
        return found

    def _deny(self, code: str) -> None:
        verdict = self._grounds.verdict.against(Reason(code))
        self._grounds = replace(self._grounds, verdict=verdict)

    async def _read(self) -> bytes:
        """The body is what is decided on: it is asked for once policy has let this certificate tell anything at all.

        :raises PeerError: it is too long or its framing is broken
        """
        longest = self._rooms.desk.longest(self._request)
        if (self._request.bytes or 0) > longest:
            raise BodyTooLargeError("a report is announced longer than the site takes")
        if self._request.expect_continue:
            await self._exchange.proceed()
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
            taken = await self._rooms.desk.accept(report, self._rooms.clock())
        except DicomwardError as error:
            await answer.problem(Reason(error.code), OutcomeStatus.FAILED)
            return
        if isinstance(taken, Reason):
            await answer.problem(taken)
            return
        for first in range(0, len(taken.changed), EVENT_DEVICES):
            event = self._event(taken.changed[first : first + EVENT_DEVICES], report)
            self._rooms.recorder.record_later(Kind.EVENT, event)
        ends = [each.expires_at for claim in report.claims for each in claim.attributes.values()]
        told: JsonObject = {
            "accepted": True,
            "attributes": taken.attributes,
            "expires_at": wire_time(min(ends)) if ends else None,
        }
        if self._request.resource is SiteResource.MANAGED_POSTURE:
            told["devices"] = len(report.claims)
        await self._tell(answer, told)

    def _event(self, devices: Sequence[DeviceId], report: PostureReport) -> JsonObject:
        return records.event(
            "posture",
            self._rooms.clock(),
            devices=list(devices),
            source=report.source,
            trust=report.trust.value,
            report=report.sha256,
            decision=self._grounds.decision,
        )

    async def _tell(self, answer: Sending, body: JsonObject) -> None:
        await answer.whole(200, JSON, json.dumps(body).encode())
