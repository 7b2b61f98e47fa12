"""A row is visible if and only if metadata of that object would be allowed, and what is denied has reasons.

Subjects, roles and studies are made up; what may be seen is also computed here, without Rego. Many examples on the
embedded engine, a batch of the same kind on OPA.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.decide import EmbeddedEngine, PolicySet, read_policies
from proxy.decide.example import MOMENT, example_input
from proxy.decide.prepared import prepare
from proxy.model import Action, JsonObject, Level, ResourceContext, Row, SeriesUid, StudyUid
from tests.policies.rego import POLICIES
from tests.policies.test_rego import DENY, opa, rule_files

NAME = "urn:dicomward:device:x"
USER = "dev/x"
INSTITUTIONS = ["North", "South", ""]
MODALITIES = ["CT", "MR", ""]
DEPARTMENTS = ["Radiology", "Psychiatry", ""]
PATIENTS = ["P1", "P2", "", None]
PURPOSES = ["TREAT", "HRESCH"]
ACTIONS = ["search", "metadata", "retrieve", "store"]
EXAMPLES = 70 if os.environ.get("DICOMWARD_FULL") == "1" else 20
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOT_A_BOUNDARY: list[Any] = [None, False, 1, "North", {"a": "North"}, ["*"]]


def some_of(names: list[Any], least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(names), min_size=least, unique=True)


def boundary(names: list[str]) -> st.SearchStrategy[Any]:
    return st.one_of(st.just("*"), st.just("*"), some_of(names), some_of(names), st.sampled_from(NOT_A_BOUNDARY))


def with_boundaries(given_: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(given_, optional=optional)


ROLE = with_boundaries(
    {
        "actions": some_of(ACTIONS, 2),
        "institutions": boundary(INSTITUTIONS),
        "default_purpose": st.sampled_from([*PURPOSES, "TREAT"]),
        "purposes": some_of([*PURPOSES, "COC"], 1),
        "obligations": st.sampled_from([{}, {"*": [{"type": "seal"}]}]),
    },
    modalities=boundary(MODALITIES),
    departments=boundary(DEPARTMENTS),
)
SUBJECT = with_boundaries(
    {"institutions": boundary(INSTITUTIONS)},
    roles=some_of(["a", "b", "c", "absent"], 1),
    patients=boundary(["P1", "P2", ""]),
    departments=boundary(DEPARTMENTS),
)
CLASSES = orjson.loads((POLICIES / "data/posture.json").read_bytes())["posture"]["classes"]
DEMANDS: list[dict[str, Any]] = [
    {"*": {"*": "reading"}},
    {"*": {"*": "reading"}, "viewer": {"*": "managed"}},
    {"*": {"*": "reading", "metadata": "managed"}},
    {"*": {"*": "managed"}},
    {"*": {"*": "managed", "metadata": "clinical"}},
    {"*": {"metadata": "reading"}, "workstation": {"*": "managed"}},
]
POSTURES = [{"classes": CLASSES, "demands": each} for each in DEMANDS]
SITE = st.fixed_dictionaries(
    {
        "subjects": st.one_of(st.fixed_dictionaries({NAME: SUBJECT}), st.just({})),
        "users": st.fixed_dictionaries({}, optional={USER: SUBJECT, "*": SUBJECT}),
        "posture": st.sampled_from(POSTURES),
        "roles": st.fixed_dictionaries({"a": ROLE, "b": ROLE}, optional={"c": ROLE}),
    }
)
SERIES = st.lists(
    st.tuples(st.sampled_from(INSTITUTIONS), st.sampled_from(MODALITIES), st.sampled_from([*DEPARTMENTS, None])),
    min_size=1,
    max_size=4,
)
STUDIES = st.lists(st.tuples(st.sampled_from(PATIENTS), SERIES), min_size=1, max_size=3)


def rows(studies: list[tuple[str | None, list[tuple[str, str, str | None]]]]) -> list[Row]:
    """Each study and each of its series, and an object that the archive does not have."""
    found = []
    for number, (patient, series) in enumerate(studies):
        study = StudyUid(f"1.2.{number}")
        found.append(Row(level=Level.STUDY, study=study, series=None, resource=resource(patient, series)))
        found += [
            Row(
                level=Level.SERIES,
                study=study,
                series=SeriesUid(f"{study}.{index}"),
                resource=resource(patient, [one]),
            )
            for index, one in enumerate(series)
        ]
    return [
        *found,
        Row(level=Level.STUDY, study=StudyUid("1"), series=None, resource=ResourceContext(known=False, as_of=MOMENT)),
    ]


def resource(patient: str | None, series: list[tuple[str, str, str | None]]) -> ResourceContext:
    return ResourceContext(
        known=True,
        as_of=MOMENT,
        patient_id=patient,
        institutions=tuple(sorted({institution for institution, _, _ in series})),
        modalities=tuple(sorted({modality for _, modality, _ in series})),
        departments=tuple(sorted({department for _, _, department in series if department is not None})),
    )


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    user = draw(st.sampled_from([None, USER, "dev/y"]))
    asked = example_input(NAME, Action(draw(st.sampled_from(ACTIONS))), user)
    asked["subject"]["roles"] = [  # type: ignore[index,call-overload]
        {"name": name, "source": draw(st.sampled_from(["certificate", "token", "directory"]))}
        for name in draw(some_of(["a", "b", "c", "absent"]))
    ]
    firewall = asked["device"]["posture"]["firewall"]  # type: ignore[index,call-overload]
    if draw(st.integers(0, 3)) == 0:
        own = {name: value for name, value in firewall.items() if name != "others"}  # type: ignore[union-attr]
        firewall["others"] = [{**own, "value": draw(st.booleans())}]  # type: ignore[index,call-overload]
    if draw(st.booleans()):
        for attribute in asked["device"]["posture"].values():  # type: ignore[index,call-overload,union-attr]
            attribute["trust"] = "managed"
    if draw(st.integers(0, 9)) == 0:
        asked["device"]["posture"]["firewall"]["value"] = False  # type: ignore[index,call-overload]
    if draw(st.integers(0, 3)) == 0:
        actions = draw(some_of(ACTIONS, 1))
        asked["subject"]["certificate"]["authority_actions"] = actions  # type: ignore[index,call-overload]
    purpose = draw(st.sampled_from([None, None, *PURPOSES, "NONSENSE"]))
    asked["request"]["purpose"] = purpose and {"code": purpose, "source": "header"}  # type: ignore[index,call-overload]
    asked["rows"] = [row.to_wire() for row in rows(draw(STUDIES))]
    return {"site": draw(SITE), "input": asked}


def of_row(asked: JsonObject, row: JsonObject, action: str = "metadata") -> JsonObject:
    """The question whose answer ``visible`` must give for a row."""
    place = {name: row[name] for name in ("level", "study", "series")}
    attributes = {name: value for name, value in row.items() if name not in place}
    request: Any = {**asked["request"], **place, "action": action}  # type: ignore[dict-item]
    return {**asked, "request": request, "resource": attributes, "rows": []}


def within(limit: Any, name: str | None) -> bool:
    return limit == "*" or (isinstance(limit, list) and bool(name) and name in limit)


def profile(case: dict[str, Any]) -> Any:
    user, site = case["input"]["subject"]["user"], case["site"]
    if user is None:
        return site["subjects"].get(NAME)
    return site["users"].get(user["id"], site["users"].get("*"))


def expected(case: dict[str, Any], row: dict[str, Any]) -> bool:
    asked, site = case["input"], case["site"]
    certificate, purpose = asked["subject"]["certificate"], asked["request"]["purpose"]
    user = asked["subject"]["user"]
    subject = profile(case)
    if subject is None or not row["known"] or "metadata" not in certificate["authority_actions"]:
        return False
    firewall = asked["device"]["posture"]["firewall"]
    demands = site["posture"]["demands"]
    own = demands.get("workstation", {})
    class_ = own.get("metadata", demands["*"].get("metadata", own.get("*", demands["*"].get("*"))))
    if class_ == "managed" and firewall["trust"] != "managed":
        return False
    if not all(claim["value"] for claim in firewall["others"]):
        return False
    if not firewall["value"] or (purpose and purpose["code"] == "NONSENSE"):
        return False
    told = [
        role["name"] for role in asked["subject"]["roles"] if user is None or role["source"] in ("token", "directory")
    ]
    roles = [
        role
        for role in (site["roles"].get(name) for name in [*subject.get("roles", []), *told])
        if role
        and "metadata" in role["actions"]
        and (purpose["code"] if purpose else role["default_purpose"]) in role["purposes"]
        and all(within(role.get("modalities", "*"), modality) for modality in row["modalities"])
        and every_department(role, row)
    ]
    return (
        within(subject.get("patients", "*"), row["patient_id"])
        and every_department(subject, row)
        and all(
            within(subject["institutions"], name) and any(within(role["institutions"], name) for role in roles)
            for name in row["institutions"]
        )
    )


def every_department(holder: dict[str, Any], row: dict[str, Any]) -> bool:
    limit = holder.get("departments", "*")
    return limit == "*" or (bool(row["departments"]) and all(within(limit, name) for name in row["departments"]))


class Sites:
    """Engines by what a site's data is: each is prepared anew, as when policies are loaded."""

    def __init__(self) -> None:
        self.policies = read_policies(POLICIES)
        self.engine = self.at({})

    def at(self, site: dict[str, Any]) -> EmbeddedEngine:
        changed = {f"data/{name}.json": orjson.dumps({name: value}) for name, value in site.items()}
        self.engine = EmbeddedEngine(prepare(PolicySet(files={**self.policies.files, **changed}), MOMENT))
        return self.engine

    def reasons(self) -> list[str]:
        """What every rule that denies says of the last input."""
        rules = [path.parent.name for path in rule_files() if DENY.search(path.read_text())]
        said = [orjson.loads(self.engine._engine.eval_rule_as_json(f"data.dicomweb.{rule}.deny")) for rule in rules]
        return sorted({code for codes in said for code in codes})


