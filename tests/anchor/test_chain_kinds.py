"""Chains that are not Ethereum's newest: without a base fee, without any fee, with a finality of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.anchor.chain_sender import ChainSender
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, anchor_all, cycle_until, new_ledger, stop_quietly
from tests.anchor.spools import SpoolFile
from tests.anchor.test_worker import chain_leaves, spool_leaves

pytestmark = pytest.mark.real

KINDS = {
    "before-london": ("--hardfork", "berlin"),
    "london": ("--hardfork", "london"),
    "zero-base-fee": ("--block-base-fee-per-gas", "0", "--gas-price", "0"),
    "prague": ("--hardfork", "prague"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[tuple[str, Ledger]]:
    anvil = Anvil(block_s=0.1, options=KINDS[request.param]).start()
    try:
        made = new_ledger(anvil)
        yield request.param, made
        made.close()
    finally:
        stop_quietly(anvil)


def spool_of(ledger: Ledger, folder: Path) -> SpoolFile:
    made = SpoolFile(folder, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(made)
    return made


def last_transaction(ledger: Ledger) -> dict[str, object]:
    for number in range(ledger.client.block_number(), 0, -1):
        block = ledger.anvil.rpc("eth_getBlockByNumber", hex(number), True)
        if block["transactions"]:
            found: dict[str, object] = block["transactions"][-1]
            return found
    raise AssertionError("no transaction at all")


def test_contract_and_anchor_run_on_every_kind_of_chain(kind: tuple[str, Ledger], tmp_path: Path) -> None:
    name, ledger = kind
    if name == "zero-base-fee":
        ledger.anvil.rpc("anvil_setBalance", ledger.account.address, "0x0")
    spool = spool_of(ledger, tmp_path)
    spool.fill(50)
    status = anchor_all(ledger.worker(tmp_path, batch_size=8))
    assert status.included == status.local > 0
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)
    sent = last_transaction(ledger)
    assert sent["type"] == ("0x0" if name == "before-london" else "0x2")
    if name == "zero-base-fee":
        assert int(str(sent["maxFeePerGas"]), 16) == 0
        assert ledger.anvil.rpc("eth_getBalance", ledger.account.address, "latest") == "0x0"


def test_fees_of_the_first_type_rise_when_a_transaction_is_stuck(tmp_path: Path) -> None:
    anvil = Anvil(block_s=0.1, options=KINDS["before-london"]).start()
    try:
        ledger = new_ledger(anvil)
        sender = ChainSender(ledger.client, ledger.account)
        offered, raised = sender.fees(), sender.fees(2)
        assert offered.legacy
        assert raised.max_fee > offered.max_fee
        ledger.close()
    finally:
        stop_quietly(anvil)


@pytest.mark.parametrize("word", ["finalized", "safe"])
def test_leaves_are_final_when_the_chain_says_so(word: str, tmp_path: Path) -> None:
    """Anvil with a short epoch says the same words that a proof-of-stake chain says."""
    anvil = Anvil(block_s=None, options=("--slots-in-an-epoch", "2")).start()
    try:
        ledger = new_ledger(anvil)
        spool = spool_of(ledger, tmp_path)
        spool.fill(5)
        worker = ledger.worker(tmp_path, finality=word)
        status = anchor_all(worker)
        assert status.final == 0, "in a block, and not final by the chain's word"
        for _ in range(6):
            anvil.rpc("evm_mine")
        cycle_until(worker, lambda s: s.final == s.local > 0)
        ledger.close()
    finally:
        stop_quietly(anvil)
