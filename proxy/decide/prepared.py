"""Policies made ready for an engine.

What follows from data alone is worked out once and not by every decision: the packages below
``data.dicomweb.prepared``, which never look at ``input``, are evaluated when policies are loaded, and their outcome
takes their place as data. Sections of data that only they read are left out then. Both engines are given the same.

1. Every module parses; those below ``dicomweb.prepared`` refer to data and to each other alone.
2. What refers to rules names them one by one (``naming.py``).
3. They are evaluated, rule by rule. Their outcome is JSON: a set would come out as an array, and a key that is a number
   as a text, so they are refused.
4. Every call of the other modules is resolved (``calls.py``). Data that none of them refers to is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import regorus

from proxy.decide.calls import check_calls
from proxy.decide.metadata import reasons_of
from proxy.decide.naming import check_names
from proxy.decide.policies import PolicySet
from proxy.decide.references import Path, package_of, references, value_rules
from proxy.errors import PolicyInvalidError
from proxy.model import PolicyDigest, PolicyReason

PREPARED: Final = ("dicomweb", "prepared")
_QUERY: Final = "data.dicomweb.prepared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    policies: PolicySet
    """The source, by whose digest everything here goes."""
    modules: tuple[tuple[str, str], ...]
    """Path and text of what is compiled."""
    data: str
    """One JSON object: what is loaded beside."""
    builtins: frozenset[str]
    reasons: Mapping[str, PolicyReason]
    as_of: datetime
    """When the policies were issued, or read where nobody says so."""

    @property
    def digest(self) -> PolicyDigest:
        return self.policies.digest

    def to_bytes(self) -> bytes:
        """All but the source: a line of JSON, and the data behind it as it is."""
        told = {
            "digest": self.digest,
            "modules": [path for path, _ in self.modules],
            "builtins": sorted(self.builtins),
            "reasons": [asdict(reason) for reason in self.reasons.values()],
            "as_of": self.as_of,
        }
        return orjson.dumps(told) + b"\n" + self.data.encode()


def from_bytes(content: bytes, policies: PolicySet) -> Prepared:
    """What :meth:`Prepared.to_bytes` gave in a process of ours, of the same policies. It is not judged again.

    :raises PolicyInvalidError: it is of others, or is no such thing
    """
    head, _, data = content.partition(b"\n")
    texts = dict(policies.modules())
    try:
        told = orjson.loads(head)
        if told["digest"] != policies.digest:
            raise PolicyInvalidError("what was prepared is of other policies")
        return Prepared(
            policies=policies,
            modules=tuple((path, texts[path]) for path in told["modules"]),
            data=data.decode(),
            builtins=frozenset(told["builtins"]),
            reasons={reason["code"]: PolicyReason(**reason) for reason in told["reasons"]},
            as_of=datetime.fromisoformat(told["as_of"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyInvalidError("what was prepared cannot be read") from error


def prepare(policies: PolicySet, as_of: datetime) -> Prepared:
    """Takes some time where there is much data, and runs rules of the policies: for the child process.

    :raises PolicyInvalidError: something of the set cannot be read, or is not what it has to be; the file is named
    """
    texts, builtins = dict(policies.modules()), policies.builtins()
    data = orjson.loads(policies.data())
    try:
        trees: list[Any] = orjson.loads(_engine(texts).get_ast_as_json())
        packages = [package_of(tree) for tree in trees]
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise PolicyInvalidError("the engine's syntax tree has a shape that is not known here") from error
    folded = [tree for tree, package in zip(trees, packages, strict=True) if package[:2] == PREPARED]
    rest = [tree for tree, package in zip(trees, packages, strict=True) if package[:2] != PREPARED]
    roots = {package[0] for package in packages}
    for tree in folded:
        _check_folded(tree, roots)
    check_names(folded, rest, PREPARED)
    check_calls(folded, builtins)
    check_calls(rest, builtins)
    outcome = _evaluate(folded, texts, data) if folded else None
    kept = _referred(rest, data)
    if outcome is not None:
        kept["dicomweb"] = {"prepared": outcome}
    modules = tuple((_file(tree), texts[_file(tree)]) for tree in rest)
    return Prepared(
        policies=policies,
        modules=modules,
        data=orjson.dumps(kept).decode(),
        builtins=builtins,
        reasons=reasons_of(texts.items()),
        as_of=as_of,
    )


def _engine(texts: Mapping[str, str]) -> regorus.Engine:
    engine = regorus.Engine()
    engine.set_gather_prints(True)
    try:
        for path, text in texts.items():
            engine.add_policy(path, text)
    except RuntimeError as error:
        raise PolicyInvalidError(brief(error)) from error
    return engine


def _check_folded(tree: Any, roots: set[str]) -> None:
    """It sees data and what else is folded: nothing that could see input."""
    for _ in references(_body(tree), "input"):
        raise PolicyInvalidError(f"{_file(tree)}: refers to input, and is evaluated before there is any")
    for path in references(_body(tree), "data"):
        if not path or (path[0] in roots and path[: len(PREPARED)] != PREPARED):
            raise PolicyInvalidError(f"{_file(tree)}: refers to more than data and what is prepared of it")


def _evaluate(trees: Sequence[Any], texts: Mapping[str, str], data: dict[str, Any]) -> Any:
    packages = {package_of(tree) for tree in trees}
    rules = sorted(
        {(*package_of(tree), name) for tree in trees for name in value_rules(tree) if not name.startswith("_")}
    )
    for rule in rules:
        if any(package[: len(rule)] == rule for package in packages):
            raise PolicyInvalidError(f"data.{'.'.join(rule)} is a rule and a package")
    # What is undefined is an empty list, where the value itself would make the whole undefined.
    paths = ("".join(f"[{orjson.dumps(name).decode()}]" for name in rule) for rule in rules)
    lines = ",\n".join(f"[value | value := data{path}]" for path in paths)
    query = f"[{lines}]"
    engine = _engine({_file(tree): texts[_file(tree)] for tree in trees})
    try:
        engine.add_data_json(orjson.dumps(data).decode())
        found = engine.eval_query(query)["result"][0]["expressions"][0]["value"]
        # Two outcomes of the same: the value shows what is a set, and JSON keeps integers as they are.
        written = orjson.loads(engine.eval_query_as_json(query))["result"][0]["expressions"][0]["value"]
    except RuntimeError as error:
        raise PolicyInvalidError(brief(error)) from error
    except BaseException as error:
        # A panic of the native engine is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise PolicyInvalidError(f"{_QUERY}: the engine panicked") from error
    if (place := _no_json_within(_nested(rules, found), _QUERY)) is not None:
        raise PolicyInvalidError(f"{place} holds a set, or a key that is no text, which JSON does not have")
    return _nested(rules, written)


def _nested(rules: Sequence[Path], values: Sequence[Any]) -> dict[str, Any]:
    """What a reference to all of ``PREPARED`` would give, from what each rule gave."""
    whole: dict[str, Any] = {}
    for rule, value in zip(rules, values, strict=True):
        holder = whole
        for member in rule[len(PREPARED) : -1]:
            holder = holder.setdefault(member, {})
        if value:
            holder[rule[-1]] = value[0]
    return whole


def _no_json_within(value: object, place: str) -> str | None:
    """Where the first set or key is, of rules and not of what they say: that may be of patients."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            return place
        for name, member in value.items():
            deeper = f"{place}.{name}" if place.count(".") < 4 else place
            if (found := _no_json_within(member, deeper)) is not None:
                return found
    elif isinstance(value, list):
        return next((place for item in value if _no_json_within(item, place) is not None), None)
    return place if isinstance(value, set | frozenset) else None


def _referred(trees: Sequence[Any], data: dict[str, Any]) -> dict[str, Any]:
    named = {path[0] for tree in trees for path in references(_body(tree), "data")}
    return {section: value for section, value in data.items() if section in named}


def _body(tree: Any) -> list[Any]:
    """What can refer to something: a package's own name is no reference."""
    return [tree["ast"]["rules"], tree["ast"]["imports"]]


def _file(tree: Any) -> str:
    return str(tree["source"]["file"])


def brief(error: Exception) -> str:
    """The engine's message on one line, without its stack."""
    return " ".join(str(error).partition("Stack backtrace")[0].split()) or type(error).__name__