@pytest.fixture(scope="module")
def sites() -> Sites:
    return Sites()


@settings(MANY)
@given(cases())
def test_a_row_is_visible_if_and_only_if_its_metadata_would_be_allowed(sites: Sites, case: dict[str, Any]) -> None:
    engine = sites.at(case["site"])
    visible = engine.visible_now(case["input"])
    for index, row in enumerate(case["input"]["rows"]):
        verdict = engine.decide_now(of_row(case["input"], row))
        assert verdict.allow == (index in visible) == expected(case, row), (index, verdict)


@settings(MANY)
@given(cases(), st.sampled_from([None, "1.2.3.4"]), st.sampled_from([[], ["PatientID"], None]))
def test_what_is_not_allowed_has_reasons_and_what_is_has_none(
    sites: Sites, case: dict[str, Any], instance: str | None, conflicts: list[str] | None
) -> None:
    engine = sites.at(case["site"])
    for row in case["input"]["rows"]:
        asked: Any = of_row(case["input"], row, case["input"]["request"]["action"])
        asked["request"]["instance"] = instance
        asked["resource"]["conflicts"] = conflicts
        verdict = engine.decide_now(asked)  # raises for a denial without reasons
        assert verdict.allow == (sites.reasons() == [])


@settings(MANY)
@given(cases())
def test_without_a_filter_everything_is_visible(sites: Sites, case: dict[str, Any]) -> None:
    """Where a search is allowed and rows are not filtered, filtering them would have changed nothing."""
    engine = sites.at(case["site"])
    asked = {**case["input"], "request": {**case["input"]["request"], "action": "search"}}
    verdict = engine.decide_now(asked)
    if verdict.allow and "filter_rows" not in {obligation.type for obligation in verdict.obligations}:
        known = {index for index, row in enumerate(asked["rows"]) if row["known"]}
        assert engine.visible_now(asked) == known
        assert profile(case).get("patients", "*") == "*"


