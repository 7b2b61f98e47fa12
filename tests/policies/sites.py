"""Sites with data of every kind that policies look at, and questions to them at random; some well formed, some not."""

from __future__ import annotations

import random
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from proxy.decide import Environment, PolicySet, build_input, read_policies
from proxy.model import (
    Action,
    DecisionId,
    DeviceId,
    DicomRequest,
    InstanceUid,
    JsonObject,
    Level,
    Posture,
    PostureAttribute,
    Principal,
    Representation,
    ResourceContext,
    Revocation,
    Role,
    Row,
    SeriesUid,
    SiteRequest,
    SiteResource,
    StudyUid,
    Trust,
    User,
)
from tests.policies.rego import POLICIES

NOW: Final = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
"""A Monday."""
DEVICE: Final = "urn:dicomward:device:"
_CARE: Final[dict[str, Any]] = {"default_purpose": "TREAT", "purposes": ["TREAT", "ETREAT", "COC", "HOPERAT"]}
_DICOM: Final = ["search", "metadata", "retrieve", "render", "bulkdata", "store"]
_READING: Final = [*_DICOM, "read_decision"]
OWN: Final = (Action.READ_DECISION, Action.REPORT_POSTURE, Action.MANAGE_POSTURE)
_MASK: Final[dict[str, Any]] = {
    "type": "mask",
    "attributes": ["PatientName", "VR:PN", "private"],
    "blank": ["00100020"],
}
_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

ROLES: Final[dict[str, Any]] = {
    "radiologist": {"actions": _READING, "institutions": "*", **_CARE},
    "ct": {
        "actions": _READING,
        "institutions": ["North", "South"],
        "modalities": ["CT", "SR"],
        "departments": ["Radiology", "Surgery"],
        "obligations": {"retrieve": [{"type": "seal"}], "*": [{"type": "limit", "seconds": 600}]},
        **_CARE,
    },
    "mr": {"actions": _READING, "institutions": ["North"], "modalities": ["MR"], "obligations": {}, **_CARE},
    "night": {"actions": _READING, "institutions": "*", "hours": "night", **_CARE},
    "day": {"actions": _READING, "institutions": ["North"], "hours": "day", "networks": ["clinic", "ward"], **_CARE},
    "nowhere": {"actions": _READING, "institutions": "*", "networks": [], **_CARE},
    "psychiatrist": {
        "actions": _READING,
        "institutions": "*",
        "departments": ["Psychiatry"],
        "networks": ["ward"],
        "obligations": {"*": [{"type": "hide"}, {"type": "seal"}]},
        **_CARE,
    },
    "researcher": {
        "actions": ["search", "metadata"],
        "institutions": ["North", "South"],
        "default_purpose": "HRESCH",
        "purposes": ["HRESCH", "CLINTRCH"],
        "obligations": {"metadata": [_MASK], "search": [{"type": "limit", "bytes": 1 << 20}]},
    },
    "patient": {"actions": ["search", "metadata", "retrieve", "read_decision"], "institutions": "*", **_CARE},
    "manager": {
        "actions": ["manage_posture"],
        "institutions": [],
        "default_purpose": "HOPERAT",
        "purposes": ["HOPERAT"],
    },
}
SUBJECTS: Final[dict[str, Any]] = {
    "reader": {"roles": ["radiologist"], "institutions": "*"},
    "north": {"roles": ["radiologist"], "institutions": ["North"], "departments": ["Radiology", "Psychiatry"]},
    "ct1": {"roles": ["ct"], "institutions": ["North"], "kind": "modality"},
    "both": {"roles": ["ct", "mr"], "institutions": ["North", "South"]},
    "shifts": {"roles": ["day", "night"], "institutions": "*"},
    "away": {"roles": ["nowhere"], "institutions": "*"},
    "ward": {"roles": ["psychiatrist"], "institutions": ["North"], "departments": "*", "kind": "tablet"},
    "study": {"roles": ["researcher"], "institutions": "*"},
    "heavy": {"roles": ["radiologist"], "institutions": "*", "rates": {"retrieve": {"bytes_hour": 1000}}},
    "few": {"roles": ["radiologist"], "institutions": "*", "patients": ["P1", "P3"]},
    "odd": {"roles": ["radiologist"], "institutions": "*", "kind": "kiosk"},
    "bare": {"roles": [], "institutions": []},
    "desk": {"roles": ["manager"], "institutions": []},
}
USERS: Final[dict[str, Any]] = {
    "dev/doctor": {"roles": ["radiologist"], "institutions": "*"},
    "dev/ct": {"roles": ["ct", "mr"], "institutions": ["North", "South"], "departments": ["Radiology"]},
    "dev/patient": {"roles": ["patient"], "institutions": "*", "patients": ["P1"]},
    "dev/tokens": {"institutions": ["North", "South"]},
    "dev/slow": {"roles": ["radiologist"], "institutions": "*", "rates": {"*": {"requests_minute": 3}}},
    "*": {"institutions": ["North"], "rates": {"*": {"requests_minute": 50}}},
}
CLASSES: Final[dict[str, Any]] = orjson.loads((POLICIES / "data/posture.json").read_bytes())["posture"]["classes"]
POSTURE: Final[dict[str, Any]] = {
    "classes": {**CLASSES, "little": {"required": ["firewall"], "patch_age_days": 365, "minimum_trust": "reported"}},
    "demands": {
        "*": {
            "search": "reading",
            "metadata": "reading",
            "read_decision": "none",
            "report_posture": "none",
            "manage_posture": "none",
            "*": "clinical",
        },
        "modality": {"store": "little"},
        "tablet": {"*": "managed"},
        "kiosk": {"*": "absent"},
    },
}
WEEK: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS: Final[dict[str, Any]] = {
    "day": {day: [{"from": "07:00", "to": "18:00"}] for day in WEEK[:5]},
    "night": {day: [{"from": "18:00", "to": "07:00"}] for day in WEEK},
}
RATES: Final[dict[str, Any]] = {
    "*": {"requests_minute": 100, "requests_hour": 1000},
    "retrieve": {"bytes_hour": 10_000, "patients_hour": 20},
    "metadata": {"patient_subjects_hour": 5},
}


