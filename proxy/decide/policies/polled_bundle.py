"""A server of signed bundles as a source: asked again and again, by ETag, and believed by signature alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from proxy.decide.policies.bundle import unpack_verified
from proxy.decide.policies.fetching import BundleFetcher, BundleServer
from proxy.decide.policies.serials import Serials
from proxy.decide.policies.signing import VerificationKey, verification_key
from proxy.decide.policies.source import Fault, Offer
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyUnavailableError
from proxy.model import wire_time

AHEAD: Final = timedelta(minutes=5)
"""A signer's clock may be ahead by this. Policies issued later than that would never grow old."""


class PolledBundle:
    """:class:`proxy.decide.policies.source.Source`"""

    signed = True

    def __init__(self, server: BundleServer, keys: Sequence[VerificationKey], store: Path) -> None:
        """
        :param keys: one of which has to have signed
        :param store: where the highest serial is kept
        :raises ConfigurationError: a file of ``server`` cannot be used
        """
        self._server, self._keys = server, tuple(keys)
        self._fetcher = BundleFetcher(server)
        self._serials = Serials(store)
        self._etag: str | None = None
        self._stamp = b""
        self._told: Offer | Fault = Fault(detail="the bundle server was not asked yet", final=False)

    @property
    def name(self) -> str:
        return self._server.url

    async def first(self, now: datetime) -> Offer | Fault:
        return await self.look(now)

    async def look(self, now: datetime) -> Offer | Fault:
        try:
            fetched = await self._fetcher.fetch(self._etag)
        except (PolicyUnavailableError, ConfigurationError) as error:
            return Fault(detail=error.detail, final=False, result="unreachable")
        if fetched is not None:
            self._etag = fetched.etag
            stamp = hashlib.sha256(fetched.content).digest()
            if stamp != self._stamp:
                self._stamp = stamp
                self._told = await asyncio.to_thread(_offer, fetched.content, self._keys)
        if isinstance(self._told, Fault):
            return self._told
        return await asyncio.to_thread(_judge, self._told, self._serials, now) or self._told

    async def close(self) -> None:
        await self._fetcher.close()


def read_keys(paths: Sequence[Path]) -> tuple[VerificationKey, ...]:
    """:raises ConfigurationError: one holds no public key that bundles could be verified by; it is named"""
    keys: list[VerificationKey] = []
    for path in paths:
        try:
            keys.append(verification_key(path.read_bytes()))
        except OSError as error:
            raise ConfigurationError(f"policy.bundle.verification_keys: {path}: {error.strerror}") from error
        except ConfigurationError as error:
            raise ConfigurationError(f"policy.bundle.verification_keys: {path} {error.detail}") from error
    return tuple(keys)


def _offer(content: bytes, keys: Sequence[VerificationKey]) -> Offer | Fault:
    try:
        signed = unpack_verified(content, keys)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)
    return Offer(policies=signed.policies, as_of=signed.issued_at, serial=signed.serial)


def _judge(offer: Offer, serials: Serials, now: datetime) -> Fault | None:
    if offer.as_of > now + AHEAD:
        return Fault(detail=f"the bundle was issued at {wire_time(offer.as_of)}, which is yet to come", final=False)
    try:
        serials.check(offer)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)
    except OSError as error:
        return Fault(detail=f"policy.store: {error.strerror}", final=False)
    return None
