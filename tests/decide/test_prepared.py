"""What follows from data alone is worked out once, without input; what is left takes its place as data."""

from datetime import UTC, datetime

import orjson
import pytest

from proxy.decide import EmbeddedEngine, PolicySet, read_policies
from proxy.decide.example import example_input
from proxy.decide.prepared import from_bytes, prepare
from proxy.errors import PolicyInvalidError
from proxy.model import Action
from tests.decide.conftest import SHIPPED

AS_OF = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
CAPABILITIES = (SHIPPED / "capabilities.json").read_bytes()
AUTHZ = "package dicomweb.authz\n\nvisible := data.dicomweb.prepared.facts.names\n"
FACTS = "package dicomweb.prepared.facts\n\n"
DATA = {"subjects": {"a": {"n": 1}, "b": {"n": 9007199254740991}}, "other": [1]}


def policies(facts: str, authz: str = AUTHZ, data: object = DATA) -> PolicySet:
    return PolicySet(
        files={
            "authz.rego": authz.encode(),
            "lib/facts.rego": (FACTS + facts).encode(),
            "data/all.json": orjson.dumps(data),
            "capabilities.json": CAPABILITIES,
        }
    )


def test_the_outcome_takes_the_place_of_rules_and_of_data_that_only_they_read() -> None:
    prepared = prepare(policies("names := [name | some name, _ in data.subjects]\n\nmost := data.subjects.b.n"), AS_OF)
    assert orjson.loads(prepared.data) == {
        "dicomweb": {"prepared": {"facts": {"names": ["a", "b"], "most": 9007199254740991}}}
    }
    assert [path for path, _ in prepared.modules] == ["authz.rego"]


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("x := data.other", {"other"}),
        ('x := data["other"][0]', {"other"}),
        ("x := data.other[data.subjects.a.n]", {"other", "subjects"}),
        ("x := [y | some y in data.other]", {"other"}),
        ("f(y) if data.other[y]", {"other"}),
        ("import data.other as o\n\nx := o", {"other"}),
        ('x if { every y in [1] { data["subjects"][y] } }', {"subjects"}),
    ],
)
def test_data_that_a_decision_may_read_is_kept(rule: str, kept: set[str]) -> None:
    prepared = prepare(policies("names := []", f"package dicomweb.authz\n\n{rule}\n"), AS_OF)
    assert orjson.loads(prepared.data).keys() - {"dicomweb"} == kept


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ("names := input.x", "refers to input"),
        ("names := [1 | input]", "refers to input"),
        ('names := data.subjects[input["x"]]', "refers to input"),
        ("import input.request as r\n\nnames := r", "refers to input"),
        ("names := data", "more than data"),
        ('names := data[concat("", ["a"])]', "more than data"),
        ("names := data.dicomweb.authz.visible", "more than data"),
        ("names := data.dicomweb", "more than data"),
        ("import data.dicomweb.authz as a\n\nnames := a.visible", "more than data"),
        ("names := {1, 2}", r"facts\.names holds a set"),
        ('names := {"a": [{name | some name, _ in data.subjects}]}', "holds a set"),
        ("names contains name if some name, _ in data.subjects", "holds a set"),
        ("names := time.now_ns()", "which policies may not"),
        ("names := data.dicomweb.authz.f(1)", "more than data"),
        ("names := 1 if true\n\nnames := 2 if true", "conflicts"),
        ("names := {", r"facts\.rego"),
    ],
)
def test_what_is_more_than_data_is_refused(facts: str, fault: str) -> None:
    with pytest.raises(PolicyInvalidError, match=fault):
        prepare(policies(facts), AS_OF)


def test_private_rules_may_be_sets_and_are_left_out() -> None:
    prepared = prepare(policies("names := sort(_all)\n\n_all contains name if some name, _ in data.subjects"), AS_OF)
    assert orjson.loads(prepared.data)["dicomweb"]["prepared"] == {"facts": {"names": ["a", "b"]}}


LATER = "package dicomweb.prepared.facts\n\nnames := f(more)\n\nf(_) := [1 | not last]\n\nlast := true\n"
"""Asked for as a whole after a file of the same package, the embedded engine took ``last`` for undefined."""


