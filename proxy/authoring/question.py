"""A policy input from what an author supposes: who asks, on what device, for what, and how its object is.

The target goes through the grammar of the proxy, so a question that the proxy would not ask is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from proxy import records
from proxy.decide.policy_input import Environment, build_input
from proxy.errors import ConfigurationError
from proxy.interpret import interpret
from proxy.model import (
    Action,
    Arrival,
    Capabilities,
    DeviceId,
    DicomRequest,
    JsonObject,
    Level,
    Peer,
    Posture,
    PostureAttribute,
    Principal,
    Refusal,
    ResourceContext,
    Revocation,
    Role,
    Row,
    SiteRequest,
    StudyUid,
    Trust,
    User,
)

PERFECT: Final[Mapping[str, bool | int | str]] = {
    "disk_encryption": True,
    "firewall": True,
    "malware_protection": True,
    "patch_age_days": 1,
    "screen_lock": True,
}
DEVICE: Final = "urn:dicomward:device:"
_BOUNDARY: Final = "dicomward-try"
_VALID: Final = timedelta(hours=1)
_NO_OBJECT: Final = (Action.SEARCH, Action.STORE)
"""Nothing is asked of the archive before these are judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """What is taken to be so, beside the request itself. The defaults are a good device and a plain object."""

    at: datetime
    """In the site's own time: its offset gives ``environment.local``."""
    name: str
    """Of the certificate; a word without a colon is a dev identity."""
    user: str | None = None
    """``<issuer>/<sub>``."""
    roles: tuple[str, ...] = ()
    """Said by the user's token, or by the device's certificate where there is no user."""
    posture: Mapping[str, bool | int | str] = field(default_factory=lambda: dict(PERFECT))
    trust: Trust = Trust.MANAGED
    network: str = ""
    site: str = "site"
    known: bool = True
    patient: str | None = "EXAMPLE"
    accession_number: str | None = None
    modalities: tuple[str, ...] = ("CT",)
    institutions: tuple[str, ...] = ("Example",)
    departments: tuple[str, ...] = ("",)
    labels: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def certificate(self) -> str:
        return self.name if ":" in self.name else f"{DEVICE}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What policy would be asked with."""

    policy_input: JsonObject
    rows: JsonObject | None
    """Of a search: the input of ``visible`` with one row, the object supposed."""


def question(method: str, target: str, purpose: str | None, supposed: Supposed) -> Asked | Refusal:
    """A refusal is the grammar's: policy is not asked then.

    :raises ConfigurationError: it is about no object, or ``user`` is no user
    """
    request = _interpreted(method, target, purpose, supposed.at)
    if isinstance(request, Refusal):
        return request
    resource = ResourceContext(
        known=supposed.known,
        as_of=supposed.at,
        patient_id=supposed.patient,
        accession_number=supposed.accession_number,
        modalities=tuple(sorted(supposed.modalities)),
        institutions=tuple(sorted(supposed.institutions)),
        departments=tuple(sorted(supposed.departments)),
        labels=tuple(sorted(supposed.labels)),
    )
    of_object = isinstance(request, DicomRequest) and request.action not in _NO_OBJECT
    searched = isinstance(request, DicomRequest) and request.action is Action.SEARCH
    row = Row(level=Level.STUDY, study=StudyUid("1.2.3"), series=None, resource=resource)
    return Asked(
        policy_input=_built(request, supposed, resource if of_object else None, ()),
        rows=_built(request, supposed, None, (row,)) if searched else None,
    )


def _interpreted(method: str, target: str, purpose: str | None, at: datetime) -> DicomRequest | SiteRequest | Refusal:
    headers = [(b"host", b"localhost")]
    if purpose is not None:
        headers.append((b"purpose-of-use", purpose.encode("utf-8", "replace")))
    if method == "POST":
        media = f'multipart/related; type="application/dicom"; boundary="{_BOUNDARY}"'.encode()
        headers += [(b"content-type", media), (b"content-length", b"1000")]
    peer = Peer(certificate=None, address="127.0.0.1", connection=0)
    asked = interpret(Arrival(peer=peer, method=method, target=target, headers=tuple(headers), at=at))
    if isinstance(asked, Capabilities):
        raise ConfigurationError(f"{method} {target}: says what the proxy can do, and policy is not asked")
    return asked


def _built(
    request: DicomRequest | SiteRequest, supposed: Supposed, resource: ResourceContext | None, rows: tuple[Row, ...]
) -> JsonObject:
    return build_input(
        decision=records.new_decision_id(supposed.at),
        now=supposed.at,
        request=request,
        principal=_principal(supposed),
        posture=_posture(supposed),
        environment=Environment(site=supposed.site, origin="", network=supposed.network, local=supposed.at),
        resource=resource,
        rows=rows,
        counters={**_NO_COUNTS, **supposed.counters},
    )


_NO_COUNTS: Final = {
    "requests_minute": 0,
    "requests_hour": 0,
    "bytes_hour": 0,
    "patients_hour": 0,
    "patient_subjects_hour": 0,
}


def _principal(supposed: Supposed) -> Principal:
    until = supposed.at + _VALID
    user: User | None = None
    if supposed.user is not None:
        issuer, slash, subject = supposed.user.partition("/")
        if not issuer or not slash or not subject:
            raise ConfigurationError(f"--user {supposed.user}: is ISSUER/SUB, for example hospital/a.meyer")
        user = User(id=supposed.user, issuer=issuer, subject=subject, roles=(), purpose=None, expires_at=until)
    source = "certificate" if user is None else "token"
    return Principal(
        device=DeviceId("0" * 64),
        name=supposed.certificate,
        subject=f"CN={supposed.name}",
        fingerprint="0" * 64,
        serial="01",
        authority="example",
        authority_actions=tuple(each.value for each in Action),
        not_after=until,
        revocation=Revocation(status="good", as_of=supposed.at, expires_at=until),
        generation=1,
        expires_at=until,
        user=user,
        roles=tuple(Role(name=name, source=source) for name in sorted(supposed.roles)),
    )


def _posture(supposed: Supposed) -> Posture:
    source = "agent" if supposed.trust is Trust.REPORTED else "management"
    return Posture(
        attributes={
            name: PostureAttribute(
                value=value,
                source=source,
                trust=supposed.trust,
                issued_at=supposed.at,
                expires_at=supposed.at + _VALID,
            )
            for name, value in supposed.posture.items()
        },
        generation=1,
    )
