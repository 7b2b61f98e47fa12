"""Step 4: what a study is, so that policy can decide on patients and modalities and not on strings.

One lookup of a study's series serves its instances and series too, for at most 30 s; a burst on one study
waits for one lookup. ``as_of`` travels with the value, so a decision shows how old its grounds were.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from proxy.errors import ArchiveError
from proxy.forward.archive_client import ArchiveClient
from proxy.model import Action, DicomRequest, Level, Query, Representation, ResourceContext, StudyUid

PATIENT_ID: Final = "00100020"
ACCESSION: Final = "00080050"
STUDY_DATE: Final = "00080020"
MODALITY: Final = "00080060"
INSTITUTION: Final = "00080080"
SERIES: Final = "0020000E"
LARGEST_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    uid: str
    modality: str
    institution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    as_of: datetime
    series: tuple[_Series, ...]
    whole: ResourceContext


class ContextCache:
    """Attributes of studies, bounded in number and age."""

    def __init__(self, client: ArchiveClient, *, age_s: float, entries: int, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._age = timedelta(seconds=age_s)
        self._entries = entries
        self._clock = clock
        self._studies: OrderedDict[StudyUid, asyncio.Future[_Study]] = OrderedDict()
        self.lookups = 0

    async def context(self, request: DicomRequest, now: datetime) -> ResourceContext:
        if request.study is None:
            return ResourceContext(known=False, as_of=now)
        study = await self._study(request.study, now)
        if request.series is None:
            return study.whole
        found = [series for series in study.series if series.uid == request.series]
        if not found:
            return ResourceContext(known=False, as_of=study.as_of)
        return replace(
            study.whole,
            modalities=tuple(sorted({series.modality for series in found})),
            institutions=tuple(sorted({series.institution for series in found})),
        )

    def forget(self, study: StudyUid) -> None:
        """After a store: the next question is asked of the archive."""
        self._studies.pop(study, None)

    async def _study(self, uid: StudyUid, now: datetime) -> _Study:
        future = self._studies.get(uid)
        if future is not None and future.done() and (_failed(future) or future.result().as_of + self._age <= now):
            future = None
        if future is None:
            # A task of its own: the burst that waits for it must not die with the client that came first.
            future = asyncio.ensure_future(self._look_up(uid))
            self._studies[uid] = future
            self._studies.move_to_end(uid)
            while len(self._studies) > self._entries:
                self._studies.popitem(last=False)
        return await asyncio.shield(future)

    async def _look_up(self, uid: StudyUid) -> _Study:
        self.lookups += 1
        as_of = self._clock()
        request = DicomRequest(
            action=Action.SEARCH,
            level=Level.SERIES,
            method="GET",
            representation=Representation.JSON,
            study=uid,
            query=Query(include=(STUDY_DATE, ACCESSION, MODALITY, INSTITUTION, PATIENT_ID)),
        )
        async with self._client.fetch(request) as answer:
            if answer.status != 200:
                return _Study(as_of=as_of, series=(), whole=ResourceContext(known=False, as_of=as_of))
            body = bytearray()
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise ArchiveError("the archive lists more series than one study can have")
        return _read_study(uid, bytes(body), as_of)


def _failed(future: asyncio.Future[_Study]) -> bool:
    return future.cancelled() or future.exception() is not None


def _read_study(uid: StudyUid, body: bytes, as_of: datetime) -> _Study:
    try:
        rows = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ArchiveError("the archive's list of series is not JSON") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ArchiveError("the archive's list of series is not a list of objects")
    if not rows:
        return _Study(as_of=as_of, series=(), whole=ResourceContext(known=False, as_of=as_of))
    if any(_text(row, "0020000D") != uid for row in rows):
        raise ArchiveError("the archive listed series of another study")
    series = tuple(
        _Series(uid=_text(row, SERIES), modality=_text(row, MODALITY), institution=_text(row, INSTITUTION))
        for row in rows
    )
    patients = {_text(row, PATIENT_ID) for row in rows}
    if len(patients) != 1:
        raise ArchiveError("the archive lists one study under several patients")
    whole = ResourceContext(
        known=True,
        as_of=as_of,
        patient_id=patients.pop(),
        accession_number=_text(rows[0], ACCESSION),
        study_date=_text(rows[0], STUDY_DATE),
        modalities=tuple(sorted({one.modality for one in series})),
        institutions=tuple(sorted({one.institution for one in series})),
    )
    return _Study(as_of=as_of, series=series, whole=whole)


def _text(row: dict[str, Any], tag: str) -> str:
    """The single text value of an attribute in DICOM JSON (PS3.18 F.2), empty where it has none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list) or not values:
        return ""
    if len(values) != 1 or not isinstance(values[0], str):
        raise ArchiveError(f"the archive gave several values for {tag}")
    return values[0]
