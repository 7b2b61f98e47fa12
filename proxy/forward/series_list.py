"""What an archive's list of series says of studies. Pure.

The list is not believed further than it agrees with itself and with what was asked: a row of another study is an
error, a study of two patients or a series that is described in two ways is unknown; neither is a choice of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from proxy.errors import ArchiveError
from proxy.model import InstanceUid, ResourceContext, SeriesContext, SeriesUid, StudyContext, StudyUid

STUDY_DATE: Final = "00080020"
ACCESSION: Final = "00080050"
MODALITY: Final = "00080060"
INSTITUTION: Final = "00080080"
DEPARTMENT: Final = "00081040"
PATIENT_ID: Final = "00100020"
STUDY: Final = "0020000D"
SERIES: Final = "0020000E"
INSTANCE: Final = "00080018"
INSTANCES: Final = "00201209"
"""NumberOfSeriesRelatedInstances."""
LABEL: Final = "00403001"
"""ConfidentialityConstraintOnPatientDataDescription (PS3.3 C.2.4): the label that DICOM has for such data."""

Item = dict[str, Any]


def read_page(body: bytes) -> list[Item]:
    """:raises ArchiveError: it is not a list of objects in DICOM JSON"""
    try:
        rows = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ArchiveError("the archive's list of series is not JSON") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ArchiveError("the archive's list of series is not a list of objects")
    return rows


def studies_of(rows: Iterable[Item], asked: Sequence[StudyUid], as_of: datetime) -> Mapping[StudyUid, StudyContext]:
    """Each study that was asked for, unknown where no row names it or its rows contradict each other.

    :raises ArchiveError: the rows name a study that was not asked for
    """
    by_study: dict[str, list[Item]] = {uid: [] for uid in asked}
    for row in rows:
        of_study = by_study.get(text(row, STUDY))
        if of_study is None:
            raise ArchiveError("the archive listed series of another study")
        of_study.append(row)
    unknown = StudyContext(resource=ResourceContext(known=False, as_of=as_of), series={})
    return {StudyUid(uid): _told(of_study, as_of) if of_study else unknown for uid, of_study in by_study.items()}


def holders_of(rows: Iterable[Item], series: SeriesUid) -> frozenset[StudyUid]:
    """The studies that the rows name.

    :raises ArchiveError: a row is of another series, or names no study
    """
    studies = set()
    for row in rows:
        study = text(row, STUDY)
        if text(row, SERIES) != series or not study:
            raise ArchiveError("the archive listed another series")
        studies.add(StudyUid(study))
    return frozenset(studies)


def places_of(rows: Iterable[Item], instance: InstanceUid) -> frozenset[tuple[StudyUid, SeriesUid]]:
    """The studies and series that the rows name.

    :raises ArchiveError: a row is of another instance, or does not name its study and series
    """
    places = set()
    for row in rows:
        study, series = text(row, STUDY), text(row, SERIES)
        if text(row, INSTANCE) != instance or not study or not series:
            raise ArchiveError("the archive listed another instance")
        places.add((StudyUid(study), SeriesUid(series)))
    return frozenset(places)


def _told(rows: Sequence[Item], as_of: datetime) -> StudyContext:
    """A study, unknown where its rows contradict each other: it must not spoil a search that finds others too."""
    try:
        return _study(rows, as_of)
    except ArchiveError:
        unknown = ResourceContext(known=False, as_of=as_of)
        return StudyContext(resource=unknown, series={}, contradictory=True)


def _study(rows: Sequence[Item], as_of: datetime) -> StudyContext:
    patients = {text(row, PATIENT_ID) for row in rows}
    if len(patients) != 1:
        raise ArchiveError("the archive lists one study under several patients")
    whole = ResourceContext(
        known=True,
        as_of=as_of,
        patient_id=patients.pop(),
        accession_number=_agreed(rows, ACCESSION),
        study_date=_agreed(rows, STUDY_DATE),
        modalities=tuple(sorted({text(row, MODALITY) for row in rows})),
        institutions=tuple(sorted({text(row, INSTITUTION) for row in rows})),
        departments=tuple(sorted({text(row, DEPARTMENT) for row in rows})),
        labels=_labels(rows),
    )
    series: dict[SeriesUid, SeriesContext] = {}
    for row in rows:
        uid = SeriesUid(text(row, SERIES))
        one = SeriesContext(
            resource=replace(
                whole,
                modalities=(text(row, MODALITY),),
                institutions=(text(row, INSTITUTION),),
                departments=(text(row, DEPARTMENT),),
                labels=_labels([row]),
            ),
            instances=_number(row, INSTANCES),
        )
        # Rows that move between two pages come twice; they say the same but for a count that may have grown.
        if not uid or (uid in series and series[uid].resource != one.resource):
            raise ArchiveError("the archive lists a series without its UID, or in two ways")
        series[uid] = one
    return StudyContext(resource=whole, series=series)


def _labels(rows: Iterable[Item]) -> tuple[str, ...]:
    """What the objects say of who may be told of the patient, as a sorted set."""
    return tuple(sorted({value for row in rows for value in _values(row, LABEL) if isinstance(value, str) and value}))


def _agreed(rows: Iterable[Item], tag: str) -> str | None:
    """What all rows say; nothing where they differ, for a choice of ours could be the one that is granted."""
    values = {text(row, tag) for row in rows}
    return values.pop() if len(values) == 1 else None


def text(row: Item, tag: str) -> str:
    """The single text value of an attribute in DICOM JSON (PS3.18 F.2), empty where it has none."""
    values = _values(row, tag)
    if not values:
        return ""
    if len(values) != 1 or not isinstance(values[0], str):
        raise ArchiveError(f"the archive gave several values for {tag}")
    return values[0]


def _number(row: Item, tag: str) -> int | None:
    """A count; archives write it as a number, or as the digits of an IS."""
    values = _values(row, tag)
    value = values[0] if len(values) == 1 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _values(row: Item, tag: str) -> list[Any]:
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []
