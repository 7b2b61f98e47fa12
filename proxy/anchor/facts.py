"""What the chain says, gathered for the verifier: small facts at once, leaves when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Literal, cast

from eth_typing import BlockNumber, HexStr
from web3 import Web3
from web3.types import FilterParams

from proxy.anchor.chain_client import ChainClient, TransactionRefusedError
from proxy.anchor.chain_values import AnchoredBatch, OriginState, Publication

Finality = int | Literal["finalized", "safe"]
"""Blocks on top after which a block is final, or the chain's own word for it."""

_OPENED: Final = Web3.to_hex(Web3.keccak(text="Opened(bytes32,address,bytes32,bytes32,uint256,bytes32)"))
_TIMES_KEPT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginFacts:
    origin: bytes
    state: OriginState
    batches: Callable[[], Iterator[AnchoredBatch]]
    """All ``Anchored`` events in order; each call reads them anew."""
    after: Callable[[int], Iterator[AnchoredBatch]]
    """Those of blocks after this one."""
    publications: Callable[[], Iterator[Publication]]
    """All ``Published`` events in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFacts:
    """Everything as of one block."""

    chain_id: int
    genesis: bytes
    """Hash of block 0: two chains may have one id."""
    contract: bytes
    code_hash: bytes
    registrar: str
    block: int
    final: int
    """The newest block that will not be taken back."""
    origins: dict[bytes, OriginFacts]
    """By the contract's views, in the order in which they were opened."""
    opened: frozenset[bytes]
    """Origins by the contract's events."""
    block_time: Callable[[int], int]
    """Unix seconds of a block."""

    def same_as(self, other: ChainFacts) -> bool:
        """Whether another node says the same. Heads commit to leaves, so leaves need not be fetched twice."""
        return self._said() == other._said()

    def _said(self) -> tuple[object, ...]:
        states = {origin: facts.state for origin, facts in self.origins.items()}
        return self.chain_id, self.genesis, self.code_hash, self.registrar, states, self.opened


def collect_facts(client: ChainClient, block: int | None = None, finality: Finality = 0) -> ChainFacts:
    """Ask one node, at ``block`` or at its newest.

    :raises ChainError: the node does not answer, or there is no such contract
    """
    at = client.block_number() if block is None else block
    registrar = client.registrar(at)
    origins: dict[bytes, OriginFacts] = {}
    for origin in client.origins(at):
        state = client.origin(origin, at)
        if state is not None:
            origins[origin] = OriginFacts(
                origin=origin,
                state=state,
                batches=partial(client.anchored, origin, state.opened, at),
                after=partial(_after, client, origin, state.opened, at),
                publications=partial(client.published, origin, state.opened, at),
            )
    return ChainFacts(
        chain_id=client.chain_id,
        genesis=client.block_hash(0),
        contract=client.contract_bytes,
        code_hash=client.code_hash(at),
        registrar=registrar,
        block=at,
        final=min(at, at - finality if isinstance(finality, int) else client.tagged_block(finality)),
        origins=origins,
        opened=frozenset(_opened(client, client.deployed(), at)),
        block_time=lru_cache(_TIMES_KEPT)(client.block_time),
    )


def _after(client: ChainClient, origin: bytes, opened: int, at: int, block: int) -> Iterator[AnchoredBatch]:
    return client.anchored(origin, max(opened, block + 1), at)


def _opened(client: ChainClient, first: int, last: int) -> Iterator[bytes]:
    """Origins that ``Opened`` events name. A range that a node finds too large is asked for in halves."""

    def question(node: Web3) -> list[Any]:
        wanted: FilterParams = {
            "address": client.contract,
            "fromBlock": BlockNumber(first),
            "toBlock": BlockNumber(last),
            "topics": [HexStr(_OPENED)],
        }
        return cast("list[Any]", node.eth.get_logs(wanted))

    try:
        logs = client.ask(question)
    except TransactionRefusedError:
        if first >= last:
            raise
        middle = (first + last) // 2
        yield from _opened(client, first, middle)
        yield from _opened(client, middle + 1, last)
        return
    for log in logs:
        yield bytes(log["topics"][1])
