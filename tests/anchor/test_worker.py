"""The anchor process against a real chain: every leaf exactly once, in order, whatever happens on the way."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.status import AnchorState, AnchorStatus, write_status
from proxy.record import origin_file
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, anchor_all, cycle_until, new_ledger, stop_quietly
from tests.anchor.lossy import LossyProxy
from tests.anchor.spools import SpoolFile

pytestmark = pytest.mark.real


def chain_leaves(client: ChainClient, origin: bytes) -> list[bytes]:
    return [leaf for batch in client.anchored(origin, 0, client.block_number()) for leaf in batch.each()]


def spool_leaves(spool: SpoolFile) -> list[bytes]:
    reader = spool.reader()
    leaves = [row.leaf for row in reader.rows(0, reader.count())]
    reader.close()
    return leaves


def test_every_leaf_is_anchored_once_and_in_order(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(1200)
    worker = ledger.worker(spool.folder)
    anchor_all(worker)
    spool.fill(3)
    status = anchor_all(worker)
    assert (status.included, status.final, status.oldest_unanchored_s) == (2406, 2406, None)
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)


def test_a_small_batch_waits_for_company_but_not_long(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(1)
    worker = ledger.worker(spool.folder, max_wait_s=0.6)
    assert worker.cycle().in_flight == 0
    began = time.monotonic()
    cycle_until(worker, lambda s: s.in_flight == 1)
    assert 0.3 < time.monotonic() - began < 2


def test_finality_follows_inclusion_by_the_profile(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(2)
    worker = ledger.worker(spool.folder, finality=4)
    status = cycle_until(worker, lambda s: s.included == 4)
    assert status.final < 4
    cycle_until(worker, lambda s: s.final == 4)


def test_unknown_origin_waits_for_the_registrar_and_says_so(ledger: Ledger, tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, CHAIN_ID, ledger.client.contract_bytes)
    spool.fill(1)
    worker = ledger.worker(tmp_path)
    status = worker.cycle()
    assert status.state is AnchorState.ORIGIN_UNKNOWN
    assert spool.origin.hex() in status.detail
    assert ledger.writer.address in status.detail
    ledger.open(spool)
    anchor_all(worker)


def test_spool_of_another_contract_is_not_anchored(ledger: Ledger, tmp_path: Path) -> None:
    SpoolFile(tmp_path, CHAIN_ID, bytes(20)).fill(1)
    assert ledger.worker(tmp_path).cycle().state is AnchorState.MISCONFIGURED


def test_tampered_record_is_not_anchored(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(4)
    spool.change_record(5)
    worker = ledger.worker(spool.folder)
    status = cycle_until(worker, lambda s: s.state is AnchorState.SPOOL_INCONSISTENT)
    assert "record 5" in status.detail
    assert chain_leaves(ledger.client, spool.origin) == []


@pytest.fixture
def halting(tmp_path: Path) -> Iterator[tuple[Ledger, SpoolFile]]:
    """A chain of its own, for tests that stop the mining of blocks."""
    anvil = Anvil().start()
    ledger = new_ledger(anvil)
    spool = SpoolFile(tmp_path, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(spool)
    yield ledger, spool
    ledger.close()
    anvil.stop()


def test_worker_that_crashed_between_send_and_confirmation_goes_on_from_the_chain(
    halting: tuple[Ledger, SpoolFile],
) -> None:
    ledger, spool = halting
    spool.fill(600)
    ledger.anvil.rpc("evm_setIntervalMining", 0)
    try:
        cycle_until(ledger.worker(spool.folder), lambda s: s.in_flight == 2)
        # Nothing is mined; another process starts, with more records in the spool than the first saw.
        spool.fill(10)
        successor = ledger.worker(spool.folder, resend_s=60)
        for _ in range(3):
            assert successor.cycle().in_flight == 0
    finally:
        ledger.anvil.rpc("evm_setIntervalMining", 1)
    anchor_all(successor)
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)


def test_transaction_that_never_gets_into_a_block_is_replaced_for_more(halting: tuple[Ledger, SpoolFile]) -> None:
    ledger, spool = halting
    spool.fill(5)
    worker = ledger.worker(spool.folder, resend_s=0.3)
    ledger.anvil.rpc("evm_setIntervalMining", 0)
    try:
        cycle_until(worker, lambda s: s.in_flight == 1)
        first = worker._flight.sent[0].transaction.hash
        cycle_until(worker, lambda s: s.in_flight == 1 and worker._flight.sent[0].transaction.hash != first)
    finally:
        ledger.anvil.rpc("evm_setIntervalMining", 1)
    anchor_all(worker)
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)


@pytest.mark.parametrize("lost", ["eth_sendRawTransaction", "eth_call", "eth_getTransactionCount"])
def test_lost_replies_lose_and_duplicate_nothing(ledger: Ledger, spool: SpoolFile, lost: str) -> None:
    with LossyProxy(ledger.anvil.url) as lossy:
        worker = ledger.worker(spool.folder, ledger.connect(lossy.url, timeout_s=2), batch_size=50)
        spool.fill(100)
        lossy.drop(lost, every=2)
        cycle_until(worker, lambda s: s.included >= 100 or lossy.dropped >= 6)
        spool.fill(100)
        cycle_until(worker, lambda s: lossy.dropped >= 2)
        lossy.drop(lost, every=0)
        anchor_all(worker)
        assert lossy.dropped >= 2
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)


def test_second_node_is_asked_when_the_first_is_down(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(1)
    worker = ledger.worker(spool.folder, ledger.connect("http://127.0.0.1:9", ledger.anvil.url))
    assert worker.cycle().state is AnchorState.CHAIN_UNAVAILABLE
    anchor_all(worker)


def test_backlog_grows_older_while_no_node_answers(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(1)
    status = ledger.worker(spool.folder, ledger.connect("http://127.0.0.1:9")).cycle()
    assert (status.state, status.local, status.included) == (AnchorState.CHAIN_UNAVAILABLE, 2, 0)
    assert status.oldest_unanchored_s is not None


def test_worker_outlives_a_long_outage_and_a_full_disk(
    ledger: Ledger, spool: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, stop, waits = ledger.worker(spool.folder, ledger.connect("http://127.0.0.1:9")), threading.Event(), []

    def full(status: AnchorStatus) -> None:
        raise OSError(28, "No space left on device")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) > 1200:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(worker, "_report", full)
    assert worker.cycle().state is AnchorState.CHAIN_UNAVAILABLE
    down = worker._status
    monkeypatch.setattr(worker, "cycle", lambda: down)
    monkeypatch.setattr(stop, "wait", wait)
    worker.run(stop)
    assert waits[0] < 0.5
    assert 7 < waits[-1] <= 10


def test_node_on_another_chain_is_not_used(ledger: Ledger, spool: SpoolFile) -> None:
    other = ChainClient(rpc_urls=[ledger.anvil.url], chain_id=1, contract=ledger.client.contract)
    ledger.clients.append(other)
    status = ledger.worker(spool.folder, other).cycle()
    assert status.state is AnchorState.MISCONFIGURED


@pytest.fixture
def own_chain(tmp_path: Path) -> Iterator[Anvil]:
    anvil = Anvil(tmp_path / "chain.json").start()
    yield anvil
    stop_quietly(anvil)


def test_chain_that_stops_and_comes_back_finds_the_backlog(own_chain: Anvil, tmp_path: Path) -> None:
    ledger = new_ledger(own_chain)
    folder = tmp_path / "spool"
    folder.mkdir()
    spool = SpoolFile(folder, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(spool)
    stop = threading.Event()
    spool.fill(20)
    worker = ledger.worker(folder)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: ledger.reports and ledger.reports[-1].included == 40)
        own_chain.stop()
        spool.fill(600)
        wait_for(lambda: ledger.reports[-1].state is AnchorState.CHAIN_UNAVAILABLE and ledger.reports[-1].local == 1240)
        own_chain.start()
        wait_for(lambda: ledger.reports[-1].included == 1240)
    finally:
        stop.set()
        thread.join()
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)
    ledger.close()


def wait_for(condition: object, timeout_s: float = 25) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---------------------------------------------------------------------------------------- divergence


def restored_backup(spool: SpoolFile, ledger: Ledger, tmp_path: Path) -> None:
    """Anchor 10 records, back up, anchor 6 more, restore, and live on with 4 others."""
    worker = ledger.worker(spool.folder)
    spool.fill(5)
    anchor_all(worker)
    backup = tmp_path / "backup.db"
    spool.sql(lambda db: None)
    shutil.copy(spool.path, backup)
    spool.fill(3)
    anchor_all(worker)
    while ledger.readers:
        ledger.readers.pop().close()
    for suffix in ("-wal", "-shm"):
        spool.path.with_name(spool.path.name + suffix).unlink(missing_ok=True)
    shutil.copy(backup, spool.path)
    spool.fill(2)


def succeed_locally(spool: SpoolFile, agreed: int) -> SpoolFile:
    """What the proxy does when it reads ``agreed`` in the status file."""
    reader = spool.reader()
    carried = reader.rows(agreed, reader.count() - agreed)
    reader.close()
    meta = origin_file.create(
        spool.folder,
        chain_id=spool.meta.chain_id,
        contract=spool.meta.contract,
        predecessor=spool.origin,
        agreed=agreed,
        carried=carried,
    )
    made = SpoolFile(spool.folder, spool.meta.chain_id, spool.meta.contract, meta)
    made.decisions = spool.decisions + 100
    return made


def test_restored_backup_is_never_anchored_and_gets_a_successor(
    ledger: Ledger, spool: SpoolFile, tmp_path: Path
) -> None:
    restored_backup(spool, ledger, tmp_path)
    worker = ledger.worker(spool.folder)
    status = worker.cycle()
    assert (status.state, status.agreed, status.included, status.local) == (AnchorState.DIVERGED, 10, 16, 14)
    successor = succeed_locally(spool, 10)
    successor.fill(1)
    anchor_all(worker)
    old, new = ledger.client.origin(spool.origin), ledger.client.origin(successor.origin)
    assert old is not None
    assert new is not None
    assert (old.closed, old.successor, old.count) == (True, successor.origin, 16)
    assert (new.predecessor, new.agreed, new.count) == (spool.origin, 10, 6)
    assert new.receipt_key == successor.meta.receipt_key
    assert chain_leaves(ledger.client, successor.origin) == spool_leaves(successor)


def test_spool_restored_from_before_a_succession_follows_the_chain(
    ledger: Ledger, spool: SpoolFile, tmp_path: Path
) -> None:
    restored_backup(spool, ledger, tmp_path)
    worker = ledger.worker(spool.folder)
    assert worker.cycle().agreed == 10
    successor = succeed_locally(spool, 10)
    anchor_all(worker)
    # The whole folder goes back to a time when the first origin was in use.
    origin_file.point_to(spool.folder, spool.origin)
    status = worker.cycle()
    assert (status.state, status.agreed) == (AnchorState.DIVERGED, 10)
    third = succeed_locally(spool, 10)
    anchor_all(worker)
    state = ledger.client.origin(third.origin)
    assert state is not None
    assert (state.predecessor, state.agreed) == (successor.origin, 0)


def test_origin_that_the_registrar_closed_is_left_alone(ledger: Ledger, spool: SpoolFile) -> None:
    ledger.registrar.execute("close_origin", spool.origin)
    spool.fill(1)
    assert ledger.worker(spool.folder).cycle().state is AnchorState.CLOSED


def test_status_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    moment = datetime(2026, 11, 22, 19, 40, tzinfo=UTC)
    for included in (1, 2):
        status = AnchorStatus(
            state=AnchorState.OK, updated_at=moment, account="0xab", origin=b"\1" * 32, local=5, included=included
        )
        write_status(path, status)
    read = orjson.loads(path.read_bytes())
    assert (read["anchored"], read["included"], read["lag"], read["state"]) == (2, 2, 3, "ok")
    assert read["origin"] == "01" * 32
    assert read["updated_at"] == "2026-11-22T19:40:00.000Z"
    assert [child.name for child in tmp_path.iterdir()] == ["anchor.json"]
