"""Schemas say of every field what it means, accept what is real, and refuse what is not theirs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings

from proxy.decide import Environment, build_input, read_policies
from proxy.decide.counters import Counters
from proxy.decide.example import example_input
from proxy.interpret import interpret
from proxy.interpret.own import OF_A_DECISION, OWN_ROUTES
from proxy.model import (
    ATTRIBUTES,
    Action,
    DecisionId,
    DicomRequest,
    Posture,
    Reason,
    SiteRequest,
)
from tests.interpret.building import arrival
from tests.interpret.requests import Asked, requests
from tests.policies.rego import POLICIES
from tests.policies.test_corpus import NOW, corpus, posture, principal, resource, row
from tests.schemas import schema, validator

NAMES = ("input", "result", "data")
ENVIRONMENT = Environment(site="dev", origin="ab" * 32, network="clinic", local=NOW)


def fields(node: Any, place: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every member that has a name."""
    for name, member in node.get("properties", {}).items():
        yield f"{place}.{name}", member
        yield from fields(member, f"{place}.{name}")
    for each in [node.get("items"), node.get("additionalProperties"), *node.get("anyOf", [])]:
        if isinstance(each, dict):
            yield from fields(each, f"{place}[]")


def objects(node: Any, place: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of objects whose members are known."""
    if "properties" in node:
        yield place, node
    for name, member in node.get("properties", {}).items():
        yield from objects(member, f"{place}.{name}")
    for each in [node.get("items"), node.get("additionalProperties"), *node.get("anyOf", [])]:
        if isinstance(each, dict):
            yield from objects(each, f"{place}[]")


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_one_and_every_field_has_a_meaning_and_examples_that_satisfy_it(name: str) -> None:
    whole = schema(name)
    jsonschema.Draft7Validator.check_schema(whole)
    found = list(fields(whole))
    assert len(found) > 5
    for place, field in found:
        assert field.get("description"), place
        assert field.get("examples"), place
        checker = jsonschema.Draft7Validator(field)
        for example in field["examples"]:
            assert [fault.message for fault in checker.iter_errors(example)] == [], place


@pytest.mark.parametrize("name", NAMES)
def test_objects_hold_nothing_that_is_not_listed(name: str) -> None:
    open_objects = {place for place, node in objects(schema(name)) if "additionalProperties" not in node}
    assert open_objects == set()


def test_posture_names_every_attribute_that_the_agent_tells() -> None:
    assert set(schema("input")["properties"]["device"]["properties"]["posture"]["properties"]) == set(ATTRIBUTES)


def test_actions_and_counters_are_those_of_the_code() -> None:
    inputs = schema("input")["properties"]
    assert {action.value for action in Action} <= set(inputs["request"]["properties"]["action"]["enum"])
    counted = Counters().before(principal(random.Random(1), "radiologist"), None, NOW)
    assert set(counted) == set(inputs["counters"]["properties"]) - {"enrolled_keys"}
    assert set(counted) == set(schema("data")["properties"]["rates"]["additionalProperties"]["properties"])


def test_generated_inputs_satisfy_the_schema() -> None:
    faults = validator()
    for policy_input, _ in corpus()[:300]:
        assert faults(policy_input) == []
    for action in Action:
        assert faults(example_input("urn:dicomward:device:x", action, "dev/x")) == []


dice = random.Random(5)
_faults = validator()


def whole_input(request: DicomRequest | SiteRequest, known: bool = True) -> Any:
    """What the journey builds of a request, with all that may stand in it."""
    asking, about = principal(dice, "radiologist"), resource(dice)
    counters = Counters()
    counters.decided(asking, about, True, NOW)
    counters.left(asking, 1000, NOW)
    return build_input(
        decision=DecisionId("0" * 32),
        now=NOW,
        request=request,
        principal=asking,
        posture=posture(dice) if known else Posture(attributes={}, generation=0),
        environment=ENVIRONMENT,
        resource=about if known else None,
        rows=[row(dice), row(dice)],
        counters=counters.before(asking, about, NOW + timedelta(seconds=1)),
    )


@settings(max_examples=300, deadline=None)
@given(asked=requests())
def test_whatever_the_grammar_reads_becomes_an_input_of_the_schema(asked: Asked) -> None:
    request = interpret(arrival(asked.target, method=asked.method, headers=asked.headers))
    assert isinstance(request, DicomRequest)
    for known in (True, False):
        assert _faults(orjson.loads(orjson.dumps(whole_input(request, known)))) == []


def test_requests_for_what_is_ours_become_inputs_of_the_schema() -> None:
    for route in (*OWN_ROUTES.values(), OF_A_DECISION):
        about = DecisionId("1" * 32) if route is OF_A_DECISION else None
        request = SiteRequest(action=route.action, resource=route.resource, method=route.method, bytes=10, about=about)
        assert _faults(whole_input(request)) == []


WRONG_INPUTS: list[tuple[list[str], Any]] = [
    (["version"], 2),
    (["time"], "2026-11-22T19:40:00Z"),
    (["time"], "2026-11-22T19:40:00.000+00:00"),
    (["extra"], 1),
    (["request", "action"], "delete"),
    (["request", "decision"], "1"),
    (["resource", "departments"], None),
    (["resource", "patient_id"], 1),
    (["environment", "local", "weekday"], "Sunday"),
    (["environment", "local", "time"], "24:00"),
    (["environment", "network"], None),
    (["counters", "requests_minute"], "1"),
    (["counters", "requests_minute"], -1),
    (["counters", "requests_day"], 1),
    (["device", "posture", "firewall"], True),
    (["subject", "roles"], ["radiologist"]),
]


@pytest.mark.parametrize(("place", "value"), WRONG_INPUTS)
def test_input_of_another_form_is_refused(place: list[str], value: Any) -> None:
    given_: Any = orjson.loads(orjson.dumps(example_input("x", Action.METADATA)))
    assert _faults(given_) == []
    node = given_
    for name in place[:-1]:
        node = node[name]
    node[place[-1]] = value
    assert len(_faults(given_)) == 1


def test_shipped_data_satisfies_its_schema() -> None:
    assert validator("data")(orjson.loads(read_policies(POLICIES).data())) == []


CODING = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}
CONSENT = {
    "resourceType": "Consent",
    "status": "active",
    "patient": {"identifier": {"value": "P1"}},
    "provision": {"type": "deny", "purpose": [CODING], "period": {"start": "2026-01-01"}},
}
HOLDER = {"roles": ["radiologist"], "institutions": ["North Hospital"]}
WRONG_DATA: list[tuple[str, Any]] = [
    ("subjcts", {}),
    ("subjects", {"x": {"roles": ["a"]}}),
    ("subjects", {"x": {**HOLDER, "instutions": []}}),
    ("subjects", {"x": {**HOLDER, "patients": "P1"}}),
    ("subjects", {"x": {**HOLDER, "rates": {"*": {"requests_minut": 5}}}}),
    ("users", {"meyer": HOLDER}),
    ("users", {"hospital/meyer": {**HOLDER, "kind": "modality"}}),
    ("roles", {"r": {"actions": ["read"], "institutions": "*", "purposes": []}}),
    ("roles", {"r": {"actions": [], "institutions": "all", "purposes": []}}),
    ("roles", {"r": {"actions": [], "institutions": "*", "purposes": [], "network": ["clinic"]}}),
    ("roles", {"r": {"actions": [], "institutions": "*", "purposes": [], "obligations": {"*": [{"type": "hid"}]}}}),
    ("hours", {"day": {"Monday": []}}),
    ("hours", {"day": {"monday": [{"from": "7:00", "to": "18:00"}]}}),
    ("hours", {"day": {"monday": [{"from": "07:00", "until": "18:00"}]}}),
    ("rates", {"*": {"requests_minute": "5"}}),
    ("rates", {"read": {"requests_minute": 5}}),
    ("consent", {"default": {}, "overriding_purposes": [], "narrower": {}}),
    ("consent", {"default": {"*": "allow"}, "overriding_purposes": [], "narrower": {}}),
    ("consents", {}),
    ("consents", [{**CONSENT, "policyRule": {"text": "opt in"}}]),
    ("consents", [{**CONSENT, "status": "aktive"}]),
    ("consents", [{**CONSENT, "patient": {"reference": "Patient/1"}}]),
    ("consents", [{**CONSENT, "patient": {"identifier": {"value": " P1"}}}]),
    ("consents", [{**CONSENT, "provision": {"type": "deny", "actor": []}}]),
    ("consents", [{**CONSENT, "provision": {"type": "deny", "period": {"end": "2026"}}}]),
    ("consents", [{**CONSENT, "provision": {"type": "deny", "provision": [{"type": "deny", "provision": []}]}}]),
    ("posture", {"classes": {"c": {"required": [], "patch_age_days": 1, "minimum_trust": "reported"}}, "demands": {}}),
    ("limits", {"stores": {}}),
]


@pytest.mark.parametrize(("section", "value"), WRONG_DATA)
def test_data_with_a_misspelt_or_malformed_member_is_refused(section: str, value: Any) -> None:
    data = orjson.loads(read_policies(POLICIES).data())
    assert validator("data")({**data, "consents": [CONSENT], "site": {"anything": 1}}) == []
    assert validator("data")({**data, section: value}) != []


def test_data_without_a_section_is_refused() -> None:
    data = orjson.loads(read_policies(POLICIES).data())
    for section in data:
        rest = {name: value for name, value in data.items() if name != section}
        assert len(validator("data")(rest)) == 1


def test_results_of_another_form_are_refused() -> None:
    faults = validator("result")
    denied = {"allow": False, "reasons": [Reason.POSTURE_STALE.value], "obligations": []}
    assert faults(denied) == []
    for change in ({"allow": None}, {"reasons": "x"}, {"obligations": [{"type": "shred"}]}, {"why": "x"}):
        assert faults({**denied, **change}) != []
