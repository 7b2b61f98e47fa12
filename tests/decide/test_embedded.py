from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.decide import EmbeddedEngine, PolicySet, candidate, read_policies
from proxy.decide.embedded import Embedded
from proxy.decide.example import example_input
from proxy.decide.prepared import Prepared, prepare
from proxy.errors import PolicyInvalidError, PolicyUnavailableError
from proxy.model import Action, JsonObject
from tests.decide.conftest import SHIPPED

RADIOLOGIST = "urn:dicomward:device:radiologist"
GOOD = example_input(RADIOLOGIST, Action.RETRIEVE)
TOLD = "# METADATA\n# title: Unknown\n# custom:\n#   code: subject-unknown\n#   remedy: Ask.\n"
AUTHZ = f"package dicomweb.authz\n\n{TOLD}visible := []\n\n"
DENIAL = '{"allow": false, "reasons": ["subject-unknown"], "obligations": []}'
CAPABILITIES = (SHIPPED / "capabilities.json").read_bytes()


AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def examine(policies: PolicySet) -> Prepared:
    return candidate.examine(policies, AS_OF)


def try_in_child(policies: PolicySet, deadline_s: float) -> Prepared:
    return candidate.try_in_child(policies, AS_OF, deadline_s)


def engine_of(policies: PolicySet) -> EmbeddedEngine:
    return EmbeddedEngine(prepare(policies, AS_OF))


def only(text: str) -> PolicySet:
    return PolicySet(files={"authz.rego": text.encode(), "capabilities.json": CAPABILITIES})


async def test_shipped_policies_decide() -> None:
    prepared = prepare(read_policies(SHIPPED), AS_OF)
    engine = Embedded()
    with pytest.raises(PolicyUnavailableError):
        await engine.decide(GOOD)
    await engine.load(prepared)
    allowed = await engine.decide(GOOD)
    assert (allowed.allow, allowed.policy, allowed.policy_as_of) == (True, prepared.digest, AS_OF)
    denied = await engine.decide({})
    assert (denied.allow, denied.policy) == (False, prepared.digest)
    await engine.close()
    with pytest.raises(PolicyUnavailableError):
        await engine.visible(GOOD)


@pytest.mark.parametrize(
    "body",
    [
        "x := 1",
        "decision := true if false",
        'decision := {"allow": "true", "reasons": [], "obligations": []}',
        'decision := {"allow": true, "reasons": ["subject-unknown"], "obligations": []}',
        'decision := {"allow": true, "reasons": [], "obligations": [], "more": 1}',
        'decision := {"allow": count(input.version) == 0, "reasons": [], "obligations": []}',
        "decision := 1 if input.version\n\ndecision := 2 if input.version",
    ],
)
def test_nonsense_is_never_an_allow(body: str) -> None:
    with pytest.raises(PolicyUnavailableError):
        engine_of(only(AUTHZ + body)).decide_now(GOOD)


def test_an_error_does_not_spoil_the_next_decision() -> None:
    policies = read_policies(SHIPPED)
    site = b"package dicomweb.site\n\npermits(_, resource) if lower(resource.patient_id)\n\ndeny := set()\n"
    engine = engine_of(PolicySet(files={**policies.files, "dicomweb/site/site.rego": site}))
    broken: JsonObject = {**GOOD, "resource": {**GOOD["resource"], "patient_id": None}}  # type: ignore[dict-item]
    for _ in range(3):
        with pytest.raises(PolicyUnavailableError, match="lower"):
            engine.decide_now(broken)
        assert engine.decide_now(GOOD).allow
        assert not engine.decide_now({}).allow


@pytest.mark.parametrize(
    "moment",
    ["", "nonsense", "99999-01-01T00:00:00.000Z", " 2026-01-01T00:30:00.000Z", "~", 5, True, None, {}, [], ["2027"]],
)
def test_a_malformed_time_is_never_an_allow(moment: object) -> None:
    engine = engine_of(read_policies(SHIPPED))
    posture: JsonObject = dict(GOOD["device"]["posture"])  # type: ignore[index,call-overload,arg-type]
    posture["firewall"] = {**posture["firewall"], "expires_at": moment}  # type: ignore[dict-item]
    changed: JsonObject = {**GOOD, "device": {"id": "ab", "posture": posture}}
    for asked in (changed, {**GOOD, "time": moment}):
        try:
            assert not engine.decide_now(asked).allow  # type: ignore[arg-type]
        except PolicyUnavailableError:
            continue


def test_input_that_has_no_json_is_refused() -> None:
    with pytest.raises(PolicyUnavailableError):
        engine_of(read_policies(SHIPPED)).decide_now({"version": "\ud800"})


