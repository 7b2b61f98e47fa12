"""What is asked for: one request of the closed grammar, and what the archive says of its object (steps 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from proxy.model.base import InstanceUid, JsonObject, SeriesUid, StudyUid, wire_time
from proxy.model.reasons import Reason


class Action(StrEnum):
    """What may be asked for; a route that has no action here does not exist."""

    SEARCH = "search"
    METADATA = "metadata"
    RETRIEVE = "retrieve"
    RENDER = "render"
    BULKDATA = "bulkdata"
    STORE = "store"


class Level(StrEnum):
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


class Representation(StrEnum):
    """What the archive is asked for and what must come back."""

    DICOM = "multipart/related; type=application/dicom"
    JSON = "application/dicom+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The query of a search in canonical order. Keys are eight-digit tags or dotted paths of them."""

    match: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()
    fuzzy: bool = False
    limit: int | None = None
    offset: int = 0

    def to_wire(self) -> JsonObject:
        return {
            "match": dict(self.match),
            "include": list(self.include),
            "fuzzy": self.fuzzy,
            "limit": self.limit,
            "offset": self.offset,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomRequest:
    """One request of the closed grammar. The archive is sent what is built from this and nothing else."""

    action: Action
    level: Level
    method: str
    representation: Representation
    study: StudyUid | None = None
    series: SeriesUid | None = None
    instance: InstanceUid | None = None
    query: Query = field(default_factory=Query)
    transfer_syntax: str = "*"
    """Transfer syntax UID asked for, or ``*`` for as stored (PS3.18 8.7.3.5.2)."""
    boundary: str | None = None
    """Multipart boundary of a store's body, already checked."""
    bytes: int | None = None
    """Announced length of the body."""
    purpose: str | None = None
    purpose_source: str | None = None
    expect_continue: bool = False

    def to_wire(self) -> JsonObject:
        return {
            "action": self.action.value,
            "level": self.level.value,
            "method": self.method,
            "study": self.study,
            "series": self.series,
            "instance": self.instance,
            "frames": [],
            "query": self.query.to_wire(),
            "representation": self.representation.value,
            "transfer_syntax": self.transfer_syntax,
            "bytes": self.bytes,
            "purpose": None if self.purpose is None else {"code": self.purpose, "source": self.purpose_source},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Input that is not in the grammar. ``detail`` names the rule, never the input."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHeader:
    """What the header of one stored DICOM part says of itself (PS3.10 7.1; attributes of PS3.3 C.7 and C.12)."""

    sop_class: str
    instance: InstanceUid
    study: StudyUid
    series: SeriesUid
    transfer_syntax: str
    patient_id: str
    accession_number: str
    modality: str
    institution: str
    study_date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceContext:
    """Attributes of what is asked for. ``known`` false: the archive has no such object, or it was not asked."""

    known: bool
    as_of: datetime
    patient_id: str | None = None
    accession_number: str | None = None
    modalities: tuple[str, ...] = ()
    """Sorted set over the series concerned."""
    institutions: tuple[str, ...] = ()
    """Sorted set over the series concerned; a series that names none adds the empty string."""
    study_date: str | None = None
    labels: tuple[str, ...] = ()
    _wire: JsonObject = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wire", self._made_wire())

    def to_wire(self) -> JsonObject:
        """Made once, since one value serves many requests; not to be changed."""
        return self._wire

    def _made_wire(self) -> JsonObject:
        return {
            "known": self.known,
            "as_of": wire_time(self.as_of),
            "patient_id": self.patient_id,
            "accession_number": self.accession_number,
            "modalities": list(self.modalities),
            "institutions": list(self.institutions),
            "study_date": self.study_date,
            "labels": list(self.labels),
        }
