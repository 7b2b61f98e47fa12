"""Whether rules hang together: a reason that nobody explains, or a rule that nobody asks, is a slip of the pen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
import regorus

from proxy.authoring.findings import Finding, of_message
from proxy.authoring.folder import TEST_SUFFIX, Source
from proxy.decide.metadata import reasons_of
from proxy.decide.references import Path, package_of, references
from proxy.errors import PolicyInvalidError

RULES: Final = "dicomweb/"
ASKING: Final = (("dicomweb", "authz"), ("dicomweb", "site"))
"""Packages that ask rules: the entry points, and what a site adds to them."""
_GIVEN: Final = re.compile(r'^deny contains "([^"]*)"', re.MULTILINE)
_TOLD: Final = re.compile(r"^#\s+code:\s*(\S+)\s*$", re.MULTILINE)
_CHECK: Final = "wiring"


def wiring_findings(source: Source) -> Iterator[Finding]:
    """Of modules that parse."""
    texts = dict(source.policies.modules())
    yield from _reasons(texts)
    trees = {path: _tree(path, text) for path, text in texts.items()}
    references_of = {path: set(references([tree["ast"]["rules"]], "data")) for path, tree in trees.items()}
    by_name = {path: package_of(tree) for path, tree in trees.items()}
    for path, tree in trees.items():
        package = by_name[path]
        others = [other for other in trees if by_name[other] != package]
        asked = {
            "deny": set().union(*(references_of[other] for other in others if by_name[other] in ASKING)),
            "permits": set().union(*(references_of[other] for other in others)),
        }
        yield from _asked(path, texts[path], package, _defined(tree), asked)
        if path.startswith(RULES) and path.removesuffix(".rego") + TEST_SUFFIX not in source.tests:
            beside = path.removesuffix(".rego").rpartition("/")[2] + TEST_SUFFIX
            yield Finding(file=path, line=0, check=_CHECK, text=f"has no tests: write {beside} beside it")


def _reasons(texts: dict[str, str]) -> Iterator[Finding]:
    everywhere = {code for text in texts.values() for code in _TOLD.findall(text)}
    for path, text in texts.items():
        try:
            told = reasons_of([(path, text)])
        except PolicyInvalidError as error:
            yield of_message("reasons", error.detail)
            continue
        given = {match[1]: _line(text, match.start()) for match in _GIVEN.finditer(text)}
        for code, line in given.items():
            if code not in everywhere:
                yield Finding(
                    file=path,
                    line=line,
                    check="reasons",
                    text=f"{code} is not told of: it needs METADATA with title, custom.code and custom.remedy",
                )
        for match in _TOLD.finditer(text):
            if match[1] in told and match[1] not in given:
                yield Finding(
                    file=path,
                    line=_line(text, match.start()),
                    check="reasons",
                    text=f"METADATA tells of {match[1]}, and no deny here gives it",
                )
    try:
        reasons_of(texts.items())
    except PolicyInvalidError as error:
        yield of_message("reasons", error.detail)


def _asked(path: str, text: str, package: Path, defined: set[str], asked: dict[str, set[Path]]) -> Iterator[Finding]:
    """A condition beside its ``deny``: a ``deny`` alone would give a reason and refuse nothing."""
    for rule, by in asked.items():
        if rule in defined and package not in ASKING[:1] and not _covers(by, (*package, rule)):
            where = "dicomweb/site/site.rego" if package[1:2] != ("site",) else "dicomweb/authz/authz.rego"
            found = re.search(rf"^{rule}\b", text, re.MULTILINE)
            yield Finding(
                file=path,
                line=_line(text, found.start()) if found else 0,
                check=_CHECK,
                text=f"nothing asks data.{'.'.join(package)}.{rule}: name it in {where}",
            )


def _covers(asked: set[Path], path: Path) -> bool:
    return any(path[: len(each)] == each for each in asked if each)


def _defined(tree: Any) -> set[str]:
    names = set()
    for rule in tree["ast"]["rules"]:
        for head in rule.get("Spec", {}).get("head", {}).values():
            value = head["refr"].get("Var", {}).get("value")
            if isinstance(value, str):
                names.add(value)
    return names


def _tree(path: str, text: str) -> Any:
    engine = regorus.Engine()
    engine.set_gather_prints(True)
    engine.add_policy(path, text)
    return orjson.loads(engine.get_ast_as_json())[0]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
