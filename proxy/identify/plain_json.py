"""JSON as RFC 8259 and RFC 7493 have it, and no looser: what two readers could understand differently is refused."""

from __future__ import annotations

import json
from typing import Never


def loads(content: bytes) -> object:
    """One JSON text in UTF-8.

    :raises ValueError: not that, a member stands twice, or it is nested too deep; its text holds none of the content
    """
    try:
        value: object = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # Not chained: the library's errors carry the whole document, which may be a token.
        raise ValueError("is not JSON, or names a member twice") from None
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member stands twice")
    return made


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
