"""Bundles are made once, in order, of what is final, and offered until the chain says that they are named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from proxy.anchor.evidence import AuditorKey, EvidencePublisher, FolderStore, PublisherSettings, header_of, open_bundle
from proxy.anchor.evidence import publisher as module
from proxy.anchor.evidence.publisher import Stored
from proxy.errors import EvidenceError, EvidenceFault, SpoolError
from proxy.ports import SpoolReader
from proxy.record.reader import OriginReader
from tests.anchor.spools import SpoolFile

KEY = AuditorKey.generate()
CONTRACT = b"\xc0" * 20
WITHIN_S = 10.0


class Trying(FolderStore):
    """A folder that can be told to fail, or to take its time."""

    failing = False
    held: threading.Event | None = None
    puts = 0
    blind = False
    tried: frozenset[str] = frozenset()

    def content(self, cid: str) -> bytes:
        if self.blind:
            raise EvidenceError(EvidenceFault.STORE, "the daemon is away")
        return super().content(cid)

    def put(self, cid: str, content: bytes, envelope: bytes) -> None:
        self.puts += 1
        self.tried |= {cid}
        if self.held is not None:
            assert self.held.wait(WITHIN_S)
        if self.failing:
            raise EvidenceError(EvidenceFault.STORE, "the disk is away")
        super().put(cid, content, envelope)


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFile:
    folder = tmp_path / "spool"
    folder.mkdir()
    made = SpoolFile(folder, 31337, CONTRACT)
    made.fill(10)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Trying:
    return Trying.prepared(tmp_path / "evidence")


@pytest.fixture
def publishers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EvidencePublisher]]:
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    made: list[EvidencePublisher] = []
    yield made
    for publisher in made:
        publisher.close()


@pytest.fixture
def make(publishers: list[EvidencePublisher], spool: SpoolFile, store: Trying) -> Callable[..., EvidencePublisher]:
    def one(
        reader: Callable[[bytes], SpoolReader] | None = None,
        opened: Callable[[], FolderStore] = lambda: store,
        **settings: float,
    ) -> EvidencePublisher:
        publishers.append(
            EvidencePublisher(
                reader=reader or partial(OriginReader, spool.folder),
                store=opened,
                auditors=[KEY.auditor],
                settings=PublisherSettings(**{"max_records": 4, "max_wait_s": 0.0, **settings}),  # type: ignore[arg-type]
            )
        )
        return publishers[-1]

    return one


def wanted(publisher: EvidencePublisher, origin: bytes, published: int, final: int) -> Stored:
    deadline = time.monotonic() + WITHIN_S
    while (ready := publisher.next(origin, published, final)) is None:
        assert time.monotonic() < deadline, publisher.status
        time.sleep(0.005)
    return ready


def nothing(publisher: EvidencePublisher, origin: bytes, published: int, final: int, for_s: float = 0.15) -> None:
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        assert publisher.next(origin, published, final) is None
        time.sleep(0.01)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


Make = Callable[..., EvidencePublisher]


def test_all_that_is_final_is_bundled_in_order_and_opens(make: Make, spool: SpoolFile, store: Trying) -> None:
    publisher, published, seen = make(), 0, []
    while published < 18:
        ready = wanted(publisher, spool.origin, published, 18)
        opened = open_bundle(store.content(ready.cid), store.envelope(ready.cid), KEY)
        assert (opened.header.first, opened.header.count) == (ready.first, ready.count)
        assert ready.first == published
        seen += opened.records
        published += ready.count
    reader = spool.reader()
    assert seen == [(row.salt, row.body) for row in reader.rows(0, 18)]
    reader.close()
    nothing(publisher, spool.origin, 18, 18)


def test_same_is_offered_until_it_is_named_and_stored_once(make: Make, spool: SpoolFile, store: Trying) -> None:
    publisher = make()
    ready = wanted(publisher, spool.origin, 0, 20)
    for _ in range(20):
        assert publisher.next(spool.origin, 0, 20) == ready
    assert store.puts == 1
    assert store.cids() == [ready.cid]


def test_what_is_not_final_is_not_bundled(make: Make, spool: SpoolFile, store: Trying) -> None:
    publisher = make()
    nothing(publisher, spool.origin, 0, 0)
    assert wanted(publisher, spool.origin, 0, 3).count == 3
    assert store.puts == 1


def test_few_records_wait_for_more(make: Make, spool: SpoolFile) -> None:
    publisher = make(max_wait_s=0.4)
    nothing(publisher, spool.origin, 0, 3, 0.2)
    assert wanted(publisher, spool.origin, 0, 3).count == 3
    patient = make(max_wait_s=3600)
    nothing(patient, spool.origin, 8, 11)
    assert wanted(patient, spool.origin, 8, 12).count == 4


def test_bundle_ends_before_it_is_too_large(make: Make, spool: SpoolFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TARGET_BYTES", 1)
    monkeypatch.setattr(module, "_STEP", 2)
    assert wanted(make(), spool.origin, 0, 20).count == 1


def test_ended_between_storing_and_naming_the_same_is_offered_again(
    make: Make, spool: SpoolFile, store: Trying
) -> None:
    """The transaction that names it may be on its way."""
    first = make()
    ready = wanted(first, spool.origin, 0, 20)
    first.close()
    again = make(max_records=2)
    assert wanted(again, spool.origin, 0, 20) == ready
    assert store.cids() == [ready.cid]
    following = wanted(again, spool.origin, ready.count, 20)
    assert following.first == ready.count


def test_spoilt_between_storing_and_naming_it_is_made_anew(
    make: Make, spool: SpoolFile, store: Trying, tmp_path: Path
) -> None:
    first = make()
    ready = wanted(first, spool.origin, 0, 20)
    first.close()
    (tmp_path / "evidence/content" / ready.cid).write_bytes(b"spoilt")
    anew = wanted(make(), spool.origin, 0, 20)
    assert anew.cid != ready.cid
    assert open_bundle(store.content(anew.cid), store.envelope(anew.cid), KEY).header.first == 0


def test_stored_beyond_what_is_final_now_is_not_offered(make: Make, spool: SpoolFile) -> None:
    """A reorganisation took leaves back."""
    first = make()
    assert wanted(first, spool.origin, 0, 4).count == 4
    first.close()
    assert wanted(make(), spool.origin, 0, 3).count == 3


def test_store_that_fails_is_tried_again_and_told_of(make: Make, spool: SpoolFile, store: Trying) -> None:
    store.failing = True
    publisher = make()
    publisher.next(spool.origin, 0, 20)
    until(lambda: store.puts >= 3)
    assert publisher.status == "the disk is away"
    nothing(publisher, spool.origin, 0, 20)
    store.failing = False
    assert wanted(publisher, spool.origin, 0, 20).first == 0
    until(lambda: publisher.status == "ok")
    assert store.tried == set(store.cids()), "the same each time: failures leave nothing behind"
    assert len(store.cids()) == 1


def test_fault_of_ours_is_told_of_and_does_not_end_the_thread(
    make: Make, spool: SpoolFile, store: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*arguments: object) -> None:
        raise TypeError("a fault in the program")

    publisher = make()
    with monkeypatch.context() as broken:
        broken.setattr(store, "put", put)
        publisher.next(spool.origin, 0, 10)
        until(lambda: publisher.status == "TypeError")
    assert wanted(publisher, spool.origin, 0, 10).count == 4
    until(lambda: publisher.status == "ok")


def test_store_that_cannot_tell_now_is_asked_again_and_no_second_bundle_is_made(
    make: Make, spool: SpoolFile, store: Trying
) -> None:
    first = make()
    ready = wanted(first, spool.origin, 0, 20)
    first.close()
    store.blind = True
    again = make()
    again.next(spool.origin, 0, 20)
    until(lambda: again.status == "the daemon is away")
    store.blind = False
    assert wanted(again, spool.origin, 0, 20) == ready
    assert store.cids() == [ready.cid]


def test_after_a_reorganisation_the_same_bundles_are_named_again(make: Make, spool: SpoolFile, store: Trying) -> None:
    publisher = make()
    first = wanted(publisher, spool.origin, 0, 20)
    second = wanted(publisher, spool.origin, 4, 20)
    assert wanted(publisher, spool.origin, 0, 20) == first
    assert wanted(publisher, spool.origin, 4, 20) == second
    assert store.puts == 2


def test_what_is_remembered_is_bounded(
    make: Make, spool: SpoolFile, store: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    publisher = make()
    for first in range(0, 20, 4):
        assert wanted(publisher, spool.origin, first, 20).first == first
    assert publisher._stored is not None
    assert sorted(first for _, first in publisher._stored) == [12, 16]


def test_store_that_cannot_be_opened_is_opened_later(make: Make, spool: SpoolFile, store: Trying) -> None:
    tried: list[int] = []

    def opened() -> FolderStore:
        tried.append(1)
        if len(tried) < 3:
            raise EvidenceError(EvidenceFault.STORE, "not mounted yet")
        return store

    publisher = make(opened=opened)
    assert wanted(publisher, spool.origin, 0, 20).first == 0
    assert len(tried) == 3


def test_slow_store_holds_up_nobody(make: Make, spool: SpoolFile, store: Trying) -> None:
    store.held = threading.Event()
    publisher = make()
    publisher.next(spool.origin, 0, 20)
    until(lambda: store.puts == 1)
    began = time.monotonic()
    for _ in range(200):
        assert publisher.next(spool.origin, 0, 20) is None
    assert time.monotonic() - began < 1
    store.held.set()
    assert wanted(publisher, spool.origin, 0, 20).first == 0


def test_made_for_where_the_chain_was_is_not_offered_where_it_is(make: Make, spool: SpoolFile, store: Trying) -> None:
    store.held = threading.Event()
    publisher = make()
    publisher.next(spool.origin, 0, 20)
    until(lambda: store.puts == 1)
    publisher.next(spool.origin, 4, 20)  # somebody else named it meanwhile
    store.held.set()
    assert wanted(publisher, spool.origin, 4, 20).first == 4


def test_predecessors_evidence_comes_from_its_own_spool(make: Make, spool: SpoolFile, store: Trying) -> None:
    successor = SpoolFile(spool.folder, 31337, CONTRACT)
    successor.fill(2)
    publisher = make()
    older = wanted(publisher, spool.origin, 16, 20)
    newer = wanted(publisher, successor.origin, 0, 4)
    assert header_of(store.envelope(older.cid)).origin == spool.origin
    assert header_of(store.envelope(newer.cid)).origin == successor.origin


def test_record_that_is_gone_is_told_of_and_never_passed_over(make: Make, spool: SpoolFile, store: Trying) -> None:
    spool.drop(2)
    publisher = make()
    publisher.next(spool.origin, 0, 20)
    until(lambda: "no record" in publisher.status)
    assert store.cids() == []
    nothing(publisher, spool.origin, 0, 20)


def test_spool_that_cannot_be_read_is_tried_again(make: Make, spool: SpoolFile) -> None:
    failures = [SpoolError("busy"), SpoolError("busy")]

    def reader(origin: bytes) -> SpoolReader:
        if failures:
            raise failures.pop()
        return OriginReader(spool.folder, origin)

    assert wanted(make(reader=reader), spool.origin, 0, 20).first == 0


def test_closed_while_the_store_fails_it_ends(make: Make, spool: SpoolFile, store: Trying) -> None:
    store.failing = True
    publisher = make()
    publisher.next(spool.origin, 0, 20)
    until(lambda: store.puts >= 1)
    began = time.monotonic()
    publisher.close()
    assert time.monotonic() - began < 2


def test_closed_while_the_store_is_silent_it_is_not_waited_for(
    make: Make, spool: SpoolFile, store: Trying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.1)
    store.held = threading.Event()
    publisher = make()
    publisher.next(spool.origin, 0, 20)
    until(lambda: store.puts == 1)
    began = time.monotonic()
    publisher.close()
    assert time.monotonic() - began < 2
    store.held.set()
    monkeypatch.undo()
    publisher.close()
