"""What a device signs with its report so that the report is new (pure).

``nonce = base64url(milliseconds[8] || random[16] || HMAC-SHA-256(key, domain || milliseconds || random || SHA-256 of
the certificate))``

Nothing is stored when one is given out: the MAC proves that it is ours, when it was made and for which certificate.
Only what was used is remembered, until it would have ended anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final

from proxy.posture.claims import from_milliseconds, to_milliseconds
from proxy.strict import base64url, unbase64url

LIFE: Final = timedelta(seconds=60)
_DOMAIN: Final = b"dicomward/posture-nonce/v1\0"
_HEAD_BYTES: Final = 8 + 16
_MAC_BYTES: Final = 32


def make_nonce(key: bytes, fingerprint: bytes, now: datetime) -> str:
    """
    :param fingerprint: SHA-256 of the certificate's DER, 32 bytes
    """
    head = to_milliseconds(now).to_bytes(8, "big") + secrets.token_bytes(16)
    return base64url(head + _mac(key, head, fingerprint))


def nonce_end(key: bytes, nonce: str, fingerprint: bytes, now: datetime) -> datetime | None:
    """When a nonce ends; ``None``: it has, or is not ours, or is another certificate's."""
    try:
        found = unbase64url(nonce)
    except ValueError:
        return None
    if len(found) != _HEAD_BYTES + _MAC_BYTES:
        return None
    head, mac = found[:_HEAD_BYTES], found[_HEAD_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, head, fingerprint)):
        return None
    made = from_milliseconds(int.from_bytes(head[:8], "big"))
    # One made later than now is of a clock that was set back since: it would hold for too long.
    return made + LIFE if to_milliseconds(made) <= to_milliseconds(now) and now <= made + LIFE else None


def _mac(key: bytes, head: bytes, fingerprint: bytes) -> bytes:
    return hmac.new(key, _DOMAIN + head + fingerprint, hashlib.sha256).digest()
