"""A DICOM JSON list that arrives in pieces: one object at a time leaves, and no more than one is held. Pure."""

from __future__ import annotations

import codecs
import json
from enum import Enum
from typing import Final, NoReturn

import orjson

from proxy.errors import ArchiveError
from proxy.ports import Dataset

MAX_OBJECT: Final = 16 * 1024 * 1024
"""Characters of the longest object that is waited for."""
_SPACE: Final = " \t\r\n"


class _Expects(Enum):
    OPENING = 0
    FIRST = 1
    OBJECT = 2
    SEPARATOR = 3
    NOTHING = 4


class JsonList:
    """Push parser of ``[{...}, {...}]``.

    Objects are read by the standard library's scanner, which tells where an object ends. An object that is not whole
    yet is tried again only when twice as much of it has come, so that the work stays linear in the body's length.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._scanner = json.JSONDecoder(parse_constant=_constant)
        self._expects = _Expects.OPENING
        self._pending: list[str] = []
        self._held = 0
        self._wait = 0
        self._fed = False

    def feed(self, data: bytes) -> list[Dataset]:
        """Objects that are whole after these bytes, in order.

        :raises ArchiveError: the body is no list of objects, or one of them is too long
        """
        if not self._fed and data:
            self._fed = True
            whole = _whole(data)
            if whole is not None:
                self._expects = _Expects.NOTHING
                return whole
        text = self._decoded(data, final=False)
        if text:
            self._pending.append(text)
            self._held += len(text)
        return self._read() if self._held >= self._wait else []

    @property
    def closed(self) -> bool:
        """Whether the list's end has come."""
        return self._expects is _Expects.NOTHING

    def end(self) -> list[Dataset]:
        """What the last bytes made whole.

        :raises ArchiveError: the list is not closed
        """
        self._pending.append(self._decoded(b"", final=True))
        found = self._read()
        if not self.closed:
            raise ArchiveError("the archive's list is not DICOM JSON, or ended early")
        return found

    def _decoded(self, data: bytes, *, final: bool) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise ArchiveError("the archive's list is not UTF-8") from error

    def _read(self) -> list[Dataset]:
        text = "".join(self._pending)
        found: list[Dataset] = []
        position = 0
        self._wait = 0
        while True:
            position = _past_space(text, position)
            if position == len(text):
                break
            if self._expects in (_Expects.FIRST, _Expects.OBJECT) and text[position] == "{":
                whole = self._object(text, position)
                if whole is None:
                    self._wait = 2 * (len(text) - position)
                    break
                item, position = whole
                found.append(item)
                self._expects = _Expects.SEPARATOR
            else:
                self._punctuation(text[position])
                position += 1
        rest = text[position:]
        if len(rest) > MAX_OBJECT:
            raise ArchiveError("an object of the archive's list is too long, or not JSON")
        self._wait = min(self._wait, MAX_OBJECT + 1)
        self._pending = [rest]
        self._held = len(rest)
        return found

    def _object(self, text: str, position: int) -> tuple[Dataset, int] | None:
        try:
            return self._scanner.raw_decode(text, position)
        except json.JSONDecodeError:
            return None
        except (ValueError, RecursionError) as error:
            raise ArchiveError("an object of the archive's list is not JSON") from error

    def _punctuation(self, character: str) -> None:
        match self._expects, character:
            case _Expects.OPENING, "[":
                self._expects = _Expects.FIRST
            case ((_Expects.FIRST | _Expects.SEPARATOR), "]"):
                self._expects = _Expects.NOTHING
            case _Expects.SEPARATOR, ",":
                self._expects = _Expects.OBJECT
            case _:
                raise ArchiveError("the archive's list is not a list of objects")


def _whole(data: bytes) -> list[Dataset] | None:
    """A list that came in one piece; ``None`` where it may go on, or is none: then the scanner decides."""
    if not data.endswith((b"]", b"]\n", b"]\r\n")):
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if type(value) is list and all(type(item) is dict for item in value) else None


def _past_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _constant(name: str) -> NoReturn:
    raise ValueError(name)
