"""Some thousand inputs at random: what is allowed must satisfy conditions computed here, without Rego."""

import os
import random
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import regorus

from proxy.decide import EmbeddedEngine, Environment, build_input, read_policies
from proxy.decide.prepared import prepare
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
    Query,
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
from tests.policies.test_rego import DENY, opa, rule_files

NOW = datetime(2026, 11, 22, 19, 40, tzinfo=UTC)
CASES = 2400 if os.environ.get("DICOMWARD_FULL") == "1" else 1200
NORTH, SOUTH = "North Hospital", "South Clinic"
DEVICES: dict[str, tuple[set[str], set[str] | None]] = {
    "radiologist": ({"radiologist"}, None),
    "technologist": ({"technologist"}, {NORTH}),
    "researcher": ({"researcher"}, None),
    "workstation": (set(), set()),
    "manager": ({"device-manager"}, set()),
}
"""Roles and institutions by the shipped data; ``None``: every institution."""
USERS: dict[str, tuple[set[str], set[str] | None]] = {"dev/clinician": ({"radiologist"}, {NORTH})}
ROLE_REACH: dict[str, set[str] | None] = {
    "radiologist": None,
    "technologist": None,
    "researcher": {NORTH, SOUTH},
    "device-manager": set(),
}
ACTIONS = {
    "radiologist": {
        Action.SEARCH,
        Action.METADATA,
        Action.RETRIEVE,
        Action.RENDER,
        Action.BULKDATA,
        Action.STORE,
        Action.READ_DECISION,
    },
    "technologist": {Action.SEARCH, Action.METADATA, Action.RETRIEVE, Action.STORE, Action.READ_DECISION},
    "researcher": {Action.SEARCH, Action.METADATA, Action.READ_DECISION},
    "device-manager": {Action.MANAGE_POSTURE, Action.READ_DECISION},
}
OWN = (Action.READ_DECISION, Action.REPORT_POSTURE, Action.MANAGE_POSTURE)
PURPOSES: dict[str, set[str | None]] = {
    "radiologist": {None, "TREAT", "ETREAT", "COC", "HOPERAT"},
    "technologist": {None, "TREAT", "ETREAT", "HOPERAT"},
    "researcher": {None, "HRESCH", "CLINTRCH"},
    "device-manager": {None, "HOPERAT"},
}
GOOD: dict[str, bool | int | str] = {
    "disk_encryption": True,
    "firewall": True,
    "malware_protection": True,
    "patch_age_days": 3,
    "screen_lock": True,
}


def said(value: bool | int | str) -> PostureAttribute:
    return PostureAttribute(
        value=value, source="mdm", trust=Trust.MANAGED, issued_at=NOW, expires_at=NOW + timedelta(hours=1)
    )


def posture(dice: random.Random) -> Posture:
    attributes = {}
    for name, good in GOOD.items():
        if dice.random() < 0.03:
            continue
        value = good if dice.random() < 0.97 else dice.choice([False, 0, 31, 90, 91, -1, "true", 10**15])
        ends = NOW + timedelta(milliseconds=dice.choice([1, 1000, 10**6]) * (1 if dice.random() < 0.97 else -1))
        claimed = good if dice.random() < 0.9 else dice.choice([False, 31, 91])
        attributes[name] = PostureAttribute(
            value=value,
            source="agent",
            trust=dice.choice(list(Trust)),
            issued_at=NOW - timedelta(hours=1),
            expires_at=ends,
            others=() if dice.random() < 0.8 else (said(claimed),),
        )
    return Posture(attributes=attributes, generation=1)


def principal(dice: random.Random, name: str) -> Principal:
    actions = tuple(Action) if dice.random() < 0.95 else tuple(dice.sample(list(Action), 2))
    return Principal(
        device=DeviceId("ab" * 32),
        name=f"urn:dicomward:device:{name}",
        subject="CN=x",
        fingerprint="00" * 32,
        serial="01",
        authority="site",
        authority_actions=actions,
        not_after=NOW,
        revocation=Revocation(status="good", as_of=NOW, expires_at=NOW),
        generation=1,
        expires_at=NOW,
        user=user(dice),
        roles=tuple(
            Role(name=dice.choice([*ROLE_REACH, "absent"]), source=dice.choice(["certificate", "token", "directory"]))
            for _ in range(dice.choice([0, 0, 1, 2]))
        ),
    )


def user(dice: random.Random) -> User | None:
    if dice.random() < 0.6:
        return None
    subject = dice.choice(["clinician", "clinician", "nobody"])
    issuer = dice.choice(["dev", "dev", "dev", "other"])
    return User(id=f"{issuer}/{subject}", issuer=issuer, subject=subject, roles=(), purpose=None, expires_at=NOW)


