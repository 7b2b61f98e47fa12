"""``policy test``: every rule named ``test_*`` on both engines, and which lines of the rules they reach."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.authoring.checking import within
from proxy.authoring.findings import of_message
from proxy.authoring.folder import TEST_SUFFIX, Source, loaded_paths
from proxy.authoring.opa import Opa, parsed
from proxy.errors import ConfigurationError
from proxy.model import JsonObject

EMBEDDED: Final = "embedded"
OPA: Final = "opa"
_PACKAGE: Final = re.compile(r"^package\s+(\S+)", re.MULTILINE)
_TEST: Final = re.compile(r"^(test_\w+)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegoTest:
    name: str
    """Full path, for example ``data.dicomweb.hours_test.test_deny_when_input_is_empty``."""
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    test: RegoTest
    engine: str
    text: str
    """What the engine tells of it, and what the test printed; several lines."""

    def to_wire(self) -> JsonObject:
        return {
            "test": self.test.name,
            "file": self.test.file,
            "line": self.test.line,
            "engine": self.engine,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    file: str
    percent: float
    missing: tuple[tuple[int, int], ...]
    """First and last line of what no test reaches."""

    def to_wire(self) -> dict[str, Any]:
        return {"file": self.file, "percent": self.percent, "missing": [list(lines) for lines in self.missing]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    tests: int
    failures: tuple[Failure, ...]
    coverage: tuple[Covered, ...]
    """Empty where OPA is not here, or a test failed on it."""
    opa: str | None

    def to_wire(self) -> dict[str, Any]:
        return {
            "clean": not self.failures,
            "tests": self.tests,
            "failures": [each.to_wire() for each in self.failures],
            "coverage": [each.to_wire() for each in self.coverage],
            "opa": self.opa,
        }


def tests_of(source: Source, pattern: str) -> list[RegoTest]:
    """
    :param pattern: regular expression, searched for in the full path
    :raises ConfigurationError: it is none
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"--run {pattern}: is no regular expression: {error}") from error
    found: dict[str, RegoTest] = {}
    for path, text in source.tests.items():
        package = _PACKAGE.search(text)
        for match in _TEST.finditer(text):
            name = f"data.{package[1] if package else ''}.{match[1]}"
            if wanted.search(name) and name not in found:
                found[name] = RegoTest(name=name, file=path, line=text.count("\n", 0, match.start()) + 1)
    return list(found.values())


def run_tests(source: Source, opa: Opa | None, pattern: str, deadline_s: float) -> Tested:
    """
    :raises ConfigurationError: OPA cannot be run, or ``pattern`` is no regular expression
    """
    tests = tests_of(source, pattern)
    failures = on_embedded(source, tests, deadline_s)
    coverage: tuple[Covered, ...] = ()
    if opa is not None and tests:
        by_opa = _on_opa(source, opa, tests)
        failures += by_opa
        if not by_opa:
            coverage = _coverage(source, opa, tests)
    return Tested(
        tests=len(tests), failures=tuple(failures), coverage=coverage, opa=None if opa is None else opa.version
    )


def on_embedded(source: Source, tests: list[RegoTest], deadline_s: float) -> list[Failure]:
    """In a child process, since the engine cannot be interrupted. The test that does not end is told, and the rest."""
    asked = {
        "cpu_s": int(deadline_s) + 1,
        "modules": [*source.policies.modules(), *source.tests.items()],
        "data": source.policies.data(),
        "tests": [each.name for each in tests],
    }
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "proxy.authoring.testing_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
    )
    try:
        told, _ = child.communicate(orjson.dumps(asked), deadline_s)
    except subprocess.TimeoutExpired:
        child.kill()
        told, _ = child.communicate()
    return _failures(tests, told.splitlines(), deadline_s)


