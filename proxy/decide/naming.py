"""How modules may name rules of policies, so that both engines understand the same. Pure.

1. A reference names a rule, and never all of a package: asked for so, the embedded engine takes rules that it has not
   come to for undefined, and ``not`` of them for true.
2. What is prepared is data to the other modules: they add no rule to it, and refer to none of its private rules, which
   are not part of the outcome. `opa test`, which prepares nothing, would find them.
3. A rule with two keys (``limits[role][action]``) that holds nothing is undefined in the embedded engine and an empty
   object in OPA. Only private rules of what is prepared may have them.
4. A key in brackets is written without escapes: the embedded engine looks for it as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from proxy.decide.references import Path, package_of, references
from proxy.errors import PolicyInvalidError


def check_names(folded: Sequence[Any], rest: Sequence[Any], prepared: Path) -> None:
    """Refuse what one engine would understand otherwise than the other.

    :param folded: modules below ``prepared``, as syntax trees
    :param rest: the others
    :raises PolicyInvalidError: the file is named
    """
    packages = {package_of(tree) for tree in (*folded, *rest)}
    for tree in (*folded, *rest):
        if (line := _escape_in_brackets(tree["ast"], tree["source"]["contents"].encode())) is not None:
            raise PolicyInvalidError(f"{_file(tree)}:{line}: write the key in brackets without a backslash")
    for tree in (*folded, *rest):
        for path in _referred(tree):
            if any(package[: len(path)] == path for package in packages):
                raise PolicyInvalidError(f"{_file(tree)}: refers to all of {_told(path)}: name the rule")
    for tree in rest:
        for path in _referred(tree):
            if path[: len(prepared)] == prepared and any(name.startswith("_") for name in path):
                raise PolicyInvalidError(f"{_file(tree)}: refers to {_told(path)}, which is private")
        for path, keys in _heads(tree):
            if path[: len(prepared)] == prepared:
                raise PolicyInvalidError(f"{_file(tree)}: adds {_told(path)} to what is prepared")
            if keys > 1:
                raise PolicyInvalidError(f"{_file(tree)}: {_told(path)} has two keys: give it objects as values")
    for tree in folded:
        for path, keys in _heads(tree):
            if keys > 1 and not path[-1].startswith("_"):
                raise PolicyInvalidError(f"{_file(tree)}: {_told(path)} has two keys: give it objects as values")


def _referred(tree: Any) -> Iterator[Path]:
    yield from references([tree["ast"]["rules"], tree["ast"]["imports"]], "data")


def _escape_in_brackets(node: Any, source: bytes) -> int | None:
    """Line of a constant key that is written with an escape."""
    if isinstance(node, dict):
        key = node["RefBrack"]["index"].get("String") if "RefBrack" in node else None
        if key is not None and b"\\" in source[key["span"]["start"] : key["span"]["end"]]:
            return int(key["span"]["line"])
        node = list(node.values())
    if isinstance(node, list):
        return next((line for each in node if (line := _escape_in_brackets(each, source)) is not None), None)
    return None


def _heads(tree: Any) -> Iterator[tuple[Path, int]]:
    """Of each rule the path to its first key, and how many keys it has; a member of a set is one."""
    package = package_of(tree)
    for rule in tree["ast"]["rules"]:
        ((_, body),) = rule.items()
        kind, head = ("Default", body) if "refr" in body else next(iter(body["head"].items()))
        names, keys = _members(head["refr"])
        yield (*package, *names), keys + (kind == "Set")


def _members(node: Any) -> tuple[list[str], int]:
    """Names, and keys behind them that are computed."""
    members: list[str | None] = []
    while "Var" not in node:
        kind, body = next(iter(node.items()))
        literal = body["field"][1] if kind == "RefDot" else body["index"].get("String", {}).get("value")
        members.append(literal)
        node = body["refr"]
    members.append(str(node["Var"]["value"]))
    members.reverse()
    known = members.index(None) if None in members else len(members)
    return [name for name in members[:known] if name is not None], len(members) - known


def _told(path: Path) -> str:
    return ".".join(("data", *path))


def _file(tree: Any) -> str:
    return str(tree["source"]["file"])
