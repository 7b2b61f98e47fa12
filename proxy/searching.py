"""A search (PS3.18 10.6): pages of the archive's rows, judged by policy, until the client's page is full.

7.  A page of rows is asked of the archive; what ``match`` demands is part of the question.
4.  Each row's study is looked up, all of a page together, so that a row is judged by what ``metadata`` would be.
5.  One question to policy for a page: which of these may be seen?
8.  What may be seen is masked, its links made ours, its counts held to what is visible.
6.  The record names the rows shown; it is durable before the first byte.
10. The answer says whether more rows exist, and how many there are where all were looked at.

``limit`` and ``offset`` count visible rows. Pages are asked for until the client's is full and one row is left over, or
the archive has no more; a search that looks at more than ``limits.search_scan_rows`` rows is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final

from proxy.errors import ArchiveError, DicomwardError, PolicyUnavailableError, SearchTooBroadError
from proxy.lease import Leases
from proxy.model import (
    DicomRequest,
    Grounds,
    JsonObject,
    Kind,
    Level,
    OutcomeStatus,
    Query,
    Reason,
    Row,
    SeriesUid,
    StudyContext,
    StudyUid,
    Verdict,
)
from proxy.ports import Dataset, Exchange
from proxy.rooms import Rooms
from proxy.sending import Sending, collect, decision_record

PAGE_ROWS: Final = 200
"""Fewest rows asked of the archive at once, where rows are filtered."""

Place = tuple[StudyUid, SeriesUid | None]


@dataclass(slots=True)
class Found:
    """What was gathered so far."""

    uids: list[list[str]] = field(default_factory=list)
    """Of the rows shown."""
    passed: int = 0
    """Visible rows, those before the client's page among them."""
    scanned: int = 0
    more: bool = False
    complete: bool = False
    """Every row that the archive has was looked at."""


