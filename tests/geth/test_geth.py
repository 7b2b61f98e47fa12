"""The anchor on geth: what anvil cannot show, since its pool, its words and its finality are its own."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.anchor.chain_client import TransactionRefusedError, reviewed_code_hash
from proxy.anchor.chain_sender import GAS_ADMINISTRATIVE
from proxy.anchor.facts import collect_facts
from proxy.anchor.status import AnchorState
from proxy.anchor.trust import trust_as_found
from proxy.anchor.verifier import verify
from tests.anchor.conftest import CHAIN_ID, Ledger, anchor_all, cycle_until
from tests.anchor.spools import SpoolFile
from tests.anchor.test_worker import chain_leaves, spool_leaves
from tests.geth.conftest import Geth

RECORDS = 1_600
"""Pairs: more than three full batches."""


@pytest.fixture
def spool(ledger: Ledger, tmp_path: Path) -> SpoolFile:
    folder = tmp_path / "spool"
    folder.mkdir()
    made = SpoolFile(folder, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(made)
    return made


def test_everything_is_anchored_once_in_full_batches_and_verified(ledger: Ledger, spool: SpoolFile) -> None:
    spool.fill(RECORDS)
    worker = ledger.worker(spool.folder, batch_size=1024)
    status = anchor_all(worker, timeout_s=60)
    assert status.included == 2 * RECORDS
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)
    facts = collect_facts(ledger.client)
    reader = spool.reader()
    report = verify(trust_as_found(facts, reviewed_code_hash()), facts, {spool.origin: reader})
    reader.close()
    assert report.clean, report.findings
    assert report.records == 2 * RECORDS


def test_node_that_is_stopped_and_started_again_takes_nothing_twice(
    geth: Geth, ledger: Ledger, spool: SpoolFile
) -> None:
    worker = ledger.worker(spool.folder, batch_size=64)
    for _ in range(3):
        spool.fill(100)
        cycle_until(worker, lambda status: status.in_flight > 0)
        geth.stop()
        cycle_until(worker, lambda status: status.state is AnchorState.CHAIN_UNAVAILABLE)
        geth.start()
    anchor_all(worker, timeout_s=60)
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)


@pytest.mark.parametrize("word", ["safe", "finalized"])
def test_leaves_are_final_by_the_chains_own_word(ledger: Ledger, spool: SpoolFile, word: str) -> None:
    spool.fill(5)
    worker = ledger.worker(spool.folder, finality=word)
    anchor_all(worker)
    status = cycle_until(worker, lambda one: one.final == one.local, timeout_s=150)
    assert ledger.client.tagged_block(word) <= ledger.client.block_number()
    assert status.final == 10


def test_same_transaction_again_is_as_good_and_a_used_nonce_is_not(ledger: Ledger) -> None:
    sender = ledger.registrar
    nonce, fees = sender.nonce(), sender.fees()
    first = sender.sign("propose_registrar", ledger.writer.address, nonce=nonce, fees=fees, gas=GAS_ADMINISTRATIVE)
    sender.send(first)
    sender.send(first)
    sender.receipt(first, wait_s=30)
    other = sender.sign("propose_registrar", sender.address, nonce=nonce, fees=fees, gas=GAS_ADMINISTRATIVE)
    with pytest.raises(TransactionRefusedError, match="nonce too low"):
        sender.send(other)


def test_transaction_is_replaced_by_one_raised_and_by_none_that_offers_as_little(ledger: Ledger) -> None:
    """A nonce that is not its turn keeps both in the pool."""
    sender = ledger.registrar
    later, fees = sender.nonce() + 1, sender.fees()
    little = replace(fees, max_fee=fees.max_fee + 1)
    for number, (offered, taken) in enumerate(((fees, True), (little, False), (sender.fees(1), True))):
        candidate = ledger.writer.address if number % 2 else sender.address
        one = sender.sign("propose_registrar", candidate, nonce=later, fees=offered, gas=GAS_ADMINISTRATIVE)
        if taken:
            sender.send(one)
        else:
            with pytest.raises(TransactionRefusedError, match="underpriced"):
                sender.send(one)


def test_account_without_funds_is_told_of_and_goes_on_once_it_has_some(
    geth: Geth, ledger: Ledger, spool: SpoolFile
) -> None:
    from eth_account import Account

    poor = Account.create()
    ledger.registrar.execute("rotate_writer", spool.origin, poor.address)
    ledger.account = poor
    spool.fill(5)
    worker = ledger.worker(spool.folder)
    status = cycle_until(worker, lambda one: one.state is AnchorState.REFUSED)
    assert "funds" in status.detail
    geth.fund(poor.address)
    anchor_all(worker, timeout_s=30)


def test_refusal_of_the_contract_comes_in_its_words(ledger: Ledger, spool: SpoolFile) -> None:
    with pytest.raises(TransactionRefusedError, match="not the registrar"):
        ledger.writer.estimate("close_origin", spool.origin)
    began = time.monotonic()
    with pytest.raises(TransactionRefusedError, match="previous head"):
        ledger.writer.estimate("anchor", spool.origin, 0, bytes(32), [bytes(32)])
    assert time.monotonic() - began < 10, "a refusal is not asked for again and again"
