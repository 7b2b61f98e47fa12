"""The signed report: a compact JWS (RFC 7515) by the key of the device's own certificate.

Example, header and payload decoded::

    {"alg": "ES256", "typ": "dicomward-posture+jwt", "x5t#S256": "<SHA-256 of the certificate's DER, Base64url>"}
    {"aud": "north", "iat": 1763841600.123, "nonce": "...", "posture": {"disk_encryption": true}}

It MUST have exactly these members, and may have ``exp``, where what it says ends before the site's own limit.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from proxy.agent.findings import LONGEST_TEXT, Value
from proxy.errors import ConfigurationError
from proxy.model import ATTRIBUTES, MAX_INTEGER, REPORT_TYPE

DeviceKey = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
MOST: Final = 64
"""Attributes of one report."""


def make_report(
    values: Mapping[str, Value],
    *,
    site: str,
    nonce: str,
    certificate: x509.Certificate,
    key: DeviceKey,
    now: datetime,
    valid_s: float | None = None,
) -> str:
    """A report of ``values`` in compact form.

    :param site: name of the site that gave the nonce; nobody else can use the report
    :param valid_s: after how many seconds what it says ends, where that is before the site's own limit
    :raises ConfigurationError: the key is of a kind that reports are not signed with
    """
    issued = round(now.timestamp(), 3)
    payload: dict[str, Any] = {"aud": site, "iat": issued, "nonce": nonce, "posture": dict(values)}
    if valid_s is not None:
        payload["exp"] = round(issued + valid_s, 3)
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode("ascii")
    headers = {"typ": REPORT_TYPE, "x5t#S256": thumbprint}
    return jwt.encode(payload, key, algorithm=algorithm_of(key), headers=headers)


def algorithm_of(key: object) -> str:
    """``alg`` (RFC 7518, RFC 8037) for the device's key.

    :raises ConfigurationError: there is none
    """
    match key:
        case EllipticCurvePrivateKey(curve=SECP256R1()):
            return "ES256"
        case EllipticCurvePrivateKey(curve=SECP384R1()):
            return "ES384"
        case EllipticCurvePrivateKey(curve=SECP521R1()):
            return "ES512"
        case Ed25519PrivateKey():
            return "EdDSA"
        case RSAPrivateKey(key_size=bits) if bits >= 2048:
            return "PS256"
    raise ConfigurationError("--key: reports are signed with P-256, P-384, P-521, Ed25519, or RSA from 2048 bits")


def checked_values(read: object) -> dict[str, Value]:
    """Values that somebody else measured, from JSON: one object of names and booleans, integers or texts.

    :raises ConfigurationError: names what is wrong
    """
    if not isinstance(read, dict) or not read:
        raise ConfigurationError("--values: is not a JSON object of attributes")
    if len(read) > MOST:
        raise ConfigurationError(f"--values: has more than {MOST} attributes")
    for name, value in read.items():
        if not NAME.fullmatch(name):
            raise ConfigurationError(f"--values: {name[:64]!r} is no name of an attribute ([a-z][a-z0-9_]*)")
        wanted = ATTRIBUTES.get(name)
        if type(value) not in (bool, int, str) or (wanted is not None and type(value) is not wanted):
            kind = "a boolean, an integer or a text" if wanted is None else f"of type {wanted.__name__}"
            raise ConfigurationError(f"--values: {name} is not {kind}")
        if (type(value) is int and abs(value) > MAX_INTEGER) or (type(value) is str and len(value) > LONGEST_TEXT):
            raise ConfigurationError(f"--values: {name} is too long")
    return read
