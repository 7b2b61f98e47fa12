"""Query strings (RFC 3986 3.4) as pairs, decoded once. What a name or value means is for others to say.

A space may come as ``%20`` or as ``+``: dicomweb-client, browsers' ``URLSearchParams`` and HTML forms write ``+``,
and a literal plus is ``%2B`` in all of them. The archive always gets ``%20`` and ``%2B``.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.interpret.refused import RefusedError
from proxy.model import Reason

MAX_QUERY_CHARS: Final = 6000
MAX_PARAMETERS: Final = 64

# RFC 3986 3.4 without ``;``; and ``^``, which people write bare in names.
_RAW: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,:@/?=^-]|%[0-9A-Fa-f]{2})*", re.ASCII)


def read_pairs(raw: str) -> list[tuple[str, str]]:
    """Names as they are sent and values decoded, in the order sent.

    :raises RefusedError: it is not ``name=value(&name=value)*``, or too long, or a value does not decode
    """
    if len(raw) > MAX_QUERY_CHARS or _RAW.fullmatch(raw) is None:
        raise invalid(f"a query is at most {MAX_QUERY_CHARS} characters of RFC 3986 3.4, without ';'")
    pairs = raw.split("&")
    if len(pairs) > MAX_PARAMETERS:
        raise invalid(f"a query has at most {MAX_PARAMETERS} parameters")
    found = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise invalid("a parameter is name=value")
        found.append((name, _decoded(text)))
    return found


def read_named(raw: str, names: Container[str]) -> dict[str, str]:
    """The parameters of a resource that takes each of ``names`` once.

    :raises RefusedError: one that is unknown or comes twice, and as :func:`read_pairs`
    """
    values: dict[str, str] = {}
    for name, value in read_pairs(raw) if raw else ():
        if name not in names or name in values:
            raise invalid("a parameter is unknown here, or comes twice")
        values[name] = value
    return values


def invalid(rule: str) -> RefusedError:
    return RefusedError(Reason.INVALID_QUERY, rule)


def _decoded(text: str) -> str:
    """Percent-decoded exactly once; ``%`` is followed by two digits here, and a second layer stays text."""
    if "+" not in text and "%" not in text:
        return text
    try:
        value = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid("parameters are UTF-8") from None
    if not value.isprintable() or "%" in value:
        raise invalid("a parameter holds a control character, or is escaped twice")
    return value
