"""The head of one part of an archive's multipart body (RFC 2046 5.1). Pure.

Only what is rebuilt from here leaves: a media type, a transfer syntax that is a UID, a length that is digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.errors import ArchiveError
from proxy.fulfil.uids import is_uid

MAX_HEAD: Final = 8 * 1024

_LINE: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e\t\x80-\xff]*)", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*", re.ASCII)
_LENGTH: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_PLAIN: Final = {
    "content-transfer-encoding": frozenset({"binary", "8bit", "7bit"}),
    "content-encoding": frozenset({"identity"}),
}
"""Encodings that leave the bytes as they are; under any other, they would be called what they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHead:
    media_type: str
    """In lower case, without parameters."""
    transfer_syntax: str | None
    length: int | None
    start: int
    """Bytes of the whole body before the part's own."""

    @property
    def content_type(self) -> str:
        syntax = self.transfer_syntax
        return self.media_type if syntax is None else f"{self.media_type}; transfer-syntax={syntax}"


def read_head(data: bytes, start: int) -> PartHead:
    """:raises ArchiveError: it is not lines of header fields, or says how to read the part in a way unknown here"""
    fields: dict[str, str] = {}
    for line in data.split(b"\r\n"):
        found = _LINE.fullmatch(line.decode("latin-1"))
        if found is None:
            raise ArchiveError("a part of the archive's answer has a malformed head")
        name, value = found[1].lower(), found[2].strip()
        if name in fields:
            raise ArchiveError("a part of the archive's answer has a header field twice")
        fields[name] = value
    for name, plain in _PLAIN.items():
        if name in fields and fields[name].lower() not in plain:
            raise ArchiveError("a part of the archive's answer is encoded")
    length = fields.get("content-length")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise ArchiveError("a part of the archive's answer has a malformed length")
    media_type, syntax = _type(fields.get("content-type", ""))
    return PartHead(
        media_type=media_type,
        transfer_syntax=syntax,
        length=None if length is None else int(length),
        start=start,
    )


def _type(value: str) -> tuple[str, str | None]:
    media_type, *parameters = (item.strip() for item in value.split(";"))
    media_type = media_type.lower()
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        raise ArchiveError("a part of the archive's answer has no media type")
    syntaxes = []
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "transfer-syntax":
            syntaxes.append(text.strip().removeprefix('"').removesuffix('"'))
    if len(syntaxes) > 1:
        raise ArchiveError("a part of the archive's answer has two transfer syntaxes")
    return media_type, syntaxes[0] if syntaxes and is_uid(syntaxes[0]) else None
