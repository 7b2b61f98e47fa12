from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.decide import read_policies
from proxy.decide.prepared import prepare
from proxy.decide.verdict import load, parse_verdict, parse_visible
from proxy.errors import PolicyUnavailableError
from proxy.model import Reason
from tests.decide.conftest import SHIPPED

PREPARED = prepare(read_policies(SHIPPED), datetime(2026, 1, 1, tzinfo=UTC))
DIGEST = PREPARED.digest
ALLOW = {"allow": True, "reasons": [], "obligations": []}
DENY = {"allow": False, "reasons": ["posture-stale"], "obligations": []}


def parse(value: object) -> object:
    return parse_verdict(load(orjson.dumps(value)), PREPARED)


def test_allow_and_deny_are_read() -> None:
    allowed = parse_verdict(ALLOW, PREPARED)
    denied = parse_verdict(DENY, PREPARED)
    assert (allowed.allow, allowed.reasons, allowed.policy) == (True, (), DIGEST)
    assert allowed.policy_as_of == PREPARED.as_of
    assert (denied.allow, denied.reasons) == (False, ("posture-stale",))


@pytest.mark.parametrize(
    "value",
    [
        "<undefined>",
        None,
        True,
        [],
        {},
        {**ALLOW, "extra": 1},
        {"allow": True, "reasons": []},
        {**ALLOW, "allow": "true"},
        {**ALLOW, "allow": 1},
        {**ALLOW, "allow": None},
        {**ALLOW, "reasons": ["posture-stale"]},
        {**ALLOW, "reasons": None},
        {**ALLOW, "reasons": {}},
        {**ALLOW, "obligations": None},
        {**ALLOW, "obligations": {}},
        {**ALLOW, "obligations": [{"type": "seal"}] * 65},
        {**DENY, "reasons": []},
        {**DENY, "reasons": ["no-such-code"]},
        {**DENY, "reasons": ["posture-stale", "posture-missing"]},
        {**DENY, "reasons": ["posture-stale", "posture-stale"]},
        {**DENY, "reasons": [1]},
        {**DENY, "reasons": "posture-stale"},
    ],
)
def test_what_is_not_a_verdict_is_refused(value: object) -> None:
    with pytest.raises(PolicyUnavailableError):
        parse(value)


@pytest.mark.parametrize("text", ["", "{", "nonsense", "NaN", b"\xff"])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(PolicyUnavailableError):
        parse_verdict(load(text), PREPARED)


@pytest.mark.parametrize(
    "obligation",
    [
        "seal",
        {},
        {"type": 1},
        {"type": "seal", "extra": 1},
        {"type": "filter_rows", "rows": []},
        {"type": "mask"},
        {"type": "mask", "attributes": []},
        {"type": "mask", "attributes": [], "blank": ["00100010"]},
        {"type": "mask", "attributes": ["00100010"], "blank": []},
        {"type": "mask", "attributes": ["00100010"], "other": ["00100010"]},
        {"type": "mask", "blank": "PatientName"},
        {"type": "mask", "attributes": ["PatientsName"]},
        {"type": "mask", "attributes": ["patientName"]},
        {"type": "mask", "attributes": ["PatientName", "Nonsense"]},
        {"type": "mask", "attributes": [""]},
        {"type": "mask", "attributes": ["VR:XX"]},
        {"type": "mask", "attributes": ["VR:pn"]},
        {"type": "mask", "attributes": ["VR:US or SS"]},
        {"type": "mask", "attributes": ["group:10"]},
        {"type": "mask", "attributes": ["group:00E1 "]},
        {"type": "mask", "attributes": ["group:00e1"]},
        {"type": "mask", "attributes": ["Private"]},
        {"type": "mask", "attributes": ["0010001a"]},
        {"type": "mask", "attributes": ["00100010\n"]},
        {"type": "mask", "attributes": "00100010"},
        {"type": "match", "attribute": "00100020", "values": []},
        {"type": "match", "attribute": "00100020", "values": [""]},
        {"type": "match", "attribute": 1, "values": ["x"]},
        {"type": "limit"},
        {"type": "limit", "bytes": 0},
        {"type": "limit", "bytes": 1.5},
        {"type": "limit", "bytes": True},
        {"type": "limit", "seconds": "9"},
    ],
)
def test_a_malformed_obligation_is_refused(obligation: object) -> None:
    with pytest.raises(PolicyUnavailableError):
        parse({**ALLOW, "obligations": [obligation]})


def test_known_obligations_are_kept_whole() -> None:
    given_ = [
        {"type": "seal"},
        {"type": "mask", "attributes": ["00100010", "PatientName", "OverlayData", "VR:PN", "group:00E1", "private"]},
        {"type": "mask", "blank": ["PatientID"]},
        {"type": "mask", "attributes": ["VR:UN"], "blank": ["VR:PN"]},
        {"type": "match", "attribute": "00100020", "values": ["P1"]},
        {"type": "limit", "bytes": 5},
    ]
    verdict = parse_verdict({**ALLOW, "obligations": given_}, PREPARED)
    assert [obligation.body for obligation in verdict.obligations] == given_
    assert [obligation.type for obligation in verdict.obligations] == ["seal", "mask", "mask", "mask", "match", "limit"]


def test_an_unknown_obligation_turns_an_allow_into_a_denial() -> None:
    verdict = parse_verdict({**ALLOW, "obligations": [{"type": "seal"}, {"type": "dance"}]}, PREPARED)
    assert (verdict.allow, verdict.reasons, verdict.obligations) == (False, (Reason.OBLIGATION_UNKNOWN,), ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.sampled_from(["seal", "allow"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["allow", "reasons", "obligations", "type", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(JSON)
def test_nothing_but_a_plain_allow_is_an_allow(value: object) -> None:
    try:
        verdict = parse_verdict(load(orjson.dumps(value)), PREPARED)
    except PolicyUnavailableError:
        return
    assert isinstance(value, dict)
    assert verdict.allow <= (value["allow"] is True and value["reasons"] == [])


def test_visible_rows_are_read() -> None:
    assert parse_visible(load("[0, 2]"), 3) == {0, 2}
    assert parse_visible(load("[]"), 0) == set()


@pytest.mark.parametrize("text", ['"<undefined>"', "{}", "[3]", "[-1]", "[true]", "[0.5]", '["0"]', "null"])
def test_visible_rows_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PolicyUnavailableError):
        parse_visible(load(text), 3)
