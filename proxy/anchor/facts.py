"""What the chain says, gathered for the verifier: small facts at once, leaves when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_values import AnchoredBatch, OriginState


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginFacts:
    origin: bytes
    state: OriginState
    batches: Callable[[], Iterator[AnchoredBatch]]
    """All ``Anchored`` events in order; each call reads them anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFacts:
    """Everything as of one block."""

    chain_id: int
    contract: bytes
    code_hash: bytes
    registrar: str
    block: int
    origins: dict[bytes, OriginFacts]
    """In the order in which they were opened."""

    def same_as(self, other: ChainFacts) -> bool:
        """Whether another node says the same. Heads commit to leaves, so leaves need not be fetched twice."""
        return (self.code_hash, self.registrar, {o: f.state for o, f in self.origins.items()}) == (
            other.code_hash,
            other.registrar,
            {o: f.state for o, f in other.origins.items()},
        )


def collect_facts(client: ChainClient, block: int | None = None) -> ChainFacts:
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
                origin=origin, state=state, batches=partial(client.anchored, origin, state.opened, at)
            )
    return ChainFacts(
        chain_id=client.chain_id,
        contract=client.contract_bytes,
        code_hash=client.code_hash(at),
        registrar=registrar,
        block=at,
        origins=origins,
    )
