"""Rows of a search answer: which objects it names. Pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.errors import ArchiveError

_UIDS: Final = ("0020000D", "0020000E", "00080018")


def rows_of(body: bytes) -> list[list[str]]:
    """For each row the UIDs it shows: study, then series and instance as far as it has them.

    :raises ArchiveError: it is not a DICOM JSON list (PS3.18 F.2), or a row names no study
    """
    try:
        rows = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ArchiveError("the archive's search answer is not JSON") from error
    if not isinstance(rows, list):
        raise ArchiveError("the archive's search answer is not a list")
    return [_uids(row) for row in rows]


def _uids(row: Any) -> list[str]:
    found: list[str] = []
    for tag in _UIDS:
        element = row.get(tag) if isinstance(row, dict) else None
        values = element.get("Value") if isinstance(element, dict) else None
        if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str):
            found.append(values[0])
        elif not found:
            raise ArchiveError("a row of the archive's search answer names no study")
    return found
