"""What a client accepts and what it sends: RFC 9110 8.3.1 and 12.5.1, PS3.18 8.7.

Only how such headers are written stands here; which representation they pick is said in ``negotiate``. What the
archive is asked for is written by ``serialize.headers_of``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.interpret.refused import RefusedError
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


def read_accept(accept: str, reason: Reason = Reason.MALFORMED_REQUEST) -> tuple[MediaRange, ...]:
    """:raises RefusedError: with ``reason``, it is not a list of media ranges with weights"""
    ranges: list[MediaRange] = []
    position = 0
    while position < len(accept):
        name, parameters, position = read_media_type(accept, position, reason)
        weight = parameters.pop("q", "1")
        separator = _SEPARATOR.match(accept, position)
        if separator is None or _WEIGHT.fullmatch(weight) is None or (name[0] == "*" and name != "*/*"):
            raise RefusedError(reason, "Accept is a list of media ranges")
        if len(ranges) == MAX_RANGES:
            raise RefusedError(reason, f"Accept has at most {MAX_RANGES} media ranges")
        ranges.append(MediaRange(type=name, parameters=parameters, weight=float(weight)))
        position = separator.end()
    if not ranges or accept.rstrip(" \t").endswith(","):
        raise RefusedError(reason, "Accept is a list of media ranges")
    return tuple(ranges)
