"""Every Rego test on every engine that is here, and the rules about how policies are written."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from proxy.decide import PolicySet, read_policies
from proxy.decide.candidate import examine
from proxy.decide.metadata import BY_POLICY, reasons_of
from tests.policies.rego import POLICIES, engine_with_tests, is_true, rego_tests, test_files

DENY = re.compile(r'^deny contains "([a-z-]+)"', re.MULTILINE)
LOADED = [str(POLICIES / folder) for folder in ("dicomweb", "lib", "data")]


def rule_files() -> list[Path]:
    return [path for path in sorted(POLICIES.glob("dicomweb/*/*.rego")) if path not in test_files()]


def opa() -> str:
    own = Path(__file__).parents[2] / ".tools/bin/opa"
    found = str(own) if own.exists() else shutil.which("opa")
    if found is None:
        if os.environ.get("CI") and shutil.which("go"):
            pytest.fail("OPA is not here, although it could have been built")
        pytest.skip("no OPA in .tools/bin or on PATH")
    return found


def run_opa(*arguments: str) -> None:
    done = subprocess.run([opa(), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rego_test_is_true_on_the_embedded_engine() -> None:
    engine = engine_with_tests()
    names = rego_tests()
    assert len(names) > 50
    assert len(set(names)) == len(names)
    assert [name for name in names if not is_true(engine, name)] == []


def test_every_rego_test_is_true_on_opa() -> None:
    run_opa("test", "--fail-on-empty", *LOADED)


def test_rego_tests_cover_every_line() -> None:
    done = subprocess.run([opa(), "test", "--coverage", *LOADED], capture_output=True, check=False, timeout=60)
    files = orjson.loads(done.stdout)["files"]
    told = {path: found.get("not_covered") for path, found in files.items() if not path.endswith("_test.rego")}
    assert len(told) > 15
    assert {path: lines for path, lines in told.items() if lines} == {}


def test_opa_accepts_the_policies_with_our_capabilities_and_schema() -> None:
    run_opa(
        "check",
        "--strict",
        f"--capabilities={POLICIES / 'capabilities.json'}",
        f"--schema={POLICIES / 'schemas/input.v1.json'}",
        "--ignore=*_test.rego",
        *LOADED,
    )


def test_opa_would_not_format_the_policies_otherwise() -> None:
    run_opa("fmt", "--fail", "--list", *LOADED[:2])


def test_every_rule_has_its_test_beside_it() -> None:
    assert rule_files()
    for path in rule_files():
        assert path.stem == path.parent.name
        beside = path.with_name(f"{path.stem}_test.rego")
        assert "test_deny_when_input_is_empty if" in beside.read_text(), path


def test_every_rule_that_denies_is_asked_by_the_entry_point() -> None:
    authz = (POLICIES / "dicomweb/authz/authz.rego").read_text()
    asked = {path.stem for path in rule_files() if f"data.dicomweb.{path.stem}.deny" in authz}
    assert asked == {path.stem for path in rule_files() if re.search(r"^deny contains", path.read_text(), re.MULTILINE)}


def test_reasons_metadata_and_the_enum_are_equal() -> None:
    told = reasons_of((str(path), path.read_text()) for path in rule_files())
    given = set(DENY.findall("".join(path.read_text() for path in rule_files())))
    assert told.keys() == given == {reason.value for reason in BY_POLICY}
    assert all(reason.title and reason.remedy for reason in told.values())


def test_no_call_follows_not() -> None:
    """OPA evaluates arguments outside of the negation, the embedded engine within: only references are alike."""
    for path in rule_files():
        assert re.findall(r"\bnot \S*\(.*|\bnot .*\bdata\.[^\s)]+ [=<>!]", path.read_text()) == []


def test_shipped_policies_pass_what_candidates_have_to() -> None:
    examine(read_policies(POLICIES), datetime(2026, 1, 1, tzinfo=UTC))


def test_digest_does_not_depend_on_tests() -> None:
    policies = read_policies(POLICIES)
    assert not [path for path in policies.files if path.endswith("_test.rego")]
    assert PolicySet(files=dict(reversed(list(policies.files.items())))).digest == policies.digest
