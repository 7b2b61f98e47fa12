"""Consents at random: what they permit is also computed here, without Rego, and held against the embedded engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import regorus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.policies.rego import POLICIES
from tests.schemas import validator

SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PURPOSES = ["TREAT", "ETREAT", "COC", "HOPERAT", "HRESCH", "CLINTRCH"]
BROADER = {"CLINTRCH": "HRESCH", "COC": "TREAT", "ETREAT": "TREAT"}
NOW = datetime(2026, 6, 15, 12, 30, 30, 500_000, tzinfo=UTC)
MOMENTS = [
    "2026-06-14",
    "2026-06-15",
    "2026-06-16",
    "2026-06-15T12:30:29Z",
    "2026-06-15T12:30:30Z",
    "2026-06-15T12:30:31Z",
    "2026-06-15T12:30:30.499Z",
    "2026-06-15T12:30:30.500Z",
    "2026-06-15T12:30:30.501Z",
]
RULE: dict[str, st.SearchStrategy[Any]] = {"type": st.sampled_from(["permit", "deny"])}
MORE: dict[str, st.SearchStrategy[Any]] = {
    "purpose": st.lists(
        st.sampled_from(PURPOSES).map(lambda code: {"system": SYSTEM, "code": code}), min_size=1, max_size=2
    ),
    "period": st.fixed_dictionaries({}, optional={name: st.sampled_from(MOMENTS) for name in ("start", "end")}),
}
PROVISION = st.fixed_dictionaries(
    RULE,
    optional={**MORE, "provision": st.lists(st.fixed_dictionaries(RULE, optional=MORE), min_size=1, max_size=2)},
)
CONSENT = st.fixed_dictionaries(
    {
        "resourceType": st.just("Consent"),
        "status": st.sampled_from(["active", "active", "active", "inactive"]),
        "patient": st.sampled_from(["P1", "P1", "P2"]).map(lambda value: {"identifier": {"value": value}}),
        "provision": PROVISION,
    }
)
DEFAULTS = [{"*": "permit"}, {"*": "permit", "HRESCH": "deny"}, {"*": "deny", "TREAT": "permit"}]
faults = validator("data")


class Engine:
    """The rule and what it is prepared by, with other consents for each example."""

    def __init__(self) -> None:
        self._engine = regorus.Engine()
        for name in ("lib/prepared_consent.rego", "dicomweb/consent/consent.rego"):
            self._engine.add_policy(name, (POLICIES / name).read_text())
        self._engine.add_policy(
            "asked.rego",
            "package asked\n\nallow if data.dicomweb.consent.permits(input.purposes, input.resource)\n",
        )
        self.data: dict[str, Any] = {}
        for path in sorted((POLICIES / "data").glob("*.json")):
            self.data |= orjson.loads(path.read_bytes())

    def permits(self, consents: Any, defaults: Any, patient: str | None, purposes: list[str]) -> bool:
        told = {**self.data["consent"], "default": defaults}
        self._engine.clear_data()
        self._engine.add_data_json(orjson.dumps({**self.data, "consents": consents, "consent": told}).decode())
        asked = {"time": "2026-06-15T12:30:30.500Z", "purposes": purposes, "resource": {"patient_id": patient}}
        self._engine.set_input_json(orjson.dumps(asked).decode())
        outcome = self._engine.eval_query_as_json("data.asked.allow")
        found = orjson.loads(outcome).get("result")
        return bool(found and found[0]["expressions"][0]["value"] is True)

    def malformed(self) -> list[int]:
        """Positions of what was not understood of the last consents."""
        found: list[int] = orjson.loads(self._engine.eval_rule_as_json("data.dicomweb.prepared.consent.malformed"))
        return found


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def moment(text: str, last: bool) -> datetime:
    """The first or the last millisecond that is meant."""
    if len(text) == 10:
        text += "T23:59:59.999Z" if last else "T00:00:00.000Z"
    elif len(text) == 20:
        text = text[:-1] + (".999Z" if last else ".000Z")
    return datetime.fromisoformat(text)


def speaks(rule: dict[str, Any], purpose: str) -> bool:
    codes = {coding["code"] for coding in rule.get("purpose", [])}
    return in_force(rule) and (not codes or purpose in codes or BROADER.get(purpose) in codes)


def in_force(rule: dict[str, Any]) -> bool:
    period = rule.get("period", {})
    begun = "start" not in period or moment(period["start"], last=False) <= NOW
    return begun and ("end" not in period or moment(period["end"], last=True) >= NOW)


def backwards(provision: dict[str, Any]) -> bool:
    """Whether it, or an exception of it, ends before it begins: what it was meant to say is not known."""
    periods = [rule.get("period", {}) for rule in (provision, *provision.get("provision", []))]
    return any(
        {"start", "end"} <= period.keys() and moment(period["start"], last=False) > moment(period["end"], last=True)
        for period in periods
    )


def said(provision: dict[str, Any], purpose: str) -> str | None:
    if backwards(provision):
        return "deny"
    if not in_force(provision):
        return None
    exceptions = [rule["type"] for rule in provision.get("provision", []) if speaks(rule, purpose)]
    if "deny" in exceptions:
        return "deny"
    if not speaks(provision, purpose):
        return None
    return "permit" if exceptions else str(provision["type"])


def expected(consents: list[dict[str, Any]], defaults: dict[str, str], patient: str | None, purpose: str) -> bool:
    if purpose == "ETREAT":
        return True
    outcomes = {
        said(consent["provision"], purpose)
        for consent in consents
        if consent["status"] == "active" and consent["patient"]["identifier"]["value"] == patient
    } - {None}
    if outcomes:
        return outcomes == {"permit"}
    broader = defaults.get(BROADER.get(purpose, ""))
    return defaults.get(purpose, "deny" if broader == "deny" else defaults["*"]) == "permit"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    consents=st.lists(CONSENT, max_size=4),
    defaults=st.sampled_from(DEFAULTS),
    patient=st.sampled_from(["P1", "P1", "P3", "", None]),
    purposes=st.lists(st.sampled_from(PURPOSES), min_size=1, max_size=2, unique=True),
)
def test_consents_permit_what_is_computed_here(
    engine: Engine, consents: list[Any], defaults: Any, patient: str | None, purposes: list[str]
) -> None:
    wanted = all(expected(consents, defaults, patient, purpose) for purpose in purposes)
    assert engine.permits(consents, defaults, patient, purposes) == wanted
    assert faults({**engine.data, "consents": consents}) == []
    assert sorted(engine.malformed()) == [
        position
        for position, consent in enumerate(consents)
        if consent["status"] == "active" and backwards(consent["provision"])
    ]


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "deny", "TREAT", "2026-06-15", "x"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["type", "period", "purpose", "start", "code", "extension"]), inner, max_size=2
        ),
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(consent=CONSENT, place=st.data(), value=junk)
def test_what_the_schema_refuses_of_a_consent_forbids_everything(
    engine: Engine, consent: dict[str, Any], place: st.DataObject, value: Any
) -> None:
    """Whatever is put somewhere in a consent in force: it is as the schema says, or only an emergency goes on."""
    consent = orjson.loads(orjson.dumps({**consent, "status": "active", "patient": {"identifier": {"value": "P1"}}}))
    node: Any = place.draw(st.sampled_from([consent, consent["provision"], *consent["provision"].get("provision", [])]))
    name = place.draw(st.sampled_from(["type", "period", "purpose", "provision", "resourceType", "modifierExtension"]))
    node[name] = value
    permitted = engine.permits([consent], {"*": "permit"}, "P1", ["TREAT"])
    if faults({**engine.data, "consents": [consent]}):
        assert not permitted
        assert engine.malformed() == [0]
        assert engine.permits([consent], {"*": "permit"}, "P1", ["ETREAT"])
        assert engine.permits([consent], {"*": "permit"}, "P2", ["TREAT"])
