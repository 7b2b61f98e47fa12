"""What is asked for: one request of the closed grammar, and what the archive says of its object (steps 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from proxy.model.base import DecisionId, InstanceUid, JsonObject, SeriesUid, StudyUid, wire_time
from proxy.model.reasons import Reason


class Action(StrEnum):
    """What may be asked for; a route that has no action here does not exist."""

    SEARCH = "search"
    METADATA = "metadata"
    RETRIEVE = "retrieve"
    RENDER = "render"
    BULKDATA = "bulkdata"
    STORE = "store"
    READ_DECISION = "read_decision"
    """What was decided on a request of one's own."""
    REPORT_POSTURE = "report_posture"
    """Of the device that asks."""
    MANAGE_POSTURE = "manage_posture"
    """Of other devices, as their management."""


class Level(StrEnum):
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


class Representation(StrEnum):
    """In what form an answer comes. The media type that goes with it is ``DicomRequest.media_type``."""

    DICOM = "dicom"
    """PS3.10 files, in multipart/related."""
    PIXELS = "pixels"
    """Frames, in multipart/related."""
    BULK = "bulk"
    """The value of one attribute, in multipart/related."""
    IMAGE = "image"
    """One rendered image."""
    JSON = "json"
    XML = "xml"
    """Native DICOM Model (PS3.19 A.1), in multipart/related; the archive is asked for JSON."""


MEDIA_TYPES: Final = {
    Representation.DICOM: "application/dicom",
    Representation.PIXELS: "application/octet-stream",
    Representation.BULK: "application/octet-stream",
    Representation.IMAGE: "image/jpeg",
    Representation.JSON: "application/dicom+json",
    Representation.XML: "application/dicom+xml",
}
"""The media type of each representation, or of its parts, where the client does not choose another."""


PIXEL_TYPES: Final = (
    "application/octet-stream",
    "image/jpeg",
    "image/jls",
    "image/jp2",
    "image/jpx",
    "image/dicom-rle",
    "image/jphc",
    "video/mpeg",
    "video/mp4",
)
"""Media types of frames (PS3.18 8.7.3.3): uncompressed, image, video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The query of a search in canonical order. Keys are eight-digit tags."""

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
class Rendering:
    """How an image is to be made (PS3.18 8.3.5). Values are canonical text, each checked by the grammar."""

    thumbnail: bool = False
    parameters: tuple[tuple[str, str], ...] = ()
    """Name and value in order of name: ``annotation``, ``iccprofile``, ``quality``, ``viewport``, ``window``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomRequest:
    """One request of the closed grammar. The archive is sent what is built from this and nothing else."""

    action: Action
    level: Level
    method: str
    """``GET``, ``HEAD`` or ``POST``, as the client sent it; the archive sees no ``HEAD``."""
    representation: Representation
    media_type: str = ""
    """Of the answer, or of each of its parts, for example ``image/jls``; by default as in ``MEDIA_TYPES``."""
    bare: bool = False
    """The one part there is comes by itself and not in multipart/related."""
    study: StudyUid | None = None
    series: SeriesUid | None = None
    instance: InstanceUid | None = None
    frames: tuple[int, ...] = ()
    """Frame numbers, counted from 1, as asked for; empty: all."""
    bulk: tuple[str, ...] = ()
    """Where bulk data lies: tags with an item number after each sequence, ``("54000100", "1", "54001010")``.

    Tags are eight lower-case hexadecimal digits, as archives write them in ``BulkDataURI``.
    """
    rendering: Rendering | None = None
    query: Query = field(default_factory=Query)
    transfer_syntax: str | None = None
    """Transfer syntax UID asked for, ``*`` for as stored (PS3.18 8.7.3.5.2), ``None`` for the standard's default."""
    boundary: str | None = None
    """Multipart boundary of a store's body, already checked."""
    bytes: int | None = None
    """Announced length of the body."""
    purpose: str | None = None
    purpose_source: str | None = None
    expect_continue: bool = False

    def __post_init__(self) -> None:
        if not self.media_type:
            object.__setattr__(self, "media_type", MEDIA_TYPES[self.representation])

    def to_wire(self) -> JsonObject:
        return {
            "action": self.action.value,
            "level": self.level.value,
            "method": self.method,
            "study": self.study,
            "series": self.series,
            "instance": self.instance,
            "frames": list(self.frames),
            "bulk": ".".join(self.bulk).upper() if self.bulk else None,
            "thumbnail": self.rendering is not None and self.rendering.thumbnail,
            "query": self.query.to_wire(),
            "representation": self.media_type,
            "transfer_syntax": self.transfer_syntax,
            "bytes": self.bytes,
            "purpose": None if self.purpose is None else {"code": self.purpose, "source": self.purpose_source},
        }


