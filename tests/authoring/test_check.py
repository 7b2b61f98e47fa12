"""``policy check``: each thing that can be wrong is found by its own finding, and all of them at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.authoring import loading
from tests.authoring.small import NO_CT, RADIOLOGIST, SITE, Command, small


def findings(command: Command, folder: Path) -> list[tuple[str, int | None, str, str]]:
    told = json.loads(command("policy", "check", folder, "--json", "--require-opa", status=1))
    assert told["clean"] is False
    return [(each["file"], each["line"], each["check"], each["text"]) for each in told["findings"]]


def test_a_whole_folder_is_clean_on_both_engines(command: Command, folder: Path) -> None:
    told = command("policy", "check", folder, "--require-opa")
    assert told.startswith("clean: 3 modules, on the embedded engine and OPA 1.")


def test_without_opa_it_is_said_that_opa_was_not_asked(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "OPA was not asked" in command("policy", "check", folder)
    assert "there is no opa here" in command("policy", "check", folder, "--require-opa", status=2)


def test_a_program_that_is_no_opa_is_refused(command: Command, folder: Path) -> None:
    assert "is no opa program" in command("policy", "check", folder, "--opa", "/bin/echo", status=2)


def test_no_folder_is_wrong_use(command: Command, tmp_path: Path) -> None:
    assert "there is no such folder" in command("policy", "check", tmp_path / "nowhere", status=2)


def test_a_module_that_does_not_parse_is_found_by_file_and_line(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site.rego").write_text("package dicomweb.site\n\npermits if {\n\tinput ==== 1\n}\n")
    found = findings(command, folder)
    assert ("dicomweb/site/site.rego", 4, "embedded engine", "expecting expression") in found
    assert any(each[:3] == ("dicomweb/site/site.rego", 4, "opa") for each in found)


def test_a_misspelt_field_of_input_is_found_by_the_schema(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site.rego").write_text(NO_CT.replace("input.resource)", "input.resorce)"))
    assert any(file == "dicomweb/site/site.rego" and check == "opa" for file, _, check, _ in findings(command, folder))


def test_a_built_in_that_policies_may_not_call_is_found_by_both(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site.rego").write_text(NO_CT + "\n_now := time.now_ns()\n")
    found = findings(command, folder)
    assert ("dicomweb/site/site.rego", 17, "opa", "undefined function time.now_ns") in found
    assert any(check == "trial" and "time.now_ns" in text for _, _, check, text in found)


def test_a_misspelt_key_of_data_is_found_with_what_was_meant(command: Command, folder: Path) -> None:
    subjects = {RADIOLOGIST: {"roles": [], "instititions": "*"}, "urn:x": {"institutions": "All"}}
    (folder / "data/subjects.json").write_text(json.dumps({"subjects": subjects}))
    texts = [
        text for file, _, check, text in findings(command, folder) if (file, check) == ("data/subjects.json", "data")
    ]
    assert f"subjects.{RADIOLOGIST}.instititions is not known here; did you mean institutions?" in texts
    assert "subjects.urn:x has to have roles" in texts
    assert 'subjects.urn:x.institutions has to be one of *, none, and is "All"' in texts


def test_a_reason_that_nobody_explains_is_found(command: Command, folder: Path) -> None:
    plain = "\n".join(line for line in NO_CT.splitlines() if not line.startswith("#"))
    (folder / "dicomweb/site/site.rego").write_text(plain + "\n")
    found = findings(command, folder)
    assert [(file, check) for file, _, check, text in found if "no-ct is not told of" in text] == [
        ("dicomweb/site/site.rego", "reasons")
    ]


def test_an_explained_reason_that_nothing_gives_is_found(command: Command, folder: Path) -> None:
    (folder / "dicomweb/site/site.rego").write_text(NO_CT.replace('contains "no-ct"', 'contains "no-mr"'))
    texts = [text for _, _, check, text in findings(command, folder) if check == "reasons"]
    assert "METADATA tells of no-ct, and no deny here gives it" in texts
    assert any(text.startswith("no-mr is not told of") for text in texts)


def test_a_rule_that_nobody_asks_and_has_no_tests_is_found(command: Command, folder: Path) -> None:
    (folder / "dicomweb/extra").mkdir()
    rule = NO_CT.replace("dicomweb.site", "dicomweb.extra")
    (folder / "dicomweb/extra/extra.rego").write_text(rule)
    assert findings(command, folder) == [
        ("dicomweb/extra/extra.rego", None, "wiring", "has no tests: write extra_test.rego beside it"),
        (
            "dicomweb/extra/extra.rego",
            3,
            "wiring",
            "nothing asks data.dicomweb.extra.permits: name it in dicomweb/site/site.rego",
        ),
        (
            "dicomweb/extra/extra.rego",
            13,
            "wiring",
            "nothing asks data.dicomweb.extra.deny: name it in dicomweb/site/site.rego",
        ),
    ]


def test_a_rule_of_which_only_the_reason_is_asked_is_found(command: Command, folder: Path) -> None:
    """It would explain a refusal that never comes."""
    (folder / "dicomweb/extra").mkdir()
    (folder / "dicomweb/extra/extra.rego").write_text(NO_CT.replace("dicomweb.site", "dicomweb.extra"))
    (folder / "dicomweb/extra/extra_test.rego").write_text("package dicomweb.extra_test\n")
    site = SITE.replace("some code in []", "some code in data.dicomweb.extra.deny")
    (folder / "dicomweb/site/site.rego").write_text(site)
    texts = [text for _, _, _, text in findings(command, folder)]
    assert texts == ["nothing asks data.dicomweb.extra.permits: name it in dicomweb/site/site.rego"]


def test_policies_that_allow_empty_input_are_found_by_the_trial(command: Command, folder: Path) -> None:
    authz = folder / "dicomweb/authz/authz.rego"
    authz.write_text(
        authz.read_text().replace(
            'else := {"allow": false, "reasons": sort(reasons)', 'else := {"allow": true, "reasons": []'
        )
    )
    assert any(check == "trial" and "allows empty input" in text for _, _, check, text in findings(command, folder))


def test_a_rule_that_never_ends_is_found_and_does_not_hang(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "TRIAL_S", 2.0)
    loop = "\n_many := count([1 | some a in numbers.range(1, 9000); some b in numbers.range(1, 9000); a == b])\n"
    folder = small(tmp_path / "loop", NO_CT.replace("is_array(resource.modalities)", "_many > 0") + loop)
    assert any(check == "trial" and "within 2 s" in text for _, _, check, text in findings(command, folder))


def test_a_folder_that_cannot_be_read_as_a_set_is_one_finding(command: Command, folder: Path) -> None:
    (folder / "data/subjects.json").write_text('{"subjects": {}, "subjects": {}}')
    (found,) = findings(command, folder)
    assert found[:3] == ("data/subjects.json", None, "files")