class Searching:
    def __init__(
        self, rooms: Rooms, leases: Leases, grounds: Grounds, request: DicomRequest, exchange: Exchange
    ) -> None:
        self._rooms = rooms
        self._leases = leases
        self._grounds = grounds
        self._request = request
        self._exchange = exchange
        self._obligations = grounds.verdict.obligations
        self._filtered = any(each.type in ("filter_rows", "match") for each in self._obligations)
        self._shaper = rooms.fulfilment.rows(request, self._obligations)
        self._limit = min(request.query.limit or rooms.search_rows, rooms.search_rows)
        self._met: set[tuple[str, ...]] = set()
        """Rows looked at: an archive whose rows move between two pages shows some twice."""

    async def walk(self) -> None:
        """:raises SpoolError: the decision is not durable"""
        found, failure = Found(), None
        try:
            await self._gather(found)
            if not await self._still_allowed():
                found = Found(scanned=found.scanned)
        except ArchiveError as error:
            failure, found = error, Found(scanned=found.scanned)
        except DicomwardError as error:
            self._grounds = replace(self._grounds, verdict=self._denied(error.code))
            found = Found(scanned=found.scanned)
        answer = await self._record(found)
        if failure is not None:
            await answer.problem(Reason(failure.code), OutcomeStatus.FAILED)
        elif not self._grounds.verdict.allow:
            await answer.denied()
        else:
            await self._show(answer, found)

    async def _gather(self, found: Found) -> None:
        """:raises SearchTooBroadError: the client's page is not full and too many rows were looked at"""
        query = self._rooms.fulfilment.narrowed(self._request.query, self._obligations)
        if query is None:
            found.complete = True
            return
        offset = self._request.query.offset
        size = self._limit + 1
        position = 0
        if self._filtered:
            size = min(max(size, PAGE_ROWS), self._rooms.search_rows + 1)
        else:
            position = found.passed = offset
        while not found.more and not found.complete:
            rows, held_back = await self._page(replace(query, limit=size, offset=position))
            position += len(rows)
            found.scanned += len(rows)
            await self._sift(rows, offset, found)
            found.complete = not found.more and (not rows or (len(rows) < size and not held_back))
            if found.scanned >= self._rooms.search_scan and not found.more and not found.complete:
                raise SearchTooBroadError

    async def _page(self, query: Query) -> tuple[list[Dataset], bool]:
        """Rows, and whether the archive says that it holds some back.

        :raises ArchiveError: no answer, or not one to this search
        """
        begun = perf_counter()
        async with self._rooms.archive.fetch(replace(self._request, query=query)) as answer:
            if answer.status != 200:
                return [], False
            body = await collect(answer.chunks(), self._rooms.search_bytes)
        self._rooms.observer.seconds("forward", perf_counter() - begun)
        return self._shaper.read(body), answer.more

    async def _sift(self, rows: Sequence[Dataset], offset: int, found: Found) -> None:
        named = [(row, uids) for row in rows if (uids := self._shaper.uids(row))]
        studies: Mapping[StudyUid, StudyContext] = {}
        seen: frozenset[Place] = frozenset()
        if self._filtered and named:
            places = dict.fromkeys(self._shaper.place(row) for row, _ in named)
            asked = tuple(dict.fromkeys(study for study, _ in places))
            studies = await self._rooms.archive.studies(asked, self._rooms.clock())
            if self._request.level is not Level.STUDY:
                # Counts of a study in the row of a series are held to the series that may be seen.
                for study in {self._shaper.place(row)[0] for row, _ in named if self._shaper.counts(row)}:
                    places |= dict.fromkeys(((study, None), *((study, series) for series in studies[study].series)))
            seen = await self._visible(places, studies)
        for row, uids in named:
            place = self._shaper.place(row) if self._filtered else None
            if tuple(uids) in self._met or (place is not None and place not in seen):
                continue
            self._met.add(tuple(uids))
            if found.passed >= offset:
                if len(found.uids) == self._limit:
                    found.more = True
                    return
                found.uids.append(uids)
                self._shape(row, place, studies, seen)
            found.passed += 1

    def _shape(
        self, row: Dataset, place: Place | None, studies: Mapping[StudyUid, StudyContext], seen: frozenset[Place]
    ) -> None:
        if place is None:
            self._shaper.show(row, None, frozenset())
            return
        study = studies[place[0]]
        # Who may have the metadata of a whole study may have that of each series.
        whole = (place[0], None) in seen
        visible = frozenset(each for each in study.series if whole or (place[0], each) in seen)
        self._shaper.show(row, study, visible)

    async def _visible(
        self, places: Mapping[Place, None], studies: Mapping[StudyUid, StudyContext]
    ) -> frozenset[Place]:
        """Which of these may be seen: one question to policy.

        :raises PolicyUnavailableError: no answer is no permission
        """
        candidates = [
            place
            for place in places
            if (known := studies[place[0]].of(place[1])).known
            and self._rooms.fulfilment.admits(place[0], known, self._obligations)
        ]
        if not candidates:
            return frozenset()
        begun = perf_counter()
        indices = await self._rooms.engine.visible(self._question(candidates, studies))
        self._rooms.observer.seconds("visible", perf_counter() - begun)
        return frozenset(candidates[index] for index in indices)

    def _question(self, places: Sequence[Place], studies: Mapping[StudyUid, StudyContext]) -> JsonObject:
        grounds = self._grounds
        if grounds.posture is None:
            raise PolicyUnavailableError("a search was allowed without posture")
        return self._rooms.policy_input(
            decision=grounds.decision,
            now=self._rooms.clock(),
            principal=grounds.principal,
            posture=grounds.posture,
            request=self._request,
            resource=None,
            network=grounds.arrival.peer.address,
            rows=[
                Row(
                    level=Level.STUDY if series is None else Level.SERIES,
                    study=study,
                    series=series,
                    resource=studies[study].of(series),
                )
                for study, series in places
            ],
        )

    async def _still_allowed(self) -> bool:
        """A search holds no lease: where the archive took long, what it was allowed by is looked at once more."""
        self._grounds = await self._leases.renewed(self._grounds)
        return self._grounds.verdict.allow

    async def _record(self, found: Found) -> Sending:
        begun = perf_counter()
        recording = self._rooms.recorder.record(
            Kind.DECISION, decision_record(self._grounds, found.uids, found.scanned)
        )
        self._exchange.decided = True
        durable = await recording
        self._rooms.observer.seconds("record", perf_counter() - begun)
        return Sending(self._rooms, self._grounds, durable, self._exchange)

    async def _show(self, answer: Sending, found: Found) -> None:
        headers: list[tuple[str, str]] = []
        if found.more:
            headers.append(("Warning", '299 dicomward "there are more results; use limit and offset"'))
        # Rows skipped unseen cannot be counted: an offset behind the last row says nothing of how many there are.
        if found.complete and (self._filtered or found.uids or not self._request.query.offset):
            headers.append(("X-Total-Count", str(found.passed)))
        body = self._shaper.answer()
        if body:
            await answer.whole(200, self._shaper.content_type, body, tuple(headers))
        else:
            await answer.whole(204, "", b"", tuple(headers))

    def _denied(self, code: str) -> Verdict:
        return self._grounds.verdict.against(Reason(code))
