"""The contract on a real chain: it computes what :mod:`proxy.commitment` computes, and refuses everything else."""

from __future__ import annotations

import json
import secrets

import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3

from proxy import commitment
from proxy.anchor.chain_client import reviewed_code_hash
from proxy.anchor.chain_sender import GAS_A_LEAF, GAS_BASE, ChainSender
from proxy.anchor.chain_values import Fees
from proxy.anchor.contract import artifact, build
from proxy.errors import ChainError
from tests.anchor.conftest import CHAIN_ID, Ledger

pytestmark = pytest.mark.real

KEY = b"\7" * 32


def test_artifact_is_compiled_from_the_source() -> None:
    assert json.loads(build.ARTIFACT.read_text()) == build.build()


def test_deployed_code_is_the_artifact(ledger: Ledger) -> None:
    assert ledger.client.code_hash(ledger.client.block_number()) == reviewed_code_hash()


class Refused:
    """Ask without sending: the contract's own words."""

    def __init__(self, ledger: Ledger) -> None:
        self._contract = Web3().eth.contract(address=ledger.client.contract, abi=artifact().abi)
        self._ledger = ledger

    def __call__(self, sender: ChainSender, function: str, *arguments: object) -> str:
        data = self._contract.encode_abi(function, args=list(arguments))
        call = {"from": sender.address, "to": self._ledger.client.contract, "data": data}
        try:
            self._ledger.client.ask(lambda node: node.eth.call(call))  # type: ignore[arg-type]
        except ChainError as error:
            return f"{error.detail} {error.__cause__}"
        return "accepted"


@pytest.fixture
def refused(ledger: Ledger) -> Refused:
    return Refused(ledger)


@pytest.fixture
def origin(ledger: Ledger) -> bytes:
    made = secrets.token_bytes(32)
    ledger.registrar.execute("open_origin", made, ledger.writer.address, KEY)
    return made


def test_new_origin_starts_at_genesis(ledger: Ledger, origin: bytes) -> None:
    state = ledger.client.origin(origin)
    assert state is not None
    assert state.head == commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin)
    assert (state.writer, state.receipt_key, state.count, state.closed) == (ledger.writer.address, KEY, 0, False)
    assert (state.predecessor, state.successor) == (None, None)
    assert ledger.client.origin(bytes(31) + b"\1") is None


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), min_size=1, max_size=2))
def test_contract_computes_the_heads_that_python_computes(ledger: Ledger, batches: list[list[bytes]]) -> None:
    origin = secrets.token_bytes(32)
    ledger.registrar.execute("open_origin", origin, ledger.writer.address, KEY)
    head, first = commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin), 0
    for leaves in batches:
        ledger.writer.execute("anchor", origin, first, head, leaves)
        first += len(leaves)
        for leaf in leaves:
            head = commitment.next_head(head, leaf)
    state = ledger.client.origin(origin)
    assert state is not None
    assert (state.count, state.head) == (first, head)
    events = list(ledger.client.anchored(origin, 0, ledger.client.block_number()))
    assert [list(event.each()) for event in events] == batches
    assert events[-1].head == head


def test_anything_but_the_exact_continuation_is_refused(ledger: Ledger, origin: bytes, refused: Refused) -> None:
    head, leaf = commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin), [b"\1" * 32]
    writer = ledger.writer
    assert "not the writer" in refused(ledger.registrar, "anchor", origin, 0, head, leaf)
    assert "not the writer" in refused(writer, "anchor", bytes(32), 0, head, leaf)
    assert "first" in refused(writer, "anchor", origin, 1, head, leaf)
    assert "previous head" in refused(writer, "anchor", origin, 0, bytes(32), leaf)
    assert "empty" in refused(writer, "anchor", origin, 0, head, [])
    assert "accepted" not in refused(writer, "anchor", origin, 0, head, leaf * 1025)
    assert refused(writer, "anchor", origin, 0, head, leaf) == "accepted"
    writer.execute("anchor", origin, 0, head, leaf)
    assert "first" in refused(writer, "anchor", origin, 0, head, leaf), "a retry cannot duplicate"
    assert "not anchored" in refused(writer, "publish", origin, 0, 2, b"cid")
    assert refused(writer, "publish", origin, 0, 1, b"cid") == "accepted"
    assert "not the writer" in refused(ledger.registrar, "publish", origin, 0, 1, b"cid")
    ledger.registrar.execute("close_origin", origin)
    assert "closed" in refused(writer, "anchor", origin, 1, commitment.next_head(head, leaf[0]), leaf)


def test_only_the_registrar_opens_closes_and_rotates(ledger: Ledger, origin: bytes, refused: Refused) -> None:
    writer, other = ledger.writer, secrets.token_bytes(32)
    for call in (
        ("open_origin", other, writer.address, KEY),
        ("close_origin", origin),
        ("rotate_writer", origin, writer.address),
        ("propose_registrar", writer.address),
    ):
        assert "not the registrar" in refused(writer, *call)
    assert "origin exists" in refused(ledger.registrar, "open_origin", origin, writer.address, KEY)
    assert "receipt key" in refused(ledger.registrar, "open_origin", other, writer.address, bytes(32))
    assert "unknown origin" in refused(ledger.registrar, "close_origin", other)


