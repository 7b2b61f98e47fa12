"""Whether the head of an archive's answer is one to what was asked, and what of it is believed. Pure.

Of the archive's own headers a boundary, the type of an image and the fact that rows are held back survive; of an
error nothing does but whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import hdrs

from proxy.errors import ArchiveError, ArchiveRefusedError
from proxy.model import PIXEL_TYPES, Action, DicomRequest, Representation

MULTIPART: Final = "multipart/related"

# A parameter of RFC 9110 5.6.6, and a boundary that needs no quotes (RFC 2046 5.1.1, less the characters that would).
_PARAMETER: Final = re.compile(r';\s*([\w-]+)=(?:"([^"\\]*)"|([^\s;"]+))', re.ASCII)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'+_.-]{1,70}", re.ASCII)
_JSON: Final = frozenset({"application/dicom+json", "application/json"})
_IMAGES: Final = frozenset({"image/jpeg", "image/png"})
_PART_TYPES: Final = {
    Representation.DICOM: frozenset({"application/dicom"}),
    Representation.BULK: frozenset({"application/octet-stream"}),
    Representation.PIXELS: frozenset(PIXEL_TYPES),
}

_SEARCH_STATUS: Final = frozenset({200, 204})
"""A search that finds nothing is not a 404: that would be an archive whose DICOMweb lives elsewhere."""
_READ_STATUS: Final = frozenset({200, 404})
_STORE_STATUS: Final = frozenset({200, 202, 409})
_REFUSED: Final = frozenset({400, 406, 415, 501})
_CANNOT_MAKE: Final = 500
"""Orthanc's answer where it cannot transcode or render, JPEG 2000 to Explicit VR Little Endian for one."""


class Headers(Protocol):
    def get(self, key: str, default: str, /) -> str: ...
    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Head:
    """As in :class:`proxy.ports.ArchiveAnswer`."""

    content_type: str = ""
    boundary: str = ""
    more: bool = False


_NOTHING: Final = Head()
_ALL_JSON: Final = Head("application/dicom+json")
_SOME_JSON: Final = Head("application/dicom+json", more=True)


def checked_head(request: DicomRequest, status: int, headers: Headers) -> Head:
    """:raises ArchiveRefusedError: the object cannot be given in this form

    :raises ArchiveError: it is no answer to what was asked
    """
    action = request.action
    if action is Action.SEARCH:
        expected = _SEARCH_STATUS
    elif action is Action.STORE:
        expected = _STORE_STATUS
    else:
        expected = _READ_STATUS
        if status in _REFUSED or (status == _CANNOT_MAKE and _is_made(request)):
            raise ArchiveRefusedError(f"the archive answered {status} for {request.representation.name}")
    if status not in expected:
        raise ArchiveError(f"the archive answered {status}")
    if status in (204, 404):
        # An answer without rows or object says nothing of a type that anyone would be shown.
        return _NOTHING
    if headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise ArchiveError("the archive encoded an answer although identity was asked for")
    header = headers.get(hdrs.CONTENT_TYPE, "")
    representation = Representation.JSON if action is Action.STORE else request.representation
    if representation in (Representation.JSON, Representation.XML):
        if _media_type(header) in _JSON:
            return _SOME_JSON if action is Action.SEARCH and _holds_back(headers) else _ALL_JSON
    elif representation is Representation.IMAGE:
        kind = _media_type(header)
        if kind in _IMAGES and kind == request.media_type:
            return Head(kind)
    elif boundary := _boundary_of(header, _PART_TYPES[representation]):
        return Head(MULTIPART, boundary)
    raise ArchiveError(f"the archive answered another type where {representation.name} was asked for")


def _is_made(request: DicomRequest) -> bool:
    """Whether the archive has to make what it answers, so that it may fail at it."""
    match request.representation:
        case Representation.PIXELS | Representation.IMAGE:
            return True
        case Representation.DICOM:
            # Without a transfer syntax it is asked for the standard's default, Explicit VR Little Endian.
            return request.transfer_syntax != "*"
    return False


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _boundary_of(header: str, part_types: frozenset[str]) -> str:
    """The boundary; empty where this is not multipart/related of these parts, or a parameter comes twice."""
    kind, _, rest = header.partition(";")
    if kind.strip().lower() != MULTIPART:
        return ""
    found = _PARAMETER.findall(";" + rest)
    parameters = {name.lower(): quoted or token for name, quoted, token in found}
    boundary: str = parameters.get("boundary", "")
    # Orthanc writes the transfer syntax inside the quotes of ``type``.
    if _media_type(parameters.get("type", "")) not in part_types or len(parameters) != len(found):
        return ""
    return boundary if _BOUNDARY.fullmatch(boundary) else ""


def _holds_back(headers: Headers) -> bool:
    """``Warning: 299`` (PS3.18 8.3.4.4), alone or in a list. Read generously: that costs one more question."""
    warnings = headers.getall(hdrs.WARNING, ())
    return any(each.strip().startswith("299") for warning in warnings for each in warning.split(","))
