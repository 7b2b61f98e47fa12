"""Writes the pages of this folder that say what the code says: ``python docs/generate.py`` (a test compares them).

``configuration.md`` comes from the descriptions in ``proxy/config.py``, ``reasons.md`` from the catalogue in
``proxy/answer/problem.py``.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.answer import CATALOGUE, problem_of
from proxy.answer.problem import TYPE_PREFIX
from proxy.config import Site
from proxy.model import Reason

NOTE = "<!-- Written by docs/generate.py: change the code and run it. -->"


def pages() -> dict[str, str]:
    """Content by file name."""
    return {"configuration.md": configuration(), "reasons.md": reasons()}


# ------------------------------------------------------------------------------------ configuration

CONFIGURATION = f"""{NOTE}

# Configuration

One TOML file; `dicomward check-config --config FILE` checks it. A section of the tables below is a table of the file,
with double brackets one of an array. Paths are relative to the file. Whatever is wrong ends the start with exit
status 2 and the name of the key: unknown keys, values out of bounds, files that are not there, secrets that others
can read. Nothing falls back to a default that was not asked for.

*required* in the column of defaults: the key has none.
"""


def configuration() -> str:
    blocks = [CONFIGURATION]
    for path, section, repeated in sections(Site, ""):
        rows = [
            f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
            for name, field in section.model_fields.items()
            if _section(field) is None
        ]
        if not rows:
            continue
        title = f"## `[{path}]`" if path else "## Top of the file"
        if repeated:
            title = f"## `[[{path}]]`"
        blocks.append(f"{title}\n")
        if section.__doc__ and inspect.cleandoc(section.__doc__) and path:
            blocks.append(f"{inspect.cleandoc(section.__doc__)}\n")
        blocks.append("\n".join(["| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(blocks)


def sections(model: type[BaseModel], path: str, repeated: bool = False) -> Iterator[tuple[str, type[BaseModel], bool]]:
    """Every section, its own before those inside it, and whether it is an array of tables."""
    yield path, model, repeated
    for name, field in model.model_fields.items():
        inner = _section(field)
        if inner is not None:
            array = get_origin(field.annotation) is tuple
            yield from sections(inner, f"{path}.{name}" if path else name, array)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return kind
    return None


def _type(field: FieldInfo) -> str:
    return _cell(_kind(field.annotation, field.metadata))


def _kind(annotation: Any, metadata: Any = ()) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _kind(inner, [*metadata, *(each for part in more for each in getattr(part, "metadata", [part]))])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(each, metadata) for each in get_args(annotation) if each is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin is tuple:
        kind = _kind(get_args(annotation)[0])
        return f"list of {kind.removeprefix('one of ') if kind.startswith('one of ') else kind + 's'}"
    names = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "path"}
    return " ".join(filter(None, [names[annotation], _bounds(metadata)]))


def _bounds(metadata: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {_number(getattr(each, name))}"
        for each in metadata
        for name, sign in signs.items()
        if hasattr(each, name)
    ]
    found += [f"matching `{each.pattern}`" for each in metadata if getattr(each, "pattern", None)]
    return ", ".join(found)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "*required*"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{_number(value)}`"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# ------------------------------------------------------------------------------------------ reasons

REASONS = f"""{NOTE}

# Reasons

Whatever is refused is refused for reasons of this list, and of no other: answers, records and metrics use the same
codes. An answer that refuses is `application/problem+json` (RFC 9457); its `type` is `{TYPE_PREFIX}` and the gravest
reason, `reasons` holds each with what to do, and `decision` is the id to give to the operator:

```json
EXAMPLE
```

Rego rules name the codes that they deny with in their METADATA (`custom.code`).
"""


def reasons() -> str:
    example = json.dumps(json.loads(problem_of([Reason.POSTURE_STALE], "019aad0d7a3b" + "5e" * 10).body), indent=2)
    rows = [
        f"| `{reason.value}` | {entry.status} | {_cell(entry.title)} | {_cell(entry.remedy)} |"
        for reason, entry in _in_order(CATALOGUE).items()
    ]
    table = "\n".join(["| Code | Status | What is the matter | What to do |", "|---|---|---|---|", *rows])
    return f"{REASONS.replace('EXAMPLE', example)}\n{table}\n"


def _in_order(catalogue: Mapping[Reason, Any]) -> dict[Reason, Any]:
    return {reason: catalogue[reason] for reason in Reason}


if __name__ == "__main__":
    for name, content in pages().items():
        (Path(__file__).parent / name).write_text(content, "utf-8")
