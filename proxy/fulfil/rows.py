"""The rows of a search: read from the archive's pages, held to what may be seen, written. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson
from pydicom.datadict import keyword_dict

from proxy.errors import ArchiveError
from proxy.fulfil import dicom_xml
from proxy.fulfil.multipart import closing, content_type, new_boundary
from proxy.fulfil.shaping import JSON, Shaping, written_json, written_xml
from proxy.fulfil.uids import BY_LEVEL, SERIES, STUDY, is_uid, named, text_of
from proxy.model import DicomRequest, Level, Representation, SeriesContext, SeriesUid, StudyContext, StudyUid
from proxy.ports import Dataset

SERIES_IN_STUDY: Final = "00201206"
INSTANCES_IN_STUDY: Final = "00201208"
MODALITIES_IN_STUDY: Final = "00080061"
CLASSES_IN_STUDY: Final = "00080062"
OF_PATIENT: Final = ("00201200", "00201202", "00201204")
"""NumberOfPatientRelatedStudies, -Series, -Instances: studies beyond the row's, of which nothing is known here."""

_GATHERED: Final = frozenset({SERIES_IN_STUDY, INSTANCES_IN_STUDY, MODALITIES_IN_STUDY, CLASSES_IN_STUDY})
"""Attributes of a study that an archive gathers from its series and instances."""

_STUDY_GROUPS: Final = frozenset({"0010", "0032"})
_STUDY_KEYWORDS: Final = (
    "SpecificCharacterSet",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "RetrieveAETitle",
    "InstanceAvailability",
    "ModalitiesInStudy",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "TimezoneOffsetFromUTC",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedStudySequence",
    "ReferencedPatientSequence",
    "RetrieveURL",
    "StudyInstanceUID",
    "StudyID",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)
_STUDY_TAGS: Final = frozenset(f"{keyword_dict[keyword]:08X}" for keyword in _STUDY_KEYWORDS)
"""Attributes of a study itself (PS3.3 C.7.1, C.7.2)."""


class Rows:
    """:class:`proxy.ports.RowShaper`."""

    def __init__(self, request: DicomRequest, shaping: Shaping) -> None:
        self._level = request.level
        self._names = BY_LEVEL[request.level]
        self._wanted = named(request)
        self._shaping = shaping
        self._apply = shaping.apply
        """For the rows of the page that was read last."""
        self._shown: list[bytes] = []
        self._boundary = new_boundary() if request.representation is Representation.XML else ""
        self.content_type = content_type(dicom_xml.MEDIA_TYPE, self._boundary) if self._boundary else JSON

    def read(self, page: bytes) -> list[Dataset]:
        try:
            rows = orjson.loads(page)
        except orjson.JSONDecodeError as error:
            raise ArchiveError("the archive's search answer is not JSON") from error
        if type(rows) is not list:
            raise ArchiveError("the archive's search answer is not a list")
        for row in rows:
            self._identify(row)
        plain = not self._boundary and self._shaping.plain(page)
        self._apply = self._shaping.apply_plain if plain else self._shaping.apply
        return rows

    def place(self, row: Dataset) -> tuple[StudyUid, SeriesUid | None]:
        study = StudyUid(row[STUDY]["Value"][0])
        return study, None if self._level is Level.STUDY else SeriesUid(row[SERIES]["Value"][0])

    def uids(self, row: Dataset) -> list[str]:
        uids = [row[tag]["Value"][0] for tag in self._names]
        return uids if all(map(is_uid, uids)) else []

    def counts(self, row: Dataset) -> bool:
        return not row.keys().isdisjoint(_GATHERED)

    def show(self, row: Dataset, study: StudyContext | None, seen: frozenset[SeriesUid]) -> None:
        if study is not None:
            _hold_to(row, study, seen, self._level)
        self._apply(row, self._level)
        if self._boundary:
            self._shown.append(written_xml(row, self._boundary, not self._shown))
        else:
            self._shown.append(written_json(row))

    def answer(self) -> bytes:
        if not self._boundary:
            return b"[" + b",".join(self._shown) + b"]"
        return b"".join(self._shown) + closing(self._boundary) if self._shown else b""

    def _identify(self, row: object) -> None:
        if type(row) is not dict or not all(text_of(row, tag) for tag in self._names):
            raise ArchiveError("a row of the archive's search answer does not name its object")
        if any(row[tag]["Value"][0] != uid for tag, uid in self._wanted):
            raise ArchiveError("a row of the archive's search answer is not of the object that was asked for")


def _hold_to(row: Dataset, study: StudyContext, seen: frozenset[SeriesUid], level: Level) -> None:
    """Leave nothing in a row that tells of series which may not be seen.

    Counts are made from the series that were judged: what the archive counts may have a hidden series more by now.
    """
    for tag in OF_PATIENT:
        row.pop(tag, None)
    whole = study.series.keys() <= seen
    if not whole:
        row.pop(CLASSES_IN_STUDY, None)
    if not whole and level is Level.STUDY:
        # An archive takes what it was asked to include from any instance of the study.
        for tag in [tag for tag in row if tag not in _STUDY_TAGS and tag[:4] not in _STUDY_GROUPS]:
            del row[tag]
    visible = [study.series.get(uid) for uid in seen]
    if SERIES_IN_STUDY in row:
        row[SERIES_IN_STUDY] = {"vr": "IS", "Value": [len(seen)]}
    if INSTANCES_IN_STUDY in row:
        counts = [None if each is None else each.instances for each in visible]
        known = [count for count in counts if count is not None]
        if len(known) == len(counts):
            row[INSTANCES_IN_STUDY] = {"vr": "IS", "Value": [sum(known)]}
        else:
            del row[INSTANCES_IN_STUDY]
    if MODALITIES_IN_STUDY in row:
        row[MODALITIES_IN_STUDY] = _modalities(visible)


def _modalities(series: Iterable[SeriesContext | None]) -> Dataset:
    found = sorted({name for each in series if each is not None for name in each.resource.modalities if name})
    return {"vr": "CS", "Value": found} if found else {"vr": "CS"}
