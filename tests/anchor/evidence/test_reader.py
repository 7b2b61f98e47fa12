"""What an auditor reads: evidence that a worker named on a real chain, and what a store or a node does to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from proxy.anchor.chain_values import OriginState, Publication
from proxy.anchor.evidence import (
    AuditorKey,
    EvidencePublisher,
    EvidenceReader,
    FolderStore,
    Header,
    PublisherSettings,
    cid_of,
    seal_bundle,
)
from proxy.anchor.evidence import publisher as publishing
from proxy.errors import EvidenceError, EvidenceFault
from proxy.record.reader import OriginReader
from tests.anchor.conftest import CHAIN_ID, Ledger, cycle_until
from tests.anchor.evidence.conftest import CONTRACT, ORIGIN, header, rows
from tests.anchor.spools import SpoolFile, identity

KEY = AuditorKey.generate()
NOBODY = "0x" + "00" * 20


@dataclass
class Lost:
    told: list[tuple[int, EvidenceFault]] = field(default_factory=list)

    def __call__(self, publication: Publication, error: EvidenceError) -> None:
        self.told.append((publication.first, error.fault))


def state(published: int) -> OriginState:
    return OriginState(
        writer=NOBODY,
        receipt_key=bytes(32),
        count=published,
        head=bytes(32),
        closed=False,
        predecessor=None,
        agreed=0,
        successor=None,
        opened=1,
        published=published,
    )


def said(first: int, count: int, cid: str, block: int = 1) -> Publication:
    return Publication(first=first, count=count, cid=cid, block=block)


def put(folder: FolderStore, first: int, count: int = 3, head: Header | None = None, key: AuditorKey = KEY) -> str:
    bundle = seal_bundle(head or header(first, count), rows(first, count), [key.auditor])
    folder.put(bundle.cid, bundle.content, bundle.envelope)
    return bundle.cid


def reading(
    folder: FolderStore, publications: list[Publication], published: int, key: AuditorKey = KEY
) -> tuple[EvidenceReader, Lost]:
    lost = Lost()
    return EvidenceReader(header(), state(published), publications, folder, key, lost), lost


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_POLL_S", 0.02)
        yield


@pytest.mark.real
def test_auditor_reads_what_the_worker_named_on_the_chain(
    ledger: Ledger, spool: SpoolFile, folder: FolderStore, tmp_path: Path
) -> None:
    spool.fill(6)
    publisher = EvidencePublisher(
        reader=partial(OriginReader, spool.folder),
        store=lambda: folder,
        auditors=[KEY.auditor],
        settings=PublisherSettings(max_records=5, max_wait_s=0.0),
    )
    worker = ledger.worker(spool.folder, publisher=publisher)
    try:
        cycle_until(worker, lambda status: status.published == 12)
        client = ledger.connect()
        block = client.block_number()
        kept = client.origin(spool.origin, block)
        assert kept is not None
        head = Header(
            chain_id=CHAIN_ID, contract=client.contract_bytes, origin=spool.origin, first=0, count=kept.published
        )
        lost = Lost()
        listed = list(client.published(spool.origin, 0, block))
        reader = EvidenceReader(head, kept, listed, FolderStore(tmp_path / "evidence"), KEY, lost)
        own = spool.reader()
        assert [one.end for one in listed][-1] == reader.count() == 12
        assert reader.gap is None
        assert reader.floor() == 0
        assert reader.head(0) == own.head(0)
        assert [(row.index, row.salt, row.body, row.leaf) for row in reader.rows(0, 12)] == [
            (row.index, row.salt, row.body, row.leaf) for row in own.rows(0, 12)
        ]
        assert [row.leaf for row in reader.rows(4, 3)] == [row.leaf for row in own.rows(4, 3)]
        assert [row.index for row in reader.find(identity(3))] == [6, 7]
        assert reader.find("f" * 32) == []
        assert lost.told == []
        own.close()
        reader.close()
    finally:
        publisher.close()


def test_rows_across_bundles_come_in_order_and_once(folder: FolderStore) -> None:
    publications = [said(0, 3, put(folder, 0)), said(3, 4, put(folder, 3, 4)), said(7, 1, put(folder, 7, 1))]
    reader, lost = reading(folder, publications, 8)
    for first in range(9):
        for count in range(9):
            assert [row.index for row in reader.rows(first, count)] == list(range(first, min(8, first + count)))
    assert lost.told == []


def test_each_way_to_lose_a_bundle_is_told_by_its_name_and_others_are_read(
    folder: FolderStore, tmp_path: Path, other_key: AuditorKey
) -> None:
    from datetime import UTC, datetime

    cids = [put(folder, 3 * number) for number in range(6)]
    cids[4] = put(folder, 12, key=other_key)
    cids[5] = put(folder, 15, head=header(15, 3, origin=b"\x0b" * 32))
    (tmp_path / "evidence/content" / cids[1]).unlink()
    (tmp_path / "evidence/content" / cids[2]).write_bytes(b"altered")
    folder.erase(cids[3], "why", datetime.now(UTC))
    reader, lost = reading(folder, [said(3 * n, 3, cid) for n, cid in enumerate(cids)], 18)
    assert [row.index for row in reader.rows(0, 18)] == [0, 1, 2]
    assert lost.told == [
        (3, EvidenceFault.ABSENT),
        (6, EvidenceFault.ALTERED),
        (9, EvidenceFault.ERASED),
        (12, EvidenceFault.NO_KEY),
        (15, EvidenceFault.UNREADABLE),
    ]


def test_bundle_of_another_range_under_this_publication_is_unreadable(folder: FolderStore) -> None:
    reader, lost = reading(folder, [said(0, 3, put(folder, 3))], 3)
    assert reader.rows(0, 3) == []
    assert lost.told == [(0, EvidenceFault.UNREADABLE)]


@pytest.mark.parametrize("cid", ["../../etc/passwd", "", "\udc00", "Qm", "b" + "a" * 58 + "\n"])
def test_publication_that_names_no_identifier_is_absent(folder: FolderStore, cid: str) -> None:
    reader, lost = reading(folder, [said(0, 3, cid)], 3)
    assert reader.rows(0, 3) == []
    assert lost.told == [(0, EvidenceFault.ABSENT)]


def test_store_that_cannot_be_asked_is_no_loss(folder: FolderStore, tmp_path: Path) -> None:
    cid = put(folder, 0)
    path = tmp_path / "evidence/content" / cid
    path.unlink()
    path.mkdir()
    reader, lost = reading(folder, [said(0, 3, cid)], 3)
    with pytest.raises(EvidenceError) as failed:
        reader.rows(0, 3)
    assert failed.value.fault is EvidenceFault.STORE
    assert lost.told == []


def test_published_anew_the_newest_that_opens_is_read(folder: FolderStore, tmp_path: Path) -> None:
    first, second = put(folder, 0), put(folder, 0)
    publications = [said(0, 3, first), said(3, 3, put(folder, 3)), said(0, 3, second, 2), said(0, 3, cid_of(b""), 3)]
    reader, lost = reading(folder, publications, 6)
    newest = [row.salt for row in reader.rows(0, 3)]
    (tmp_path / "evidence/content" / second).unlink()
    reader, lost = reading(folder, publications, 6)
    assert [row.salt for row in reader.rows(0, 3)] != newest
    assert len(reader.rows(0, 6)) == 6
    assert lost.told == []


def test_word_on_another_range_hides_nothing(folder: FolderStore) -> None:
    """A writer that names a part of what it published anew, where the contract lets it."""
    publications = [said(0, 3, put(folder, 0)), said(0, 1, cid_of(b"x")), said(1, 2, cid_of(b"y"))]
    reader, lost = reading(folder, publications, 3)
    assert reader.gap is None
    assert len(reader.rows(0, 3)) == 3
    assert lost.told == []


def test_node_that_keeps_publications_back_leaves_a_gap(folder: FolderStore) -> None:
    reader, _ = reading(folder, [said(0, 3, put(folder, 0)), said(6, 3, put(folder, 6))], 9)
    assert reader.gap == 3
    assert reading(folder, [], 9)[0].gap == 0
    assert reading(folder, [], 0)[0].gap is None


def test_one_bundle_is_held_at_a_time_and_opened_once(folder: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    publications = [said(3 * number, 3, put(folder, 3 * number)) for number in range(3)]
    asked: list[str] = []
    real = FolderStore.content
    monkeypatch.setattr(FolderStore, "content", lambda self, cid: (asked.append(cid), real(self, cid))[1])
    reader, _ = reading(folder, publications, 9)
    for index in range(9):
        assert len(reader.rows(index, 1)) == 1
    assert asked == [one.cid for one in publications]


def test_head_is_known_for_nothing_alone(folder: FolderStore) -> None:
    reader, _ = reading(folder, [], 0)
    assert reader.head(0) is not None
    assert reader.head(1) is None
    assert (reader.origin, reader.contract) == (ORIGIN, CONTRACT)
