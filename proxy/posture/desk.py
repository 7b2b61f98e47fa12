"""Where posture is taken in: the pure rules of reports and webhooks, joined with the store that remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from proxy.model import (
    DeviceClaims,
    DeviceId,
    Peer,
    PostureAttribute,
    PostureReport,
    Principal,
    Reason,
    SiteRequest,
    SiteResource,
    Taken,
    Trust,
)
from proxy.posture.claims import AGENT, ClaimStore
from proxy.posture.fleet import read_fleet
from proxy.posture.nonces import make_nonce, nonce_end
from proxy.posture.reports import Report, ReportRules, judge_report, parse_report, report_end
from proxy.posture.webhooks import ManagedSettings, issued_at, judge_webhook, signed_at


class Desk:
    """:class:`proxy.ports.PostureDesk`"""

    def __init__(
        self,
        store: ClaimStore,
        *,
        site: str,
        report_valid_s: float,
        report_skew_s: float,
        report_bytes: int,
        managed: ManagedSettings | None,
        device_of: Callable[[str], DeviceId],
    ) -> None:
        """
        :param device_of: the device of a name, by the authority that issues to what is managed
        :raises PostureUnavailableError: the store cannot be read
        """
        self._report_bytes = report_bytes
        self._store = store
        self._rules = ReportRules(
            site=site, valid=timedelta(seconds=report_valid_s), skew=timedelta(seconds=report_skew_s)
        )
        self._managed = managed
        self._device_of = device_of
        self._key = store.nonce_key()

    def longest(self, request: SiteRequest) -> int:
        if request.resource is SiteResource.MANAGED_POSTURE and self._managed is not None:
            return self._managed.body_bytes
        return self._report_bytes

    def nonce(self, principal: Principal, now: datetime) -> str:
        return make_nonce(self._key, bytes.fromhex(principal.fingerprint), now)

    async def examine(
        self, body: bytes, peer: Peer, principal: Principal, request: SiteRequest, now: datetime
    ) -> PostureReport | Reason:
        match request.resource:
            case SiteResource.POSTURE:
                return await self._own(body, peer, principal, now)
            case SiteResource.MANAGED_POSTURE if self._managed is not None:
                return self._of_management(body, request, self._managed, now)
        return Reason.UNKNOWN_ROUTE  # a site without management has no such resource

    async def accept(self, report: PostureReport, now: datetime) -> Taken | Reason:
        taken = await self._store.put(report, now)
        told = any(claim.attributes for claim in report.claims)
        if taken is not None and (taken.attributes or not told):
            return taken
        return Reason.REPORT_REPLAYED if report.trust is Trust.REPORTED else Reason.WEBHOOK_REPLAYED

    async def _own(self, body: bytes, peer: Peer, principal: Principal, now: datetime) -> PostureReport | Reason:
        """By the numbers of :mod:`proxy.posture.reports`: the first that does not hold is what is told."""
        report = parse_report(body)
        if report is None:  # 1
            return Reason.REPORT_MALFORMED
        if peer.certificate is None or principal.device is None:
            return Reason.REPORT_OF_ANOTHER_DEVICE
        wrong = judge_report(report, peer.certificate, self._rules, now)
        end = nonce_end(self._key, report.nonce, hashlib.sha256(peer.certificate).digest(), now)
        is_new = await self._spend(report.nonce, end, now)  # here, whatever else is wrong
        if wrong is not None:  # 2 to 6
            return wrong
        if end is None:  # 7
            return Reason.REPORT_NONCE
        if not is_new or not self._is_later(principal.device, report.issued_at):  # 8
            return Reason.REPORT_REPLAYED
        return self._reported(report, principal.device, body, now)

    async def _spend(self, nonce: str, end: datetime | None, now: datetime) -> bool:
        """Use up a nonce of ours; another's is not remembered. Whether it was there to be used."""
        return end is not None and await self._store.spend(f"nonce/{nonce}", end, now)

    def _is_later(self, device: DeviceId, issued_at: datetime) -> bool:
        before = self._store.reported_at(device)
        return before is None or before < issued_at

    def _reported(self, report: Report, device: DeviceId, body: bytes, now: datetime) -> PostureReport:
        told = _claims(report.values, AGENT, Trust.REPORTED, report.issued_at, report_end(report, self._rules, now))
        return PostureReport(
            source=AGENT,
            trust=Trust.REPORTED,
            sha256=hashlib.sha256(body).hexdigest(),
            issued_at=report.issued_at,
            claims=(DeviceClaims(device=device, attributes=told),),
        )

    def _of_management(
        self, body: bytes, request: SiteRequest, settings: ManagedSettings, now: datetime
    ) -> PostureReport | Reason:
        signed = request.signed
        if signed is None:
            return Reason.WEBHOOK_MALFORMED
        wrong = judge_webhook(signed, body, settings, now)
        if wrong is not None:
            return wrong
        once = f"webhook/{settings.source}/{signed.id}"
        if self._store.is_spent(once):
            return Reason.WEBHOOK_REPLAYED
        try:
            told = read_fleet(body, settings)
        except ValueError:
            return Reason.WEBHOOK_MALFORMED
        issued = issued_at(signed, now)
        return PostureReport(
            source=settings.source,
            trust=Trust.MANAGED,
            sha256=hashlib.sha256(body).hexdigest(),
            issued_at=issued,
            claims=tuple(
                DeviceClaims(
                    device=self._device_of(name),
                    attributes=_claims(values, settings.source, Trust.MANAGED, issued, issued + settings.valid),
                )
                for name, values in told.items()
            ),
            once=(once, signed_at(signed) + settings.tolerance),  # for as long as its own time is let pass
        )


def _claims(
    values: Mapping[str, bool | int | str], source: str, trust: Trust, issued: datetime, end: datetime
) -> dict[str, PostureAttribute]:
    return {
        name: PostureAttribute(value=value, source=source, trust=trust, issued_at=issued, expires_at=end)
        for name, value in values.items()
    }
