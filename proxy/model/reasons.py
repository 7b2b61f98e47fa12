"""The closed vocabulary of refusals."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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
    ORIGIN_NOT_PERMITTED = "origin-not-permitted"
    # identify
    CERTIFICATE_MISSING = "certificate-missing"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_PROFILE = "certificate-profile"
    CERTIFICATE_NAME = "certificate-name"
    CERTIFICATE_DEPTH = "certificate-depth"
    CERTIFICATE_REVOKED = "certificate-revoked"
    REVOCATION_STALE = "revocation-stale"
    REVOCATION_MISSING = "revocation-missing"
    REVOCATION_UNREADABLE = "revocation-unreadable"
    REVOCATION_UNTRUSTED = "revocation-untrusted"
    REVOCATION_INCOMPLETE = "revocation-incomplete"
    TOKEN_MISSING = "token-missing"
    TOKEN_MALFORMED = "token-malformed"
    TOKEN_ALGORITHM = "token-algorithm"
    TOKEN_ISSUER = "token-issuer"
    TOKEN_SIGNATURE = "token-signature"
    TOKEN_AUDIENCE = "token-audience"
    TOKEN_EXPIRED = "token-expired"
    TOKEN_NOT_YET_VALID = "token-not-yet-valid"
    TOKEN_UNBOUND = "token-unbound"
    TOKEN_OF_ANOTHER_DEVICE = "token-of-another-device"
    TOKEN_KEYS_UNAVAILABLE = "token-keys-unavailable"
    PURPOSE_CONTRADICTED = "purpose-contradicted"
    # posture
    POSTURE_UNAVAILABLE = "posture-unavailable"
    REPORT_MALFORMED = "report-malformed"
    REPORT_ALGORITHM = "report-algorithm"
    REPORT_SIGNATURE = "report-signature"
    REPORT_OF_ANOTHER_DEVICE = "report-of-another-device"
    REPORT_AUDIENCE = "report-audience"
    REPORT_NONCE = "report-nonce"
    REPORT_REPLAYED = "report-replayed"
    REPORT_NOT_CURRENT = "report-not-current"
    WEBHOOK_MALFORMED = "webhook-malformed"
    WEBHOOK_SIGNATURE = "webhook-signature"
    WEBHOOK_REPLAYED = "webhook-replayed"
    WEBHOOK_NOT_CURRENT = "webhook-not-current"
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
    REPRESENTATION_UNAVAILABLE = "representation-unavailable"
    # decide (policy)
    ACTION_NOT_PERMITTED = "action-not-permitted"
    SUBJECT_UNKNOWN = "subject-unknown"
    INSTITUTION_NOT_GRANTED = "institution-not-granted"
    DEPARTMENT_NOT_GRANTED = "department-not-granted"
    PARTIAL_STUDY = "partial-study"
    MODALITY_NOT_GRANTED = "modality-not-granted"
    PATIENT_NOT_GRANTED = "patient-not-granted"
    RESOURCE_UNKNOWN = "resource-unknown"
    PURPOSE_NOT_PERMITTED = "purpose-not-permitted"
    POSTURE_MISSING = "posture-missing"
    POSTURE_STALE = "posture-stale"
    POSTURE_DISK_UNENCRYPTED = "posture-disk-unencrypted"
    POSTURE_PATCHES_OLD = "posture-patches-old"
    POSTURE_SCREEN_UNLOCKED = "posture-screen-unlocked"
    POSTURE_FIREWALL_OFF = "posture-firewall-off"
    POSTURE_MALWARE_PROTECTION_OFF = "posture-malware-protection-off"
    POSTURE_TRUST_TOO_LOW = "posture-trust-too-low"
    CONSENT_WITHHELD = "consent-withheld"
    OUTSIDE_HOURS = "outside-hours"
    NETWORK_NOT_PERMITTED = "network-not-permitted"
    RATE_EXCEEDED = "rate-exceeded"
    VOLUME_EXCEEDED = "volume-exceeded"
    # decide (engine)
    POLICY_UNAVAILABLE = "policy-unavailable"
    POLICY_STALE = "policy-stale"
    # fulfil
    OBLIGATION_UNKNOWN = "obligation-unknown"
    QUERY_NOT_PERMITTED = "query-not-permitted"
    MASK_NOT_POSSIBLE = "mask-not-possible"
    SEARCH_TOO_BROAD = "search-too-broad"
    # record
    RECORD_NOT_DURABLE = "record-not-durable"
    DECISION_UNKNOWN = "decision-unknown"
    INTEGRITY = "integrity"
    # a lease that ended while a stream was under way
    LEASE_ENDED = "lease-ended"
    LIMIT_REACHED = "limit-reached"


CAPABILITIES: Final = "capabilities"
"""No refusal: OPTIONS and the root, which tell of the grammar only, are counted under it and not decided."""