@pytest.mark.parametrize(
    "body",
    [
        "x := time.now_ns()",
        'x := rand.intn("a", 5)',
        'x := uuid.rfc4122("a")',
        "x := opa.runtime()",
        'x := http.send({"method": "get", "url": "http://localhost"})',
        'x if trace("a")',
        "x := nosuch(1)",
        "x := data.nosuch.f(1)",
        "x := [y | y := time.now_ns()]",
        "f(a) := time.now_ns() if a",
        'x := data.time["now_ns"]()',
        "g(a) := a\n\nx := g(1) with data.dicomweb.authz.g as time.now_ns",
        "x if input.a with input as {}",
        "import data.time as t\n\nx := t.now_ns()",
    ],
)
def test_a_built_in_that_is_not_listed_is_refused(body: str) -> None:
    with pytest.raises(PolicyInvalidError):
        engine_of(only(AUTHZ + body))


def test_own_functions_and_listed_built_ins_are_accepted() -> None:
    engine_of(only(AUTHZ + "f(a) := count(a)\n\nx := f([1])\n\ny := data.dicomweb.authz.f([2])"))


def test_a_broken_module_is_named() -> None:
    with pytest.raises(PolicyInvalidError, match=r"authz\.rego:10") as caught:
        engine_of(only(AUTHZ + "decision := {"))
    assert "backtrace" not in caught.value.detail
    assert "\n" not in caught.value.detail


def test_without_a_list_of_built_ins_nothing_is_compiled() -> None:
    with pytest.raises(PolicyInvalidError, match="capabilities"):
        engine_of(PolicySet(files={"authz.rego": AUTHZ.encode()}))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('decision := {"allow": true, "reasons": [], "obligations": []}', "allows"),
        ("decision := 1 if false", "no verdict"),
        (f"decision := {DENIAL} if input.version", "no verdict"),
        (f"decision := {DENIAL} if {{\n\tsome x in numbers.range(0, 900000)\n\tx == 900000\n}}", "more than"),
    ],
)
def test_a_candidate_that_answers_badly_is_refused(body: str, fault: str) -> None:
    with pytest.raises(PolicyInvalidError, match=fault):
        examine(only(AUTHZ + body))


def test_a_candidate_that_takes_long_to_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker would show no sign of life meanwhile, and be ended again and again."""
    monkeypatch.setattr("proxy.decide.candidate.LOAD_LIMIT_S", 0.000_01)
    with pytest.raises(PolicyInvalidError, match="to be loaded"):
        examine(read_policies(SHIPPED))


def test_a_candidate_that_lets_a_users_device_stand_for_its_user_is_refused() -> None:
    policies = read_policies(SHIPPED)
    path = "lib/subject.rego"
    changed = policies.files[path].replace(b"\tuser == null\n\theld := data", b"\theld := data")
    assert changed != policies.files[path]
    with pytest.raises(PolicyInvalidError, match="allows"):
        examine(PolicySet(files={**policies.files, path: changed}))


def test_a_candidate_that_lets_unknown_devices_report_is_refused() -> None:
    policies = read_policies(SHIPPED)
    path = "dicomweb/subject/subject.rego"
    changed = policies.files[path].replace(b"\t_known_device\n\t_may_report", b"\t_may_report")
    assert changed != policies.files[path]
    with pytest.raises(PolicyInvalidError, match="allows"):
        examine(PolicySet(files={**policies.files, path: changed}))


def test_a_site_may_know_every_user_of_its_issuers() -> None:
    policies = read_policies(SHIPPED)
    users = b'{"users": {"*": {"roles": ["radiologist"], "institutions": "*"}}}'
    open_to_all = PolicySet(files={**policies.files, "data/users.json": users})
    examine(open_to_all)
    assert engine_of(open_to_all).decide_now(example_input(RADIOLOGIST, Action.RETRIEVE, "dev/anybody")).allow


@pytest.mark.parametrize("action", [each for each in Action if each is not Action.REPORT_POSTURE])
def test_a_user_that_no_data_names_may_do_nothing_on_a_radiologists_device(action: Action) -> None:
    verdict = engine_of(read_policies(SHIPPED)).decide_now(example_input(RADIOLOGIST, action, "dev/nobody"))
    assert (verdict.allow, "subject-unknown" in verdict.reasons) == (False, True)


LOOP = "\tsome {0} in numbers.range(0, 90000)\n"


@pytest.mark.parametrize(
    "body",
    [
        "decision := 1 if {\n" + "".join(LOOP.format(name) for name in "abcdef") + "\ta + b + c + d + e + f < 0\n}",
        "decision := count(numbers.range(0, 9000000000))",
    ],
    ids=["endless", "memory"],
)
def test_a_candidate_without_end_is_refused_by_the_childs_deadline(body: str) -> None:
    with pytest.raises(PolicyInvalidError):
        try_in_child(only(AUTHZ + body), 1.0)


def test_a_child_refuses_as_the_parent_would(folder: Path) -> None:
    try_in_child(read_policies(folder), 10.0)
    with pytest.raises(PolicyInvalidError, match=r"authz\.rego:10"):
        try_in_child(only(AUTHZ + "decision := {"), 10.0)
