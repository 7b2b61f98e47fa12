"""Input that is whole and well formed, made up: what a candidate is tried with before anybody real asks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

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
    StudyUid,
    Trust,
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


def example_input(name: str, action: Action) -> JsonObject:
    """What the device of this certificate name would ask with, were its posture perfect."""
    resource = ResourceContext(
        known=True, as_of=MOMENT, patient_id="EXAMPLE", modalities=("CT",), institutions=("Example",)
    )
    return build_input(
        decision=DecisionId("0" * 32),
        now=MOMENT,
        request=DicomRequest(
            action=action,
            level=Level.STUDY,
            method="POST" if action is Action.STORE else "GET",
            representation=Representation.JSON,
            study=StudyUid("1.2.3"),
        ),
        principal=_principal(name),
        posture=_posture(),
        environment=Environment(site="example", origin="", network=""),
        resource=resource,
        rows=example_rows(resource, _ROWS),
    )


def example_rows(resource: ResourceContext, count: int) -> list[Row]:
    """Series of one study, all with these attributes."""
    return [
        Row(level=Level.SERIES, study=StudyUid("1.2.3"), series=SeriesUid(f"1.2.3.{number}"), resource=resource)
        for number in range(1, count + 1)
    ]


def _principal(name: str) -> Principal:
    later = MOMENT + timedelta(days=1)
    return Principal(
        device=DeviceId("0" * 64),
        name=name,
        subject="CN=example",
        fingerprint="0" * 64,
        serial="01",
        authority="example",
        authority_actions=tuple(each.value for each in Action),
        not_after=later,
        revocation=Revocation(status="good", as_of=MOMENT, expires_at=later),
        generation=1,
        expires_at=later,
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
