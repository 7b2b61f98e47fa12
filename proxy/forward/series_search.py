"""Lists of series, asked of the archive page by page until it has said all of them.

A list that ends early would hide an institution, so its end is looked at: a page is the last one where it is short and
carries no ``Warning: 299`` (PS3.18 8.3.4.4). An archive that caps its answers silently below ``PAGE_ROWS`` is not
noticed. In the ordinary case there is one page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from proxy.errors import ArchiveError
from proxy.forward import series_list
from proxy.forward.archive_client import ArchiveClient
from proxy.model import (
    Action,
    DicomRequest,
    InstanceUid,
    Level,
    Query,
    Representation,
    SeriesUid,
    StudyContext,
    StudyUid,
)

PAGE_ROWS: Final = 2000
LARGEST_PAGES: Final = 25
LARGEST_BYTES: Final = 16 * 2**20
"""Of one page."""
LARGEST_LIST: Final = 90
LARGEST_LIST_CHARS: Final = 5800
"""Of UIDs in one question; what servers take as a target is 8,000 characters in all."""
_ATTRIBUTES: Final = (
    series_list.STUDY_DATE,
    series_list.ACCESSION,
    series_list.MODALITY,
    series_list.INSTITUTION,
    series_list.DEPARTMENT,
    series_list.PATIENT_ID,
    series_list.INSTANCES,
    series_list.LABEL,
)


class SeriesSearch:
    """Questions about series at the archive. Nothing is kept but how many there were."""

    def __init__(self, client: ArchiveClient) -> None:
        self._client = client
        self.asked = 0

    async def studies(self, uids: Sequence[StudyUid], as_of: datetime) -> Mapping[StudyUid, StudyContext]:
        """One batch of :func:`batches`.

        :raises ArchiveError: no answer, or one that cannot be trusted
        """
        if len(uids) == 1:
            rows = await self._rows(Query(include=_ATTRIBUTES), uids[0])
        else:
            # A list of UIDs matches each of them (PS3.4 C.2.2.2.2).
            match = ((series_list.STUDY, ",".join(sorted(uids))),)
            rows = await self._rows(Query(match=match, include=_ATTRIBUTES))
        return series_list.studies_of(rows, uids, as_of)

    async def holders(self, series: SeriesUid) -> frozenset[StudyUid]:
        """:raises ArchiveError: as for :meth:`studies`"""
        return series_list.holders_of(await self._rows(Query(match=((series_list.SERIES, series),))), series)

    async def places(self, instance: InstanceUid) -> frozenset[tuple[StudyUid, SeriesUid]]:
        """:raises ArchiveError: as for :meth:`studies`"""
        query = Query(match=((series_list.INSTANCE, instance),))
        return series_list.places_of(await self._rows(query, level=Level.INSTANCE), instance)

    async def _rows(
        self, query: Query, study: StudyUid | None = None, level: Level = Level.SERIES
    ) -> list[series_list.Item]:
        rows: list[series_list.Item] = []
        for _ in range(LARGEST_PAGES):
            page, more = await self._page(replace(query, limit=PAGE_ROWS, offset=len(rows)), study, level)
            rows += page
            if len(page) < PAGE_ROWS and not more:
                return rows
            if not page:
                break
        raise ArchiveError("the archive's list of series does not end")

    async def _page(self, query: Query, study: StudyUid | None, level: Level) -> tuple[list[series_list.Item], bool]:
        self.asked += 1
        request = DicomRequest(
            action=Action.SEARCH,
            level=level,
            method="GET",
            representation=Representation.JSON,
            study=study,
            query=query,
        )
        async with self._client.fetch(request) as answer:
            if answer.status != 200:
                return [], answer.more
            body = bytearray()
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise ArchiveError("the archive lists more series than were asked for")
        return series_list.read_page(bytes(body)), answer.more


def batches(uids: Sequence[StudyUid]) -> Iterator[list[StudyUid]]:
    """In as few questions as the length of a target allows."""
    batch: list[StudyUid] = []
    chars = 0
    for uid in uids:
        if batch and (len(batch) == LARGEST_LIST or chars + len(uid) > LARGEST_LIST_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(uid)
        chars += len(uid) + 1
    if batch:
        yield batch
