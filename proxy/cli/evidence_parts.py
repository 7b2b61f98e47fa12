"""``[evidence]`` of a site as commands see it: they look into the store, and tidy up nothing in it."""

from __future__ import annotations

from proxy.anchor.evidence import EvidenceStore
from proxy.anchor.evidence import open_store as opened
from proxy.config.evidence import Evidence


def open_store(evidence: Evidence) -> EvidenceStore:
    """:raises EvidenceError: ``STORE``: there is none, or it cannot be used"""
    return opened(evidence, prepare=False)