def consent(patient: str, provision: dict[str, Any], **more: Any) -> JsonObject:
    return {
        "resourceType": "Consent",
        "status": "active",
        "patient": {"identifier": {"value": patient}},
        "provision": provision,
        **more,
    }


def purposes(*codes: str) -> list[JsonObject]:
    return [{"system": _SYSTEM, "code": code} for code in codes]


CONSENTS: Final[list[JsonObject]] = [
    consent("P2", {"type": "deny", "purpose": purposes("HRESCH")}),
    consent("P3", {"type": "deny", "provision": [{"type": "permit", "purpose": purposes("TREAT")}]}),
    consent("P4", {"type": "deny"}),
    consent("P5", {"type": "deny", "period": {"end": "2026-06-14"}}),
    consent("P6", {"type": "permit", "purpose": purposes("HRESCH")}),
    consent("P6", {"type": "deny", "period": {"start": "2026-06-15T12:30:00.000Z"}, "purpose": purposes("CLINTRCH")}),
    consent("P7", {"type": "deny"}, status="inactive"),
    consent("P8", {"type": "perhaps"}),
]
PATIENTS: Final = ["P1", "P1", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", " P1 ", "", None]


def data(**changes: Any) -> dict[str, Any]:
    """What a site has in ``data/``, by section."""
    told: dict[str, Any] = orjson.loads((POLICIES / "data/consents.json").read_bytes())["consent"]
    return {
        "roles": ROLES,
        "subjects": {f"{DEVICE}{name}": profile for name, profile in SUBJECTS.items()},
        "users": USERS,
        "posture": POSTURE,
        "hours": HOURS,
        "rates": RATES,
        "consent": told,
        "consents": CONSENTS,
        "limits": {"posture": {"reporting_authorities": ["site"]}, "store": {"tolerated_conflicts": ["StudyDate"]}},
        **changes,
    }


SITES: Final[dict[str, dict[str, Any]]] = {
    "rich": data(),
    "plain": data(
        consents=[], rates={}, limits={"posture": {"reporting_authorities": []}, "store": {"tolerated_conflicts": []}}
    ),
    "opted in": data(
        consent={"default": {"*": "deny", "TREAT": "permit"}, "overriding_purposes": ["ETREAT"], "narrower": {}},
        rates={},
    ),
    "unattributed": data(consents=[*CONSENTS, {"resourceType": "Consent", "status": "active"}]),
}


def policies(site: dict[str, Any]) -> PolicySet:
    """The shipped rules with a site's data."""
    files = {path: text for path, text in read_policies(POLICIES).files.items() if not path.startswith("data/")}
    shipped = orjson.loads((POLICIES / "data/purposes.json").read_bytes())
    return PolicySet(files=files | {"data/site.json": orjson.dumps(shipped | site)})


# ---------------------------------------------------------------------------------------------- questions


def questions(seed: int, count: int) -> list[JsonObject]:
    """Of the shape that the journey builds."""
    dice = random.Random(seed)
    return [_question(dice, number) for number in range(count)]


def _question(dice: random.Random, number: int) -> JsonObject:
    everyday = dice.random() < 0.3
    name = dice.choice(["reader", "north", "few", "heavy", "both"] if everyday else [*SUBJECTS, "nobody", "reader"])
    local = dice.choice([NOW, NOW, NOW + timedelta(hours=8), NOW - timedelta(days=1), NOW.replace(hour=6, minute=59)])
    network = dice.choice(["clinic", "clinic", "ward", "", "guests"])
    counters = {
        "requests_minute": dice.choice([0, 2, 3, 40, 99, 100]) if dice.random() < 0.3 else 0,
        "requests_hour": dice.choice([0, 999, 1000, 10**9]) if dice.random() < 0.2 else 0,
        "bytes_hour": dice.choice([0, 999, 1000, 9999, 10_000, 2**60]) if dice.random() < 0.3 else 0,
        "patients_hour": dice.choice([0, 19, 20]) if dice.random() < 0.2 else 0,
        "patient_subjects_hour": dice.choice([0, 4, 5]) if dice.random() < 0.2 else 0,
    }
    request = _request(dice, everyday)
    return build_input(
        decision=DecisionId(f"{number:032x}"),
        now=NOW,
        request=request,
        principal=_principal(dice, name, everyday),
        posture=_posture(dice, everyday),
        environment=Environment(site="dev", origin="", network=network, local=local),
        resource=_resource(dice, everyday) if isinstance(request, DicomRequest) else None,
        rows=[_row(dice) for _ in range(dice.choice([0, 3, 6]))],
        counters=dict.fromkeys(counters, 0) if everyday else counters,
    )


def _request(dice: random.Random, everyday: bool) -> DicomRequest | SiteRequest:
    action = dice.choice([*Action, *(Action(each) for each in _DICOM), Action.METADATA])
    if action in OWN:
        return SiteRequest(action=action, resource=SiteResource.POSTURE, method="POST")
    return DicomRequest(
        action=action,
        level=dice.choice([Level.STUDY, Level.STUDY, *Level]),
        method="GET",
        representation=Representation.JSON,
        study=StudyUid("1.2.3"),
        instance=InstanceUid("1.2.3.4") if dice.random() < 0.4 else None,
        purpose=dice.choice([None] * 10 + ([] if everyday else ["TREAT", "ETREAT", "COC", "HRESCH", "CLINTRCH", "X"])),
        purpose_source="header",
    )


def _principal(dice: random.Random, name: str, everyday: bool) -> Principal:
    actions = tuple(Action) if dice.random() < 0.95 else tuple(dice.sample(list(Action), 2))
    told = [] if everyday or dice.random() < 0.5 else dice.choices([*ROLES, "absent"], k=dice.choice([1, 2]))
    return Principal(
        device=DeviceId("ab" * 32),
        name=f"{DEVICE}{name}",
        subject="CN=x",
        fingerprint="00" * 32,
        serial="01",
        authority=dice.choice(["site", "other"]),
        authority_actions=actions,
        not_after=NOW,
        revocation=Revocation(status="good", as_of=NOW, expires_at=NOW),
        generation=1,
        expires_at=NOW,
        user=None if everyday or dice.random() < 0.5 else _user(dice.choice([*USERS, "dev/stranger", "dev/doctor"])),
        roles=tuple(Role(name=each, source=dice.choice(["certificate", "token", "directory"])) for each in told),
    )


def _user(name: str) -> User:
    issuer, _, subject = name.partition("/")
    return User(id=name, issuer=issuer, subject=subject, roles=(), purpose=None, expires_at=NOW)


def _posture(dice: random.Random, everyday: bool) -> Posture:
    good: dict[str, bool | int | str] = {
        "disk_encryption": True,
        "firewall": True,
        "malware_protection": True,
        "patch_age_days": 3 if everyday else dice.choice([0, 3, 3, 3, 30, 31, 90]),
        "screen_lock": True,
    }
    trust = dice.choice([*Trust, Trust.MANAGED, Trust.MANAGED])
    wrong: list[bool | int | str] = [False, 0, -1, 91, "true"]
    attributes = {
        name: _attribute(dice, value if everyday or dice.random() < 0.99 else dice.choice(wrong), trust)
        for name, value in good.items()
        if everyday or dice.random() < 0.99
    }
    return Posture(attributes=attributes, generation=1)


def _attribute(dice: random.Random, value: bool | int | str, trust: Trust) -> PostureAttribute:
    def told(by: str, value: bool | int | str, trust: Trust, others: tuple[PostureAttribute, ...]) -> PostureAttribute:
        ends = NOW + timedelta(seconds=3600 if dice.random() < 0.99 else dice.choice([-1, 0, 1]))
        issued = NOW - timedelta(hours=1)
        return PostureAttribute(value=value, source=by, trust=trust, issued_at=issued, expires_at=ends, others=others)

    if dice.random() < 0.9:
        return told("agent", value, trust, ())
    other = value if dice.random() < 0.9 else dice.choice([False, 400])
    return told("mdm", value, trust, (told("agent", other, Trust.REPORTED, ()),))


def _resource(dice: random.Random, everyday: bool = False) -> ResourceContext:
    if not everyday and dice.random() < 0.03:
        return ResourceContext(known=False, as_of=NOW)

    def some(names: list[str], *counts: int) -> tuple[str, ...]:
        return tuple(sorted(dice.sample(names, dice.choice(counts))))

    usual = everyday or dice.random() < 0.5
    return ResourceContext(
        known=True,
        as_of=NOW,
        patient_id="P1" if usual else dice.choice(PATIENTS),
        institutions=("North",) if usual else some(["North", "South", "East", ""], 1, 1, 1, 2, 3, 0),
        modalities=some(["CT", "SR"], 1, 2) if usual else some(["CT", "MR", "SR", ""], 1, 1, 2, 0),
        departments=("Radiology",) if usual else some(["Radiology", "Psychiatry", "Surgery", ""], 1, 1, 2, 0),
        conflicts=()
        if everyday
        else dice.choice([(), (), (), ("StudyDate",), ("PatientID",), ("PatientID", "StudyDate")]),
    )


def _row(dice: random.Random) -> Row:
    series = dice.choice([None, SeriesUid("1.2.3.4")])
    level = Level.STUDY if series is None else Level.SERIES
    return Row(level=level, study=StudyUid("1.2.3"), series=series, resource=_resource(dice))


# ---------------------------------------------------------------------------------------------- what no journey asks

ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 0.5, 10**15, -(2**53), "", "*", "x", "0", "9999", "\u00e4\u0000", "P1", "true"),
    *([], [None], [1, "x"], ["*"], [[]], {}, {"a": 1}, {"": None}, {"*": True}, {"code": "TREAT"}, [{"name": "ct"}]),
)


def malformed(seed: int, good: list[JsonObject], count: int) -> list[JsonObject]:
    """Well-formed questions with one to three members that are missing, of another type, or of nobody's."""
    dice = random.Random(seed)
    return [*ODD_WHOLES, *(_spoilt(dice, dice.choice(good)) for _ in range(count))]


ODD_WHOLES: Final[list[JsonObject]] = [{}, {"version": 1}, {"rows": [{}]}, {"version": 1, "rows": [None]}]


def _spoilt(dice: random.Random, good: JsonObject) -> JsonObject:
    spoilt = deepcopy(good)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        holder, key = dice.choice(list(_places(spoilt)))
        what = dice.random()
        if what < 0.3:
            del holder[key]
        elif what < 0.95 or isinstance(holder, list):
            holder[key] = dice.choice(ODD)
        else:
            holder["stranger"] = dice.choice(ODD)
    return spoilt


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key below a value."""
    members = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [(value, key) for key, _ in members] + [place for _, each in members for place in _places(each)]
