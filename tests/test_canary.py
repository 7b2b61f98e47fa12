"""The canary against a spool and a chain that are told what to do, by a clock that is turned by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.canary import MOST_WAITING, Canary
from proxy.errors import SpoolError
from proxy.model import Durable, JsonObject, Kind
from proxy.succession import Reached
from proxy.watch import Gauge

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class World:
    """A spool that takes a second for a record, the chain behind it, and the time."""

    def __init__(self) -> None:
        self.origin = b"\x01" * 32
        self.records: list[JsonObject] = []
        self.fails = False
        self.seconds = 100.0
        self.far: Reached | None = Reached(included=0, final=0, published=0)

    async def record(self, kind: Kind, body: JsonObject) -> Durable:
        if self.fails:
            raise SpoolError("no space left")
        assert kind is Kind.EVENT
        self.records.append(body)
        self.seconds += 1
        return Durable(origin=self.origin, index=len(self.records) - 1, leaf=bytes(32), head=bytes(32))

    def reached(self, origin: bytes) -> Reached | None:
        return self.far if origin == self.origin else None

    def canary(self, every_s: float = 60, publishes: bool = True) -> Canary:
        return Canary(self, self.reached, lambda: NOW, every_s=every_s, publishes=publishes, now=lambda: self.seconds)

    def chain(self, included: int = 0, final: int = 0, published: int = 0) -> None:
        self.far = Reached(included=included, final=final, published=published)


def shown(canary: Canary) -> dict[str, dict[tuple[str, ...], float]]:
    return {gauge.name: dict(gauge.read()) for gauge in canary.gauges(Gauge)}


@pytest.fixture
def world() -> World:
    return World()


async def test_it_is_followed_from_the_disk_to_the_evidence(world: World) -> None:
    canary = world.canary()
    await canary.look()
    assert world.records == [{"v": 1, "kind": "event", "time": "2026-11-22T12:00:00.000Z", "event": "canary"}]
    assert shown(canary) == {"canary_seconds": {("durable",): 1}, "canary_waiting_seconds": {(): 1}}
    for after, far, stage in ((4, (1, 0, 0), "included"), (10, (1, 1, 0), "final"), (30, (1, 1, 1), "published")):
        world.seconds = 100 + after
        world.chain(*far)
        await canary.look()
        assert shown(canary)["canary_seconds"][(stage,)] == after
        assert canary.waiting_s == (after if stage == "included" else 0)


async def test_what_is_final_waits_for_nobody_where_no_evidence_is_kept(world: World) -> None:
    canary = world.canary(every_s=5, publishes=False)
    for _ in range(MOST_WAITING + 4):
        await canary.look()
        world.chain(len(world.records), len(world.records))
        world.seconds += 5
    assert len(world.records) == MOST_WAITING + 4


async def test_one_a_period_and_the_next_in_its_time(world: World) -> None:
    canary = world.canary()
    for _ in range(5):
        await canary.look()
        world.seconds += 20
    assert len(world.records) == 2


async def test_chain_that_is_away_shows_in_the_age_of_the_oldest_and_costs_no_memory(world: World) -> None:
    canary = world.canary(every_s=10)
    await canary.look()
    world.far = None
    for _ in range(100):
        world.seconds += 10
        await canary.look()
    assert len(world.records) == MOST_WAITING
    assert canary.waiting_s >= 1000
    world.chain(MOST_WAITING, MOST_WAITING, MOST_WAITING)
    await canary.look()
    assert canary.waiting_s <= 1
    assert len(world.records) == MOST_WAITING + 1, "and it goes on"


async def test_evidence_that_does_not_come_leaves_the_chain_watched(world: World) -> None:
    canary = world.canary(every_s=10)
    for _ in range(3 * MOST_WAITING):
        await canary.look()
        world.chain(len(world.records), len(world.records), 0)
        world.seconds += 10
    assert len(world.records) == 3 * MOST_WAITING
    world.far = None
    await canary.look()
    world.seconds += 100
    assert canary.waiting_s >= 100, "the one recorded when the chain went away"
    assert shown(canary)["canary_seconds"].keys() == {("durable",), ("included",), ("final",)}


async def test_spool_that_fails_shows_too_and_ends_nothing(world: World) -> None:
    canary = world.canary(every_s=10)
    world.fails = True
    for _ in range(5):
        await canary.look()
        world.seconds += 10
    assert canary.waiting_s == 50
    world.fails = False
    await canary.look()
    world.chain(1, 1, 1)
    await canary.look()
    assert canary.waiting_s == 0


async def test_canary_of_an_origin_that_was_left_is_not_waited_for(world: World) -> None:
    canary = world.canary(every_s=10)
    await canary.look()
    world.origin = b"\x02" * 32
    world.records.clear()
    world.seconds += 10
    await canary.look()
    await canary.look()
    assert canary.waiting_s == 1, "the new one's age"


async def test_none_where_the_site_wants_none(world: World) -> None:
    canary = world.canary(every_s=0)
    await canary.run(0)
    assert world.records == []
    assert shown(canary) == {"canary_seconds": {}, "canary_waiting_seconds": {}}
