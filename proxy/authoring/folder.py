"""A folder of policies as its author has it: what comes into force, and the tests beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.decide.policies import PolicySet, read_policies
from proxy.errors import PolicyInvalidError

TEST_SUFFIX: Final = "_test.rego"
SCHEMAS: Final = "schemas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    folder: Path
    policies: PolicySet
    tests: Mapping[str, str]
    """Text by path, as the paths of ``policies.files``."""


def read_source(folder: Path) -> Source:
    """:raises PolicyInvalidError: the folder cannot be read; the message names the file"""
    return Source(folder=folder, policies=read_policies(folder), tests=read_tests(folder))


def read_tests(folder: Path) -> dict[str, str]:
    """:raises PolicyInvalidError: a test cannot be read"""
    tests: dict[str, str] = {}
    for path in sorted(folder.rglob(f"*{TEST_SUFFIX}")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        try:
            tests[name] = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyInvalidError(f"{name}: cannot be read") from error
    return tests


def loaded_paths(folder: Path) -> list[str]:
    """What OPA is to load so that data stands where the embedded engine has it: each folder is a root of its own."""
    entries = sorted(folder.iterdir())
    folders = [path for path in entries if path.is_dir() and path.name != SCHEMAS and not path.name.startswith(".")]
    return [str(path) for path in (*folders, *(path for path in entries if path.suffix == ".rego"))]
