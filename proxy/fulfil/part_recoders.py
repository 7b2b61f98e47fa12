"""Parts of the archive's multipart body under heads and a boundary of our own, or the one part by itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import ArchiveError
from proxy.fulfil.multipart import closing, content_type, new_boundary, opening
from proxy.fulfil.part_heads import PartHead
from proxy.fulfil.parts import PartReader
from proxy.model import PIXEL_TYPES, DicomRequest, Representation
from proxy.ports import ArchiveAnswer


class Parts:
    """Files, frames or bulk data. ``content_type`` and ``length`` are known once ``feed`` has returned something."""

    def __init__(self, request: DicomRequest, answer: ArchiveAnswer, frames_at: str | None) -> None:
        """:param frames_at: address below which an instance's frames lie, where the parts are its frames"""
        self.length: int | None = None
        self._request = request
        self._whole = answer.length
        self._upstream = answer.boundary
        self._reader = PartReader(answer.boundary)
        self._boundary = new_boundary()
        self._frames_at = frames_at
        self._first: PartHead | None = None
        self._count = 0
        self._closed = False

    @property
    def content_type(self) -> str:
        """:raises ArchiveError: no part has begun"""
        if self._first is None:
            raise ArchiveError("the archive's answer has no part")
        if self._request.bare:
            return self._first.content_type
        return content_type(self._first.media_type, self._boundary)

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        pieces = self._reader.feed(chunk)
        if len(pieces) == 1 and pieces[0] is chunk:
            return (chunk,) if chunk else ()
        made = b"".join(self._opened(piece) if isinstance(piece, PartHead) else piece for piece in pieces)
        if self._reader.closed and not self._closed:
            # With the last bytes: what leaves by itself costs a record of TLS and a system call.
            made += self._close()
        return (made,) if made else ()

    def end(self) -> bytes:
        self._reader.end()
        return b"" if self._closed else self._close()

    def _close(self) -> bytes:
        if self._count == 0 or self._count < len(self._request.frames):
            raise ArchiveError("the archive's answer has too few parts")
        self._closed = True
        return b"" if self._request.bare else closing(self._boundary)

    def _opened(self, head: PartHead) -> bytes:
        self._check(head)
        self._count += 1
        first = self._first is None
        if self._first is None:
            self._first = head
        if self._request.bare:
            self.length = head.length
            return b""
        made = opening(self._boundary, first, head.content_type, head.length, self._location())
        if first:
            self.length = self._known_length(head, made)
        return made

    def _check(self, head: PartHead) -> None:
        request = self._request
        if request.representation is Representation.PIXELS:
            fits = head.media_type in PIXEL_TYPES
        else:
            fits = head.media_type == request.media_type
        if not fits or (self._first is not None and head.media_type != self._first.media_type):
            raise ArchiveError("a part of the archive's answer is not of the type that was asked for")
        most = 1 if request.bare or self.length is not None else len(request.frames)
        if most and self._count >= most:
            raise ArchiveError("the archive's answer has more parts than were asked for")

    def _location(self) -> str | None:
        if self._frames_at is None:
            return None
        frames = self._request.frames
        return f"{self._frames_at}{frames[self._count - 1] if frames else self._count}"

    def _known_length(self, head: PartHead, made: bytes) -> int | None:
        """Length of our answer where the archive's leaves room for this one part and no other."""
        if self._whole is None or head.length is None:
            return None
        after = self._whole - head.start - head.length - len(f"\r\n--{self._upstream}--")
        return len(made) + head.length + len(closing(self._boundary)) if after in (0, 2) else None
