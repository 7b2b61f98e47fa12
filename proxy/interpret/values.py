"""Values that a search may match on, by value representation (PS3.5 6.2, PS3.4 C.2.2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

from proxy.interpret.uid import is_uid

MAX_TEXT_CHARS: Final = 64
MAX_LIST: Final = 100

_DATE: Final = re.compile(r"[0-9]{8}")
_TIME: Final = re.compile(r"(?:[01][0-9]|2[0-3])(?:[0-5][0-9](?:[0-5][0-9](?:\.[0-9]{1,6})?)?)?")
_CODE: Final = re.compile(r"[A-Z0-9 _*?]{1,16}")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,9}")


def _uids(value: str) -> str | None:
    # UID list matching; PS3.18 8.3.4.1 separates by comma
    return _list(value, is_uid)


def _codes(value: str) -> str | None:
    return _list(value, lambda item: _CODE.fullmatch(item) is not None)


def _list(value: str, legal: Callable[[str], bool]) -> str | None:
    """A list means the same in any order: sorted, each once."""
    items = value.split(",")
    if len(items) > MAX_LIST or not all(map(legal, items)):
        return None
    return value if len(items) == 1 else ",".join(sorted(set(items)))


def _dates(value: str) -> str | None:
    return _range(value, _is_date)


def _times(value: str) -> str | None:
    return _range(value, lambda item: _TIME.fullmatch(item) is not None)


def _range(value: str, legal: Callable[[str], bool]) -> str | None:
    """One value, or ``a-``, ``-b``, ``a-b`` (PS3.4 C.2.2.2.5)."""
    first, dash, last = value.partition("-")
    ends = [end for end in (first, last) if end]
    return value if ends and all(map(legal, ends)) and (dash or not last) else None


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _integer(value: str) -> str | None:
    return value if _INTEGER.fullmatch(value) is not None else None


def _text(value: str) -> str | None:
    # A comma is a list to archives, a backslash is dropped by them, ``;`` ends a parameter for some readers.
    if len(value) > MAX_TEXT_CHARS or not value.isprintable() or any(mark in value for mark in ",;\\"):
        return None
    return value


_RULES: Final[dict[str, Callable[[str], str | None]]] = {
    "UI": _uids,
    "CS": _codes,
    "DA": _dates,
    "TM": _times,
    "IS": _integer,
    "LO": _text,
    "SH": _text,
    "PN": _text,
}


def canonical_value(vr: str, value: str) -> str | None:
    """The one way to write this value, or ``None`` where it is not one of this VR. Wildcards stand in text only."""
    return _RULES[vr](value) if value else None