def test_rotated_writer_takes_over(ledger: Ledger, origin: bytes, refused: Refused) -> None:
    head = commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin)
    ledger.registrar.execute("rotate_writer", origin, ledger.registrar.address)
    assert refused(ledger.registrar, "anchor", origin, 0, head, [KEY]) == "accepted"
    assert "not the writer" in refused(ledger.writer, "anchor", origin, 0, head, [KEY])


def test_registrar_changes_only_when_the_successor_accepts(ledger: Ledger, refused: Refused) -> None:
    heir = Account.create()
    ledger.anvil.fund(heir.address)
    new = ChainSender(ledger.client, heir)
    assert "not the candidate" in refused(new, "accept_registrar")
    ledger.registrar.execute("propose_registrar", heir.address)
    assert ledger.client.registrar() == ledger.registrar.address
    new.execute("accept_registrar")
    assert ledger.client.registrar() == heir.address
    assert "not the registrar" in refused(ledger.registrar, "propose_registrar", heir.address)


def test_succession_closes_one_and_opens_the_next(ledger: Ledger, origin: bytes, refused: Refused) -> None:
    head = commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin)
    ledger.writer.execute("anchor", origin, 0, head, [b"\1" * 32] * 3)
    successor, stranger = secrets.token_bytes(32), ChainSender(ledger.client, Account.create())
    assert "not the writer" in refused(stranger, "succeed", origin, successor, 2, KEY)
    assert "agreed" in refused(ledger.writer, "succeed", origin, successor, 4, KEY)
    assert "origin exists" in refused(ledger.writer, "succeed", origin, origin, 2, KEY)
    assert "unknown origin" in refused(ledger.writer, "succeed", successor, origin, 0, KEY)
    assert refused(ledger.registrar, "succeed", origin, successor, 2, KEY) == "accepted"
    ledger.writer.execute("succeed", origin, successor, 2, b"\x08" * 32)
    old, new = ledger.client.origin(origin), ledger.client.origin(successor)
    assert old is not None
    assert new is not None
    assert (old.closed, old.successor, old.count) == (True, successor, 3)
    assert (new.predecessor, new.agreed, new.writer, new.receipt_key) == (origin, 2, old.writer, b"\x08" * 32)
    assert "closed" in refused(ledger.writer, "succeed", origin, secrets.token_bytes(32), 2, KEY)
    assert ledger.client.origins(ledger.client.block_number()) == [origin, successor]


def test_evidence_is_named_once_in_order_and_anew_only_where_it_was(
    ledger: Ledger, origin: bytes, refused: Refused
) -> None:
    writer, client = ledger.writer, ledger.client
    head = commitment.genesis(CHAIN_ID, client.contract_bytes, origin)
    writer.execute("anchor", origin, 0, head, [b"\1" * 32] * 5)
    assert "first" in refused(writer, "publish", origin, 1, 2, b"gap")
    assert "not published" in refused(writer, "republish", origin, 0, 1, b"early")
    writer.execute("publish", origin, 0, 3, b"one")
    assert "first" in refused(writer, "publish", origin, 0, 3, b"one"), "a retry says nothing twice"
    assert "not anchored" in refused(writer, "publish", origin, 3, 3, b"more")
    assert "not published" in refused(writer, "republish", origin, 2, 2, b"more")
    assert "not the writer" in refused(ledger.registrar, "republish", origin, 0, 3, b"two")
    for function in ("publish", "republish"):
        assert "empty" in refused(writer, function, origin, 3, 0, b"none")
        assert "empty" in refused(writer, function, origin, 3, 1, b"")
        assert "accepted" not in refused(writer, function, origin, 0, 2**256 - 1, b"overflow")
    writer.execute("republish", origin, 1, 2, b"two")
    ledger.registrar.execute("close_origin", origin)
    writer.execute("publish", origin, 3, 2, b"last")
    state = client.origin(origin)
    assert state is not None
    assert state.published == 5
    said = client.published(origin, state.opened, client.block_number())
    assert [(one.first, one.count, one.cid) for one in said] == [(0, 3, "one"), (1, 2, "two"), (3, 2, "last")]


def test_a_full_batch_costs_about_1300_gas_a_leaf(ledger: Ledger, origin: bytes) -> None:
    head = commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin)
    leaves = [secrets.token_bytes(32) for _ in range(1024)]
    transaction = ledger.writer.sign_anchor(
        origin, 0, head, leaves, nonce=ledger.writer.nonce(), fees=ledger.writer.fees()
    )
    ledger.writer.send(transaction)
    receipt = ledger.writer.receipt(transaction, wait_s=20)
    assert receipt["gasUsed"] / 1024 < 1400


def test_batch_encoded_by_hand_is_the_general_encoding(ledger: Ledger) -> None:
    origin, head, leaves = b"\1" * 32, b"\2" * 32, [bytes([number]) * 32 for number in range(5)]
    fees = Fees(max_fee=9, priority=3)
    by_hand = ledger.writer.sign_anchor(origin, 7, head, leaves, nonce=4, fees=fees)
    gas = GAS_BASE + GAS_A_LEAF * len(leaves)
    assert by_hand == ledger.writer.sign("anchor", origin, 7, head, leaves, nonce=4, fees=fees, gas=gas)
    with pytest.raises(ValueError, match="32 bytes"):
        ledger.writer.sign_anchor(origin, 7, head, [b"short"], nonce=4, fees=fees)
