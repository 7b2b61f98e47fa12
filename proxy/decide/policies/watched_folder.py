"""A folder as a source: an edit counts when it was seen twice, since a file half written may well parse and say less
than the whole one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from proxy.decide.policies.folder import read_files
from proxy.decide.policies.policy_set import PolicySet
from proxy.decide.policies.source import Fault, Offer
from proxy.errors import PolicyInvalidError


class WatchedFolder:
    """:class:`proxy.decide.policies.source.Source`"""

    signed = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._judged = ""
        self._told: Offer | Fault | None = None

    @property
    def name(self) -> str:
        return str(self._folder)

    async def first(self, now: datetime) -> Offer | Fault:
        files = await asyncio.to_thread(_read, self._folder)
        self._seen = await asyncio.to_thread(_stamp, files)
        return await self._judge(files, now)

    async def look(self, now: datetime) -> Offer | Fault | None:
        files = await asyncio.to_thread(_read, self._folder)
        seen, before = await asyncio.to_thread(_stamp, files), self._seen
        self._seen = seen
        if seen == self._judged and self._told is not None:
            return self._told
        return await self._judge(files, now) if seen == before else None

    async def close(self) -> None:
        """Nothing is held open."""

    async def _judge(self, files: Mapping[str, bytes] | Fault, now: datetime) -> Offer | Fault:
        self._told = files if isinstance(files, Fault) else await asyncio.to_thread(_offer, files, now)
        self._judged = self._seen
        return self._told


def _read(folder: Path) -> Mapping[str, bytes] | Fault:
    try:
        return read_files(folder)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)


def _stamp(files: Mapping[str, bytes] | Fault) -> str:
    """Tells one content from another; not the digest, for which data has to be read."""
    if isinstance(files, Fault):
        return files.detail
    state = hashlib.sha256()
    for path, content in files.items():
        state.update(f"{len(path)} {path!a} {len(content)} ".encode())
        state.update(content)
    return state.hexdigest()


def _offer(files: Mapping[str, bytes], now: datetime) -> Offer | Fault:
    try:
        return Offer(policies=PolicySet(files=files), as_of=now)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)
