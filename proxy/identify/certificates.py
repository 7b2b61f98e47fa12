"""Judging a certificate on every request, against what authorities and revocation lists say now.

1. The leaf parses and fits the profile.
2. It names one device by its SAN.
3. A configured authority issued it, and it is within its time.
4. The authority's revocation list is current and does not name it.

The answer is kept until the earliest of its grounds ends, or files change: judging costs up to two milliseconds
with a large list, looking up what was judged a microsecond.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cachetools import LRUCache
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import crypto

from proxy.errors import ConfigurationError
from proxy.identify import authorities, profile
from proxy.identify.authorities import Authority, AuthorityFiles
from proxy.model import DeviceId, Peer, Principal, Reason, Revocation

logger = logging.getLogger(__name__)

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_REVOKED: Final = 23
_REVOCATION_ERRORS: Final = frozenset({3, 5, 8, 15, 16, 33, 35, 44})
_NO_ISSUER: Final = frozenset({2, 7, 18, 19, 20, 21})
"""No issuer, or one of the same name whose key did not sign."""
_UNREADABLE: Final = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)

REMEMBERED: Final = 10_000
_UNKNOWN: Final = Revocation(status="unknown", as_of=None, expires_at=None)


class Certificates:
    """:class:`proxy.ports.Identifier` over authority files."""

    def __init__(self, files: Sequence[AuthorityFiles], device_san: str) -> None:
        """:raises ConfigurationError: an authority cannot be loaded"""
        self._files = tuple(files)
        self._device_san = device_san
        self._generation = 0
        self._stamps = self._stamp()
        self._authorities = tuple(authorities.load(each) for each in self._files)
        self._judged: LRUCache[bytes, Principal] = LRUCache(REMEMBERED)

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def revocation_expires(self) -> dict[str, datetime]:
        """``nextUpdate`` by authority, for the metric that warns before everybody is denied."""
        return {authority.name: authority.revocation_expires for authority in self._authorities}

    def identify(self, peer: Peer, now: datetime) -> Principal:
        if peer.certificate is None:
            return self._refused(Reason.CERTIFICATE_MISSING)
        principal = self._judged.get(peer.certificate)
        if principal is None or (principal.expires_at is not None and principal.expires_at <= now):
            principal = self._judge(peer.certificate, now)
            self._judged[peer.certificate] = principal
        return principal

    def reload(self) -> bool:
        """Load files that changed. What cannot be loaded leaves the old in force, until its own end."""
        try:
            stamps = self._stamp()
            if stamps == self._stamps:
                return False
            loaded = tuple(authorities.load(each) for each in self._files)
        except (ConfigurationError, OSError) as error:
            logger.error("authorities not reloaded, the old ones stay", extra={"detail": str(error)})
            return False
        self._stamps, self._authorities = stamps, loaded
        self._generation += 1
        self._judged.clear()
        logger.info("authorities reloaded", extra={"generation": self._generation})
        return True

    async def watch(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            self.reload()

    def _stamp(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        try:
            return tuple(authorities.stamp(each) for each in self._files)
        except OSError as error:
            raise ConfigurationError(f"identify.authorities: {error.filename}: {error.strerror}") from error

    def _judge(self, der: bytes, now: datetime) -> Principal:
        try:
            certificate = x509.load_der_x509_certificate(der)
            name = profile.device_name(certificate, self._device_san)
            fitting = profile.fits(certificate) and name is not None
            subject = certificate.subject.rfc4514_string()
        except _UNREADABLE:
            return self._refused(Reason.CERTIFICATE_PROFILE)
        authority, failure, expires = self._verify(certificate, now)
        reasons = [] if fitting else [Reason.CERTIFICATE_PROFILE]
        revocation = _UNKNOWN
        if authority is not None and failure in (None, Reason.CERTIFICATE_REVOKED):
            revocation = Revocation(
                status="good" if failure is None else "revoked",
                as_of=authority.revoked_as_of,
                expires_at=authority.revocation_expires,
            )
        if failure is not None:
            reasons.append(failure)
        return Principal(
            device=None if authority is None or name is None else DeviceId(authorities.device_id(authority.spki, name)),
            name=name or "",
            subject=subject,
            fingerprint=certificate.fingerprint(SHA256()).hex(),
            serial=f"{certificate.serial_number:x}",
            authority="" if authority is None else authority.name,
            authority_actions=() if authority is None else authority.actions,
            not_after=certificate.not_valid_after_utc,
            revocation=revocation,
            generation=self._generation,
            expires_at=expires,
            reasons=tuple(reasons),
        )

    def _verify(
        self, certificate: x509.Certificate, now: datetime
    ) -> tuple[Authority | None, Reason | None, datetime | None]:
        """The authority that issued a certificate, what stands against it, and how long that may be remembered."""
        try:
            leaf = crypto.X509.from_cryptography(certificate)
        except crypto.Error:
            return None, Reason.CERTIFICATE_UNTRUSTED, None
        for authority in self._authorities:
            try:
                chain = crypto.X509StoreContext(authority.store, leaf).get_verified_chain()
            except crypto.X509StoreContextError as error:
                code = error.errors[0]
                if code in _NO_ISSUER:
                    continue
                return authority, _reason(code), None
            return authority, *_timely(authority, [each.to_cryptography() for each in chain], now)
        return None, Reason.CERTIFICATE_UNTRUSTED, None

    def _refused(self, reason: Reason) -> Principal:
        return Principal(
            device=None,
            name="",
            subject="",
            fingerprint="",
            serial="",
            authority="",
            authority_actions=(),
            not_after=None,
            revocation=_UNKNOWN,
            generation=self._generation,
            expires_at=None,
            reasons=(reason,),
        )


def _timely(
    authority: Authority, chain: Sequence[x509.Certificate], now: datetime
) -> tuple[Reason | None, datetime | None]:
    """What time says of a chain and the lists it was held against, and until when it says so."""
    begins = max(certificate.not_valid_before_utc for certificate in chain)
    ends = min(certificate.not_valid_after_utc for certificate in chain)
    if now < authority.revocation_begins:
        return Reason.REVOCATION_STALE, authority.revocation_begins
    if authority.revocation_expires < now:
        return Reason.REVOCATION_STALE, None
    if ends < now:
        return Reason.CERTIFICATE_EXPIRED, None
    if now < begins:
        return Reason.CERTIFICATE_NOT_YET_VALID, begins
    return None, min(ends, authority.revocation_expires)


def _reason(code: int) -> Reason:
    if code == _REVOKED:
        return Reason.CERTIFICATE_REVOKED
    if code in _REVOCATION_ERRORS:
        return Reason.REVOCATION_STALE
    return Reason.CERTIFICATE_UNTRUSTED
