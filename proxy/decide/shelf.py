"""Where an OPA server finds the policies in force: one bundle, by its digest. Handed out by ``watch.Admin``."""

from __future__ import annotations

import asyncio

from proxy.model import PolicyDigest
from proxy.model.base import NO_POLICY


class Shelf:
    """:class:`proxy.ports.PolicyShelf`."""

    def __init__(self) -> None:
        self._digest, self._bundle = NO_POLICY, b""
        self._changed = asyncio.Event()

    def offer(self, digest: PolicyDigest, bundle: bytes) -> None:
        self._digest, self._bundle = digest, bundle
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def take(self, known: str, wait_s: float) -> tuple[PolicyDigest, bytes]:
        """Digest and bundle; both empty where nothing is offered.

        :param known: the digest that the asker has: as long as it is still that, wait
        """
        changed = self._changed
        if known == self._digest and wait_s > 0:
            try:
                async with asyncio.timeout(wait_s):
                    await changed.wait()
            except TimeoutError:
                pass
        return self._digest, self._bundle
