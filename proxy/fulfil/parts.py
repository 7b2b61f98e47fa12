"""Takes an archive's multipart body apart (RFC 2046 5.1), push by push. Pure.

A part that says its length is not looked into: its bytes pass as they came, the very same object where a chunk lies
wholly inside it. What follows it must be a delimiter. Nothing but the heads is ever held, and at most 8 KiB of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.errors import ArchiveError
from proxy.fulfil.part_heads import MAX_HEAD, PartHead, read_head

_NEWLINE: Final = b"\r\n"
_MORE: Final = -1
_MAX_PADDING: Final = 64

Piece = PartHead | bytes | memoryview


class PartReader:
    """The states of a body. Each takes from a position what it can and says where the next one goes on."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = f"\r\n--{boundary}".encode("ascii")
        self._state: Callable[[bytes, int, list[Piece]], int] = self._start
        self._held = b""
        self._consumed = 0
        self._remaining = 0

    def feed(self, chunk: bytes) -> list[Piece]:
        """A ``PartHead`` opens a part, bytes continue it.

        :raises ArchiveError: the body is not well formed
        """
        if len(chunk) < self._remaining:
            self._remaining -= len(chunk)
            self._consumed += len(chunk)
            return [chunk]
        data = self._held + chunk if self._held else chunk
        pieces: list[Piece] = []
        position = 0
        while position < len(data):
            after = self._state(data, position, pieces)
            if after == _MORE:
                break
            position = after
        self._held = data[position:]
        self._consumed += position
        return pieces

    @property
    def closed(self) -> bool:
        """Whether the close-delimiter has come."""
        return self._state == self._epilogue

    def end(self) -> None:
        """:raises ArchiveError: the body ended before its close-delimiter"""
        if not self.closed:
            raise ArchiveError("the archive's multipart answer ended early")

    def _start(self, data: bytes, position: int, _: list[Piece]) -> int:
        """The first delimiter, with or without a line break before it; no preamble."""
        if data[position] == _NEWLINE[0]:
            self._state = self._boundary
            return position
        return self._past(self._delimiter[2:], data, position)

    def _boundary(self, data: bytes, position: int, _: list[Piece]) -> int:
        return self._past(self._delimiter, data, position)

    def _past(self, expected: bytes, data: bytes, position: int) -> int:
        there = data[position : position + len(expected)]
        if not expected.startswith(there):
            raise ArchiveError("a part of the archive's answer is not followed by a delimiter")
        if len(there) < len(expected):
            return _MORE
        self._state = self._after_boundary
        return position + len(expected)

    def _after_boundary(self, data: bytes, position: int, _: list[Piece]) -> int:
        if data.startswith(b"--", position):
            self._state = self._epilogue
            return position + 2
        end = data.find(_NEWLINE, position, position + _MAX_PADDING)
        if end < 0 and len(data) - position < _MAX_PADDING:
            return _MORE
        if end < 0 or data[position:end].strip(b" \t"):
            raise ArchiveError("a delimiter of the archive's answer is malformed")
        self._state = self._head
        return end + 2

    def _head(self, data: bytes, position: int, pieces: list[Piece]) -> int:
        end = data.find(b"\r\n\r\n", position, position + MAX_HEAD + 4)
        if end < 0:
            if len(data) - position > MAX_HEAD + 4:
                raise ArchiveError("a part of the archive's answer has a head that is too long")
            return _MORE
        head = read_head(data[position:end], self._consumed + end + 4)
        pieces.append(head)
        self._remaining = head.length or 0
        self._state = self._unknown if head.length is None else self._known if head.length else self._boundary
        return end + 4

    def _known(self, data: bytes, position: int, pieces: list[Piece]) -> int:
        """A body of known length."""
        end = min(position + self._remaining, len(data))
        pieces.append(data if position == 0 and end == len(data) else memoryview(data)[position:end])
        self._remaining -= end - position
        if not self._remaining:
            self._state = self._boundary
        return end

    def _unknown(self, data: bytes, position: int, pieces: list[Piece]) -> int:
        """A body up to the next delimiter; what may be the beginning of one waits."""
        end = data.find(self._delimiter, position)
        if end >= 0:
            pieces.append(memoryview(data)[position:end])
            self._state = self._after_boundary
            return end + len(self._delimiter)
        end = data.find(b"\r", max(position, len(data) - len(self._delimiter) + 1))
        if end < 0:
            end = len(data)
        if end == position:
            return _MORE
        pieces.append(data if position == 0 and end == len(data) else memoryview(data)[position:end])
        return end

    def _epilogue(self, data: bytes, position: int, _: list[Piece]) -> int:
        if data[position:].strip():
            raise ArchiveError("the archive's multipart answer goes on after its end")
        return len(data)
