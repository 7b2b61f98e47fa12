"""The query of a search (PS3.18 8.3.4): decoded once, checked, put into canonical order.

A space may come as ``%20`` or as ``+``: dicomweb-client, browsers' ``URLSearchParams`` and HTML forms write ``+``,
and a literal plus is ``%2B`` in all of them. The archive always gets ``%20`` and ``%2B``.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from proxy.interpret.attributes import MATCHABLE, Key, include_tag
from proxy.interpret.refused import RefusedError
from proxy.interpret.values import canonical_value
from proxy.model import Level, Query, Reason

MAX_QUERY_CHARS: Final = 6000
MAX_PARAMETERS: Final = 64
MAX_INCLUDE: Final = 128

NO_QUERY: Final = Query()

# RFC 3986 3.4 without ``;``; and ``^``, which people write bare in names.
_RAW: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,:@/?=^-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,4}")


def read_query(raw: str, level: Level, depth: int) -> Query:
    """The query of a search for ``level`` whose path names ``depth`` UIDs.

    :raises RefusedError: an unknown, doubled or malformed parameter, or one too many
    """
    if not raw:
        return NO_QUERY
    if len(raw) > MAX_QUERY_CHARS or _RAW.fullmatch(raw) is None:
        raise _refused(f"a query is at most {MAX_QUERY_CHARS} characters of RFC 3986 3.4, without ';'")
    pairs = raw.split("&")
    if len(pairs) > MAX_PARAMETERS:
        raise _refused(f"a query has at most {MAX_PARAMETERS} parameters")
    names = MATCHABLE[level, depth]
    match: dict[str, str] = {}
    include: set[str] = set()
    controls: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        value = _decoded(text)
        if name in names:
            _add_match(match, names[name], value)
        elif name == "includefield":
            include.update(_included(value))
        elif name in ("fuzzymatching", "limit", "offset") and name not in controls and equals:
            controls[name] = value
        else:
            raise _refused("a parameter is unknown here, or comes twice")
    query = Query(
        match=tuple(sorted(match.items())),
        include=("all",) if "all" in include else tuple(sorted(include)),
        fuzzy=_flag(controls.get("fuzzymatching", "false")),
        limit=_limit(controls.get("limit")),
        offset=_number(controls.get("offset", "0")),
    )
    if len(include) > MAX_INCLUDE or len(write_query(query)) > MAX_QUERY_CHARS:
        raise _refused("the query is too long")
    return query


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


def _refused(rule: str) -> RefusedError:
    return RefusedError(Reason.INVALID_QUERY, rule)


def _decoded(text: str) -> str:
    """Percent-decoded exactly once; ``%`` is followed by two digits here, and a second layer stays text."""
    if "+" not in text and "%" not in text:
        return text
    try:
        value = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("parameters are UTF-8") from None
    if not value.isprintable() or "%" in value:
        raise _refused("a parameter holds a control character, or is escaped twice")
    return value


def _add_match(match: dict[str, str], key: Key, value: str) -> None:
    tag, vr = key
    if tag in match:
        raise _refused("an attribute is matched twice")
    canonical = canonical_value(vr, value)
    if canonical is None:
        raise _refused("a value is not one of its attribute's representation")
    match[tag] = canonical


def _included(value: str) -> list[str]:
    tags = []
    for name in value.split(","):
        tag = "all" if name == "all" else include_tag(name)
        if tag is None:
            raise _refused("includefield names attributes of the dictionary that are not bulk data")
        tags.append(tag)
    return tags


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise _refused("fuzzymatching is true or false")
    return value == "true"


def _limit(value: str | None) -> int | None:
    # Orthanc reads 0 as no limit at all, the standard as no rows: refused.
    if value is None or value != "0":
        return None if value is None else _number(value)
    raise _refused("limit is 1 to 99999")


def _number(value: str) -> int:
    if _NUMBER.fullmatch(value) is None:
        raise _refused("limit and offset are decimal numbers of at most five digits")
    return int(value)
