"""The store that a site configured."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from proxy.anchor.evidence.folder import EvidenceStore, FolderStore
from proxy.anchor.evidence.kubo import KuboStore
from proxy.anchor.evidence.kubo_client import KuboClient


class Where(Protocol):
    """What the configuration says of it."""

    @property
    def directory(self) -> Path: ...

    @property
    def kubo_url(self) -> str | None:
        """Without one, content is in the folder too."""
        ...

    @property
    def timeout_s(self) -> float: ...

    @property
    def public_swarm(self) -> bool: ...


def open_store(where: Where, *, prepare: bool = True) -> EvidenceStore:
    """
    :param prepare: make the folder and tidy up in it: by the one process that makes bundles
    :raises EvidenceError: ``STORE``: the folder cannot be used
    """
    folder = FolderStore.prepared(where.directory) if prepare else FolderStore(where.directory)
    if where.kubo_url is None:
        return folder
    return KuboStore(folder, KuboClient(where.kubo_url, timeout_s=where.timeout_s), public_swarm=where.public_swarm)
