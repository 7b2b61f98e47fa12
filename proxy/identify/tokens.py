"""Judging an access token: a JWT (RFC 9068) bound to the certificate it came with (RFC 8705 3). Pure but for keys.

1. It has the form (RFC 8725 3.1 and 3.11: nothing is guessed).
2. A configured issuer is named as its own.
3. Algorithm and type are of those the site pinned for that issuer.
4. The issuer's keys are at hand and not too old. No header that brings or points to a key is looked at.
5. The key it names, made for that algorithm, verifies the signature. Until here nothing is believed.
6. It is within its time.
7. It is meant for this site.
8. It is bound to the certificate of this connection.
9. Roles and purpose have their form.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from jwt.algorithms import get_default_algorithms

from proxy.identify import token_form
from proxy.identify.key_set import Key
from proxy.identify.keys import IssuerSettings, KeyCache
from proxy.identify.token_form import Token
from proxy.model import Reason, User

MOST_ROLES: Final = 128
MOST_ROLE: Final = 128
_PURPOSE: Final = re.compile("[A-Z]{1,16}")
_VERIFIERS: Final[Mapping[str, Any]] = get_default_algorithms()


@dataclass(frozen=True, slots=True, kw_only=True)
class BadToken:
    """Why a token is not believed."""

    reason: Reason
    issuer: str = ""
    """Configured name, known once the signature was verified."""
    until: datetime | None = None
    """When another reason may hold although neither keys nor certificate changed."""


def judge(
    authorization: Sequence[bytes], issuers: Mapping[str, KeyCache], fingerprint: str, now: datetime
) -> User | BadToken:
    """
    :param authorization: values of ``Authorization`` as sent
    :param issuers: keys and settings by the claim ``iss``
    :param fingerprint: SHA-256 of the connection's certificate, hexadecimal
    """
    try:
        token = token_form.read(authorization)  # 1
    except ValueError:
        return BadToken(reason=Reason.TOKEN_MALFORMED)
    keys = issuers.get(token.issuer)
    if keys is None:  # 2
        return BadToken(reason=Reason.TOKEN_ISSUER)
    settings, end = keys.settings, keys.end(now)
    unproven = _signed(token, keys, now)  # 3 to 5
    if unproven is not None or end is None:
        return BadToken(reason=unproven or Reason.TOKEN_KEYS_UNAVAILABLE, until=end)
    expires_at = min(datetime.fromtimestamp(token.expires + settings.leeway_s, UTC), end)
    unfit = _fits(token, settings, bytes.fromhex(fingerprint), now.timestamp())  # 6 to 8
    if unfit is not None:
        until = end if unfit is Reason.TOKEN_EXPIRED else expires_at
        return BadToken(reason=unfit, issuer=settings.name, until=until)
    try:
        roles, purpose = _roles(token, settings.roles_claim), _purpose(token, settings.purpose_claim)  # 9
    except ValueError:
        return BadToken(reason=Reason.TOKEN_MALFORMED, issuer=settings.name, until=expires_at)
    return User(
        id=f"{settings.name}/{token.subject}",
        issuer=settings.name,
        subject=token.subject,
        roles=roles,
        purpose=purpose,
        expires_at=expires_at,
    )


def _signed(token: Token, keys: KeyCache, now: datetime) -> Reason | None:
    settings = keys.settings
    if token.algorithm not in settings.algorithms or token.type not in {each.lower() for each in settings.types}:
        return Reason.TOKEN_ALGORITHM
    if keys.end(now) is None:
        return Reason.TOKEN_KEYS_UNAVAILABLE
    key = keys.find(token.kid, now)
    if key is None:
        return Reason.TOKEN_SIGNATURE
    if token.algorithm not in key.algorithms:
        return Reason.TOKEN_ALGORITHM
    return None if _verifies(token, key) else Reason.TOKEN_SIGNATURE


def _verifies(token: Token, key: Key) -> bool:
    return bool(_VERIFIERS[token.algorithm].verify(token.signed, key.public, token.signature))


def _fits(token: Token, settings: IssuerSettings, certificate: bytes, now: float) -> Reason | None:
    if now >= token.expires + settings.leeway_s:
        return Reason.TOKEN_EXPIRED
    if max(token.not_before, token.issued) > now + settings.leeway_s:
        return Reason.TOKEN_NOT_YET_VALID
    if settings.audience not in token.audience:
        return Reason.TOKEN_AUDIENCE
    if token.thumbprint is None:
        return Reason.TOKEN_UNBOUND
    if not hmac.compare_digest(token.thumbprint, certificate):
        return Reason.TOKEN_OF_ANOTHER_DEVICE
    return None


def _roles(token: Token, path: str | None) -> tuple[str, ...]:
    value = None if path is None else token_form.at(token.claims, path)
    if value is None:
        return ()
    names = value.split(" ") if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) > MOST_ROLES:
        raise ValueError("roles are no list")
    found: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not 1 <= len(name) <= MOST_ROLE or not name.isprintable():
            raise ValueError("a role is no name")
        found.add(name)
    return tuple(sorted(found))


def _purpose(token: Token, path: str | None) -> str | None:
    value = None if path is None else token_form.at(token.claims, path)
    if value is None:
        return None
    if not isinstance(value, str) or _PURPOSE.fullmatch(value) is None:
        raise ValueError("a purpose is 1 to 16 capital letters")
    return value
