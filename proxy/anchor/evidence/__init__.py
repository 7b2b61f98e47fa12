"""The full records behind the leaves, closed to auditors alone, kept apart from the spool and named on the chain.

*Enters*: final rows of a spool, auditors' public keys. *Leaves*: bundles in a folder or on IPFS, and which one is to be
published next. *Must not know*: the chain's key, requests, policy.

Threats: whoever has a copy of the content (it is closed, and its key is not with it); whoever has the store (content is
hashed against its CID whenever it is read, and its records against the leaves); a store that loses (nothing is named on
the chain before it was read back); a bundle made to hurt its reader (every length is bounded before it is believed).
"""

from proxy.anchor.evidence.auditors import Auditor, AuditorKey, load_auditor, load_auditor_key, write_keys
from proxy.anchor.evidence.bundle import Header, Opened, Sealed, header_of, open_bundle, rewrap, seal_bundle
from proxy.anchor.evidence.cid import cid_of, is_cid
from proxy.anchor.evidence.custody import Listed, fetch, listed, published_before, rewrap_bundle
from proxy.anchor.evidence.folder import Erasure, EvidenceStore, FolderStore
from proxy.anchor.evidence.kubo import KuboStore
from proxy.anchor.evidence.kubo_client import KuboClient
from proxy.anchor.evidence.opening import open_store
from proxy.anchor.evidence.publisher import EvidencePublisher, PublisherSettings
from proxy.anchor.evidence.reader import EvidenceReader

__all__ = [
    "Auditor",
    "AuditorKey",
    "Erasure",
    "EvidencePublisher",
    "EvidenceReader",
    "EvidenceStore",
    "FolderStore",
    "Header",
    "KuboClient",
    "KuboStore",
    "Listed",
    "Opened",
    "PublisherSettings",
    "Sealed",
    "cid_of",
    "fetch",
    "header_of",
    "is_cid",
    "listed",
    "load_auditor",
    "load_auditor_key",
    "open_bundle",
    "open_store",
    "published_before",
    "rewrap",
    "rewrap_bundle",
    "seal_bundle",
    "write_keys",
]
