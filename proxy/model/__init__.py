"""The values that rooms hand to each other.

Each is frozen and legal once it exists: whoever holds a ``DicomRequest`` holds something the grammar
accepted. Wire names (JSON, Rego, DICOM tags) stand only in ``to_wire``. Times are aware UTC datetimes;
one ``now`` a request is passed along. ``JsonValue`` excludes floats on purpose: records are hashed, and
the canonical form of a float is a quarrel nobody needs.
"""

from proxy.model.asked import (
    MEDIA_TYPES,
    PIXEL_TYPES,
    Action,
    Capabilities,
    DicomRequest,
    Level,
    PartHeader,
    Query,
    Refusal,
    Rendering,
    Representation,
    ResourceContext,
    Row,
    SeriesContext,
    StudyContext,
)
from proxy.model.asking import Arrival, Peer, Posture, PostureAttribute, Principal, Revocation
from proxy.model.base import (
    MAX_INTEGER,
    DecisionId,
    DeviceId,
    InstanceUid,
    JsonObject,
    JsonValue,
    PolicyDigest,
    SeriesUid,
    StudyUid,
    wire_time,
)
from proxy.model.decided import Grounds, Obligation, Verdict
from proxy.model.reasons import CAPABILITIES, Reason
from proxy.model.recorded import Durable, Kind, OutcomeStatus, RecordRow

__all__ = [
    "CAPABILITIES",
    "MAX_INTEGER",
    "MEDIA_TYPES",
    "PIXEL_TYPES",
    "Action",
    "Arrival",
    "Capabilities",
    "DecisionId",
    "DeviceId",
    "DicomRequest",
    "Durable",
    "Grounds",
    "InstanceUid",
    "JsonObject",
    "JsonValue",
    "Kind",
    "Level",
    "Obligation",
    "OutcomeStatus",
    "PartHeader",
    "Peer",
    "PolicyDigest",
    "Posture",
    "PostureAttribute",
    "Principal",
    "Query",
    "Reason",
    "RecordRow",
    "Refusal",
    "Rendering",
    "Representation",
    "ResourceContext",
    "Revocation",
    "Row",
    "SeriesContext",
    "SeriesUid",
    "StudyContext",
    "StudyUid",
    "Verdict",
    "wire_time",
]
