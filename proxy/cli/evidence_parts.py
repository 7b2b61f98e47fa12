"""``[evidence]`` of a site as its parts, for the anchor's process and for the commands."""

from __future__ import annotations

from collections.abc import Callable

from proxy.anchor.evidence import (
    Auditor,
    EvidencePublisher,
    EvidenceStore,
    FolderStore,
    PublisherSettings,
    load_auditor,
)
from proxy.config.evidence import Evidence
from proxy.errors import ConfigurationError
from proxy.ports import SpoolReader


def open_store(evidence: Evidence, *, writes: bool = False) -> EvidenceStore:
    """The store that is configured.

    :param writes: by the anchor's process, which makes the folder and tidies up in it
    :raises EvidenceError: ``STORE``
    """
    if evidence.store == "kubo":
        raise ConfigurationError("evidence.store: kubo is not built yet")
    return FolderStore.prepared(evidence.directory) if writes else FolderStore(evidence.directory)


def auditors(evidence: Evidence) -> tuple[Auditor, ...]:
    """:raises ConfigurationError: a file holds no public key, or two hold the same"""
    loaded = tuple(load_auditor(path) for path in evidence.auditors)
    if len(set(loaded)) != len(loaded):
        raise ConfigurationError("evidence.auditors: two files hold the same key")
    return loaded


def publisher(evidence: Evidence, reader: Callable[[bytes], SpoolReader]) -> EvidencePublisher:
    """What the anchor's worker is given. Its thread runs until ``close``.

    :param reader: a new reader of one origin's spool, closed by the publisher; raises ``SpoolError``
    :raises ConfigurationError: a key cannot be used
    :raises EvidenceError: ``STORE``
    """
    return EvidencePublisher(
        reader=reader,
        store=open_store(evidence, writes=True),
        auditors=auditors(evidence),
        settings=PublisherSettings(max_records=evidence.max_records, max_wait_s=evidence.max_wait_s),
    )