def resource(dice: random.Random) -> ResourceContext:
    if dice.random() < 0.05:
        return ResourceContext(known=False, as_of=NOW)
    names = dice.sample([NORTH, SOUTH, "", "Elsewhere"], dice.choice([1, 1, 1, 1, 2, 3]))
    conflicts = ("PatientID",) if dice.random() < 0.2 else ()
    return ResourceContext(
        known=True,
        as_of=NOW,
        patient_id=dice.choice(["P1", "P1", "", None]),
        modalities=tuple(sorted(dice.sample(["CT", "MR", "SR", ""], dice.choice([1, 1, 2])))),
        institutions=tuple(sorted(names)),
        departments=tuple(sorted(dice.sample(["", "Radiology", "Psychiatry"], dice.choice([0, 1, 2])))),
        conflicts=conflicts,
    )


def row(dice: random.Random) -> Row:
    series = dice.choice([None, SeriesUid("1.2.3.4")])
    level = Level.STUDY if series is None else Level.SERIES
    return Row(level=level, study=StudyUid("1.2.3"), series=series, resource=resource(dice))


def request(dice: random.Random) -> DicomRequest | SiteRequest:
    action = dice.choice(list(Action))
    if action in OWN:
        return SiteRequest(action=action, resource=SiteResource.POSTURE, method="POST")
    return DicomRequest(
        action=action,
        level=dice.choice(list(Level)),
        method="GET",
        representation=Representation.JSON,
        study=StudyUid("1.2.3"),
        instance=InstanceUid("1.2.3.4") if dice.random() < 0.5 else None,
        query=Query(match=(dice.choice([("00100010", "X"), ("00080060", "CT")]),)) if dice.random() < 0.3 else Query(),
        purpose=dice.choice([None, None, None, "TREAT", "HRESCH", "NONSENSE"]),
        purpose_source="header",
    )


def corpus() -> list[tuple[JsonObject, dict[str, Any]]]:
    dice = random.Random(20261122)
    cases = []
    for number in range(CASES):
        name = dice.choice(["radiologist", "technologist", "researcher", *DEVICES, "nobody"])
        facts = {
            "name": name,
            "request": request(dice),
            "principal": principal(dice, name),
            "posture": posture(dice),
            "resource": resource(dice),
            "rows": [row(dice) for _ in range(3)],
        }
        policy_input = build_input(
            decision=DecisionId(f"{number:032x}"),
            now=NOW,
            environment=Environment(site="dev", origin="", network="", local=NOW),
            **{key: value for key, value in facts.items() if key != "name"},
        )
        cases.append((policy_input, facts))
    return cases


def good(name: str, value: object, days: int) -> bool:
    return type(value) is int and 0 <= value <= days if name == "patch_age_days" else value is True


def device_in_order(held: Posture, action: Action) -> bool:
    """By the classes that are shipped."""
    days = 90 if action in (Action.SEARCH, Action.METADATA) else 30
    return held.attributes.keys() >= GOOD.keys() and all(
        attribute.expires_at > NOW
        and good(name, attribute.value, days)
        and all(good(name, other.value, days) for other in attribute.others)
        for name, attribute in held.attributes.items()
    )


def suited(facts: dict[str, Any], action: Action) -> tuple[set[str], set[str] | None]:
    """Roles that permit the action for the purpose, and the institutions of who asks."""
    asks: Principal = facts["principal"]
    profile = DEVICES.get(facts["name"]) if asks.user is None else USERS.get(asks.user.id)
    if profile is None or action not in asks.authority_actions:
        return set(), set()
    told = {role.name for role in asks.roles if asks.user is None or role.source != "certificate"}
    purpose = getattr(facts["request"], "purpose", None)
    held = (profile[0] | told) & ROLE_REACH.keys()
    return {role for role in held if action in ACTIONS[role] and purpose in PURPOSES[role]}, profile[1]


def reached(roles: set[str], reach: set[str] | None, found: ResourceContext) -> bool:
    def grants(limit: set[str] | None, name: str) -> bool:
        return limit is None or (name != "" and name in limit)

    return found.known and all(
        grants(reach, name) and any(grants(ROLE_REACH[role], name) for role in roles) for name in found.institutions
    )


def expected(facts: dict[str, Any]) -> bool:
    asked = facts["request"]
    if asked.action is Action.REPORT_POSTURE:
        return facts["name"] in DEVICES and asked.action in facts["principal"].authority_actions
    roles, reach = suited(facts, asked.action)
    if not roles:
        return False
    if asked.action in OWN:
        return True
    if not device_in_order(facts["posture"], asked.action):
        return False
    if asked.action is Action.SEARCH:
        return True
    if asked.action is Action.STORE and asked.instance is None:
        return True
    if asked.action is Action.STORE and facts["resource"].conflicts:
        return False
    return reached(roles, reach, facts["resource"])


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(prepare(read_policies(POLICIES), NOW))


def test_verdicts_are_what_an_independent_computation_says(engine: EmbeddedEngine) -> None:
    allowed: set[tuple[Action, bool]] = set()
    for policy_input, facts in corpus():
        verdict = engine.decide_now(policy_input)
        assert verdict.allow == expected(facts), (verdict, policy_input)
        assert verdict.allow == (not verdict.reasons)
        if verdict.allow:
            allowed.add((facts["request"].action, facts["principal"].user is not None))
    assert allowed == {(action, used) for action in Action for used in (False, True)}


