"""What a client accepts and what it sends: RFC 9110 8.3.1 and 12.5.1, PS3.18 8.7.

The client's header decides between representations and is then thrown away; what the archive is asked for is
written by ``serialize.headers_of``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from proxy.interpret.refused import RefusedError
from proxy.interpret.uid import EXPLICIT_LITTLE, is_uid
from proxy.model import Reason

MAX_RANGES: Final = 32

_TYPE: Final = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)/([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
# We are laxer than RFC 9110 5.6.6 in one thing: clients write ``type=application/dicom`` without the quotes that
# the slash demands. It can be read in one way only.
_PARAMETER: Final = re.compile(
    r"[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:([!#$%&'*+.^_`|~0-9A-Za-z/-]+)|\"([\x20\x21\x23-\x5b\x5d-\x7e]*)\")"
)
_SEPARATOR: Final = re.compile(r"[ \t]*(?:,[ \t]*|$)")
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# RFC 2046 5.1.1, bchars; no space, which it forbids at the end only and which nobody needs.
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    type: str
    """Lower case, ``application/dicom+json`` or with wildcards."""
    parameters: dict[str, str]
    """Names in lower case; without ``q``."""
    weight: float


def negotiate_json(accept: str | None) -> None:
    """:raises RefusedError: the client does not take ``application/dicom+json``"""
    if not _accepts_json(accept):
        raise RefusedError(Reason.NOT_ACCEPTABLE, "this resource is application/dicom+json")


def negotiate_dicom(accept: str | None) -> str:
    """The transfer syntax to ask the archive for: a UID, or ``*`` for as stored.

    :raises RefusedError: the client does not take ``multipart/related; type="application/dicom"``
    """
    syntax = _dicom_syntax(accept)
    if syntax is None:
        raise RefusedError(Reason.NOT_ACCEPTABLE, 'this resource is multipart/related; type="application/dicom"')
    return syntax


def store_boundary(content_type: str | None) -> str:
    """The boundary of ``multipart/related; type="application/dicom"; boundary=...`` (PS3.18 10.5.1).

    :raises RefusedError: any other type, another or a doubled parameter, a boundary that RFC 2046 does not allow
    """
    if content_type is None:
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, "a store has a Content-Type")
    name, parameters, end = read_media_type(content_type, 0, Reason.UNSUPPORTED_MEDIA_TYPE)
    if end != len(content_type.rstrip(" \t")):
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, "Content-Type is one media type")
    if name != "multipart/related" or parameters.get("type", "").lower() != "application/dicom":
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, 'a store is multipart/related; type="application/dicom"')
    if parameters.keys() != {"type", "boundary"}:
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, "Content-Type has the parameters type and boundary")
    if _BOUNDARY.fullmatch(parameters["boundary"]) is None:
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, "a boundary is 1 to 70 characters of RFC 2046 5.1.1")
    return parameters["boundary"]


def read_media_type(text: str, start: int, reason: Reason) -> tuple[str, dict[str, str], int]:
    """Type, parameters and where they end. A parameter named twice is refused: readers differ on which counts.

    :raises RefusedError: with ``reason``, it is not the grammar of RFC 9110 8.3.1
    """
    match = _TYPE.match(text, start)
    if match is None:
        raise RefusedError(reason, "a media type is type/subtype")
    name, position = f"{match[1]}/{match[2]}".lower(), match.end()
    parameters: dict[str, str] = {}
    while (match := _PARAMETER.match(text, position)) is not None:
        key = match[1].lower()
        if key in parameters:
            raise RefusedError(reason, "a media type has a parameter twice")
        parameters[key] = match[2] if match[3] is None else match[3]
        position = match.end()
    return name, parameters, position


def read_accept(accept: str) -> tuple[MediaRange, ...]:
    """:raises RefusedError: it is not a list of media ranges with weights"""
    ranges: list[MediaRange] = []
    position = 0
    while position < len(accept):
        name, parameters, position = read_media_type(accept, position, Reason.MALFORMED_REQUEST)
        weight = parameters.pop("q", "1")
        separator = _SEPARATOR.match(accept, position)
        if separator is None or _WEIGHT.fullmatch(weight) is None or (name[0] == "*" and name != "*/*"):
            raise RefusedError(Reason.MALFORMED_REQUEST, "Accept is a list of media ranges")
        if len(ranges) == MAX_RANGES:
            raise RefusedError(Reason.MALFORMED_REQUEST, f"Accept has at most {MAX_RANGES} media ranges")
        ranges.append(MediaRange(type=name, parameters=parameters, weight=float(weight)))
        position = separator.end()
    if not ranges or accept.rstrip(" \t").endswith(","):
        raise RefusedError(Reason.MALFORMED_REQUEST, "Accept is a list of media ranges")
    return tuple(ranges)


@lru_cache(maxsize=512)
def _accepts_json(accept: str | None) -> bool:
    ranges = read_accept("*/*" if accept is None else accept)
    named = [r.weight for r in ranges if r.type in ("application/dicom+json", "application/json")]
    if named:
        return max(named) > 0
    for wildcard in ("application/*", "*/*"):
        weights = [r.weight for r in ranges if r.type == wildcard]
        if weights:
            return max(weights) > 0
    return False


@lru_cache(maxsize=512)
def _dicom_syntax(accept: str | None) -> str | None:
    ranges = read_accept("*/*" if accept is None else accept)
    candidates = [(r, syntax) for r in ranges if (syntax := _syntax_of(r)) is not None]
    # RFC 9110 12.5.1: the more specific range takes precedence over wildcards, also where its weight is lower.
    named = [candidate for candidate in candidates if candidate[0].type == "multipart/related"]
    best, best_weight = None, 0.0
    for media_range, syntax in named or candidates:
        if media_range.weight > best_weight:
            best, best_weight = syntax, media_range.weight
    return best


def _syntax_of(media_range: MediaRange) -> str | None:
    """The transfer syntax this range asks for, where it takes DICOM in multipart/related at all.

    Without ``transfer-syntax`` that is the default of PS3.18 8.7.3.5.2, Explicit VR Little Endian, also behind a
    wildcard: archives answer so without us, and a client that cannot decompress relies on it.
    """
    parameters = media_range.parameters
    if media_range.type not in ("multipart/related", "multipart/*", "*/*"):
        return None
    if parameters.keys() - {"type", "transfer-syntax"}:
        return None
    if parameters.get("type", "application/dicom").lower() != "application/dicom":
        return None
    syntax = parameters.get("transfer-syntax", EXPLICIT_LITTLE)
    if syntax != "*" and not is_uid(syntax):
        raise RefusedError(Reason.NOT_ACCEPTABLE, "transfer-syntax is a UID or *")
    return syntax
