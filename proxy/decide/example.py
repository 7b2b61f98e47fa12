"""Input that is whole and well formed, made up: what a candidate is tried with before anybody real asks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from proxy.decide.counters import Counters
from proxy.decide.policy_input import Environment, build_input
from proxy.model import (
    Action,
    DecisionId,
    DeviceId,
    DicomRequest,
    JsonObject,
    Level,
    Posture,
    PostureAttribute,
    Principal,
    Representation,
    ResourceContext,
    Revocation,
    Row,
    SeriesUid,
    SiteRequest,
    SiteResource,
    StudyUid,
    Trust,
    User,
)

MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_VALUES: Final[dict[str, bool | int | str]] = {
    "disk_encryption": True,
    "firewall": True,
    "malware_protection": True,
    "patch_age_days": 1,
    "screen_lock": True,
}
_ROWS: Final = 10
_OWN: Final = {
    Action.READ_DECISION: SiteResource.DECISION,
    Action.REPORT_POSTURE: SiteResource.POSTURE,
    Action.MANAGE_POSTURE: SiteResource.MANAGED_POSTURE,
}
"""Actions that ask for something of ours, so that no object of an archive is named."""
AUTHORITY: Final = "<example>"
"""No name that a site can give to an authority, so that its policies know nothing of it."""


def example_input(name: str, action: Action, user: str | None = None) -> JsonObject:
    """What the device of this certificate name would ask with, were its posture perfect.

    :param user: ``<issuer>/<sub>`` of who uses the device; ``None``: the device itself asks
    """
    resource = ResourceContext(
        known=True,
        as_of=MOMENT,
        patient_id="EXAMPLE",
        modalities=("CT",),
        institutions=("Example",),
        departments=("Example",),
    )
    principal, seen = _principal(name, user), None if action in _OWN else resource
    return build_input(
        decision=DecisionId("0" * 32),
        now=MOMENT,
        request=_request(action),
        principal=principal,
        posture=_posture(),
        environment=Environment(site="example", origin="", network="", local=MOMENT),
        resource=seen,
        rows=example_rows(resource, _ROWS),
        counters=Counters().before(principal, seen, MOMENT),
    )


def example_rows(resource: ResourceContext, count: int) -> list[Row]:
    """Series of one study, all with these attributes."""
    return [
        Row(level=Level.SERIES, study=StudyUid("1.2.3"), series=SeriesUid(f"1.2.3.{number}"), resource=resource)
        for number in range(1, count + 1)
    ]


def _request(action: Action) -> DicomRequest | SiteRequest:
    if action in _OWN:
        return SiteRequest(action=action, resource=_OWN[action], method="POST", about=_about(action))
    return DicomRequest(
        action=action,
        level=Level.STUDY,
        method="POST" if action is Action.STORE else "GET",
        representation=Representation.JSON,
        study=StudyUid("1.2.3"),
    )


def _about(action: Action) -> DecisionId | None:
    return DecisionId("1" * 32) if action is Action.READ_DECISION else None


def _user(name: str, until: datetime) -> User:
    issuer, _, subject = name.partition("/")
    return User(id=name, issuer=issuer, subject=subject, roles=(), purpose=None, expires_at=until)


def _principal(name: str, user: str | None) -> Principal:
    later = MOMENT + timedelta(days=1)
    return Principal(
        device=DeviceId("0" * 64),
        name=name,
        subject="CN=example",
        fingerprint="0" * 64,
        serial="01",
        authority=AUTHORITY,
        authority_actions=tuple(each.value for each in Action),
        not_after=later,
        revocation=Revocation(status="good", as_of=MOMENT, expires_at=later),
        generation=1,
        expires_at=later,
        user=None if user is None else _user(user, later),
    )


def _posture() -> Posture:
    return Posture(
        attributes={
            name: PostureAttribute(
                value=value,
                source="example",
                trust=Trust.REPORTED,
                issued_at=MOMENT,
                expires_at=MOMENT + timedelta(hours=1),
            )
            for name, value in _VALUES.items()
        },
        generation=1,
    )
