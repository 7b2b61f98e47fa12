"""The body of a store, taken apart as it comes: RFC 2046 5.1, in the one form that every reader reads alike.

::

    body      = [CRLF] "--" boundary CRLF part *( CRLF "--" boundary CRLF part ) CRLF "--" boundary "--" [CRLF]
    part      = 1*( field CRLF ) CRLF DICOM-object

We are stricter than RFC 2046: no preamble (one CRLF is allowed, dicomweb-client sends it), no epilogue, no white
space after a boundary, no bare LF, no part without fields, and a line that begins like a delimiter is one or is
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from proxy.errors import BodyError, BodyTooLargeError
from proxy.interpret.dicom_header import MIN_HEADER_BYTES, PartUnreadableError, Read, read_part_header
from proxy.interpret.elements import IncompleteError, StructureError, Tail
from proxy.interpret.part_head import PartHead, read_part_head
from proxy.model import PartHeader

MAX_PARTS: Final = 10_000
MAX_PART_HEAD_BYTES: Final = 8 * 1024
MAX_DICOM_HEADER_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartEvent:
    """``header`` opens a part, ``data`` continues it (bytes to pass on as they are), ``ends`` closes it."""

    header: PartHeader | None
    data: bytes
    ends: bool


class _State(Enum):
    OPENING = auto()
    """Before the first delimiter."""
    DELIMITED = auto()
    """Behind a delimiter: CRLF or ``--`` follows."""
    HEAD = auto()
    CONTENT = auto()
    CLOSED = auto()
    BROKEN = auto()


class MultipartReader:
    """A push parser for one body, bounded in memory: it holds one part's header, or less than a delimiter.

    :param boundary: as the grammar accepted it
    """

    def __init__(
        self,
        boundary: str,
        *,
        max_parts: int = MAX_PARTS,
        max_part_head_bytes: int = MAX_PART_HEAD_BYTES,
        max_dicom_header_bytes: int = MAX_DICOM_HEADER_BYTES,
    ) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._max_parts = max_parts
        self._max_part_head_bytes = max_part_head_bytes
        self._max_dicom_header_bytes = max_dicom_header_bytes
        self._state = _State.OPENING
        self._held = b""
        """Bytes that could not be judged yet."""
        self._parts = 0
        self._head = PartHead(transfer_syntax=None, length=None)
        self._header: bytearray | None = None
        """The part's first bytes, until its DICOM header was read."""
        self._tail: Tail | None = None
        self._try_at = 0
        self._seen = 0
        """Bytes of the current part."""

    def feed(self, data: bytes) -> Sequence[PartEvent]:
        """Next bytes of the body, in any slices; gives what they complete.

        :raises BodyError: see the grammar above; :class:`PartUnreadableError` for what a part holds
        :raises BodyTooLargeError: too many parts, or a part's head is too long
        """
        events: list[PartEvent] = []
        try:
            self._feed(self._held + data if self._held else data, events)
        except (BodyError, BodyTooLargeError):
            self._state, self._held, self._header = _State.BROKEN, b"", None
            raise
        return events

    def end(self) -> None:
        """:raises BodyError: the body ended before its close-delimiter"""
        if self._state is not _State.CLOSED or self._held not in (b"", b"\r\n"):
            raise BodyError("the body ends before its close-delimiter, or goes on behind it")

    def _feed(self, data: bytes, events: list[PartEvent]) -> None:
        position = 0
        while True:
            state, before = self._state, position
            if state is _State.CONTENT:
                position = self._content(data, position, events)
            elif state is _State.HEAD:
                position = self._part_head(data, position)
            elif state is _State.DELIMITED:
                position = self._delimited(data, position)
            elif state is _State.OPENING:
                position = self._opening(data)
            elif state is _State.CLOSED:
                if data[position:] not in (b"", b"\r", b"\r\n"):
                    raise BodyError("nothing follows the close-delimiter")
            else:
                raise BodyError("the body was refused before")
            if self._state is state and (position == before or position == len(data)):
                break
        self._held = data[position:]

    def _opening(self, data: bytes) -> int:
        start = self._delimiter if data.startswith(b"\r") else self._delimiter[2:]
        if not data.startswith(start[: len(data)]):
            raise BodyError("a body begins with its boundary")
        if len(data) < len(start):
            return 0
        self._state = _State.DELIMITED
        return len(start)

    def _delimited(self, data: bytes, position: int) -> int:
        follows = data[position : position + 2]
        if follows == b"\r\n":
            if self._parts == self._max_parts:
                raise BodyTooLargeError(f"a body has at most {self._max_parts} parts")
            self._parts += 1
            self._state = _State.HEAD
        elif follows == b"--" and self._parts:
            self._state = _State.CLOSED
        elif len(follows) == 2 or follows not in (b"", b"\r", b"-"):
            raise BodyError("a line begins like the boundary and is not a delimiter")
        else:
            return position
        return position + 2

    def _part_head(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            raise BodyError("a part says what it is: Content-Type: application/dicom")
        limit = position + self._max_part_head_bytes
        stop = data.find(b"\r\n\r\n", position, limit)
        if stop < 0:
            if len(data) >= limit:
                raise BodyTooLargeError(f"a part's head has at most {self._max_part_head_bytes} bytes")
            return position
        self._head = read_part_head(data[position:stop])
        self._state = _State.CONTENT
        self._header, self._try_at, self._seen = bytearray(), MIN_HEADER_BYTES, 0
        return stop + 4

    def _content(self, data: bytes, position: int, events: list[PartEvent]) -> int:
        delimiter = self._delimiter
        stop = data.find(delimiter, position)
        if stop >= 0:
            self._emit(data[position:stop], True, events)
            self._state = _State.DELIMITED
            return stop + len(delimiter)
        # What could be the beginning of a delimiter waits: from the first CR in the last bytes that matches.
        stop = len(data)
        start = data.find(b"\r", max(position, stop - len(delimiter) + 1))
        while start >= 0:
            if delimiter.startswith(data[start:]):
                stop = start
                break
            start = data.find(b"\r", start + 1)
        if stop > position:
            self._emit(data[position:stop] if position or stop < len(data) else data, False, events)
        return stop

    def _emit(self, data: bytes, ends: bool, events: list[PartEvent]) -> None:
        self._seen += len(data)
        announced = self._head.length
        if announced is not None and (self._seen > announced or (ends and self._seen != announced)):
            raise BodyError("a part has the length that its head announces")
        if self._header is None:
            self._walk(data, ends)
            events.append(PartEvent(None, data, ends))
            return
        self._header += data
        read = self._read_header(self._header, ends)
        if read is not None:
            whole, self._header, self._tail = bytes(self._header), None, read.tail
            self._walk(whole[read.position :], ends)
            events.append(PartEvent(read.header, whole, ends))

    def _walk(self, data: bytes, ends: bool) -> None:
        """The rest of the data set is checked before it is passed on."""
        if self._tail is None:
            raise BodyError("a part has a header")
        try:
            self._tail.feed(data)
            if ends:
                self._tail.end()
        except StructureError as error:
            raise PartUnreadableError(str(error)) from None

    def _read_header(self, buffer: bytearray, ends: bool) -> Read | None:
        """The part's header, or ``None`` where it needs more bytes. Tried again at twice the size only, so that slow
        slices cost no more than fast ones."""
        if len(buffer) < self._try_at and not ends:
            return None
        limit = self._max_dicom_header_bytes
        cut = len(buffer) > limit  # the limit holds however large the slices are
        try:
            return read_part_header(
                buffer[:limit] if cut else buffer,
                complete=ends and not cut,
                declared_syntax=self._head.transfer_syntax,
            )
        except IncompleteError as error:
            if error.needed > limit or len(buffer) >= limit:
                raise PartUnreadableError(f"a part's header has at most {limit} bytes") from None
            self._try_at = min(max(error.needed, 2 * len(buffer)), limit)
            return None
