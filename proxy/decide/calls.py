"""Which functions a policy calls, from the engine's syntax tree. Pure.

The embedded engine ships more built-ins than policies may use (clock, chance, network) and finds a call to nothing only
when it gets there. So every call of every module is resolved here, before any of them runs: to a function of the
policies, by its full path or within its own package, or to a built-in of ``capabilities.json``. ``with`` is for tests:
it could put a built-in in a function's place.

``f(x) if { .. } else := input.a.b`` is refused too: in Rego it is undefined where ``input.a.b`` is, and in the engine
true. A value that can be undefined belongs in the body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.errors import PolicyInvalidError

Node = Any
"""A node of the tree: its shape is the engine's and is not published, so each step checks what it takes."""


def check_calls(modules: Node, allowed: frozenset[str]) -> None:
    """Refuse what calls anything but its own functions and the allowed built-ins.

    :raises PolicyInvalidError: such a call, or a tree of a shape unknown here
    """
    try:
        functions = {name for module in modules for name in _functions(module)}
        for module in modules:
            package = _name(module["ast"]["package"]["refr"])
            if any(_takes_undefined_for_true(rule) for rule in module["ast"]["rules"]):
                raise PolicyInvalidError(
                    f"{module['source']['file']}: an else gives a value that may be undefined to a rule that is true or"
                    " undefined: write else := value if { value := .. }"
                )
            for name in _calls(module["ast"]["rules"]):
                own = name if name.startswith("data.") else f"data.{package}.{name}"
                if own not in functions and name not in allowed:
                    raise PolicyInvalidError(f"{module['source']['file']}: calls {name}, which policies may not")
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise PolicyInvalidError("the engine's syntax tree has a shape that is not known here") from error


def _takes_undefined_for_true(rule: Node) -> bool:
    spec = rule.get("Spec")
    if spec is None or next(iter(spec["head"].values())).get("assign") is not None:
        return False
    return any(body["assign"] is not None and _may_be_undefined(body["assign"]["value"]) for body in spec["bodies"])


def _may_be_undefined(node: Node) -> bool:
    if isinstance(node, dict):
        return any(key in ("RefDot", "RefBrack", "Call") or _may_be_undefined(value) for key, value in node.items())
    return isinstance(node, list) and any(_may_be_undefined(item) for item in node)


def _functions(module: Node) -> Iterator[str]:
    package = _name(module["ast"]["package"]["refr"])
    for rule in module["ast"]["rules"]:
        head = rule.get("Spec", {}).get("head", {}).get("Func")
        if head is not None:
            yield f"data.{package}.{_name(head['refr'])}"


def _calls(node: Node) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("with_mods"):
            raise PolicyInvalidError("policies do not use `with`: it belongs in tests")
        for key, value in node.items():
            if key == "Call":
                yield _name(value["fcn"])
            yield from _calls(value)
    elif isinstance(node, list):
        for item in node:
            yield from _calls(item)


def _name(reference: Node) -> str:
    kind, node = next(iter(reference.items()))
    if kind == "Var":
        return str(node["value"])
    if kind == "RefDot":
        return f"{_name(node['refr'])}.{node['field'][1]}"
    if kind == "RefBrack":
        return f"{_name(node['refr'])}.{node['index']['String']['value']}"
    raise KeyError(kind)
