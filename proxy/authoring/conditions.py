"""Which conditions of the decision did not hold, asked one by one.

A decision has several bodies (``else``); each statement of a body is asked together with those before it that held, so
that names it uses are there. Of several bodies the one that came closest is told. What cannot be asked by itself, since
it uses a name of its package, is left out: the reasons tell of it all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import regorus

from proxy.decide.prepared import Prepared
from proxy.decide.references import package_of
from proxy.model import JsonObject

_AUTHZ: Final = ("dicomweb", "authz")
_RULE: Final = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    file: str
    line: int
    text: str

    def to_wire(self) -> JsonObject:
        return {"file": self.file, "line": self.line, "text": self.text}


def failing(prepared: Prepared, policy_input: JsonObject) -> tuple[Condition, ...]:
    """Empty where that cannot be told."""
    engine = regorus.Engine()
    engine.set_gather_prints(True)
    try:
        for path, text in prepared.modules:
            engine.add_policy(path, text)
        engine.add_data_json(prepared.data)
        engine.set_input_json(orjson.dumps(policy_input).decode())
        bodies = list(_bodies(orjson.loads(engine.get_ast_as_json()), dict(prepared.modules)))
    except (RuntimeError, KeyError, TypeError, IndexError, StopIteration):
        return ()
    failed = [found for body in bodies if (found := tuple(_failed(engine, body)))]
    return min(failed, key=len, default=())


def _bodies(trees: Sequence[Any], texts: dict[str, str]) -> Iterator[list[Condition]]:
    for tree in trees:
        if package_of(tree) != _AUTHZ:
            continue
        file = str(tree["source"]["file"])
        for rule in tree["ast"]["rules"]:
            head = rule.get("Spec", {}).get("head", {}).get("Compr")
            if head is not None and head["refr"].get("Var", {}).get("value") == _RULE:
                for body in rule["Spec"]["bodies"]:
                    if body["query"]["stmts"]:  # an `else` may have none
                        yield _statements(file, texts[file].encode(), body["query"])


def _statements(file: str, source: bytes, query: Any) -> list[Condition]:
    """The engine's spans tell where a statement begins; it ends where the next one does or the body is closed."""
    spans = [statement["span"] for statement in query["stmts"]]
    ends = [span["start"] for span in spans[1:]] + [query["span"]["end"]]
    found = []
    for number, (span, end) in enumerate(zip(spans, ends, strict=True)):
        text = source[span["start"] : end].decode().strip()
        if number == len(spans) - 1:
            text = text.removesuffix("}").strip()
        lines = [line for line in text.splitlines() if not line.strip().startswith("#")]
        found.append(Condition(file=file, line=span["line"], text="\n".join(lines).strip()))
    return found


def _failed(engine: Any, body: Sequence[Condition]) -> Iterator[Condition]:
    held: list[str] = []
    for condition in body:
        holds = _holds(engine, [*held, condition.text])
        if holds:
            held.append(condition.text)
        elif holds is False:
            yield condition


def _holds(engine: Any, statements: Sequence[str]) -> bool | None:
    """``None``: it cannot be asked."""
    try:
        results = engine.eval_query("\n".join(statements))["result"]
    except (RuntimeError, TypeError):
        return None
    return any(all(each["value"] is not False for each in result["expressions"]) for result in results)
