"""Several nodes: one that is behind or on another chain is passed over, and named by number, never by address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_values import FeeLimits, Fees
from proxy.errors import ChainError
from tests.anchor.chains import Anvil

pytestmark = pytest.mark.real


@pytest.fixture
def nodes() -> Iterator[tuple[Anvil, Anvil]]:
    pair = Anvil(block_s=None).start(), Anvil(block_s=None).start()
    yield pair
    for each in pair:
        each.stop()


def client_of(*nodes: Anvil, chain_id: int = 31337) -> ChainClient:
    return ChainClient(rpc_urls=[each.url for each in nodes], chain_id=chain_id, contract="0x" + "00" * 20)


def test_node_that_is_far_behind_is_passed_over_and_named(nodes: tuple[Anvil, Anvil]) -> None:
    ahead, behind = nodes
    ahead.rpc("anvil_mine", hex(30))
    client = client_of(ahead, behind)
    assert client.block_number() == 30
    client._active = 1
    with pytest.raises(ChainError, match="30 blocks behind"):
        client.block_number()
    assert client.block_number() == 30
    assert client.troubles == ("node 2: 30 blocks behind",)
    client.close()


def test_chain_that_went_back_on_every_node_is_believed(nodes: tuple[Anvil, Anvil]) -> None:
    client = client_of(*nodes)
    client._newest = 100
    with pytest.raises(ChainError, match="behind"):
        client.block_number()
    assert client.block_number() == 0
    client.close()


def test_node_on_another_chain_is_passed_over_and_named(nodes: tuple[Anvil, Anvil]) -> None:
    client = client_of(*nodes, chain_id=5)
    with pytest.raises(ChainError, match="on chain 31337, not 5"):
        client.block_number()
    assert client.troubles == ("node 1: the node is on chain 31337, not 5",)
    client.close()


def test_ceilings_hold_however_often_fees_are_raised() -> None:
    limits = FeeLimits(max_fee=100, priority=7)
    raised = Fees(max_fee=40, priority=4).raised(10**9).within(limits)
    assert (raised.max_fee, raised.priority) == (100, 7)
    free = Fees(max_fee=0, priority=0).raised(3).within(FeeLimits(max_fee=0))
    assert (free.max_fee, free.priority) == (0, 0)
    once = Fees(max_fee=1000, priority=1000).raised(1)
    assert once.max_fee >= 1125
    assert once.priority >= 1125
