"""``policy check``: everything that can be said of policies without a request. All findings, not the first.

1. Files: the folder can be read as one set, and each module parses on the embedded engine.
2. Wiring (``wiring.py``): reasons are told of, whoever denies is asked, and each rule has tests.
3. Data holds to ``schemas/data.v1.json`` (``data_schema.py``).
4. OPA, where it is here: types by the schema of input, closed built-ins, strict mode.
5. Trial, where nothing was found so far but by OPA: a child process compiles, and asks what any site has to deny.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import regorus

from proxy.authoring.data_schema import data_findings
from proxy.authoring.findings import Finding, of_message
from proxy.authoring.folder import Source, loaded_paths, read_source
from proxy.authoring.loading import loaded
from proxy.authoring.opa import Opa, parsed
from proxy.authoring.wiring import wiring_findings
from proxy.decide.prepared import brief
from proxy.errors import DependencyError, PolicyInvalidError
from proxy.model import JsonObject, PolicyDigest

INPUT_SCHEMA: Final = "schemas/input.v1.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    findings: tuple[Finding, ...]
    digest: PolicyDigest | None
    """``None`` where the folder cannot be read as one set."""
    modules: int
    opa: str | None
    """Version; ``None``: OPA was not asked."""

    def to_wire(self) -> JsonObject:
        return {
            "clean": not self.findings,
            "findings": [each.to_wire() for each in self.findings],
            "policy": self.digest,
            "modules": self.modules,
            "opa": self.opa,
        }


def check(folder: Path, opa: Opa | None) -> Checked:
    """:raises ConfigurationError: OPA cannot be run"""
    try:
        source = read_source(folder)
    except PolicyInvalidError as error:
        return Checked(
            findings=(of_message("files", error.detail),),
            digest=None,
            modules=0,
            opa=None if opa is None else opa.version,
        )
    found = [*_parses(source)]
    if not found:
        found += wiring_findings(source)
    found += data_findings(source)
    judged = list(found)
    if opa is not None:
        found += _by_opa(source, opa)
    if not judged:
        found += _trial(source)
    return Checked(
        findings=tuple(sorted(set(found))),
        digest=source.policies.digest,
        modules=sum(1 for _ in source.policies.modules()),
        opa=None if opa is None else opa.version,
    )


def _parses(source: Source) -> Iterator[Finding]:
    for path, text in (*source.policies.modules(), *source.tests.items()):
        engine = regorus.Engine()
        engine.set_gather_prints(True)
        try:
            engine.add_policy(path, text)
        except RuntimeError as error:
            yield of_message("embedded engine", brief(error))


def _trial(source: Source) -> Iterator[Finding]:
    try:
        loaded(source.policies)
    except DependencyError as error:
        yield of_message("trial", error.detail)


def _by_opa(source: Source, opa: Opa) -> Iterator[Finding]:
    schema = source.folder / INPUT_SCHEMA
    if not schema.is_file():
        yield Finding(file=INPUT_SCHEMA, line=0, check="opa", text="is missing: copy it from the shipped policies")
        return
    done = opa.run(
        "check",
        "--strict",
        "--format=json",
        "--max-errors=100",
        f"--capabilities={(source.folder / 'capabilities.json').absolute()}",
        f"--schema={schema.absolute()}",
        "--ignore=*_test.rego",
        *loaded_paths(source.folder.absolute()),
    )
    if done.returncode == 0:
        return
    told = parsed(done.stdout) or parsed(done.stderr)
    errors = told.get("errors") if isinstance(told, dict) else None
    if not errors:
        yield Finding(file="", line=0, check="opa", text=" ".join((done.stderr or done.stdout).split())[:500])
        return
    for error in errors:
        location = error.get("location") or {}
        yield Finding(
            file=within(source.folder, location.get("file", "")),
            line=location.get("row", 0),
            check="opa",
            text=str(error.get("message", "")),
        )


def within(folder: Path, name: str) -> str:
    """A path that OPA tells, as a path of the folder."""
    path = Path(name)
    return path.relative_to(folder.absolute()).as_posix() if path.is_relative_to(folder.absolute()) else name
