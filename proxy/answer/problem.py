"""The catalogue of refusals: one line a reason. A test holds it complete and equal to the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import orjson

from proxy.failing import failing
from proxy.model import JsonObject, PolicyReason, Posture, wire_time
from proxy.model import Reason as R  # noqa: N817 - a table of sixty lines

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:dicomward:reason:"


class Entry(NamedTuple):
    status: int
    title: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    status: int
    body: bytes


_RENEW: Final = "Ask your site for a certificate of the current profile."
_REPORT_AGAIN: Final = "Report with the current agent: dicomward posture report."
_REVOCATION: Final = "The operator must renew the revocation lists."
_LOG_IN: Final = "Log in again on this device, at the issuer that this site names."
_WEBHOOK: Final = "See docs/posture.md, managed attributes."
_OPERATOR: Final = "Try again later; if it stays, tell the operator and give the decision id."
_READ_GRAMMAR: Final = "See the supported DICOMweb requests in docs/grammar.md."

_BY_POLICY: Final = Entry(403, "Policy does not permit this", "Ask your security team, and give the decision id.")
"""Of a reason whose policies are in force no more."""

CATALOGUE: Final[dict[R, Entry]] = {
    R.MALFORMED_REQUEST: Entry(400, "The request is not well formed", _READ_GRAMMAR),
    R.RATE_LIMITED: Entry(429, "Too many requests", "Wait some seconds, and ask for less at a time."),
    R.REQUEST_TIMEOUT: Entry(408, "The request was not received in time", "Send the whole request without pausing."),
    R.ABANDONED: Entry(400, "The connection was left before the request was read", "Ask again."),
    R.INTERNAL_ERROR: Entry(500, "The proxy failed", _OPERATOR),
    R.ORIGIN_NOT_PERMITTED: Entry(
        403, "A web page that this site does not list asked", "Ask the operator to list the viewer's origin."
    ),
    R.CERTIFICATE_MISSING: Entry(403, "No client certificate was presented", "Present your device's certificate."),
    R.CERTIFICATE_UNTRUSTED: Entry(403, "No trusted authority issued this certificate", _RENEW),
    R.CERTIFICATE_EXPIRED: Entry(403, "The certificate has expired", "Renew the device's certificate."),
    R.CERTIFICATE_NOT_YET_VALID: Entry(
        403, "The certificate is not valid yet", "Check the device's clock, or wait until the certificate begins."
    ),
    R.CERTIFICATE_PROFILE: Entry(403, "The certificate is not of the profile this site accepts", _RENEW),
    R.CERTIFICATE_REVOKED: Entry(
        403, "The certificate was revoked", "This device may no longer connect; ask your site why it was revoked."
    ),
    R.CERTIFICATE_NAME: Entry(403, "The certificate bears a name that its authority may not give", _RENEW),
    R.CERTIFICATE_DEPTH: Entry(403, "Too many authorities stand between the certificate and one of this site", _RENEW),
    R.REVOCATION_STALE: Entry(403, "The revocation list of the certificate's authority has ended", _REVOCATION),
    R.REVOCATION_MISSING: Entry(403, "There is no revocation list of the certificate's authority", _REVOCATION),
    R.REVOCATION_UNREADABLE: Entry(403, "The revocation list of an authority cannot be read", _REVOCATION),
    R.REVOCATION_UNTRUSTED: Entry(403, "The revocation list of an authority is signed by another", _REVOCATION),
    R.REVOCATION_INCOMPLETE: Entry(
        403, "It is not known whether an authority in the certificate's chain was revoked", _REVOCATION
    ),
    R.TOKEN_MISSING: Entry(401, "No access token came with the request", _LOG_IN),
    R.TOKEN_MALFORMED: Entry(401, "The access token cannot be read", _LOG_IN),
    R.TOKEN_ALGORITHM: Entry(401, "The access token is not signed as this site demands", _LOG_IN),
    R.TOKEN_ISSUER: Entry(401, "The access token is of an issuer that this site does not know", _LOG_IN),
    R.TOKEN_SIGNATURE: Entry(401, "The access token's signature does not verify", _LOG_IN),
    R.TOKEN_AUDIENCE: Entry(401, "The access token is meant for somebody else", _LOG_IN),
    R.TOKEN_EXPIRED: Entry(401, "The access token has expired", _LOG_IN),
    R.TOKEN_NOT_YET_VALID: Entry(401, "The access token is not valid yet", "Check the clocks of device and issuer."),
    R.TOKEN_UNBOUND: Entry(
        401, "The access token is not bound to a certificate", "Have the token issued over this device's certificate."
    ),
    R.TOKEN_OF_ANOTHER_DEVICE: Entry(
        403, "The access token belongs to another device", "Log in on this device; the site was alerted."
    ),
    R.TOKEN_KEYS_UNAVAILABLE: Entry(503, "The access token cannot be verified now", _OPERATOR),
    R.PURPOSE_CONTRADICTED: Entry(
        403, "The request states another purpose of use than its access token", "State the token's purpose, or none."
    ),
    R.POSTURE_UNAVAILABLE: Entry(503, "The posture of the device could not be read", _OPERATOR),
    R.REPORT_MALFORMED: Entry(400, "The posture report cannot be read", _REPORT_AGAIN),
    R.REPORT_ALGORITHM: Entry(400, "The posture report is not signed as this site demands", _REPORT_AGAIN),
    R.REPORT_SIGNATURE: Entry(
        403,
        "The posture report is not signed by the key of this certificate",
        "Sign it with the certificate's key.",
    ),
    R.REPORT_OF_ANOTHER_DEVICE: Entry(
        403, "The posture report is about another certificate", "Let each device report for itself."
    ),
    R.REPORT_AUDIENCE: Entry(403, "The posture report is meant for another site", _REPORT_AGAIN),
    R.REPORT_NONCE: Entry(403, "The posture report answers no question of this site's last minute", _REPORT_AGAIN),
    R.REPORT_REPLAYED: Entry(409, "The posture report was used before, or a later one is in force", _REPORT_AGAIN),
    R.REPORT_NOT_CURRENT: Entry(403, "The posture report was not made now", "Check the device's clock."),
    R.WEBHOOK_MALFORMED: Entry(400, "The webhook cannot be read", _WEBHOOK),
    R.WEBHOOK_SIGNATURE: Entry(403, "The webhook's signature does not verify", _WEBHOOK),
    R.WEBHOOK_REPLAYED: Entry(409, "The webhook was taken before", "Give each delivery an id of its own."),
    R.WEBHOOK_NOT_CURRENT: Entry(403, "The webhook was not sent now", "Check the sender's clock."),
    R.UNKNOWN_ROUTE: Entry(404, "There is no such resource here", _READ_GRAMMAR),
    R.METHOD_NOT_ALLOWED: Entry(405, "This resource has no such method", _READ_GRAMMAR),
    R.INVALID_UID: Entry(400, "A UID is not a DICOM UID", "A UID has at most 64 digits and dots (PS3.5 9.1)."),
    R.INVALID_PATH: Entry(400, "The path is not in its plain form", "Send paths without escapes or dot segments."),
    R.INVALID_QUERY: Entry(400, "The query is not one this resource takes", _READ_GRAMMAR),
    R.FORBIDDEN_HEADER: Entry(400, "A header field is not accepted", "Leave out method overrides and look-alikes."),
    R.NOT_ACCEPTABLE: Entry(406, "No acceptable representation", _READ_GRAMMAR),
    R.UNSUPPORTED_MEDIA_TYPE: Entry(
        415, "The body's media type is not accepted", "Send multipart/related; type=application/dicom, not encoded."
    ),
    R.UNEXPECTED_BODY: Entry(400, "This request takes no body", "Send it without a body."),
    R.MULTIPART_MALFORMED: Entry(400, "The multipart body is not well formed", "See docs/grammar.md, stores."),
    R.PART_UNREADABLE: Entry(400, "A part is not a readable DICOM file", "Send PS3.10 files with file meta."),
    R.STUDY_MISMATCH: Entry(409, "A part does not fit the study it goes to", "Check its study and patient."),
    R.TOO_LARGE: Entry(413, "The request is larger than this site accepts", "Send less at a time."),
    R.NOT_YET: Entry(403, "This capability is not available in this version", _READ_GRAMMAR),
    R.ARCHIVE_UNAVAILABLE: Entry(502, "The archive did not give a DICOMweb answer", _OPERATOR),
    R.ARCHIVE_TIMEOUT: Entry(504, "The archive did not answer in time", _OPERATOR),
    R.REPRESENTATION_UNAVAILABLE: Entry(
        406,
        "The archive cannot give this object in that form",
        "Ask for another media type, transfer syntax or frame; transfer-syntax=* gives what is stored.",
    ),
    R.RESOURCE_UNKNOWN: Entry(404, "The archive has no such object", "Check the UID, or search for it."),
    R.QUERY_NOT_PERMITTED: Entry(
        403,
        "The search matches on or asks for an attribute you may not read",
        "Search without that matching key or includefield.",
    ),
    R.POLICY_UNAVAILABLE: Entry(503, "No decision could be made", _OPERATOR),
    R.POLICY_STALE: Entry(503, "The policies are older than this site allows", _OPERATOR),
    R.OBLIGATION_UNKNOWN: Entry(403, "Policy demands what this version cannot do", "Tell the operator."),
    R.MASK_NOT_POSSIBLE: Entry(403, "The answer cannot be masked as policy demands", "Ask for metadata instead."),
    R.SEARCH_TOO_BROAD: Entry(413, "The search is too broad", "Add matching keys or a smaller limit."),
    R.RECORD_NOT_DURABLE: Entry(503, "The decision could not be recorded", _OPERATOR),
    R.DECISION_UNKNOWN: Entry(
        404,
        "No such decision was made on you",
        "Ask from the device, and as the user, that it was made on; old ones are told by the site's auditor.",
    ),
    R.INTEGRITY: Entry(500, "What is recorded does not agree with itself", _OPERATOR),
    R.LEASE_ENDED: Entry(403, "The grounds of the decision ended", "Ask again."),
    R.LIMIT_REACHED: Entry(403, "The answer is larger or slower than policy allows", "Ask for less at a time."),
}

# Where several reasons stand, the gravest failure gives the status: ours before the peer's form before permission.
_ORDER: Final = (500, 503, 504, 502, 429, 413, 408, 405, 400, 415, 406, 409, 401, 403, 404)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What a site wants done about a reason, in its own words."""

    text: str
    link: str | None = None


