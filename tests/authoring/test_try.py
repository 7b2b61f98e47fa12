"""``policy try``: what is asked is what the proxy would ask, and the answer says why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy.authoring import Asked, Supposed, question
from proxy.model import Reason, Refusal
from tests.authoring.recording import POLICIES, STUDY
from tests.authoring.small import NO_CT, Command, small

NOW = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
SCHEMA: dict[str, Any] = json.loads((POLICIES / "schemas/input.v1.json").read_text())


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", STUDY),
        ("GET", f"{STUDY}/metadata"),
        ("GET", "/dicom-web/studies?PatientID=P1"),
        ("POST", "/dicom-web/studies"),
        ("GET", f"{STUDY}/series/1.2.3.4/instances/1.2.3.4.5/frames/1"),
    ],
)
def test_every_question_holds_to_the_schema_of_input(method: str, target: str) -> None:
    supposed = Supposed(at=NOW, name="radiologist", user="hospital/a.meyer", roles=("radiologist",))
    found = question(method, target, "TREAT", supposed)
    assert isinstance(found, Asked)
    for each in (found.policy_input, found.rows):
        if each is not None:
            jsonschema.validate(each, SCHEMA)
    assert found.policy_input["request"]["purpose"] == {"code": "TREAT", "source": "header"}  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/dicom-web/nothing", Reason.UNKNOWN_ROUTE),
        ("/dicom-web/studies/1.2.x", Reason.INVALID_UID),
        ("/dicom-web/studies/%2e%2e/1", Reason.INVALID_PATH),
    ],
)
def test_what_the_grammar_refuses_is_not_asked(target: str, reason: Reason, command: Command, folder: Path) -> None:
    found = question("GET", target, None, Supposed(at=NOW, name="radiologist"))
    assert isinstance(found, Refusal)
    assert found.reason is reason
    words = ("--policies", folder, "--as", "radiologist", "GET", target)
    assert f"refused before policy is asked: {reason.value}" in command("policy", "try", *words, status=1)


def attempt(command: Command, folder: Path, *words: str, status: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(command("policy", "try", "--policies", folder, "--json", *words, status=status))
    return told


def test_an_allow_says_by_which_policies(command: Command, folder: Path) -> None:
    told = attempt(command, folder, "--as", "radiologist", "GET", STUDY)
    assert (told["allow"], told["reasons"], told["conditions"]) == (True, [], [])
    assert len(told["policy"]) == 64
    assert told["input"]["subject"]["certificate"]["name"] == "urn:dicomward:device:radiologist"


def test_a_denial_says_which_rule_and_which_condition(command: Command, tmp_path: Path) -> None:
    folder = small(tmp_path / "policies", NO_CT)
    told = attempt(command, folder, "--as", "radiologist", "GET", STUDY, status=1)
    assert told["reasons"] == [
        {"code": "no-ct", "title": "No CT here", "remedy": "Ask for something else.", "rule": "site"}
    ]
    assert told["conditions"] == [
        {
            "file": "dicomweb/authz/authz.rego",
            "line": 6,
            "text": "data.dicomweb.site.permits(input.request.action, input.resource)",
        }
    ]
    both = attempt(command, folder, "--as", "nobody", "GET", STUDY, status=1)
    assert [each["line"] for each in both["conditions"]] == [5, 6]
    assert attempt(command, folder, "--as", "radiologist", "--modality", "MR", "GET", STUDY)["allow"] is True
    said = command("policy", "try", "--policies", folder, "--as", "radiologist", "GET", STUDY, status=1)
    assert "no-ct: No CT here" in said
    assert "rule site; remedy: Ask for something else." in said
    assert "does not hold, dicomweb/authz/authz.rego:6" in said


def test_a_search_says_whether_the_object_would_be_a_row(command: Command, tmp_path: Path) -> None:
    folder = small(tmp_path / "policies", NO_CT)
    words = ("--as", "radiologist", "GET", "/dicom-web/studies")
    assert attempt(command, folder, *words)["shown"] is False
    assert attempt(command, folder, "--modality", "MR", *words)["shown"] is True


def test_what_is_supposed_stands_in_the_input(command: Command, folder: Path) -> None:
    options = (
        "--posture firewall=false,disk_encryption=,patch_age_days=40 --trust attested --network ward --institution A"
    )
    counted = (
        "--institution B --department Psychiatry --patient P9 --counters requests_minute=7 --at 2026-11-22T23:30+01:00"
    )
    words = (*options.split(), *counted.split(), "--as", "radiologist", "GET", STUDY)
    asked = attempt(command, folder, *words)["input"]
    posture = asked["device"]["posture"]
    assert posture["firewall"]["value"] is False
    assert posture["patch_age_days"]["value"] == 40
    assert "disk_encryption" not in posture
    assert {each["trust"] for each in posture.values()} == {"attested"}
    assert asked["resource"]["institutions"] == ["A", "B"]
    assert (asked["resource"]["departments"], asked["resource"]["patient_id"]) == (["Psychiatry"], "P9")
    assert asked["counters"]["requests_minute"] == 7
    assert asked["time"] == "2026-11-22T22:30:00.000Z"
    assert asked["environment"]["network"] == "ward"
    assert asked["environment"]["local"] == {"date": "2026-11-22", "weekday": "sunday", "time": "23:30"}


def test_a_whole_input_is_asked_as_it_is(command: Command, folder: Path, tmp_path: Path) -> None:
    told = attempt(command, folder, "--as", "nobody", "GET", STUDY, status=1)
    (tmp_path / "input.json").write_text(json.dumps(told))  # what --json prints, and a record, hold it as `input`
    again = attempt(command, folder, "--input", str(tmp_path / "input.json"), status=1)
    assert again["input"] == told["input"]
    assert [each["code"] for each in again["reasons"]] == ["subject-unknown"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("GET", STUDY), "give --as NAME"),
        (("--as", "radiologist", "--user", "nobody", "GET", STUDY), "is ISSUER/SUB"),
        (("--as", "radiologist", "--at", "yesterday", "GET", STUDY), "is a time such as"),
        (("--as", "radiologist", "--posture", "firewall", "GET", STUDY), "is KEY=VALUE"),
        (("--as", "radiologist", "--counters", "requests_minute=x", "GET", STUDY), "each value is a number"),
        (
            ("--as", "radiologist", "--counters", f"requests_minute={'9' * 5000}", "GET", STUDY),
            "each value is a number",
        ),
        (("--as", "radiologist", "--at", "9999-12-31T23:59:59+14:00", "GET", STUDY), "the year is 2 to 9998"),
        (("--as", "radiologist", "--at", "0001-01-01T00:00:00+14:00", "GET", STUDY), "the year is 2 to 9998"),
        (("--input", "/nowhere.json"), "cannot be read as JSON"),
    ],
)
def test_wrong_use_says_what_to_write(words: tuple[str, ...], told: str, command: Command, folder: Path) -> None:
    assert told in command("policy", "try", "--policies", folder, *words, status=2)


def test_input_that_is_deeper_than_can_be_read_is_no_input(command: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 5000 + "]" * 5000)
    said = command("policy", "try", "--policies", folder, "--input", tmp_path / "deep.json", status=2)
    assert "cannot be read as JSON" in said


def test_nothing_that_is_shown_is_obeyed_by_a_terminal(command: Command, folder: Path) -> None:
    words = ("--as", "radiologist", "GET", STUDY, "--patient", "\x1b[31m[bold]:smile:\x9b\r")
    said = command("policy", "try", "--policies", folder, *words)
    assert "\ufffd[31m[bold]:smile:\ufffd\ufffd" in said


def test_policies_that_cannot_be_loaded_say_where_to_look(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site.rego").write_text("package dicomweb.site\n\npermits if {\n")
    said = command("policy", "try", "--policies", folder, "--as", "radiologist", "GET", STUDY, status=2)
    assert "dicomweb/site/site.rego" in said
    assert "see dicomward policy check" in said
