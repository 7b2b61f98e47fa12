"""The values that rooms hand to each other.

Each is frozen and legal once it exists: whoever holds a ``DicomRequest`` holds something the grammar
accepted. Wire names (JSON, Rego, DICOM tags) stand only in ``to_wire``. Times are aware UTC datetimes;
one ``now`` a request is passed along. ``JsonValue`` excludes floats on purpose: records are hashed, and
the canonical form of a float is a quarrel nobody needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NewType

StudyUid = NewType("StudyUid", str)
SeriesUid = NewType("SeriesUid", str)
InstanceUid = NewType("InstanceUid", str)
DecisionId = NewType("DecisionId", str)
"""32 lower-case hexadecimal digits, random."""
DeviceId = NewType("DeviceId", str)
"""64 lower-case hexadecimal digits: SHA-256(authority's SPKI || configured SAN)."""
PolicyDigest = NewType("PolicyDigest", str)
"""64 lower-case hexadecimal digits over the policies and data that decided."""

JsonValue = None | bool | int | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]


def wire_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, for example ``2026-11-22T19:40:00.123Z``: what policy and records see."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


class Reason(StrEnum):
    """Every reason for which this system refuses: the closed vocabulary of answers, records and metrics.

    Codes marked *policy* are produced by Rego METADATA ``custom.code``; a test holds enum, METADATA and
    documentation equal.
    """

    # arrive
    MALFORMED_REQUEST = "malformed-request"
    RATE_LIMITED = "rate-limited"
    REQUEST_TIMEOUT = "request-timeout"
    ABANDONED = "abandoned"
    INTERNAL_ERROR = "internal-error"
    # identify
    CERTIFICATE_MISSING = "certificate-missing"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_PROFILE = "certificate-profile"
    CERTIFICATE_REVOKED = "certificate-revoked"
    REVOCATION_STALE = "revocation-stale"
    # posture
    POSTURE_UNAVAILABLE = "posture-unavailable"
    # interpret
    UNKNOWN_ROUTE = "unknown-route"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    INVALID_UID = "invalid-uid"
    INVALID_PATH = "invalid-path"
    INVALID_QUERY = "invalid-query"
    FORBIDDEN_HEADER = "forbidden-header"
    NOT_ACCEPTABLE = "not-acceptable"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UNEXPECTED_BODY = "unexpected-body"
    MULTIPART_MALFORMED = "multipart-malformed"
    PART_UNREADABLE = "part-unreadable"
    STUDY_MISMATCH = "study-mismatch"
    TOO_LARGE = "too-large"
    NOT_YET = "not-yet"
    # context
    ARCHIVE_UNAVAILABLE = "archive-unavailable"
    ARCHIVE_TIMEOUT = "archive-timeout"
    # decide (policy)
    ACTION_NOT_PERMITTED = "action-not-permitted"
    SUBJECT_UNKNOWN = "subject-unknown"
    INSTITUTION_NOT_GRANTED = "institution-not-granted"
    PARTIAL_STUDY = "partial-study"
    RESOURCE_UNKNOWN = "resource-unknown"
    PURPOSE_NOT_PERMITTED = "purpose-not-permitted"
    QUERY_NOT_PERMITTED = "query-not-permitted"
    POSTURE_MISSING = "posture-missing"
    POSTURE_STALE = "posture-stale"
    POSTURE_DISK_UNENCRYPTED = "posture-disk-unencrypted"
    POSTURE_PATCHES_OLD = "posture-patches-old"
    POSTURE_SCREEN_UNLOCKED = "posture-screen-unlocked"
    POSTURE_FIREWALL_OFF = "posture-firewall-off"
    POSTURE_MALWARE_PROTECTION_OFF = "posture-malware-protection-off"
    # decide (engine)
    POLICY_UNAVAILABLE = "policy-unavailable"
    # fulfil
    OBLIGATION_UNKNOWN = "obligation-unknown"
    MASK_NOT_POSSIBLE = "mask-not-possible"
    SEARCH_TOO_BROAD = "search-too-broad"
    # record
    RECORD_NOT_DURABLE = "record-not-durable"
    # a lease that ended while a stream was under way
    LEASE_ENDED = "lease-ended"


# ------------------------------------------------------------------------------------------- arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who holds the other end of the TLS connection, before anything is believed of it."""

    certificate: bytes | None
    """DER of the client's leaf; its key is proven by the handshake, nothing else is."""
    address: str
    connection: int
    """Number of the connection within this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request head exactly as the parser delivered it. Nothing here is trusted."""

    peer: Peer
    method: str
    target: str
    """Request target as sent, not decoded."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Names and values as sent, in order, duplicates kept."""
    at: datetime
    parser_error: str | None = None
    """Set when the parser refused the head; method and target are then empty."""


