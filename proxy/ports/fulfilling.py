"""What is made of an answer, and of a store's body (step 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from proxy.model import (
    DicomRequest,
    Obligation,
    PartHeader,
    Query,
    Reason,
    ResourceContext,
    SeriesUid,
    StudyContext,
    StudyUid,
)
from proxy.ports.archive import ArchiveAnswer

Dataset = dict[str, Any]
"""One object of DICOM JSON (PS3.18 F.2): elements by eight upper-case hexadecimal digits."""


class Recoder(Protocol):
    """Makes a client's answer from the archive's body (pure, push). Made anew for each answer."""

    @property
    def content_type(self) -> str:
        """Known once something was fed."""
        ...

    @property
    def length(self) -> int | None:
        """Bytes of the whole answer, where they are known once something was fed."""
        ...

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """What may leave after this chunk, in order; nothing of an object that was not held to its obligations.

        :raises ArchiveError: the body is not what its type says
        """
        ...

    def end(self) -> bytes:
        """:raises ArchiveError: the body ended early"""
        ...


class RowShaper(Protocol):
    """Makes the answer to one search from pages of the archive's rows (pure). Made anew for each search."""

    content_type: str

    def read(self, page: bytes) -> list[Dataset]:
        """Rows of one page, which are shown before the next is read.

        :raises ArchiveError: it is not a DICOM JSON list, or a row does not name the object that it is"""
        ...

    def place(self, row: Dataset) -> tuple[StudyUid, SeriesUid | None]:
        """The study a row belongs to, and its series below study level."""
        ...

    def uids(self, row: Dataset) -> list[str]:
        """Study, series and instance as far as the level of the search goes: what the record names.

        Empty where one is no UID (old devices make such): nobody could ask for that object, so it is not shown.
        """
        ...

    def counts(self, row: Dataset) -> bool:
        """Whether a row tells anything that is gathered from all series of its study."""
        ...

    def show(self, row: Dataset, study: StudyContext | None, seen: frozenset[SeriesUid]) -> None:
        """Add a row that may be seen.

        :param study: what its study is; ``None`` where rows are not filtered, and counts are the archive's
        :param seen: those of the study's series that may be seen; counts are held to them
        """
        ...

    def answer(self) -> bytes:
        """The whole body; empty where no row is shown and the representation has no form for that."""
        ...


class Fulfilment(Protocol):
    """Step 8: what policy demands of an answer."""

    def unmet(self, request: DicomRequest, obligations: Sequence[Obligation]) -> Reason | None:
        """The reason to deny for, ``None`` where every obligation can be met for this request."""
        ...

    def recoder(self, request: DicomRequest, obligations: Sequence[Obligation], answer: ArchiveAnswer) -> Recoder:
        """How a read's answer is made, with links that are ours and masks applied.

        :raises ArchiveError: the answer's head does not fit the request
        """
        ...

    def rows(self, request: DicomRequest, obligations: Sequence[Obligation]) -> RowShaper: ...

    def narrowed(self, query: Query, obligations: Sequence[Obligation]) -> Query | None:
        """The query with what ``match`` demands pushed down to the archive; ``None`` where no row can match."""
        ...

    def admits(self, study: StudyUid, resource: ResourceContext, obligations: Sequence[Obligation]) -> bool:
        """Whether a row is within what ``match`` demands, pushed down or not."""
        ...


class PartReader(Protocol):
    """Takes the client's multipart body apart (pure, push). Made anew for each store."""

    def feed(self, data: bytes) -> Sequence[PartEvent]:
        """:raises BodyError: the body is not the strict form of RFC 2046 5.1 that this site accepts"""
        ...

    def end(self) -> None:
        """:raises BodyError: the body ended before its close-delimiter"""
        ...


class PartEvent(Protocol):
    """``header`` opens a part, ``data`` continues it, ``ends`` closes it."""

    @property
    def header(self) -> PartHeader | None: ...

    @property
    def data(self) -> bytes: ...

    @property
    def ends(self) -> bool: ...


class MultipartRules(Protocol):
    """How a store's body is taken apart and written anew."""

    def reader(self, boundary: str) -> PartReader: ...

    def opening(self, boundary: str, first: bool) -> bytes:
        """Delimiter and header of a part, up to its first byte."""
        ...

    def closing(self, boundary: str) -> bytes: ...


class StoreReport(Protocol):
    def __call__(
        self, archive: bytes | None, accepted: Sequence[PartHeader], refused: Sequence[tuple[PartHeader, Reason]]
    ) -> tuple[int, bytes]:
        """Status and DICOM JSON body of a store (PS3.18 10.5.3): what the archive stored, what was refused and why.

        :param refused: with the reason that the storer may know
        :raises ArchiveError: the archive's own report cannot be read
        """
        ...