@pytest.mark.parametrize("path", ["lib/a.rego", "lib/z.rego"])
def test_rules_of_one_package_in_two_files_see_each_other(path: str) -> None:
    files = dict(policies("more := 1").files)
    prepared = prepare(PolicySet(files=files | {path: LATER.encode()}), AS_OF)
    facts = orjson.loads(prepared.data)["dicomweb"]["prepared"]["facts"]
    assert facts == {"more": 1, "names": [], "last": True}


WHOLE = [
    "found := data.dicomweb.x",
    "found := data.dicomweb",
    "found := data[input.y]",
    'found := data["dicomweb"][input.y]',
    "found := count(data)",
    "found := y if {\n\tall := data\n\ty := all.other\n}",
    "found := [name | some name; data[name]]",
    "import data as o\n\nfound := o.other",
    "import data.dicomweb.x\n\nfound := x.a",
]


@pytest.mark.parametrize("whole", WHOLE)
def test_a_package_is_not_asked_for_as_a_whole(whole: str) -> None:
    files = dict(policies("names := []").files)
    files["one.rego"] = b"package dicomweb.x\n\na := 1\n"
    files["three.rego"] = f"package dicomweb.y\n\n{whole}\n".encode()
    with pytest.raises(PolicyInvalidError, match=r"three\.rego: refers to all of data.*: name the rule"):
        prepare(PolicySet(files=files), AS_OF)


def test_a_package_may_stand_in_two_files() -> None:
    files = dict(policies("names := []").files)
    files["one.rego"], files["two.rego"] = b"package dicomweb.x\n\na := 1\n", b"package dicomweb.x\n\nb := 1\n"
    files["three.rego"] = b"package dicomweb.y\n\nfound := data.dicomweb.x.b\n"
    assert len(prepare(PolicySet(files=files), AS_OF).modules) == 4


PRIVATE = "dicomweb.prepared.facts._p"
BESIDE = [
    (f"package dicomweb.y\n\nx if not data.{PRIVATE}\n", rf"refers to data\.{PRIVATE}, which is private"),
    ('package dicomweb.y\n\nx if not data["dicomweb"].prepared.facts["_p"]\n', "which is private"),
    (f"package dicomweb.y\n\nimport data.{PRIVATE}\n\nx if not _p\n", "which is private"),
    ("package dicomweb\n\nprepared.more := input.x\n", r"adds data\.dicomweb\.prepared\.more to what is prepared"),
    ('package dicomweb\n\nprepared.facts["names"] := input.x\n', "to what is prepared"),
    ('package dicomweb\n\nprepared[x] := 1 if x := "facts"\n', r"adds data\.dicomweb\.prepared to what"),
    ("package dicomweb\n\ndefault prepared.more := 1\n", "to what is prepared"),
    ("package dicomweb\n\nprepared.more(x) := x\n", "to what is prepared"),
]


@pytest.mark.parametrize(("module", "fault"), BESIDE)
def test_what_is_prepared_is_closed_to_other_modules(module: str, fault: str) -> None:
    """With these, rules would be other in `opa test`, or in the other engine, than in a decision."""
    files = {**policies("names := _p\n\n_p := 1").files, "beside.rego": module.encode()}
    with pytest.raises(PolicyInvalidError, match=rf"beside\.rego: .*{fault}"):
        prepare(PolicySet(files=files), AS_OF)


def test_a_key_in_brackets_is_written_as_it_is() -> None:
    """The embedded engine would look for the backslash, and find nothing."""
    for place in ("data", "input"):
        with pytest.raises(PolicyInvalidError, match=r"authz\.rego:3: write the key in brackets without a backslash"):
            prepare(policies("names := []", f'package dicomweb.authz\n\nx := {place}["oth\\u0065r"]\n'), AS_OF)
    assert prepare(policies("names := []", 'package dicomweb.authz\n\nx := input["other"] == "a\\u0062"\n'), AS_OF)


TWO_KEYS = ["x[a][b] := 1 if {\n\ta := data.other\n\tb := 1\n}", "x[a] contains b if {\n\ta := data.other\n\tb := 1\n}"]


@pytest.mark.parametrize("rule", TWO_KEYS)
def test_a_rule_of_two_keys_is_refused_where_others_may_ask_for_it(rule: str) -> None:
    """Where it holds nothing, one engine takes it for undefined and the other for an empty object."""
    with pytest.raises(PolicyInvalidError, match=r"authz\.rego: data\.dicomweb\.authz\.x has two keys"):
        prepare(policies("names := []", f"package dicomweb.authz\n\n{rule}\n"), AS_OF)
    with pytest.raises(PolicyInvalidError, match=r"facts\.rego: data\.dicomweb\.prepared\.facts\.x has two keys"):
        prepare(policies(rule), AS_OF)
    assert prepare(policies("names := []\n\n_" + rule), AS_OF).modules