# ----------------------------------------------------------------------------------------- identify


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    status: str
    """``good``, ``revoked`` or ``unknown``."""
    as_of: datetime | None
    expires_at: datetime | None

    def to_wire(self) -> JsonObject:
        return {
            "status": self.status,
            "as_of": None if self.as_of is None else wire_time(self.as_of),
            "expires_at": None if self.expires_at is None else wire_time(self.expires_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The device a certificate names and how it was judged now. ``reasons`` not empty: it may do nothing."""

    device: DeviceId | None
    name: str
    """The configured SAN, for example ``urn:dicomward:device:radiologist``; empty where there is none."""
    subject: str
    """RFC 4514 subject name."""
    fingerprint: str
    """SHA-256 of the certificate's DER, lower-case hexadecimal."""
    serial: str
    """Lower-case hexadecimal."""
    authority: str
    """Configured name of the issuing authority; empty where none of ours issued it."""
    authority_actions: tuple[str, ...]
    """The actions that certificates of this authority may ask for."""
    not_after: datetime | None
    revocation: Revocation
    generation: int
    """Counts up when authorities or revocation data change: a lease ends with it."""
    expires_at: datetime | None
    """The earliest of the certificate's end and the revocation data's ``nextUpdate``."""
    reasons: tuple[Reason, ...] = ()
    _wire: JsonObject = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wire", self._made_wire())

    def to_wire(self) -> JsonObject:
        """Made once, since one value serves many requests; not to be changed."""
        return self._wire

    def _made_wire(self) -> JsonObject:
        return {
            "certificate": {
                "name": self.name,
                "subject": self.subject,
                "fingerprint": self.fingerprint,
                "serial": self.serial,
                "authority": self.authority,
                "authority_actions": list(self.authority_actions),
                "not_after": None if self.not_after is None else wire_time(self.not_after),
            },
            "revocation": self.revocation.to_wire(),
            "user": None,
        }


# ------------------------------------------------------------------------------------------ posture


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureAttribute:
    value: bool | int | str
    source: str
    trust: str
    """``attested``, ``managed`` or ``reported``."""
    issued_at: datetime
    expires_at: datetime

    def to_wire(self) -> JsonObject:
        return {
            "value": self.value,
            "source": self.source,
            "trust": self.trust,
            "issued_at": wire_time(self.issued_at),
            "expires_at": wire_time(self.expires_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """What is known of one device. Empty where nothing is: policy denies, it does not guess."""

    attributes: Mapping[str, PostureAttribute]
    generation: int
    """Counts up whenever this device's attributes change."""
    _wire: JsonObject = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wire", {name: attribute.to_wire() for name, attribute in self.attributes.items()})

    def to_wire(self) -> JsonObject:
        """Made once, since one value serves many requests; not to be changed."""
        return self._wire

    @property
    def expires_at(self) -> datetime | None:
        return min((a.expires_at for a in self.attributes.values()), default=None)


# ---------------------------------------------------------------------------------------- interpret


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


# ------------------------------------------------------------------------------------------ context


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


# ------------------------------------------------------------------------------------------- decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    type: str
    body: Mapping[str, JsonValue]
    """The whole obligation as policy gave it, ``type`` included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of policy, or of the step that refused before policy was asked."""

    allow: bool
    reasons: tuple[str, ...]
    """Reason codes, sorted; empty if and only if ``allow``."""
    obligations: tuple[Obligation, ...] = ()
    policy: PolicyDigest = PolicyDigest("")
    """Empty where policy was not asked."""

    def __post_init__(self) -> None:
        if self.allow == bool(self.reasons):
            raise ValueError("a verdict allows, or it has reasons")

    @classmethod
    def denied(cls, *reasons: str, policy: PolicyDigest = PolicyDigest("")) -> Verdict:
        return cls(allow=False, reasons=tuple(sorted({str(reason) for reason in reasons})), policy=policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Everything a decision was made from: steps 1 to 5 of the journey, as values."""

    decision: DecisionId
    arrival: Arrival
    principal: Principal
    posture: Posture | None
    request: DicomRequest | Refusal
    resource: ResourceContext | None
    policy_input: JsonObject | None
    """``None`` where policy was not asked."""
    verdict: Verdict
    policy_generation: int

    @property
    def stamp(self) -> tuple[int, int, int]:
        """Generations of certificates, posture and policy: equal stamps mean equal grounds."""
        return (
            self.principal.generation,
            0 if self.posture is None else self.posture.generation,
            self.policy_generation,
        )

    @property
    def until(self) -> datetime | None:
        """When the first of the grounds ends by itself."""
        ends = [self.principal.expires_at, None if self.posture is None else self.posture.expires_at]
        return min((end for end in ends if end is not None), default=None)


# ------------------------------------------------------------------------------------------- record


class Kind(StrEnum):
    DECISION = "decision"
    PART = "part"
    OUTCOME = "outcome"
    EVENT = "event"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """Where a record stands in its origin's chain once fsync has returned."""

    origin: bytes
    index: int
    leaf: bytes
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """One record as the spool holds it: ``leaf == SHA-256(0x00 || salt || body)``."""

    index: int
    kind: str
    id: str
    salt: bytes
    body: bytes
    """Canonical JSON, RFC 8785."""
    leaf: bytes
    head: bytes


class OutcomeStatus(StrEnum):
    COMPLETE = "complete"
    ABORTED = "aborted"
    """The client went away."""
    TERMINATED = "terminated"
    """Cut by the proxy: ``reason`` says why."""
    FAILED = "failed"
    """The archive failed after the decision."""


MAX_INTEGER: Final = 2**53 - 1
"""Largest integer a record may hold (RFC 8785 3.2.2.3, RFC 7493 2.2)."""
