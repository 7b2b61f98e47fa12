"""The recorded decisions of a period, one after the other: never the whole spool in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from proxy.errors import IntegrityError
from proxy.model import Kind, wire_time
from proxy.ports import SpoolReader

AT_ONCE: Final = 256
"""Records in memory."""
SLACK: Final = timedelta(hours=1)
"""How far records may stand from the order of their times: a decision is recorded when its context is known."""
JUDGED: Final = frozenset({Kind.DECISION.value, Kind.PART.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    since: datetime | None = None
    until: datetime | None = None


def bodies(
    reader: SpoolReader, period: Period, seen: Callable[[int], None] = lambda records: None
) -> Iterator[dict[str, Any]]:
    """Decisions and parts of a period, as written.

    :param seen: told how many records were looked at, as they are
    :raises IntegrityError: a record is no JSON object
    :raises SpoolError: the spool cannot be read
    """
    first, end = span(reader, period)
    since = "" if period.since is None else wire_time(period.since)
    until = "~" if period.until is None else wire_time(period.until)
    for start in range(first, end, AT_ONCE):
        rows = reader.rows(start, min(AT_ONCE, end - start))
        for row in rows:
            if row.kind in JUDGED:
                body = _body(row.body, row.index)
                if since <= body["time"] < until:
                    yield body
        seen(len(rows))


def span(reader: SpoolReader, period: Period) -> tuple[int, int]:
    """Index of the first record to look at, and of the one behind the last."""
    count = reader.count()
    first = 0 if period.since is None else _at(reader, count, period.since - SLACK)
    end = count if period.until is None else _at(reader, count, period.until + SLACK)
    return first, max(first, end)


def _at(reader: SpoolReader, count: int, moment: datetime) -> int:
    """The first record that is not before a moment, by halving: records are nearly in order of time."""
    low, high, wanted = 0, count, wire_time(moment)
    while low < high:
        middle = (low + high) // 2
        rows = reader.rows(middle, 1)
        if rows and _body(rows[0].body, middle)["time"] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _body(content: bytes, index: int) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise IntegrityError(f"record {index} is not JSON: see dicomward ledger verify") from error
    if not isinstance(body, dict) or not isinstance(body.get("time"), str):
        raise IntegrityError(f"record {index} has no time: see dicomward ledger verify")
    return body