def test_reasons_are_empty_if_and_only_if_the_conditions_hold(engine: EmbeddedEngine) -> None:
    """Of every rule, also those that a decision need not ask."""
    rules = [path.parent.name for path in rule_files() if DENY.search(path.read_text())]
    assert len(rules) > 10
    for policy_input, facts in corpus():
        verdict = engine.decide_now(policy_input)
        said = [orjson.loads(engine._engine.eval_rule_as_json(f"data.dicomweb.{rule}.deny")) for rule in rules]
        found = {code for codes in said for code in codes}
        if facts["request"].action is Action.REPORT_POSTURE:
            found &= {"subject-unknown", "action-not-permitted"}  # it is about no role
        assert sorted(found) == list(verdict.reasons), policy_input


def general(policy_input: JsonObject) -> JsonObject:
    """The same for one who is said to have a role that the site does not know: it is judged at greater length."""
    subject: Any = policy_input["subject"]
    none = {"name": "absent", "source": "directory"}
    return {**policy_input, "subject": {**subject, "roles": [*subject["roles"], none]}}


def test_what_is_looked_up_is_what_is_found_at_greater_length(engine: EmbeddedEngine) -> None:
    alike = 0
    for policy_input, _ in corpus():
        subject: Any = policy_input["subject"]
        alone: JsonObject = {**policy_input, "subject": {**subject, "roles": []}}
        assert engine.decide_now(alone) == engine.decide_now(general(alone))
        assert engine.visible_now(alone) == engine.visible_now(general(alone))
        alike += engine.decide_now(alone).allow
    assert alike > 200


def test_opa_answers_the_same(engine: EmbeddedEngine) -> None:
    inputs = [policy_input for policy_input, _ in corpus()]
    each = "some one in input.inputs; d := data.dicomweb.authz.decision with input as one"
    query = f"[[d, v] | {each}; v := data.dicomweb.authz.visible with input as one]"
    done = subprocess.run(
        [opa(), "eval", "--format=raw", "--stdin-input"]
        + [f"--data={POLICIES / folder}" for folder in ("dicomweb", "lib", "data")]
        + [query],
        input=orjson.dumps({"inputs": inputs}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for policy_input, (decision, visible) in zip(inputs, orjson.loads(done.stdout), strict=True):
        verdict = engine.decide_now(policy_input)
        obligations = [obligation.body for obligation in verdict.obligations]
        assert decision == {"allow": verdict.allow, "reasons": [*verdict.reasons], "obligations": obligations}
        assert set(visible) == engine.visible_now(policy_input)


def test_a_row_is_visible_if_and_only_if_its_metadata_would_be_allowed(engine: EmbeddedEngine) -> None:
    seen = 0
    for policy_input, _ in corpus()[:400]:
        asked = {**policy_input["request"], "action": "metadata"}  # type: ignore[dict-item]
        visible = engine.visible_now(policy_input)
        for index, row in enumerate(policy_input["rows"]):  # type: ignore[arg-type]
            place = {"level": row["level"], "study": row["study"], "series": row["series"]}
            alone = engine.decide_now({**policy_input, "request": {**asked, **place}, "resource": row})
            assert alone.allow == (index in visible)
            seen += alone.allow
    assert seen > 50


def test_rows_are_filtered_wherever_not_everything_may_be_seen(engine: EmbeddedEngine) -> None:
    for policy_input, facts in corpus():
        verdict = engine.decide_now(policy_input)
        if verdict.allow and facts["request"].action is Action.SEARCH:
            filtered = "filter_rows" in {obligation.type for obligation in verdict.obligations}
            roles, reach = suited(facts, Action.METADATA)
            everything = reach is None and any(ROLE_REACH[role] is None for role in roles)
            assert filtered != everything


def test_inputs_and_results_satisfy_the_schemas(engine: EmbeddedEngine) -> None:
    checker = regorus.Engine()
    checker.add_policy("schema.rego", "package schema\n\nmatch := json.match_schema(input.value, input.schema)\n")
    schemas = {name: orjson.loads((POLICIES / f"schemas/{name}.v1.json").read_bytes()) for name in ("input", "result")}

    def matches(name: str, value: object) -> bool:
        checker.set_input_json(orjson.dumps({"value": value, "schema": schemas[name]}).decode())
        return bool(orjson.loads(checker.eval_rule_as_json("data.schema.match"))[0])

    assert not matches("input", {})
    assert not matches("result", {"allow": "true", "reasons": [], "obligations": []})
    for policy_input, _ in corpus()[:60]:
        verdict = engine.decide_now(policy_input)
        obligations = [obligation.body for obligation in verdict.obligations]
        assert matches("input", policy_input)
        assert matches("result", {"allow": verdict.allow, "reasons": verdict.reasons, "obligations": obligations})
        assert not matches("input", {**policy_input, "extra": 1})
