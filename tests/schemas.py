"""The contract's schemas, by which whatever a journey or a real process asks policy with is judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jsonschema
import orjson

SCHEMAS: Final = Path(__file__).parents[1] / "policies/schemas"


def schema(name: str) -> Any:
    """:param name: ``input``, ``result`` or ``data``"""
    return orjson.loads((SCHEMAS / f"{name}.v1.json").read_bytes())


def validator(name: str = "input") -> Callable[[object], list[str]]:
    """What is wrong with a value, each fault with its place; empty where it satisfies the schema."""
    checker = jsonschema.Draft7Validator(schema(name))

    def faults(value: object) -> list[str]:
        return [f"{fault.json_path}: {fault.message}" for fault in checker.iter_errors(value)]

    return faults
