"""A small folder of policies, whole and clean, that tests break in one place each; and the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from proxy.__main__ import main
from tests.authoring.recording import POLICIES

AUTHZ = """package dicomweb.authz

decision := {"allow": true, "reasons": [], "obligations": []} if {
	input.version == 1
	data.dicomweb.known.permits
	data.dicomweb.site.permits(input.request.action, input.resource)
} else := {"allow": false, "reasons": sort(reasons), "obligations": []}

reasons := data.dicomweb.known.deny | data.dicomweb.site.deny

default visible := []

visible := positions if {
	data.dicomweb.known.permits
	positions := [position |
		some position, row in input.rows
		data.dicomweb.site.permits("metadata", row)
	]
}
"""
KNOWN = """package dicomweb.known

permits if {
	input.subject.user == null
	data.subjects[input.subject.certificate.name]
}

# METADATA
# title: Nobody knows you
# custom:
#   code: subject-unknown
#   remedy: Ask to be entered.
deny contains "subject-unknown" if not permits
"""
SITE = """package dicomweb.site

permits(_, _) := "every object"

deny contains code if some code in []
"""
NO_CT = """package dicomweb.site

permits(_, resource) if {
	is_array(resource.modalities)
	every modality in resource.modalities { modality != "CT" }
}

# METADATA
# title: No CT here
# custom:
#   code: no-ct
#   remedy: Ask for something else.
deny contains "no-ct" if not _permitted

_permitted if data.dicomweb.site.permits(input.request.action, input.resource)
"""
TEST = """package dicomweb.{name}_test

test_deny_when_input_is_empty if {{
	decision := data.dicomweb.authz.decision with input as {{}}
	decision == {{"allow": false, "reasons": ["subject-unknown"], "obligations": []}}
}}
"""
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "subjects": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["roles"],
                "properties": {"roles": {"type": "array"}, "institutions": {"enum": ["*", "none"]}},
            },
        }
    },
}
RADIOLOGIST = "urn:dicomward:device:radiologist"


def small(folder: Path, site: str = SITE, subjects: tuple[str, ...] = (RADIOLOGIST,)) -> Path:
    """Rules, tests, data and schemas below ``folder``."""
    for name, text in (("authz", AUTHZ), ("known", KNOWN), ("site", site)):
        place = folder / "dicomweb" / name
        place.mkdir(parents=True)
        (place / f"{name}.rego").write_text(text)
        (place / f"{name}_test.rego").write_text(TEST.format(name=name))
    (folder / "data").mkdir()
    (folder / "data/subjects.json").write_text(json.dumps({"subjects": {name: {"roles": []} for name in subjects}}))
    (folder / "schemas").mkdir()
    (folder / "schemas/data.v1.json").write_text(json.dumps(SCHEMA))
    (folder / "schemas/input.v1.json").write_bytes((POLICIES / "schemas/input.v1.json").read_bytes())
    (folder / "capabilities.json").write_bytes((POLICIES / "capabilities.json").read_bytes())
    return folder


class Command:
    """``dicomward`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object, status: int = 0) -> str:
        """What it prints, errors last."""
        self._monkeypatch.setattr(sys, "argv", ["dicomward", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capsys.readouterr()
        assert (ended.value.code or 0) == status, said.out + said.err
        return said.out + said.err
