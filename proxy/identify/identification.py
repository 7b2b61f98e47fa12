"""Who asks: the certificate judged now, and beside it the user that an access token speaks for.

1. The certificate is judged. One that is refused is the whole answer: no token is looked at.
2. Whether ``Authorization`` is read is the authority's to say.
3. A token that is missing where one is required, or that is bad, refuses.
4. Roles are added: the certificate's, the token's, the directory's.

What was found is kept under digests of certificate and token, until either ends or anything it rests on changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cachetools import LRUCache

from proxy.errors import ConfigurationError
from proxy.identify import tokens
from proxy.identify.certificates import Certificates
from proxy.identify.directory import Directory
from proxy.identify.keys import IssuerSettings, KeyCache
from proxy.identify.tokens import BadToken
from proxy.model import Peer, Principal, Reason, Role, User
from proxy.ports import Clock

logger = logging.getLogger(__name__)

REMEMBERED: Final = 10_000
REMEMBERED_REFUSALS: Final = 1_000
ALARM_S: Final = 10.0
"""Shortest time between two lines of the log about tokens of other devices from one device."""
_PASSING: Final = frozenset({Reason.TOKEN_NOT_YET_VALID, Reason.TOKEN_KEYS_UNAVAILABLE})
"""Refusals that end although neither keys nor certificate change."""

_Key = tuple[str | bytes, ...]
"""The certificate's fingerprint, and a digest of each value of ``Authorization``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    judged: Principal
    generation: int
    principal: Principal
    bad: BadToken | None
    until: datetime | None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Identification:
    """:class:`proxy.ports.Identifier` over certificates, issuers' keys and the directory."""

    def __init__(
        self,
        certificates: Certificates,
        *,
        issuers: Sequence[IssuerSettings],
        users: Mapping[str, str],
        directory: Path | None,
        clock: Clock = _utc_now,
    ) -> None:
        """
        :param users: name of an authority -> ``none``, ``optional`` or ``required``
        :param clock: for the age of key sets
        :raises ConfigurationError: the directory or an issuer's authority cannot be used, or two issuers are one
        """
        self.certificates = certificates
        self.alarms: dict[str, int] = {Reason.TOKEN_OF_ANOTHER_DEVICE.value: 0}
        """How often what only an attack explains was seen, by reason."""
        self._users = dict(users)
        self._directory = None if directory is None else Directory(directory)
        self._keys = tuple(KeyCache(settings, clock) for settings in issuers)
        self._issuers = {keys.settings.issuer: keys for keys in self._keys}
        if len(self._issuers) != len(self._keys):
            raise ConfigurationError("identify.issuers: two have the same issuer")
        self._kept: LRUCache[_Key, _Kept] = LRUCache(REMEMBERED)
        # Apart, so that whoever makes up tokens does not push out those of users.
        self._refused: LRUCache[_Key, _Kept] = LRUCache(REMEMBERED_REFUSALS)
        self._alarmed: LRUCache[str, datetime] = LRUCache(REMEMBERED_REFUSALS)

    @property
    def generation(self) -> int:
        """Counts up with certificates, keys and directory: the sum of what only grows."""
        own = 0 if self._directory is None else self._directory.generation
        return self.certificates.generation + own + sum([keys.generation for keys in self._keys])

    @property
    def key_failures(self) -> dict[str, int]:
        """How often an issuer's key set could not be had or used, by configured name."""
        return {keys.settings.name: keys.failures for keys in self._keys}

    @property
    def directory_failed(self) -> bool:
        """The directory was changed into something that cannot be used; the old one is in force."""
        return self._directory is not None and self._directory.failed

    def keys_age(self, now: datetime) -> dict[str, float]:
        """Seconds since each issuer's key set was had, by configured name; infinite where it never was."""
        return {keys.settings.name: keys.age_s(now) for keys in self._keys}

    def identify(self, peer: Peer, authorization: Sequence[bytes], now: datetime) -> Principal:
        judged = self.certificates.judge(peer.certificate, now)  # 1
        # 2: an authority that nothing is said of is held to the most.
        unheard = judged.reasons or self._users.get(judged.authority, "required") == "none"
        heard = () if unheard else authorization
        key: _Key = (judged.fingerprint, *[hashlib.sha256(value).digest() for value in heard])
        generation = self.generation
        kept = self._kept.get(key) or self._refused.get(key)
        if kept is None or not _holds(kept, judged, generation, now):
            kept = self._find(judged, heard, generation, now)
            self._kept.pop(key, None)
            if not kept.principal.reasons:
                self._kept[key] = kept
            elif kept.bad is None or kept.bad.reason not in _PASSING:
                self._refused[key] = kept
        if kept.bad is not None and kept.bad.reason.value in self.alarms:
            self._alarm(kept.principal, kept.bad, now)
        return kept.principal

    def reload(self) -> bool:
        """Read files that changed. Returns whether anything else is in force now."""
        changed = [self.certificates.reload(), *(keys.reload() for keys in self._keys)]
        if self._directory is not None:
            changed.append(self._directory.reload())
        return any(changed)

    async def watch(self, interval_s: float) -> None:
        """Keep everything fresh, until cancelled or a part of it fails."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.certificates.watch(interval_s))
            for keys in self._keys:
                tasks.create_task(keys.watch(interval_s))
            if self._directory is not None:
                tasks.create_task(_watch_directory(self._directory, interval_s))

    async def close(self) -> None:
        for keys in self._keys:
            await keys.close()
        await self.certificates.close()

    def _find(self, judged: Principal, heard: Sequence[bytes], generation: int, now: datetime) -> _Kept:
        user: User | None = None
        bad: BadToken | None = None
        until: datetime | None = None
        reasons = judged.reasons
        if not reasons and heard:
            found = tokens.judge(heard, self._issuers, judged.fingerprint, now)
            if isinstance(found, User):
                user, until = found, found.expires_at
            else:
                bad, until, reasons = found, found.until, (found.reason,)
        elif not reasons and self._users.get(judged.authority, "required") == "required":  # 3
            reasons = (Reason.TOKEN_MISSING,)
        principal = replace(
            judged,
            user=user,
            reasons=reasons,
            roles=judged.roles if reasons else self._roles(judged, user),  # 4
            generation=generation,
            expires_at=judged.expires_at if user is None else _earliest(judged.expires_at, user.expires_at),
        )
        return _Kept(judged=judged, generation=generation, principal=principal, bad=bad, until=until)

    def _roles(self, judged: Principal, user: User | None) -> tuple[Role, ...]:
        found = set(judged.roles)
        if user is not None:
            found.update(Role(name=name, source="token") for name in user.roles)
        if self._directory is not None:
            found.update(self._directory.roles(user, judged.name))
        return tuple(sorted(found, key=lambda role: (role.name, role.source)))

    def _alarm(self, principal: Principal, bad: BadToken, now: datetime) -> None:
        self.alarms[bad.reason.value] += 1
        device = principal.device or ""
        last = self._alarmed.get(device)
        if last is None or (now - last).total_seconds() >= ALARM_S:
            self._alarmed[device] = now
            logger.warning(
                "an access token of another device was presented", extra={"device": device, "issuer": bad.issuer}
            )


def _holds(kept: _Kept, judged: Principal, generation: int, now: datetime) -> bool:
    """The very judgement of the certificate, so that its own end and renewal need no rule here."""
    if kept.judged is not judged or kept.generation != generation:
        return False
    return kept.until is None or now < kept.until


def _earliest(*ends: datetime | None) -> datetime | None:
    return min((end for end in ends if end is not None), default=None)


async def _watch_directory(directory: Directory, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(directory.reload)  # a large one takes longer to read than a request may wait