def _failures(tests: list[RegoTest], lines: Iterable[bytes], deadline_s: float) -> list[Failure]:
    ended: dict[str, Any] = {}
    began = ""
    for line in lines:
        told = parsed(line.decode(errors="replace"))
        if not isinstance(told, dict):
            continue
        if "fault" in told:
            at = of_message("", told["fault"])
            nowhere = RegoTest(name="(all)", file=at.file, line=at.line)
            return [Failure(test=nowhere, engine=EMBEDDED, text=f"does not compile: {at.text}")]
        began = told.get("began", began)
        if "ended" in told:
            ended[told["ended"]] = told
    found = []
    for each in tests:
        told = ended.get(each.name)
        if told is None:
            text = (
                f"did not end within {deadline_s:g} s" if each.name == began else "was not run: one before did not end"
            )
            found.append(Failure(test=each, engine=EMBEDDED, text=text))
        elif not told["passed"]:
            prints = [f"  print: {line}" for line in told["prints"]]
            found.append(Failure(test=each, engine=EMBEDDED, text="\n".join([told["error"] or "is not true", *prints])))
    return found


def _selection(tests: Iterable[RegoTest]) -> str:
    return f"--run=^({'|'.join(re.escape(each.name) for each in tests)})$"


def _on_opa(source: Source, opa: Opa, tests: list[RegoTest]) -> list[Failure]:
    paths = loaded_paths(source.folder.absolute())
    done = opa.run("test", "--format=json", *paths)
    results = parsed(done.stdout)
    if not isinstance(results, list):
        nowhere = RegoTest(name="(all)", file="", line=0)
        return [Failure(test=nowhere, engine=OPA, text=(done.stderr or done.stdout).strip()[:4_000])]
    by_name = {each.name: each for each in tests}
    passed, failed = set[str](), dict[str, Mapping[str, Any]]()
    for result in results:
        name = f"{result.get('package')}.{result.get('name')}"
        if name in by_name:
            passed.add(name)
            if result.get("fail") or result.get("error") or result.get("skip"):
                failed[name] = result
    found = [
        Failure(test=by_name[name], engine=OPA, text=_traced(opa, paths, by_name[name], failed[name]))
        for name in failed
    ]
    lost = [each for each in tests if each.name not in passed]
    return found + [Failure(test=each, engine=OPA, text="was not found by OPA") for each in lost]


def _traced(opa: Opa, paths: list[str], failed: RegoTest, result: Mapping[str, Any]) -> str:
    """OPA's own words: the trace of what failed, and the values in the failing expression."""
    told = opa.run("test", "-v", "--var-values", _selection([failed]), *paths).stdout
    _, _, after = told.partition("FAILURES")
    lines = [line for line in after.splitlines() if line.strip() and not line.startswith("---")]
    body = [line for line in lines if not line.startswith((f"{failed.name}:", "SUMMARY", "FAIL:", "PASS:"))]
    cut = next((n for n, line in enumerate(body) if line.startswith((failed.file, "data."))), len(body))
    error = result.get("error")
    printed = base64.b64decode(result.get("output") or "").decode(errors="replace").splitlines()
    shown = [str(error.get("message", error) if isinstance(error, dict) else error)] if error else ["is not true"]
    return "\n".join([*shown, *(f"  print: {line}" for line in printed), *body[:cut]])


def _coverage(source: Source, opa: Opa, tests: list[RegoTest]) -> tuple[Covered, ...]:
    done = opa.run("test", "--coverage", "--format=json", _selection(tests), *loaded_paths(source.folder.absolute()))
    told = parsed(done.stdout)
    files = told.get("files", {}) if isinstance(told, dict) else {}
    return tuple(
        Covered(
            file=within(source.folder, name),
            percent=float(each.get("coverage", 0)),
            missing=_joined((lines["start"]["row"], lines["end"]["row"]) for lines in each.get("not_covered", ())),
        )
        for name, each in sorted(files.items())
        if not name.endswith(TEST_SUFFIX)
    )


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Without overlap, and those that follow each other as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)
