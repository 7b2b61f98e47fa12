"""What the modules of a policy refer to, from the engine's syntax tree. Pure.

A node's shape is the engine's and is not published, so whatever is not understood counts as a reference to everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def references(node: Any, root: str) -> Iterator[Path]:
    """Every path below ``root`` (``input`` or ``data``) that a part of the tree refers to.

    A path ends where a member is computed, or where the value itself is taken; ``()`` is all of the root.
    """
    if isinstance(node, list):
        for item in node:
            yield from references(item, root)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("RefDot", "RefBrack", "Var"):
                yield from _reference({key: value}, root)
            else:
                yield from references(value, root)


def _reference(node: Any, root: str) -> Iterator[Path]:
    """The one path of a chain of members, and those within what is computed in its brackets."""
    members: list[str | None] = []
    while "Var" not in node:
        kind, body = next(iter(node.items()))
        if kind == "RefDot":
            members.append(body["field"][1])
        elif kind == "RefBrack":
            index = body["index"]
            literal = index["String"]["value"] if "String" in index else None
            members.append(literal)
            if literal is None:
                yield from references(index, root)
        else:
            yield from references(node, root)
            return
        node = body["refr"]
    if node["Var"]["value"] == root:
        members.reverse()
        known = members.index(None) if None in members else len(members)
        yield tuple(member for member in members[:known] if member is not None)


def package_of(module: Any) -> Path:
    """Its package, without ``data``."""
    path: list[str] = []
    node = module["ast"]["package"]["refr"]
    while "Var" not in node:
        kind, body = next(iter(node.items()))
        path.append(body["field"][1] if kind == "RefDot" else body["index"]["String"]["value"])
        node = body["refr"]
    return (str(node["Var"]["value"]), *reversed(path))


def value_rules(module: Any) -> set[str]:
    """Names of its rules that are no functions, each the first after the package's."""
    found = set()
    for rule in module["ast"]["rules"]:
        ((_, body),) = rule.items()
        head = body if "refr" in body else next(iter(body["head"].values()))
        node = head["refr"]
        while "Var" not in node:
            node = next(iter(node.values()))["refr"]
        if not head.get("args"):
            found.add(str(node["Var"]["value"]))
    return found
