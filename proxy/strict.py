"""JSON and Base64 that two readers cannot understand differently (RFC 7493 2, RFC 4648 3.5). Pure.

Tokens, key sets, the directory, reports and webhooks are read by it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final, Never

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*")


def loads(content: bytes) -> object:
    """One JSON text in UTF-8.

    :raises ValueError: not that, a member stands twice, or it is nested too deep; its text holds none of the content
    """
    try:
        found: object = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON, or names a member twice") from None
    return found


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def unbase64url(text: str) -> bytes:
    """:raises ValueError: it is not how :func:`base64url` writes these bytes"""
    if _ALPHABET.fullmatch(text) is None:
        raise ValueError("is not Base64url without padding")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(content) != text:
        raise ValueError("has bits that belong to nothing")
    return content


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member stands twice")
    return made


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
