"""JSON that every engine reads alike, and nothing else. Pure.

Refused: a member that stands twice (some take the first, some the last), ``NaN`` and ``Infinity``, integers beyond
2^53 - 1 and numbers beyond a double (some lose digits), a byte order mark, and text that is not UTF-8 or holds half a
surrogate pair.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, Never, TypeVar, cast

from proxy.errors import PolicyInvalidError
from proxy.model import MAX_INTEGER, JsonObject

_T = TypeVar("_T")
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
"""May stand for half a pair: only then the value is looked through, which takes as long as reading it."""


def parse_object(path: str, content: bytes) -> JsonObject:
    """
    :param path: for the message
    :raises PolicyInvalidError: it is no such JSON, or no object
    """
    try:
        text = content.decode()
        value = json.loads(
            text, object_pairs_hook=unique, parse_int=_integer, parse_float=_number, parse_constant=_constant
        )
        if _HALF.search(text) is not None:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise PolicyInvalidError(f"{path}: not UTF-8") from error
    except UnicodeEncodeError as error:
        raise PolicyInvalidError(f"{path}: text holds half a surrogate pair") from error
    except (ValueError, RecursionError) as error:
        raise PolicyInvalidError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise PolicyInvalidError(f"{path}: is not a JSON object")
    return cast("JsonObject", value)


def unique(pairs: list[tuple[str, _T]]) -> dict[str, _T]:
    """:raises ValueError: a member stands twice"""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return value


def _integer(text: str) -> int:
    if len(text) > 17 or abs(value := int(text)) > MAX_INTEGER:
        raise ValueError("an integer is beyond 2^53 - 1")
    return value


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("a number is too large")
    return value


def _constant(text: str) -> Never:
    raise ValueError(f"{text} is not JSON")
