"""One authority kept current: its certificates and lists as they change, and the value that requests are judged with.

Only one thread at a time may call these; what :attr:`Upkeep.authority` held stays valid for whoever reads it meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from OpenSSL import crypto

from proxy.errors import ConfigurationError
from proxy.identify import authorities
from proxy.identify.authorities import AuthorityFiles, Ca
from proxy.identify.profile import PROFILES
from proxy.identify.revocation import Failure, RevocationList
from proxy.identify.sources import FetchedSource, FileSource, Source
from proxy.identify.stamped import Stamp, stamp
from proxy.model import Reason
from proxy.ports import Clock

logger = logging.getLogger(__name__)

NO_CHECK_TIME: Final = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME`` of OpenSSL, which pyOpenSSL does not name."""
NEVER: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What a certificate is judged with. Not to be changed."""

    files: AuthorityFiles
    spki: bytes
    """DER SubjectPublicKeyInfo of the trust anchor."""
    cas: Mapping[bytes, Ca]
    """By fingerprint."""
    intermediates: tuple[crypto.X509, ...]
    lists: Mapping[bytes, RevocationList | Reason]
    """By :attr:`Ca.key`: the list in force, or why there is none."""
    chains: crypto.X509Store
    """Builds chains, and looks at no list."""
    store: crypto.X509Store
    """Builds chains and holds each certificate of them against the lists in force."""
    grace: timedelta

    @property
    def revocation_expires(self) -> datetime:
        """The earliest ``nextUpdate``; the epoch where a list is missing."""
        return min((NEVER if isinstance(each, Reason) else each.ends for each in self.lists.values()), default=NEVER)

    def in_grace(self, now: datetime) -> bool:
        return any(
            not isinstance(each, Reason) and each.ends < now <= each.ends + self.grace for each in self.lists.values()
        )


class Upkeep:
    """Reads, remembers, builds."""

    def __init__(self, files: AuthorityFiles, cache: Path | None, clock: Clock) -> None:
        """:raises ConfigurationError: a certificate of the authority cannot be used; lists may be missing"""
        accepted = PROFILES[files.profile]
        self.files = files
        self._clock = clock
        self._grace = timedelta(seconds=files.crl_grace_s)
        self._stamps = self._stamped()
        self._cas = authorities.load_certificates(files)
        self._newest: dict[bytes, RevocationList] = {}
        """By :attr:`Ca.key`. Kept for the life of the process: no older one comes into force again."""
        self._waiting: list[datetime] = []
        """When lists come into force that begin later than those that are."""
        self._told: dict[str, Failure | None] = {}
        self.reload_failed = False
        self.fetched = tuple(FetchedSource(each, accepted, cache) for each in files.crls if "://" in each)
        self._in_files = tuple(FileSource(each, accepted) for each in files.crls if "://" not in each)
        for address in self.fetched:
            address.restore(self._cas)
        for file in self._in_files:
            file.look(self._cas)
        self._lists = self._in_force()
        self.authority = self._built()

    @property
    def complete(self) -> bool:
        return not any(isinstance(each, Reason) for each in self._lists.values())

    def due(self) -> bool:
        """Whether :meth:`look` would find something changed. Costs a few system calls."""
        changed = self._stamped() != self._stamps or any(source.due() for source in self._in_files)
        return changed or (bool(self._waiting) and min(self._waiting) <= self._clock())

    def look(self) -> bool:
        """Read what changed. What cannot be read of certificates leaves the old in force.

        :returns: whether :attr:`authority` is another one
        """
        renewed = self._look_at_certificates()
        for source in self._in_files:
            source.look(self._cas)
        return self._settle(renewed)

    def take(self, source: FetchedSource, content: bytes) -> tuple[Failure | None, bool]:
        """Take what was fetched: why it cannot be, and whether :attr:`authority` is another one."""
        failure = source.take(content, self._cas, self._clock(), self._grace)
        return failure, self._settle(False)

    def _look_at_certificates(self) -> bool:
        stamps = self._stamped()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        try:
            self._cas = authorities.load_certificates(self.files)
        except ConfigurationError as error:
            self.reload_failed = True
            logger.error("certificates of an authority not reloaded, the old ones stay", extra={"detail": error.detail})
            return False
        self.reload_failed = False
        for source in (*self.fetched, *self._in_files):
            source.held_to(self._cas)
        return True

    def _settle(self, renewed: bool) -> bool:
        lists = self._in_force()
        if not renewed and lists == self._lists:
            return False
        self._lists = lists
        self.authority = self._built()
        return True

    def _in_force(self) -> dict[bytes, RevocationList | Reason]:
        """The newest list of each certificate that some source still gives one for, or the reason why there is none."""
        sources: tuple[Source, ...] = (*self.fetched, *self._in_files)
        now, self._waiting = self._clock(), []
        spoken_for: set[bytes] = set()
        for source in sources:
            self._tell(source)
            for each in source.lists.values():
                spoken_for.add(each.authority)
                self._renew(each, source, now)
        return {ca.key: self._newest[ca.key] if ca.key in spoken_for else _reason(sources, ca.key) for ca in self._cas}

    def _renew(self, given: RevocationList, source: Source, now: datetime) -> None:
        known = self._newest.get(given.authority)
        if given.too_early_for(known, now, self._grace):
            self._waiting.append(given.begins)
            logger.warning("a revocation list begins later, and waits", extra={"source": source.location})
        elif given.supersedes(known):
            self._newest[given.authority] = given
        elif known is not None and known.digest != given.digest:
            logger.warning("a newer revocation list stays in force", extra={"source": source.location})

    def _tell(self, source: Source) -> None:
        if self._told.get(source.location) != source.failure:
            self._told[source.location] = source.failure
            if source.failure is not None:
                logger.error(
                    "a revocation list cannot be taken",
                    extra={
                        "authority": self.files.name,
                        "source": source.location,
                        "reason": source.failure.reason.value,
                        "detail": source.failure.detail,
                    },
                )

    def _built(self) -> Authority:
        anchor, *lower = self._cas
        chains, store = crypto.X509Store(), crypto.X509Store()
        for each in (chains, store):
            each.add_cert(anchor.openssl)
        lists = {key: _added(store, each) for key, each in self._lists.items()}
        # Without the first two OpenSSL ignores lists that were added. Times are judged by the caller: a store takes its
        # time once and keeps it, whatever is set later.
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL | NO_CHECK_TIME)
        chains.set_flags(NO_CHECK_TIME)
        return Authority(
            files=self.files,
            spki=authorities.spki_of(anchor.certificate),
            cas={ca.fingerprint: ca for ca in self._cas},
            intermediates=tuple(ca.openssl for ca in lower),
            lists=lists,
            chains=chains,
            store=store,
            grace=self._grace,
        )

    def _stamped(self) -> tuple[Stamp, ...]:
        return tuple(stamp(path) for path in self.files.certificates)


def _reason(sources: tuple[Source, ...], key: bytes) -> Reason:
    """Of a certificate that no source has a list for: what was given for it, else what may have been meant for it."""
    failures = [source.failure for source in sources if source.failure is not None]
    for owner in (key, None):
        for failure in failures:
            if failure.authority == owner and failure.reason is not Reason.REVOCATION_MISSING:
                return failure.reason
    return Reason.REVOCATION_MISSING


def _added(store: crypto.X509Store, each: RevocationList | Reason) -> RevocationList | Reason:
    if isinstance(each, RevocationList):
        try:
            store.add_crl(each.crl)
        except crypto.Error:
            return Reason.REVOCATION_UNREADABLE
    return each