class Problems:
    """:class:`proxy.rooms.Problem`: status and ``application/problem+json`` body (RFC 9457) of refusals."""

    def __init__(
        self,
        remedies: Mapping[str, Remedy],
        policy_reasons: Callable[[], Mapping[str, PolicyReason]] = dict,
    ) -> None:
        """:param policy_reasons: what the policies in force say of the reasons they give"""
        self._remedies = remedies
        self._policy_reasons = policy_reasons

    def __call__(
        self, reasons: Sequence[str], decision: str, posture: Posture | None = None, now: datetime | None = None
    ) -> Problem:
        entries = [(str(reason), self.entry(reason)) for reason in reasons]
        first, entry = min(entries, key=lambda pair: _ORDER.index(pair[1].status))
        body = {
            "type": TYPE_PREFIX + first,
            "title": entry.title,
            "status": entry.status,
            "reasons": [self._told(reason, posture, now) for reason, _ in entries],
            "decision": decision,
        }
        return Problem(status=entry.status, body=orjson.dumps(body))

    def _told(self, reason: str, posture: Posture | None, now: datetime | None) -> JsonObject:
        entry, remedy = self.entry(reason), self._remedies.get(reason)
        told: JsonObject = {
            "code": reason,
            "title": entry.title,
            "remedy": entry.remedy if remedy is None else remedy.text,
        }
        if remedy is not None and remedy.link is not None:
            told["link"] = remedy.link
        if posture is not None and now is not None:
            attributes = failing(reason, posture.to_wire(), wire_time(now))
            if attributes:
                told["attributes"] = [each.to_wire() for each in attributes]
        return told

    def entry(self, reason: str) -> Entry:
        """Of our own reasons as this table says, of the policies' as their METADATA says."""
        if reason in CATALOGUE:
            return CATALOGUE[R(reason)]
        told = self._policy_reasons().get(reason)
        return _BY_POLICY if told is None else Entry(403, told.title, told.remedy)


problem_of: Final = Problems({})
"""With the built-in remedies."""
