"""A device's report of itself: a compact JWS (RFC 7515) by the key of its certificate (pure).

Example, header and payload decoded::

    {"alg": "ES256", "typ": "dicomward-posture+jwt", "x5t#S256": "<SHA-256 of the certificate's DER, Base64url>"}
    {"aud": "north", "iat": 1763841600.123, "nonce": "...", "posture": {"disk_encryption": true}}

A report holds where, in this order,

1. it has exactly this form, ``exp`` allowed, and what it says is short (:func:`parse_report`),
2. ``typ`` is ours and ``alg`` the one that belongs to the certificate's key,
3. ``x5t#S256`` is of the certificate that the connection proved,
4. the signature verifies by that certificate's key,
5. ``aud`` names this site,
6. ``iat`` is within the clocks' difference forgiven, and neither ``exp`` nor the site's limit has passed,
7. its nonce is ours, for this certificate, and not too old,
8. that nonce was not used before, and ``iat`` is later than that of the last report in force.

The last two need a key and a memory, which the desk has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import jwt
import orjson
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from proxy.model import ATTRIBUTES, REPORT_TYPE, Reason
from proxy.posture.claims import from_milliseconds, legal_value
from proxy.strict import base64url, loads, unbase64url

MOST_ATTRIBUTES: Final = 64
MOST_BYTES: Final = 4096
"""Of ``posture``, as JSON without spaces: what a device says of itself stands in each of its records from then on."""
_HEADER: Final = {"alg", "typ", "x5t#S256"}
_PAYLOAD: Final = {"aud", "iat", "nonce", "posture"}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LATEST_S: Final = 2**33
"""In the year 2242: keeps hostile numbers within the calendar."""
_JWS: Final = jwt.PyJWS()

_PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report of legal form. Nothing it says is proven."""

    compact: bytes
    algorithm: str
    type: str
    thumbprint: str
    audience: str
    issued_at: datetime
    expires_at: datetime | None
    nonce: str
    values: Mapping[str, bool | int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRules:
    """What this site demands of reports."""

    site: str
    valid: timedelta
    skew: timedelta


def parse_report(body: bytes) -> Report | None:
    """Step 1; ``None``: the form is another."""
    try:
        segments = body.decode("ascii").split(".")
        header, payload, _ = (unbase64url(segment) for segment in segments)
        return _report(body, _members(header), _members(payload))
    except ValueError:
        return None


def judge_report(report: Report, certificate: bytes, rules: ReportRules, now: datetime) -> Reason | None:
    """Steps 2 to 6.

    :param certificate: DER
    """
    key = _public_key(certificate)
    if key is None or report.algorithm != _algorithm_of(key) or report.type != REPORT_TYPE:
        return Reason.REPORT_ALGORITHM
    if report.thumbprint != base64url(hashlib.sha256(certificate).digest()):
        return Reason.REPORT_OF_ANOTHER_DEVICE
    if not _signed(report, key):
        return Reason.REPORT_SIGNATURE
    if report.audience != rules.site:
        return Reason.REPORT_AUDIENCE
    if abs(now - report.issued_at) > rules.skew or report_end(report, rules, now) <= now:
        return Reason.REPORT_NOT_CURRENT
    return None


def report_end(report: Report, rules: ReportRules, now: datetime) -> datetime:
    """When what it says ends. A clock that runs ahead of ours gains nothing by it."""
    end = min(report.issued_at, now) + rules.valid
    return end if report.expires_at is None else min(end, report.expires_at)


def _members(content: bytes) -> dict[str, object]:
    found = loads(content)
    if type(found) is not dict:
        raise ValueError("is not an object")
    return found


def _report(body: bytes, header: dict[str, object], payload: dict[str, object]) -> Report:
    """:raises ValueError: a member is missing, unknown or of another form"""
    if header.keys() != _HEADER or payload.keys() - {"exp"} != _PAYLOAD:
        raise ValueError("has other members")
    return Report(
        compact=body,
        algorithm=_text(header["alg"]),
        type=_text(header["typ"]),
        thumbprint=_text(header["x5t#S256"]),
        audience=_text(payload["aud"]),
        issued_at=_moment(payload["iat"]),
        expires_at=_moment(payload["exp"]) if "exp" in payload else None,
        nonce=_text(payload["nonce"]),
        values=_values(payload["posture"]),
    )


def _values(posture: object) -> dict[str, bool | int | str]:
    if type(posture) is not dict or len(posture) > MOST_ATTRIBUTES:
        raise ValueError("posture is not an object of few members")
    values = {name: _value(name, value) for name, value in posture.items()}
    if len(orjson.dumps(values)) > MOST_BYTES:
        raise ValueError("posture is too long")
    return values


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError("is not a text")
    return value


def _moment(value: object) -> datetime:
    """NumericDate (RFC 7519 2), to the millisecond."""
    if type(value) not in (int, float) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    if not 0 <= value < _LATEST_S:
        raise ValueError("is no time")
    return from_milliseconds(round(value * 1000))


def _value(name: str, value: object) -> bool | int | str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("is no name of an attribute")
    legal = legal_value(value)
    if type(legal) is not ATTRIBUTES.get(name, type(legal)) or (name == "patch_age_days" and int(legal) < 0):
        raise ValueError("is of another type than this attribute")
    return legal


def _public_key(certificate: bytes) -> _PublicKey | None:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, _PublicKey) else None


def _algorithm_of(key: _PublicKey) -> str | None:
    """One for each kind of key (RFC 7518 3.1, RFC 8037 3.1), so that no peer chooses how it is verified."""
    match key:
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return "ES256"
        case EllipticCurvePublicKey(curve=SECP384R1()):
            return "ES384"
        case EllipticCurvePublicKey(curve=SECP521R1()):
            return "ES512"
        case Ed25519PublicKey():
            return "EdDSA"
        case RSAPublicKey(key_size=bits) if bits >= 2048:
            return "PS256"
    return None


def _signed(report: Report, key: _PublicKey) -> bool:
    try:
        _JWS.decode_complete(report.compact, key, algorithms=[report.algorithm])
    except (jwt.InvalidTokenError, ValueError):
        return False
    return True
