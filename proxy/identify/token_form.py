"""From ``Authorization`` to the parts of a JWT in compact form (RFC 7519, RFC 7515 7.1). Pure; nothing is believed.

Stricter than the standards: base64url has to be canonical, members stand once, ``crit`` is refused whatever it names,
a key id and all times are bounded.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy import strict

MOST_BYTES: Final = 8_000
"""Of ``Authorization``. The grammar of requests takes no longer value."""
MOST_TEXT: Final = 512
MOST_AUDIENCES: Final = 64
MOST_SUBJECT: Final = 256
LATEST: Final = 7_258_118_400
"""The year 2200 in seconds. Times in milliseconds lie beyond it."""
_BEARER: Final = re.compile(rb"(?i:bearer) +(([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says, before anything of it is verified. Its text is in no representation."""

    algorithm: str
    type: str
    """``typ`` in lower case without ``application/`` (RFC 7515 4.1.9); empty where there is none."""
    kid: str | None
    issuer: str
    subject: str
    audience: tuple[str, ...]
    expires: float
    issued: float
    not_before: float
    """Seconds since 1970, as the two before; ``iat`` where the token has no ``nbf``."""
    thumbprint: bytes | None
    """``cnf`` ``x5t#S256``: SHA-256 of the certificate it is bound to (RFC 8705 3.1)."""
    claims: Mapping[str, object] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read(authorization: Sequence[bytes]) -> Token:
    """
    :raises ValueError: anything but one bearer token of this form; its text holds none of it
    """
    if len(authorization) != 1 or len(authorization[0]) > MOST_BYTES:
        raise ValueError("not one token")
    found = _BEARER.fullmatch(authorization[0])
    if found is None:
        raise ValueError("no bearer token in compact form")
    header, claims = _object(found[2]), _object(found[3])
    if "crit" in header:
        raise ValueError("a critical header is not understood")
    issued = _time(claims, "iat")
    return Token(
        algorithm=_text(header, "alg"),
        type=_text(header, "typ").lower().removeprefix("application/") if "typ" in header else "",
        kid=_text(header, "kid") if "kid" in header else None,
        issuer=_text(claims, "iss"),
        subject=_subject(claims),
        audience=_audience(claims),
        expires=_time(claims, "exp"),
        issued=issued,
        not_before=_time(claims, "nbf") if "nbf" in claims else issued,
        thumbprint=_thumbprint(claims),
        claims=claims,
        signed=found[1],
        signature=decoded(found[4]),
    )


def decoded(part: bytes) -> bytes:
    """base64url without padding (RFC 7515 2), in the one form that encoding gives.

    :raises ValueError: another
    """
    content = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=") != part:
        raise ValueError("not canonical base64url")
    return content


def at(claims: Mapping[str, object], path: str) -> object:
    """The claim of that name, or at that path of names with dots between; ``None`` where there is none.

    :raises ValueError: the path leads through something that is no object
    """
    if path in claims:  # first, since names of claims are often addresses
        return claims[path]
    found: object = claims
    for name in path.split("."):
        if not isinstance(found, Mapping):
            raise ValueError("a claim is of another type")
        if name not in found:
            return None
        found = found[name]
    return found


def _object(part: bytes) -> dict[str, object]:
    value = strict.loads(decoded(part))
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_TEXT:
        raise ValueError(f"{name} is no text")
    return value


def _subject(claims: Mapping[str, object]) -> str:
    value = _text(claims, "sub")
    if len(value) > MOST_SUBJECT or not value.isprintable():
        raise ValueError("sub is no name")
    return value


def _audience(claims: Mapping[str, object]) -> tuple[str, ...]:
    value = claims.get("aud")
    members = value if isinstance(value, list) else [value]
    found = tuple(each for each in members if isinstance(each, str))
    if not members or len(found) != len(members) or len(members) > MOST_AUDIENCES:
        raise ValueError("aud is no text and no list of texts")
    return found


def _time(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no time")
    if not 0 <= value <= LATEST or not math.isfinite(value):
        raise ValueError(f"{name} is no time of this age")
    return float(value)


def _thumbprint(claims: Mapping[str, object]) -> bytes | None:
    confirmation = claims.get("cnf", {})
    if not isinstance(confirmation, dict):
        raise ValueError("cnf is no object")
    if "x5t#S256" not in confirmation:
        return None
    value = confirmation["x5t#S256"]
    if not isinstance(value, str):
        raise ValueError("cnf is bound to no thumbprint")
    content = decoded(value.encode("ascii"))
    if len(content) != 32:
        raise ValueError("cnf is bound to no SHA-256")
    return content
