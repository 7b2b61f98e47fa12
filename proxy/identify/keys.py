"""The keys that an issuer signs access tokens with: a JSON Web Key Set (RFC 7517), from a file or an address.

A request never waits for a fetch and cannot cause more than one in ten seconds. A set that cannot be used does not
replace the one in force, which itself verifies nothing any more once it is older than the site allows.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from proxy.identify.fetching import Fetcher, FetchError
from proxy.identify.key_set import Key, parse_key_set
from proxy.identify.stamped import StampedFile
from proxy.ports import Clock

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 2**18
EARLY_S: Final = 10.0
"""Shortest time between two fetches that unknown key ids cause, and between a fetch that failed and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """What the site says of one issuer: see ``[[identify.issuers]]`` in docs/configuration.md."""

    name: str
    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    types: tuple[str, ...]
    jwks: str
    """A file's path, or an http or https address."""
    ca_file: Path | None
    jwks_refresh_s: float
    jwks_max_age_s: float
    leeway_s: float
    roles_claim: str | None
    purpose_claim: str | None


class KeyCache:
    """The key set of one issuer as last had."""

    def __init__(self, settings: IssuerSettings, clock: Clock) -> None:
        """A file is read at once, an address when watched. What cannot be read leaves tokens unverifiable.

        :raises ConfigurationError: ``ca_file`` cannot be used
        """
        self.settings = settings
        self.generation = 0
        """Counts up when the keys change."""
        self.failures = 0
        """How often the set could not be had or used."""
        self._clock = clock
        self._keys: dict[str | None, Key] = {}
        self._had_at: datetime | None = None
        self._max_age = timedelta(seconds=settings.jwks_max_age_s)
        self._wake = asyncio.Event()
        self._woken_at: datetime | None = None
        self._failing = False
        self._file = None if "://" in settings.jwks else StampedFile(Path(settings.jwks), MOST_BYTES)
        self._fetcher = Fetcher(settings.ca_file) if self._file is None else None
        self.reload()

    def age_s(self, now: datetime) -> float:
        """Seconds since the set was last had; infinite where it never was."""
        return math.inf if self._had_at is None else (now - self._had_at).total_seconds()

    def end(self, now: datetime) -> datetime | None:
        """Until when the keys verify, ``None`` where they do not now."""
        if self._had_at is None or now >= self._had_at + self._max_age:
            return None
        return self._had_at + self._max_age

    def find(self, kid: str | None, now: datetime) -> Key | None:
        """The key a token names, or the only one for a token that names none. An unknown id wakes the refresh."""
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        key = self._keys.get(kid)
        if key is None and (self._woken_at is None or (now - self._woken_at).total_seconds() >= EARLY_S):
            self._woken_at = now
            self._wake.set()
        return key

    def reload(self) -> bool:
        """Read the file where it changed; an address is fetched by :meth:`watch`. Returns whether keys changed."""
        if self._file is None:
            return False
        try:
            content = self._file.read_if_changed()
        except OSError as error:
            return self._fail(error.strerror or "cannot be read")
        except ValueError as error:
            return self._fail(str(error))
        if content is not None:
            return self._take(content)
        if not self._failing:
            self._had_at = self._clock()
        return False

    async def refresh(self) -> bool:
        """Fetch the set once. Returns whether keys changed."""
        if self._fetcher is None:
            return self.reload()
        try:
            content = await self._fetcher.get(self.settings.jwks, MOST_BYTES)
        except FetchError as error:
            return self._fail(str(error))
        return self._take(content)

    async def watch(self, interval_s: float) -> None:
        """Keep the set fresh. ``interval_s`` is for a file; an address has ``jwks_refresh_s``."""
        if self._file is not None:
            while True:
                await asyncio.sleep(interval_s)
                self.reload()
        while True:
            self._wake.clear()
            await self.refresh()
            wait_s = self.settings.jwks_refresh_s
            try:
                async with asyncio.timeout(min(wait_s, EARLY_S) if self._failing else wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        if self._fetcher is not None:
            await self._fetcher.close()

    def _take(self, content: bytes) -> bool:
        try:
            keys = parse_key_set(content)
        except ValueError as error:
            return self._fail(str(error))
        self._failing = False
        self._had_at = self._clock()
        if keys == self._keys:
            return False
        self._keys = keys
        self.generation += 1
        logger.info("key set of an issuer read", extra={"issuer": self.settings.name, "keys": len(keys)})
        return True

    def _fail(self, detail: str) -> bool:
        self.failures += 1
        if not self._failing:
            logger.error(
                "key set of an issuer not read, the old one stays until it is too old",
                extra={"issuer": self.settings.name, "detail": detail},
            )
        self._failing = True
        return False
