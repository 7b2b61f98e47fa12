"""Every Rego test on every engine that is here, and the rules about how policies are written."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.decide import PolicySet, read_policies
from proxy.decide.candidate import examine
from proxy.model import Reason
from tests.policies.rego import POLICIES, engine_with_tests, is_true, rego_tests, test_files

METADATA_CODE = re.compile(r"^#\s+code: (\S+)$", re.MULTILINE)
DENY = re.compile(r'^deny contains "([a-z-]+)"', re.MULTILINE)
POLICY_SECTION = re.compile(r"# decide \(policy\)\n(.*?)\n    # decide \(engine\)", re.DOTALL)
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
    done = subprocess.run([opa(), *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rego_test_is_true_on_the_embedded_engine() -> None:
    engine = engine_with_tests()
    names = rego_tests()
    assert len(names) > 50
    assert len(set(names)) == len(names)
    assert [name for name in names if not is_true(engine, name)] == []


def test_every_rego_test_is_true_on_opa() -> None:
    run_opa("test", "--fail-on-empty", *LOADED)


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
    for path in rule_files():
        if DENY.search(path.read_text()):
            assert f"data.dicomweb.{path.stem}.deny," in authz


def test_reasons_metadata_and_the_enum_are_equal() -> None:
    model = (Path(__file__).parents[2] / "proxy/model/reasons.py").read_text()
    section = POLICY_SECTION.search(model)
    assert section is not None
    expected = {Reason[name].value for name in re.findall(r"^    ([A-Z_]+) = ", section[1], re.MULTILINE)}
    expected.add(Reason.STUDY_MISMATCH)  # listed where a store's path is held against its parts, and policy's too
    text = "".join(path.read_text() for path in rule_files())
    codes = METADATA_CODE.findall(text)
    assert set(codes) == expected
    assert len(codes) == len(set(codes))
    assert set(DENY.findall(text)) == expected


def test_every_reason_stands_in_the_documentation() -> None:
    documentation = (Path(__file__).parents[2] / "docs/policy.md").read_text()
    text = "".join(path.read_text() for path in rule_files())
    assert [code for code in METADATA_CODE.findall(text) if f"`{code}`" not in documentation] == []


def test_no_call_follows_not() -> None:
    """OPA evaluates arguments outside of the negation, the embedded engine within: only references are alike."""
    for path in rule_files():
        assert re.findall(r"\bnot \S*\(.*|\bnot .*\bdata\.[^\s)]+ [=<>!]", path.read_text()) == []


def test_shipped_policies_pass_what_candidates_have_to() -> None:
    examine(read_policies(POLICIES))


def test_digest_does_not_depend_on_tests() -> None:
    policies = read_policies(POLICIES)
    assert not [path for path in policies.files if path.endswith("_test.rego")]
    assert PolicySet(files=dict(reversed(policies.files.items()))).digest == policies.digest
