"""Blocks that are taken back, transactions that pools forget, fees beyond the ceiling: every leaf once all the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.anchor.chain_values import FeeLimits
from proxy.anchor.status import AnchorState
from proxy.anchor.worker import AnchorWorker
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, new_ledger
from tests.anchor.spools import SpoolFile
from tests.anchor.test_worker import chain_leaves, spool_leaves

pytestmark = pytest.mark.real

DEPTHS = range(1, 65) if os.environ.get("DICOMWARD_FULL") == "1" else (1, 2, 7, 64)


@dataclass(frozen=True)
class Manual:
    """A chain whose blocks come when the test says so."""

    ledger: Ledger
    spool: SpoolFile

    def mine(self, worker: AnchorWorker, blocks: int) -> None:
        for _ in range(blocks):
            worker.cycle()
            self.ledger.anvil.rpc("anvil_mine", "0x1")

    def settle(self, worker: AnchorWorker, count: int, rounds: int = 40) -> None:
        for _ in range(rounds):
            status = worker.cycle()
            if status.final == count and not status.in_flight:
                break
            self.ledger.anvil.rpc("anvil_mine", "0x1")
        assert (status.state, status.included, status.final) == (AnchorState.OK, count, count)
        assert chain_leaves(self.ledger.client, self.spool.origin) == spool_leaves(self.spool)


@pytest.fixture
def manual(tmp_path: Path) -> Iterator[Manual]:
    anvil = Anvil().start()
    ledger = new_ledger(anvil)
    spool = SpoolFile(tmp_path, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(spool)
    anvil.rpc("evm_setIntervalMining", 0)
    yield Manual(ledger, spool)
    ledger.close()
    anvil.stop()


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_a_reorganisation_takes_back_is_sent_again(manual: Manual, depth: int) -> None:
    worker = manual.ledger.worker(manual.spool.folder, batch_size=2, max_wait_s=0, finality=3)
    manual.spool.fill(2)
    manual.settle(worker, 4)
    manual.spool.fill(depth)
    manual.mine(worker, depth)
    before = worker.cycle()
    assert before.included > 4
    manual.ledger.anvil.rpc("anvil_reorg", depth, [])
    after = worker.cycle()
    assert after.included < before.included
    assert after.final <= before.final
    manual.spool.fill(1)
    manual.settle(worker, 2 * (depth + 3), rounds=3 * depth + 40)


def test_transaction_that_the_pool_forgot_is_sent_again(manual: Manual) -> None:
    worker = manual.ledger.worker(manual.spool.folder, batch_size=2, max_wait_s=0, finality=1, resend_s=60)
    manual.spool.fill(5)
    assert worker.cycle().in_flight == 5
    for sent in worker._flight.sent[::2]:
        manual.ledger.anvil.rpc("anvil_dropTransaction", sent.transaction.hash)
    manual.settle(worker, 10)


def test_nothing_is_sent_above_the_fee_ceiling_and_all_is_once_fees_fall(manual: Manual) -> None:
    limits = FeeLimits(max_fee=2 * 10**9)
    worker = manual.ledger.worker(manual.spool.folder, max_wait_s=0, finality=1, limits=limits)
    manual.spool.fill(1)
    manual.ledger.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
    manual.ledger.anvil.rpc("anvil_mine", "0x1")
    status = worker.cycle()
    assert (status.state, status.in_flight) == (AnchorState.FEES_TOO_HIGH, 0)
    assert "ceiling" in status.detail
    manual.ledger.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**8))
    manual.ledger.anvil.rpc("anvil_mine", "0x1")
    manual.settle(worker, 2)


def test_batches_shrink_to_the_gas_ceiling(manual: Manual) -> None:
    worker = manual.ledger.worker(
        manual.spool.folder, max_wait_s=0, finality=1, limits=FeeLimits(gas=100_000 + 3 * 1_500)
    )
    manual.spool.fill(3)
    worker.cycle()
    assert [sent.end - sent.first for sent in worker._flight.sent] == [3, 3]
    manual.settle(worker, 6)
    manual.spool.fill(1)
    tight = manual.ledger.worker(manual.spool.folder, max_wait_s=0, limits=FeeLimits(gas=100_001))
    assert tight.cycle().state is AnchorState.REFUSED


def test_writer_that_was_replaced_spends_nothing(manual: Manual) -> None:
    manual.ledger.anvil.rpc("evm_setIntervalMining", 1)
    manual.ledger.registrar.execute("rotate_writer", manual.spool.origin, manual.ledger.registrar.address)
    manual.spool.fill(1)
    status = manual.ledger.worker(manual.spool.folder, max_wait_s=0).cycle()
    assert (status.state, status.in_flight) == (AnchorState.NOT_THE_WRITER, 0)


@dataclass(frozen=True)
class Bundle:
    first: int
    count: int
    cid: str = "bafkrei"


@dataclass
class Desk:
    """A publisher that has whatever is final."""

    status: str = "ok"
    asked: list[tuple[bytes, int, int]] = field(default_factory=list)

    def next(self, origin: bytes, published: int, final: int) -> Bundle | None:
        self.asked.append((origin, published, final))
        return Bundle(published, min(3, final - published)) if final > published else None


def test_evidence_is_named_behind_final_leaves_and_again_after_a_reorganisation(manual: Manual) -> None:
    desk, client = Desk(), manual.ledger.client
    worker = manual.ledger.worker(manual.spool.folder, publisher=desk, max_wait_s=0, finality=2)
    manual.spool.fill(4)
    manual.mine(worker, 12)
    assert worker.cycle().published == 8
    manual.ledger.anvil.rpc("anvil_reorg", 9, [])
    assert worker.cycle().published < 8
    manual.mine(worker, 20)
    status = worker.cycle()
    assert (status.published, status.included, status.evidence) == (8, 8, "ok")
    said = list(client.published(manual.spool.origin, 0, client.block_number()))
    assert [(one.first, one.end) for one in said] == [(0, 3), (3, 6), (6, 8)]
    assert all(final <= 8 for _, _, final in desk.asked)


def test_evidence_that_the_contract_refuses_stops_no_leaf(manual: Manual) -> None:
    class Mistaken(Desk):
        def next(self, origin: bytes, published: int, final: int) -> Bundle | None:
            return Bundle(published, final - published, "") if final > published else None

    worker = manual.ledger.worker(manual.spool.folder, publisher=Mistaken(), max_wait_s=0, finality=1)
    manual.spool.fill(1)
    manual.settle(worker, 2)
    assert worker.cycle().evidence.startswith("not published: ")
    manual.spool.fill(1)
    manual.settle(worker, 4)
    assert worker.cycle().published == 0