class SiteResource(StrEnum):
    """What this proxy has of its own, below ``/.dicomward/v1/``."""

    POSTURE_NONCE = "posture-nonce"
    POSTURE = "posture"
    MANAGED_POSTURE = "managed-posture"
    DECISION = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The headers by which a management system signs what it sends (Standard Webhooks 1.0). Checked for form only."""

    id: str
    timestamp: int
    """Seconds since 1970."""
    signatures: tuple[bytes, ...]
    """Each 32 bytes, HMAC-SHA-256; several while a secret is being changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRequest:
    """A request for something of ours. The archive is not asked, and no object of it is named."""

    action: Action
    resource: SiteResource
    method: str
    bytes: int | None = None
    """Announced length of the body."""
    expect_continue: bool = False
    signed: Signed | None = None
    """Of what a management system sends."""
    about: DecisionId | None = None
    """The decision that is asked for."""

    def to_wire(self) -> JsonObject:
        """The shape of :meth:`DicomRequest.to_wire`, with nothing where that names objects of an archive."""
        return {
            "action": self.action.value,
            "level": None,
            "method": self.method,
            "study": None,
            "series": None,
            "instance": None,
            "frames": [],
            "bulk": None,
            "thumbnail": False,
            "query": Query().to_wire(),
            "representation": "application/json",
            "transfer_syntax": None,
            "bytes": self.bytes,
            "purpose": None,
            "decision": self.about,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Input that is not in the grammar. ``detail`` names the rule, never the input."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """A question about the grammar and nothing else: OPTIONS of a resource, or GET of the root (PS3.18 8.9).

    It is answered to anybody from the table of routes alone; archive and policy are not asked.
    """

    methods: tuple[str, ...]
    """What the resource takes, sorted, ``OPTIONS`` among them."""
    root: bool = False
    """The service itself was asked about: the whole table is the answer."""


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
    department: str
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
    departments: tuple[str, ...] = ()
    """Sorted set of InstitutionalDepartmentName (0008,1040) over the series concerned, as ``institutions``."""
    study_date: str | None = None
    labels: tuple[str, ...] = ()
    """Sorted set of ConfidentialityConstraintOnPatientDataDescription (0040,3001) over the series concerned."""
    conflicts: tuple[str, ...] = ()
    """Of a part that is to be stored: keywords of attributes in which it contradicts the study or series it goes to."""
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
            "departments": list(self.departments),
            "study_date": self.study_date,
            "labels": list(self.labels),
            "conflicts": list(self.conflicts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesContext:
    """One series of a study as the archive lists it."""

    resource: ResourceContext
    """Modality, institution and department of this series alone; patient, accession number and date of its study."""
    instances: int | None
    """NumberOfSeriesRelatedInstances (0020,1209), where the archive told it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyContext:
    """A study and each of its series. ``resource.known`` false: the archive has no such study."""

    resource: ResourceContext
    """Sets gathered from all series."""
    series: Mapping[SeriesUid, SeriesContext]
    contradictory: bool = False
    """The archive has it and contradicts itself about it, so nothing is known: nobody is shown it or adds to it."""

    def of(self, series: SeriesUid | None) -> ResourceContext:
        """The study, or the one of its series that is named; unknown where the study has no such series."""
        if series is None:
            return self.resource
        found = self.series.get(series)
        return ResourceContext(known=False, as_of=self.resource.as_of) if found is None else found.resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What ``visible`` judges: a study, or a series for itself and for each of its instances."""

    level: Level
    """``STUDY`` or ``SERIES``."""
    study: StudyUid
    series: SeriesUid | None
    resource: ResourceContext

    def to_wire(self) -> JsonObject:
        return {"level": self.level.value, "study": self.study, "series": self.series, **self.resource.to_wire()}
