"""The archive (steps 4 and 7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from proxy.model import (
    DicomRequest,
    InstanceUid,
    ResourceContext,
    SeriesUid,
    StudyContext,
    StudyUid,
)


class ArchiveAnswer(Protocol):
    """An answer of the archive whose head was checked against what was asked."""

    status: int
    """200; 204 of a search without rows; 404."""
    content_type: str
    """Media type in lower case, for an image the one it really is; empty where the status is not 200."""
    boundary: str
    """Of a multipart answer; else empty."""
    length: int | None
    more: bool
    """Of a search: the archive says that it holds back rows (``Warning: 299``, PS3.18 8.3.4.4)."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Body bytes.

        :raises ArchiveError: the body ended early
        """
        ...


class Archive(Protocol):
    def fetch(self, request: DicomRequest) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask for what ``request`` says, rebuilt: JSON where XML is wanted, multipart where one part is.

        :raises ArchiveError: no answer, or one of another type than asked for
        :raises ArchiveRefusedError: the object is there and cannot be given in this form
        """
        ...

    def store(
        self, request: DicomRequest, body: AsyncIterator[bytes], boundary: str
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Send a re-encoded multipart body, once: a write is never tried again.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    def forget(self, study: StudyUid) -> None:
        """Attributes of this study may have changed."""
        ...

    async def context(self, request: DicomRequest, now: datetime) -> ResourceContext:
        """Attributes of the object a request names, at most 30 s old.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    async def studies(self, studies: Sequence[StudyUid], now: datetime) -> Mapping[StudyUid, StudyContext]:
        """Attributes of each study and of its series, at most 30 s old; what is not cached is asked for together.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    async def places(self, instance: InstanceUid) -> frozenset[tuple[StudyUid, SeriesUid]]:
        """The studies and series in which the archive holds an instance of this UID, asked now.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    async def holders(self, series: SeriesUid) -> frozenset[StudyUid]:
        """The studies in which the archive holds a series of this UID, asked now.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...
