"""``policy test``: failures are told by test, file, line and engine, and no test can hang the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.authoring.small import Command

BROKEN = """package dicomweb.site_test

test_holds if data.dicomweb.site.permits("metadata", {})

test_does_not_hold if {
	i := {"version": 7}
	print("asked with", i)
	data.dicomweb.authz.decision.reasons == ["never"] with input as i
}
"""
LOOP = """package dicomweb.site_test

test_before if true

test_endless if count([1 | some a in numbers.range(1, 9000); some b in numbers.range(1, 9000); a == b]) == 0

test_behind if true
"""


def outcome_of(command: Command, folder: Path, *words: str, status: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(command("policy", "test", folder, "--json", *words, status=status))
    return told


def test_all_hold_on_both_engines_and_uncovered_lines_are_told(command: Command, folder: Path) -> None:
    told = outcome_of(command, folder, "--require-opa")
    assert (told["clean"], told["tests"], told["failures"]) == (True, 3, [])
    covered = {each["file"]: each for each in told["coverage"]}
    assert set(covered) == {f"dicomweb/{name}/{name}.rego" for name in ("authz", "known", "site")}
    assert covered["dicomweb/authz/authz.rego"]["percent"] < 100
    assert any(first <= 6 <= last for first, last in covered["dicomweb/authz/authz.rego"]["missing"])
    assert "all hold" in command("policy", "test", folder)


def test_a_failure_is_told_by_both_engines_with_what_it_printed(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site_test.rego").write_text(BROKEN)
    told = outcome_of(command, folder, "--require-opa", status=1)
    assert told["tests"] == 4
    assert told["coverage"] == []
    by_engine = {each["engine"]: each for each in told["failures"]}
    assert set(by_engine) == {"embedded", "opa"}, told
    for each in by_engine.values():
        assert each["test"] == "data.dicomweb.site_test.test_does_not_hold"
        assert (each["file"], each["line"]) == ("dicomweb/site/site_test.rego", 5)
        assert 'asked with {"version": 7}' in each["text"]
    assert '["subject-unknown"]' in by_engine["opa"]["text"], "the values in the failing expression"
    said = command("policy", "test", folder, status=1)
    assert "FAILED on embedded: data.dicomweb.site_test.test_does_not_hold" in said
    assert "dicomweb/site/site_test.rego:5" in said


def test_a_test_that_never_ends_is_named_and_ends_the_run(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site_test.rego").write_text(LOOP)
    told = outcome_of(command, folder, "--run", "site_test.test_(before|endless|behind)", "--deadline", "2", status=1)
    by_name = {
        each["test"].rpartition(".")[2]: each["text"] for each in told["failures"] if each["engine"] == "embedded"
    }
    assert by_name == {
        "test_endless": "did not end within 2 s",
        "test_behind": "was not run: one before did not end",
    }


def test_what_does_not_compile_is_told_once(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site_test.rego").write_text("package dicomweb.site_test\n\ntest_x if {\n\t1 ==== 1\n}\n")
    told = outcome_of(command, folder, status=1)
    assert [(each["engine"], each["test"]) for each in told["failures"]] == [("embedded", "(all)"), ("opa", "(all)")]
    assert told["failures"][0]["line"] == 4


def test_some_tests_are_chosen_by_a_pattern(command: Command, folder: Path) -> None:
    assert outcome_of(command, folder, "--run", "known_test")["tests"] == 1
    assert "no test matches" in command("policy", "test", folder, "--run", "nothing_like_it", status=2)
    assert "no regular expression" in command("policy", "test", folder, "--run", "(", status=2)
