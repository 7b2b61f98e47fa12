"""Runs Rego tests on the embedded engine, in the way `opa test` does: every rule named `test_*` has to be true."""

import re
from pathlib import Path

import orjson
import regorus

POLICIES = Path(__file__).parents[2] / "policies"
PACKAGE = re.compile(r"^package (\S+)$", re.MULTILINE)
TEST = re.compile(r"^(test_\w+)\b", re.MULTILINE)


def test_files() -> list[Path]:
    return sorted(POLICIES.glob("**/*_test.rego"))


test_files.__test__ = False  # type: ignore[attr-defined]


def rego_tests() -> list[str]:
    """Full paths of every test rule."""
    found = []
    for path in test_files():
        text = path.read_text()
        package = PACKAGE.search(text)
        assert package is not None, path
        found += [f"data.{package[1]}.{name}" for name in TEST.findall(text)]
    return found


def engine_with_tests() -> regorus.Engine:
    engine = regorus.Engine()
    for path in sorted(POLICIES.glob("**/*.rego")):
        engine.add_policy(str(path.relative_to(POLICIES)), path.read_text())
    for path in sorted((POLICIES / "data").glob("*.json")):
        engine.add_data_json(path.read_text())
    engine.set_input_json("{}")
    return engine


def is_true(engine: regorus.Engine, rule: str) -> bool:
    return bool(orjson.loads(engine.eval_rule_as_json(rule)) is True)
