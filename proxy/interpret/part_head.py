"""The MIME head of one part: RFC 2046 5.1, RFC 9112 5 for the form of its lines, PS3.18 8.6.1.2.1 for what it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.errors import BodyError
from proxy.interpret.media_types import read_media_type
from proxy.interpret.refused import RefusedError
from proxy.interpret.uid import is_uid
from proxy.model import Reason

# Names a token, values printable ASCII; so no bare CR or LF, no folded line, no control.
_LINE: Final = re.compile(rb"([A-Za-z0-9-]{1,64}):[ \t]*([\x20-\x7e\t]*)")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,15}")

_ALLOWED: Final = frozenset(
    {b"content-type", b"content-length", b"content-id", b"content-location", b"mime-version"}
    | {b"content-transfer-encoding"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHead:
    transfer_syntax: str | None
    """As ``Content-Type`` declares it; the meta information must agree."""
    length: int | None
    """As ``Content-Length`` announces it; the part must have it."""


def read_part_head(block: bytes) -> PartHead:
    """The lines of ``block``, which ends before the empty line.

    :raises BodyError: a line is not a field, is not allowed or comes twice, or the part is not ``application/dicom``
    """
    fields: dict[bytes, str] = {}
    for line in block.split(b"\r\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BodyError("a line of a part's head is not a field")
        name = match[1].lower()
        if name not in _ALLOWED or name in fields:
            raise BodyError("a field of a part's head is not allowed, or comes twice")
        fields[name] = match[2].decode("ascii").strip(" \t")
    # Clients of Java libraries send ``binary``, which changes nothing; any other value would.
    if fields.get(b"content-transfer-encoding", "binary").lower() != "binary":
        raise BodyError("parts have no transfer encoding")
    return PartHead(transfer_syntax=_syntax(fields.get(b"content-type")), length=_length(fields.get(b"content-length")))


def _syntax(content_type: str | None) -> str | None:
    if content_type is None:
        raise BodyError("a part has a Content-Type")
    try:
        name, parameters, end = read_media_type(content_type, 0, Reason.MULTIPART_MALFORMED)
    except RefusedError as error:
        raise BodyError(error.rule) from None
    if end != len(content_type) or name != "application/dicom" or parameters.keys() - {"transfer-syntax"}:
        raise BodyError("a part is application/dicom, with no parameter but transfer-syntax")
    syntax = parameters.get("transfer-syntax")
    if syntax is not None and not is_uid(syntax):
        raise BodyError("transfer-syntax is a UID")
    return syntax


def _length(announced: str | None) -> int | None:
    if announced is None:
        return None
    if _LENGTH.fullmatch(announced) is None:
        raise BodyError("Content-Length is a decimal number")
    return int(announced)
