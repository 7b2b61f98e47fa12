"""Any order of calls by anybody: the contract takes what the rules of a ledger allow, and holds what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from web3 import Web3

from proxy import commitment
from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_sender import ChainSender
from proxy.anchor.contract import artifact
from proxy.errors import ChainError
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, new_ledger, stop_quietly

pytestmark = pytest.mark.real

FULL = os.environ.get("DICOMWARD_FULL") == "1"
NAMES = st.integers(min_value=0, max_value=4)
WHO = st.sampled_from(["registrar", "writer", "stranger"])
SMALL = st.integers(min_value=0, max_value=9)
KEY = b"\5" * 32
NOWHERE = bytes(32)


@dataclass(frozen=True)
class Model:
    """What the rules say of one origin."""

    writer: str
    head: bytes
    count: int = 0
    published: int = 0
    closed: bool = False
    predecessor: bytes | None = None
    agreed: int = 0
    successor: bytes | None = None


@pytest.fixture(scope="module")
def instant() -> Iterator[Ledger]:
    anvil = Anvil(block_s=None).start()
    try:
        made = new_ledger(anvil)
        yield made
        made.close()
    finally:
        stop_quietly(anvil)


def test_contract_follows_the_rules_in_any_order(instant: Ledger) -> None:
    class Machine(Calls):
        ledger = instant

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=200 if FULL else 6,
            stateful_step_count=40 if FULL else 15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Calls(RuleBasedStateMachine):
    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        nobody = ChainClient(rpc_urls=[self.ledger.anvil.url], chain_id=CHAIN_ID, contract="0x" + "00" * 20)
        made = ChainSender(nobody, self.ledger.registrar._account).deploy()["contractAddress"]
        nobody.close()
        self.client = ChainClient(rpc_urls=[self.ledger.anvil.url], chain_id=CHAIN_ID, contract=made)
        self.contract = Web3().eth.contract(address=self.client.contract, abi=artifact().abi)
        self.senders = {
            "registrar": ChainSender(self.client, self.ledger.registrar._account),
            "writer": ChainSender(self.client, self.ledger.account),
        }
        self.addresses = {name: sender.address for name, sender in self.senders.items()}
        self.addresses["stranger"] = "0x" + "11" * 20
        self.model: dict[bytes, Model] = {}
        self.order: list[bytes] = []

    def teardown(self) -> None:
        self.client.close()

    def call(self, allowed: bool, who: str, function: str, *arguments: object) -> bool:
        """Make the call where it is allowed; where it is not, see that the contract refuses it."""
        data = self.contract.encode_abi(function, args=list(arguments))
        question: Any = {"from": self.addresses[who], "to": self.client.contract, "data": data}
        try:
            self.client.ask(lambda node: node.eth.call(question))
        except ChainError:
            assert not allowed, f"{who} {function} {arguments} is refused"
            return False
        assert allowed, f"{who} {function} {arguments} is accepted"
        assert who in self.senders, "a stranger may do nothing"
        self.senders[who].execute(function, *arguments)
        return True

    def opened(self, origin: bytes, writer: str, predecessor: bytes | None = None, agreed: int = 0) -> None:
        genesis = commitment.genesis(CHAIN_ID, self.client.contract_bytes, origin)
        self.model[origin] = Model(writer=writer, head=genesis, predecessor=predecessor, agreed=agreed)
        self.order.append(origin)

    @rule(who=WHO, name=NAMES, writer=st.sampled_from(["registrar", "writer"]))
    def open_origin(self, who: str, name: int, writer: str) -> None:
        origin = bytes([name]) * 32
        allowed = who == "registrar" and origin != NOWHERE and origin not in self.model
        if self.call(allowed, who, "open_origin", origin, self.addresses[writer], KEY):
            self.opened(origin, writer)

    @rule(who=WHO, name=NAMES, skip=st.sampled_from([0, 0, 0, 1, -1]), same=st.booleans(), leaves=SMALL)
    def anchor(self, who: str, name: int, skip: int, same: bool, leaves: int) -> None:
        origin, made = bytes([name]) * 32, [bytes([number + 1]) * 32 for number in range(leaves)]
        held = self.model.get(origin)
        first = max(0, (held.count if held else 0) + skip)
        head = held.head if held and same else b"\x09" * 32
        allowed = bool(held and who == held.writer and not held.closed and first == held.count and same and leaves)
        if self.call(allowed, who, "anchor", origin, first, head, made) and held:
            for leaf in made:
                head = commitment.next_head(head, leaf)
            self.model[origin] = replace(held, count=held.count + leaves, head=head)

    @rule(who=WHO, name=NAMES, skip=st.sampled_from([0, 0, 0, 1, -1]), count=SMALL)
    def publish(self, who: str, name: int, skip: int, count: int) -> None:
        origin = bytes([name]) * 32
        held = self.model.get(origin)
        first = max(0, (held.published if held else 0) + skip)
        allowed = bool(
            held and who == held.writer and count and first == held.published and first + count <= held.count
        )
        if self.call(allowed, who, "publish", origin, first, count, b"cid") and held:
            self.model[origin] = replace(held, published=first + count)

    @rule(who=WHO, name=NAMES, first=SMALL, count=SMALL)
    def republish(self, who: str, name: int, first: int, count: int) -> None:
        origin = bytes([name]) * 32
        held = self.model.get(origin)
        allowed = bool(held and who == held.writer and count and first + count <= held.published)
        self.call(allowed, who, "republish", origin, first, count, b"other")

    @rule(who=WHO, name=NAMES, following=NAMES, agreed=SMALL)
    def succeed(self, who: str, name: int, following: int, agreed: int) -> None:
        origin, successor = bytes([name]) * 32, bytes([following]) * 32
        held = self.model.get(origin)
        allowed = bool(
            held
            and who in (held.writer, "registrar")
            and not held.closed
            and agreed <= held.count
            and successor != NOWHERE
            and successor not in self.model
        )
        if self.call(allowed, who, "succeed", origin, successor, agreed, KEY) and held:
            self.model[origin] = replace(held, closed=True, successor=successor)
            self.opened(successor, held.writer, origin, agreed)

    @rule(who=WHO, name=NAMES)
    def close_origin(self, who: str, name: int) -> None:
        origin = bytes([name]) * 32
        held = self.model.get(origin)
        if self.call(bool(held and who == "registrar" and not held.closed), who, "close_origin", origin) and held:
            self.model[origin] = replace(held, closed=True)

    @rule(who=WHO, name=NAMES, writer=st.sampled_from(["registrar", "writer"]))
    def rotate_writer(self, who: str, name: int, writer: str) -> None:
        origin = bytes([name]) * 32
        held = self.model.get(origin)
        allowed = bool(held and who == "registrar")
        if self.call(allowed, who, "rotate_writer", origin, self.addresses[writer]) and held:
            self.model[origin] = replace(held, writer=writer)

    @invariant()
    def chain_holds_what_the_rules_say(self) -> None:
        block = self.client.block_number()
        assert self.client.origins(block) == self.order
        for origin, held in self.model.items():
            state = self.client.origin(origin, block)
            assert state is not None
            assert (state.count, state.head, state.published) == (held.count, held.head, held.published)
            assert (state.closed, state.successor, state.predecessor) == (held.closed, held.successor, held.predecessor)
            assert state.writer == self.addresses[held.writer]
            assert state.agreed == held.agreed
