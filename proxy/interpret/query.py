"""The query of a search (PS3.18 8.3.4): checked and put into canonical order."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from proxy.interpret.attributes import MATCHABLE, Key, include_tag
from proxy.interpret.parameters import MAX_QUERY_CHARS, invalid, read_pairs
from proxy.interpret.values import canonical_value
from proxy.model import Level, Query

MAX_INCLUDE: Final = 128

NO_QUERY: Final = Query()

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,4}")


def read_query(raw: str, level: Level, depth: int) -> Query:
    """The query of a search for ``level`` whose path names ``depth`` UIDs.

    :raises RefusedError: an unknown, doubled or malformed parameter, or one too many
    """
    if not raw:
        return NO_QUERY
    names = MATCHABLE[level, depth]
    match: dict[str, str] = {}
    include: set[str] = set()
    controls: dict[str, str] = {}
    for name, value in read_pairs(raw):
        key = names.get(name)
        if key is not None:
            _add_match(match, key, value)
        elif name == "includefield":
            include.update(_included(value))
        elif name in ("fuzzymatching", "limit", "offset") and name not in controls:
            controls[name] = value
        else:
            raise invalid("a parameter is unknown here, or comes twice")
    # > If the value is of zero length, all entities match (PS3.4 C.2.2.2.3); the attribute is asked for.
    include.update(tag for tag, value in match.items() if not value)
    query = Query(
        match=tuple(sorted((tag, value) for tag, value in match.items() if value)),
        include=("all",) if "all" in include else tuple(sorted(include)),
        fuzzy=_flag(controls.get("fuzzymatching", "false")),
        limit=_limit(controls.get("limit")),
        offset=_number(controls.get("offset", "0")),
    )
    if len(include) > MAX_INCLUDE or len(write_query(query)) > MAX_QUERY_CHARS:
        raise invalid("the query is too long")
    return query


# What archives that decode nothing can match on. Orthanc compares an escape as it stands: ``North%20Hospital`` would
# find nothing, and a person would read that there is nothing.
_UNMATCHABLE: Final = re.compile(r"[^A-Za-z0-9._~,*?^:@/!$'()-]", re.ASCII)


def matchable(query: Query) -> Query:
    """The query with a wildcard for each character that an archive might not decode: one in ASCII is one character,
    any other may be several octets. What it finds is what was asked for, and at most some more.
    """
    if not any(_UNMATCHABLE.search(value) for _, value in query.match):
        return query
    return replace(query, match=tuple((tag, _UNMATCHABLE.sub(_wildcard, value)) for tag, value in query.match))


def _wildcard(found: re.Match[str]) -> str:
    return "?" if found[0].isascii() else "*"


# What a query may hold bare (RFC 3986 3.4) and attribute values do hold, with the ``^`` of names: Orthanc matches
# values as they are sent and decodes nothing. ``&``, ``=``, ``+``, ``#`` and ``%`` are always escaped.
_BARE: Final = ",*?^:@/!$'()"


def write_query(query: Query) -> str:
    """The query string of a canonical query: tags, one escape for each octet that needs one, no question mark."""
    parts = [f"{tag}={quote(value, safe=_BARE)}" for tag, value in query.match]
    if query.include:
        parts.append("includefield=" + ",".join(query.include))
    if query.fuzzy:
        parts.append("fuzzymatching=true")
    if query.limit is not None:
        parts.append(f"limit={query.limit}")
    if query.offset:
        parts.append(f"offset={query.offset}")
    return "&".join(parts)


def _add_match(match: dict[str, str], key: Key, value: str) -> None:
    tag, vr = key
    if tag in match:
        raise invalid("an attribute is matched twice")
    canonical = canonical_value(vr, value) if value else ""
    if canonical is None:
        raise invalid("a value is not one of its attribute's representation")
    match[tag] = canonical


def _included(value: str) -> list[str]:
    tags = []
    for name in value.split(","):
        tag = "all" if name == "all" else include_tag(name)
        if tag is None:
            raise invalid("includefield names attributes of the dictionary that are not bulk data")
        tags.append(tag)
    return tags


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise invalid("fuzzymatching is true or false")
    return value == "true"


def _limit(value: str | None) -> int | None:
    # Orthanc reads 0 as no limit at all, the standard as no rows: refused.
    if value is None or value != "0":
        return None if value is None else _number(value)
    raise invalid("limit is 1 to 99999")


def _number(value: str) -> int:
    if _NUMBER.fullmatch(value) is None:
        raise invalid("limit and offset are decimal numbers of at most five digits")
    return int(value)
