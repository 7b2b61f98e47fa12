"""Certificates judged on every request, against what authorities and revocation lists say now.

The answer is kept until the earliest of its grounds ends, or files or lists change: judging costs up to some
milliseconds with a large list, looking up what was judged a microsecond. Lists are fetched, read and checked beside
requests, never within one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cachetools import LRUCache

from proxy.identify import authorities, judging, names, revocation
from proxy.identify.authorities import AuthorityFiles
from proxy.identify.fetching import Fetcher, FetchError
from proxy.identify.kept import opened_cache
from proxy.identify.revocation import Failure
from proxy.identify.sources import FetchedSource
from proxy.identify.upkeep import Upkeep
from proxy.model import DeviceId, Principal, Reason
from proxy.ports import Clock

logger = logging.getLogger(__name__)

REMEMBERED: Final = 10_000
RETRY_S: Final = 10.0
"""Between fetches while a list is missing and everybody is denied for it."""
FETCH_S: Final = 60.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Certificates:
    """The site's authorities. Start :meth:`watch` as a task; without it what was there at the start stays."""

    def __init__(
        self,
        files: Sequence[AuthorityFiles],
        device_san: str,
        *,
        crl_cache: Path | None = None,
        clock: Clock = _utc_now,
    ) -> None:
        """
        :param device_san: ``uri``, ``dns`` or ``spiffe``
        :param crl_cache: folder for lists that were fetched
        :raises ConfigurationError: an authority's certificates cannot be loaded. Lists that cannot be do not stop the
            start: everybody whom they would speak for is denied until they can
        """
        cache = None if crl_cache is None else opened_cache(crl_cache)
        self._device_san = device_san
        self._clock = clock
        self._generation = 0
        self._upkeep = tuple(Upkeep(each, cache, clock) for each in files)
        self._authorities = tuple(each.authority for each in self._upkeep)
        self._judged: LRUCache[bytes, tuple[datetime, Principal]] = LRUCache(REMEMBERED)
        """By DER: when it was judged, and how."""
        self._told_of_grace: dict[str, datetime | None] = {}
        self._fetcher = Fetcher(timeout_s=FETCH_S)
        self._changing = asyncio.Lock()
        self.fetch_failures = {each.name: 0 for each in files}
        """By authority: how often a list was not had from its address, could not be taken, or was older or another."""

    @property
    def generation(self) -> int:
        """Counts up with every change of certificates and lists."""
        return self._generation

    @property
    def revocation_expires(self) -> dict[str, datetime]:
        """The earliest ``nextUpdate`` by authority, for the metric that warns before everybody is denied.

        The epoch where one of its certificates has no list.
        """
        return {each.files.name: each.revocation_expires for each in self._authorities}

    @property
    def revocation_grace(self) -> dict[str, bool]:
        """Whether an authority's certificates are taken by a list that has ended."""
        now = self._clock()
        return {each.files.name: each.in_grace(now) for each in self._authorities}

    @property
    def reload_failed(self) -> bool:
        """Whether files of certificates changed and could not be taken: the old are in force."""
        return any(each.reload_failed for each in self._upkeep)

    def device_id(self, authority: str, name: str) -> DeviceId:
        """The id of the device that certificates of an authority name so.

        :raises KeyError: there is no authority of that name
        """
        spki = {each.files.name: each.spki for each in self._authorities}
        return DeviceId(authorities.device_id(spki[authority], names.folded(name, self._device_san)))

    def judge(self, certificate: bytes | None, now: datetime) -> Principal:
        """Who a certificate says that asks, and what stands against it. Never raises for what a peer can cause.

        :param certificate: DER; its key is proven by the handshake
        """
        if certificate is None:
            return judging.refused(Reason.CERTIFICATE_MISSING, self._generation)
        known = self._judged.get(certificate)
        if known is not None:
            since, principal = known
            # What was judged later than now is of a clock that was set back since: its "too late" need not hold.
            if since <= now and (principal.expires_at is None or now < principal.expires_at):
                return principal
        principal = judging.judge(certificate, self._authorities, self._device_san, now, self._generation)
        self._judged[certificate] = (now, principal)
        if principal.revocation.status == "grace":
            self._tell_of_grace(principal)
        return principal

    def reload(self) -> bool:
        """Look at the files: whether something else is in force now."""
        return self._changed([each.look() for each in self._upkeep])

    async def watch(self, interval_s: float) -> None:
        """Look at the files each interval, fetch from addresses as often as each authority says. Does not return."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_files(interval_s))
            for each in self._upkeep:
                if each.fetched:
                    tasks.create_task(self._watch_addresses(each))

    async def fetch(self) -> None:
        """Fetch from every address once."""
        for each in self._upkeep:
            for source in each.fetched:
                await self._fetch(each, source)

    async def close(self) -> None:
        await self._fetcher.close()

    async def _watch_files(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            async with self._changing:
                due = [each for each in self._upkeep if each.due()]
                if due:
                    self._changed([await asyncio.to_thread(each.look) for each in due])

    async def _watch_addresses(self, upkeep: Upkeep) -> None:
        while True:
            for source in upkeep.fetched:
                await self._fetch(upkeep, source)
            refresh_s = upkeep.files.crl_refresh_s
            await asyncio.sleep(refresh_s if upkeep.complete else min(refresh_s, RETRY_S))

    async def _fetch(self, upkeep: Upkeep, source: FetchedSource) -> None:
        try:
            content = await self._fetcher.get(source.location, revocation.MOST_BYTES)
        except FetchError as error:
            self._count(upkeep.files.name, source, error.detail)
            return
        async with self._changing:
            failure, changed = await asyncio.to_thread(upkeep.take, source, content)
            self._changed([changed])
        if isinstance(failure, Failure):
            self._count(upkeep.files.name, source, failure.detail)

    def _changed(self, changes: Sequence[bool]) -> bool:
        if not any(changes):
            return False
        self._authorities = tuple(each.authority for each in self._upkeep)
        self._generation += 1
        self._judged.clear()
        logger.info("authorities changed", extra={"generation": self._generation})
        return True

    def _count(self, authority: str, source: FetchedSource, detail: str) -> None:
        self.fetch_failures[authority] += 1
        logger.warning(
            "a revocation list was not fetched",
            extra={"authority": authority, "source": source.location, "detail": detail},
        )

    def _tell_of_grace(self, principal: Principal) -> None:
        ends = principal.revocation.expires_at
        if self._told_of_grace.get(principal.authority) != ends:
            self._told_of_grace[principal.authority] = ends
            logger.warning(
                "a revocation list has ended, its certificates are still taken",
                extra={"authority": principal.authority},
            )
