"""Answers made from the archive's body while it arrives: metadata from its JSON, images as they are. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from proxy.errors import ArchiveError
from proxy.fulfil import dicom_xml
from proxy.fulfil.jsonlist import JsonList
from proxy.fulfil.multipart import closing, content_type, new_boundary
from proxy.fulfil.shaping import JSON, Shaping, written_json, written_xml
from proxy.fulfil.uids import named, require
from proxy.model import DicomRequest, Level
from proxy.ports import Dataset


class _Metadata(ABC):
    """Datasets of instances, each of which must be of the object that was asked for."""

    length: int | None = None

    def __init__(self, request: DicomRequest, shaping: Shaping) -> None:
        self._wanted = named(request)
        self._shaping = shaping
        self._list = JsonList()
        self._begun = False
        self._ended = False

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        made = self._made(self._list.feed(chunk))
        if self._list.closed and not self._ended:
            self._ended = True
            made.append(self._closed())
        return made

    def end(self) -> bytes:
        last = b"".join(self._made(self._list.end()))
        return last if self._ended else last + self._closed()

    def _made(self, datasets: list[Dataset]) -> list[bytes]:
        made = []
        for dataset in datasets:
            require(dataset, self._wanted)
            self._shaping.apply(dataset, Level.INSTANCE)
            made.append(self._written(dataset, not self._begun))
            self._begun = True
        return made

    @abstractmethod
    def _written(self, dataset: Dataset, first: bool) -> bytes: ...

    @abstractmethod
    def _closed(self) -> bytes: ...


class JsonMetadata(_Metadata):
    """A list of DICOM JSON (PS3.18 F)."""

    content_type = JSON

    def _written(self, dataset: Dataset, first: bool) -> bytes:
        return (b"[" if first else b",") + written_json(dataset)

    def _closed(self) -> bytes:
        return b"]" if self._begun else b"[]"


class XmlMetadata(_Metadata):
    """One part of Native DICOM Model for each instance."""

    def __init__(self, request: DicomRequest, shaping: Shaping) -> None:
        super().__init__(request, shaping)
        self._boundary = new_boundary()
        self.content_type = content_type(dicom_xml.MEDIA_TYPE, self._boundary)

    def _written(self, dataset: Dataset, first: bool) -> bytes:
        return written_xml(dataset, self._boundary, first)

    def _closed(self) -> bytes:
        if not self._begun:
            raise ArchiveError("the archive lists no instance of an object that it has")
        return closing(self._boundary)


class Image:
    """One rendered image, as it comes; its type was held to the request where the answer's head was read."""

    def __init__(self, media_type: str, length: int | None) -> None:
        self.content_type = media_type
        self.length = length
        self._fed = 0

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        self._fed += len(chunk)
        return (chunk,) if chunk else ()

    def end(self) -> bytes:
        if self.length is not None and self.length != self._fed:
            raise ArchiveError("the archive's image is not as long as it said")
        return b""