@pytest.mark.parametrize("key", ["7", "true", "null", "1.5", "data.subjects.a.n"])
@pytest.mark.parametrize(
    "form", ["names := {{{key}: 1}}", 'names := [{{"a": {{{key}: 1}}}}]', "names[{key}] := 1 if true"]
)
def test_a_key_that_is_no_text_is_refused(key: str, form: str) -> None:
    """As JSON it would be a text, and not be found by what it was."""
    with pytest.raises(PolicyInvalidError, match=r"facts\.names holds a set, or a key that is no text"):
        prepare(policies(form.format(key=key)), AS_OF)


def test_what_is_prepared_is_not_asked_for_as_a_whole_either() -> None:
    files = dict(policies("names := []").files)
    files["lib/more.rego"] = (FACTS + "more := 1\n").encode()
    files["lib/all.rego"] = b"package dicomweb.prepared.all\n\nfound := data.dicomweb.prepared.facts\n"
    with pytest.raises(PolicyInvalidError, match=r"all\.rego: refers to all of data\.dicomweb\.prepared\.facts"):
        prepare(PolicySet(files=files), AS_OF)


def test_a_rule_and_a_package_of_one_name_are_refused() -> None:
    files = dict(policies("names := []").files)
    files["lib/above.rego"] = b"package dicomweb.prepared\n\nfacts := {}\n"
    with pytest.raises(PolicyInvalidError, match=r"data\.dicomweb\.prepared\.facts is a rule and a package"):
        prepare(PolicySet(files=files), AS_OF)


def test_rules_without_a_value_are_left_out() -> None:
    prepared = prepare(policies("names := data.nobody\n\nmore := 1\n\ndefault f(_) := 2"), AS_OF)
    assert orjson.loads(prepared.data)["dicomweb"]["prepared"] == {"facts": {"more": 1}}


def test_no_decision_calls_what_is_prepared() -> None:
    with pytest.raises(PolicyInvalidError, match=r"calls data\.dicomweb\.prepared\.facts\.f"):
        prepare(policies("f(x) := x", "package dicomweb.authz\n\nx := data.dicomweb.prepared.facts.f(1)\n"), AS_OF)


def test_the_outcome_travels_as_bytes() -> None:
    source = read_policies(SHIPPED)
    prepared = prepare(source, AS_OF)
    assert from_bytes(prepared.to_bytes(), source) == prepared
    asked = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)
    assert EmbeddedEngine(from_bytes(prepared.to_bytes(), source)).decide_now(asked).allow


@pytest.mark.parametrize("content", [b"", b"{}", b"{}\n{}", b"nonsense\n{}", b'{"digest": 5}\n{}', b"\xff\n\xff"])
def test_what_was_not_prepared_is_refused(content: bytes) -> None:
    with pytest.raises(PolicyInvalidError):
        from_bytes(content, policies("names := []"))


def test_what_was_prepared_of_other_policies_is_refused() -> None:
    with pytest.raises(PolicyInvalidError, match="other policies"):
        from_bytes(prepare(policies("names := []"), AS_OF).to_bytes(), policies("names := [1]"))


@pytest.mark.parametrize(
    "rule",
    [
        "f(x) if {\n\tx == 1\n} else := input.no[x]",
        "f(x) if {\n\tx == 1\n} else := [input.no]",
        "f(x) if {\n\tx == 1\n} else := input.no if {\n\tx == 2\n}",
        "f(x) if {\n\tx == 1\n} else := g(x)\n\ng(x) := input.no[x]",
    ],
)
def test_an_else_that_the_engine_would_take_for_true_is_refused(rule: str) -> None:
    with pytest.raises(PolicyInvalidError, match="may be undefined"):
        prepare(policies("names := []", f"package dicomweb.authz\n\n{rule}\n"), AS_OF)


def test_an_else_with_a_value_that_is_there_is_accepted() -> None:
    rule = "f(x) := 3 if {\n\tx == 1\n} else := y if {\n\ty := input.no[x]\n}\n\ng(x) if {\n\tx == 1\n} else := false"
    prepare(policies("names := []", f"package dicomweb.authz\n\n{rule}\n"), AS_OF)
