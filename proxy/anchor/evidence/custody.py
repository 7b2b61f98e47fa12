"""What is done with bundles after they were published: listed, copied for an auditor, erased after their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.evidence.auditors import Auditor, AuditorKey
from proxy.anchor.evidence.bundle import Header, auditors_of, header_of, rewrap
from proxy.anchor.evidence.folder import Erasure, EvidenceStore, FolderStore
from proxy.errors import EvidenceError, EvidenceFault
from proxy.model import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One bundle of a store."""

    cid: str
    header: Header | None
    """``None`` where it is erased, or its envelope cannot be read."""
    auditors: tuple[str, ...] = ()
    """Ids of who may open it."""
    erasure: Erasure | None = None
    trouble: str = ""

    def to_wire(self) -> JsonObject:
        noted = self.erasure
        erased: JsonObject | None = None if noted is None else {"time": noted.time, "reason": noted.reason}
        return {
            "cid": self.cid,
            **({} if self.header is None else self.header.to_wire()),
            "auditors": list(self.auditors),
            "erased": erased,
            "trouble": self.trouble,
        }


def listed(store: EvidenceStore) -> list[Listed]:
    """Every bundle, by origin and first record; then what was erased.

    :raises EvidenceError: ``STORE``
    """
    bundles = sorted((_listed(store, cid) for cid in store.cids()), key=_place)
    return bundles + [Listed(cid=cid, header=None, erasure=store.erased(cid)) for cid in store.erasures()]


def _listed(store: EvidenceStore, cid: str) -> Listed:
    try:
        envelope = store.envelope(cid)
        return Listed(cid=cid, header=header_of(envelope), auditors=auditors_of(envelope))
    except EvidenceError as error:
        if error.fault is EvidenceFault.STORE:
            raise
        return Listed(cid=cid, header=None, trouble=error.detail)


def _place(one: Listed) -> tuple[bytes, int, str]:
    return (b"", 0, one.cid) if one.header is None else (one.header.origin, one.header.first, one.cid)


def fetch(store: EvidenceStore, target: FolderStore, cid: str) -> None:
    """Copy one bundle into an auditor's folder, or the note that it was erased. Content is hashed on both sides.

    What the auditor has already stays, whatever the site says of it now.

    :raises EvidenceError: as reading it does
    """
    if (erasure := store.erased(cid)) is not None:
        target.note_erased(cid, erasure)
        return
    target.put(cid, store.content(cid), store.envelope(cid))


def rewrap_bundle(store: EvidenceStore, cid: str, key: AuditorKey, auditors: Sequence[Auditor]) -> None:
    """Close one bundle to these auditors in place of those before.

    :raises EvidenceError: as reading and opening it does
    """
    store.replace_envelope(cid, rewrap(store.envelope(cid), store.content(cid), key, auditors))


def published_before(client: ChainClient, moment: float) -> frozenset[str]:
    """Identifiers of what was published in a block before ``moment``: none of its records is younger.

    :param moment: seconds since the epoch
    :raises ChainError: the chain could not be asked
    """
    last, deployed = client.block_number(), client.deployed()
    times: dict[int, int] = {}
    found: set[str] = set()
    for origin in client.origins(last):
        for one in client.published(origin, deployed, last):
            if one.block not in times:
                times[one.block] = client.block_time(one.block)
            if times[one.block] < moment:
                found.add(one.cid)
    return frozenset(found)