QUERY = """[answer |
  some case in input.cases
  rows := case.input
  subjects := case.site.subjects
  roles := case.site.roles
  users := case.site.users
  posture := case.site.posture
  visible := data.dicomweb.authz.visible with input as rows
    with data.subjects as subjects with data.roles as roles with data.users as users with data.posture as posture
  decisions := [decision |
    some asked in case.asked
    decision := data.dicomweb.authz.decision with input as asked
      with data.subjects as subjects with data.roles as roles with data.users as users with data.posture as posture
  ]
  answer := {"visible": visible, "decisions": decisions}
]"""


def test_opa_answers_the_same(sites: Sites) -> None:
    batch: list[dict[str, Any]] = []

    @settings(MANY, database=None)
    @given(cases())
    def collect(case: dict[str, Any]) -> None:
        batch.append({**case, "asked": [of_row(case["input"], row) for row in case["input"]["rows"]]})

    collect()
    done = subprocess.run(
        [opa(), "eval", "--format=raw", "--stdin-input"]
        + [f"--data={Path(POLICIES) / folder}" for folder in ("dicomweb", "lib", "data")]
        + [QUERY],
        input=orjson.dumps({"cases": batch}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for case, answer in zip(batch, orjson.loads(done.stdout), strict=True):
        engine = sites.at(case["site"])
        assert set(answer["visible"]) == engine.visible_now(case["input"])
        for index, (asked, decision) in enumerate(zip(case["asked"], answer["decisions"], strict=True)):
            verdict = engine.decide_now(asked)
            obligations = [obligation.body for obligation in verdict.obligations]
            assert decision == {"allow": verdict.allow, "reasons": [*verdict.reasons], "obligations": obligations}
            assert decision["allow"] == (index in answer["visible"])
