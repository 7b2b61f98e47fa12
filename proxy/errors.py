"""Errors by whose fault they are.

Status and public message belong to the class and may be shown to a peer; ``detail`` goes to the log
only, so no message built from a request, an archive's answer or a file may stand in ``public``.
A denial is not an error: see :class:`proxy.model.Reason`.
"""

from __future__ import annotations

from enum import StrEnum


class DicomwardError(Exception):
    """Root of every error that this package raises on purpose."""

    status: int = 500
    code: str = "internal-error"
    public: str = "The proxy could not complete the request."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.public)
        self.detail = detail


class PeerError(DicomwardError):
    """The client broke the protocol, or went away, after the request was decided."""

    status = 400
    code = "malformed-request"
    public = "The request is not well formed."


class BodyError(PeerError):
    """The client's body broke its announced form while it was being read."""

    code = "multipart-malformed"
    public = "The body is not a well-formed multipart/related message of DICOM parts."


class BodyTooLargeError(PeerError):
    status = 413
    code = "too-large"
    public = "The body, or one part's header, is larger than this site accepts."


class PeerGoneError(PeerError):
    """The connection was lost or a deadline on the peer passed."""

    status = 408
    code = "request-timeout"
    public = "The request was not received in time."


class DependencyError(DicomwardError):
    """Something the proxy depends on failed."""

    status = 503
    code = "dependency-unavailable"
    public = "A part that this proxy depends on is not available."


class PolicyUnavailableError(DependencyError):
    """The engine is down, late, or answered something that is not a verdict."""

    code = "policy-unavailable"
    public = "No decision could be made: the policy engine is not available."


class PolicyStaleError(PolicyUnavailableError):
    """The policies in force are older than the site allows."""

    code = "policy-stale"
    public = "No decision could be made: the policies are older than this site allows."


class PolicyInvalidError(DependencyError):
    """A candidate policy set does not compile or answers nonsense; the one in force stays."""

    code = "policy-unavailable"
    public = "No decision could be made: the policies are not valid."


class PostureUnavailableError(DependencyError):
    code = "posture-unavailable"
    public = "No decision could be made: the posture of the device could not be read."


class SpoolError(DependencyError):
    """A record could not be made durable; nothing may be answered but 503."""

    code = "record-not-durable"
    public = "The decision could not be recorded, so nothing is answered."


class ArchiveError(DependencyError):
    status = 502
    code = "archive-unavailable"
    public = "The archive could not be reached or gave an answer that is not DICOMweb."


class ArchiveTimeoutError(ArchiveError):
    status = 504
    code = "archive-timeout"
    public = "The archive did not answer in time."


class ArchiveRefusedError(ArchiveError):
    """The archive has the object and cannot give it in this form: no such frame, no pixels, no such transfer syntax."""

    status = 406
    code = "representation-unavailable"
    public = "The archive cannot give this object in the form that was asked for."


class SearchTooBroadError(DicomwardError):
    """More rows had to be looked through than the site allows for one search."""

    status = 413
    code = "search-too-broad"
    public = "The search is too broad."


class ChainError(DependencyError):
    """The blockchain could not be reached or refused a transaction."""

    code = "chain-unavailable"
    public = "The blockchain is not available."


class IntegrityError(DicomwardError):
    """Stored evidence contradicts itself or the chain: an alarm, never repaired in silence."""

    code = "integrity"
    public = "Evidence does not agree with itself."


class EvidenceFault(StrEnum):
    """What is wrong with one bundle of evidence, each told apart from the others."""

    ABSENT = "absent"
    """Nowhere to be had."""
    ALTERED = "altered"
    """The content is not of its CID."""
    UNREADABLE = "unreadable"
    """It does not open: malformed, of other records than it says, or its envelope is another's."""
    NO_KEY = "no-key"
    """It was not made for this auditor."""
    ERASED = "erased"
    """The site destroyed its keys and said so."""
    STORE = "store"
    """The store could not be asked."""


class EvidenceError(DependencyError):
    """One bundle of evidence, or the store of all of them, could not be used."""

    code = "evidence"
    public = "Evidence could not be used."

    def __init__(self, fault: EvidenceFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class ConfigurationError(DicomwardError):
    """The process must not start. ``detail`` names the key. Exit status 2."""

    code = "configuration"
    public = "The configuration is not valid."
