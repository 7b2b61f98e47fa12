"""Leases: what happens to a stream whose grounds end while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from proxy.errors import PolicyUnavailableError, PostureUnavailableError
from proxy.model import DicomRequest, Reason
from tests.journey_rooms.simulators import NOW, Exchange, Found, World


async def streaming(world: World, exchange: Exchange | None = None) -> tuple[asyncio.Task[Exchange], asyncio.Event]:
    """A stream of which the first chunk has left, and what its archive waits for."""
    gate = asyncio.Event()
    world.archive.found = Found(parts=[b"first", gate, b"second"])
    exchange = exchange or world.exchange()
    walking = asyncio.create_task(world.walk(exchange))
    async with asyncio.timeout(5):
        while exchange.sent != b"first" and "write" not in world.trace:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
    return walking, gate


def revoke(world: World) -> None:
    world.identifier.reasons = (Reason.CERTIFICATE_REVOKED,)
    world.identifier.generation += 1


def worsen_posture(world: World) -> None:
    world.posture.generation += 1
    world.engine.deny(Reason.POSTURE_FIREWALL_OFF)
    world.engine.generation -= 1  # the policies are the same


def change_policy(world: World) -> None:
    world.engine.deny(Reason.ACTION_NOT_PERMITTED)


def lose_posture(world: World) -> None:
    world.posture.error = PostureUnavailableError("locked")


def lose_engine(world: World) -> None:
    world.engine.error = PolicyUnavailableError("gone")
    world.engine.generation += 1


def expire_certificate(world: World) -> None:
    world.clock.advance(3601)
    world.identifier.reasons = (Reason.CERTIFICATE_EXPIRED,)


def expire_posture(world: World) -> None:
    world.clock.advance(3601)
    world.identifier.expires_at = NOW + timedelta(hours=2)
    world.engine.deny(Reason.POSTURE_STALE)
    world.engine.generation -= 1


def demand_what_cannot_be_met(world: World) -> None:
    world.engine.demand("seal")


ENDINGS = [
    (revoke, "certificate-revoked"),
    (worsen_posture, "posture-firewall-off"),
    (change_policy, "action-not-permitted"),
    (lose_posture, "posture-unavailable"),
    (lose_engine, "policy-unavailable"),
    (expire_certificate, "certificate-expired"),
    (expire_posture, "posture-stale"),
    (demand_what_cannot_be_met, "not-yet"),
]


@pytest.mark.parametrize(("end", "reason"), ENDINGS, ids=lambda each: getattr(each, "__name__", each))
async def test_stream_is_cut_within_one_look_at_ended_grounds(
    world: World, end: Callable[[World], None], reason: str
) -> None:
    exchange = world.exchange()
    walking, _ = await streaming(world, exchange)
    end(world)
    await world.journey.leases.look()
    await walking
    assert (exchange.sent, exchange.aborted, exchange.finished) == (b"first", True, False)
    assert (world.outcome["status"], world.outcome["reason"]) == ("terminated", reason)
    assert world.outcome["bytes"] == 5
    assert not world.journey.leases._held


@pytest.mark.parametrize(("end", "reason"), ENDINGS[:3], ids=lambda each: getattr(each, "__name__", each))
async def test_stream_to_a_peer_that_takes_nothing_is_cut_too(
    world: World, end: Callable[[World], None], reason: str
) -> None:
    exchange = world.exchange()
    exchange.stall = asyncio.Event()
    walking, _ = await streaming(world, exchange)
    end(world)
    await world.journey.leases.look()
    await walking
    assert (world.outcome["status"], world.outcome["reason"], world.outcome["bytes"]) == ("terminated", reason, 5)


async def test_look_at_unchanged_grounds_asks_nothing(world: World) -> None:
    walking, gate = await streaming(world)
    for _ in range(3):
        await world.journey.leases.look()
    assert len(world.engine.asked) == 1
    gate.set()
    assert (await walking).finished


@pytest.mark.parametrize(
    "change",
    [
        lambda world: setattr(world.identifier, "generation", 7),
        lambda world: setattr(world.posture, "generation", 7),
        lambda world: setattr(world.engine, "generation", 7),
    ],
    ids=["certificates", "posture", "policy"],
)
async def test_change_that_still_allows_renews_the_lease(world: World, change: Callable[[World], None]) -> None:
    walking, gate = await streaming(world)
    change(world)
    await world.journey.leases.look()
    await world.journey.leases.look()
    assert len(world.engine.asked) == 2  # asked again once, and then known
    gate.set()
    exchange = await walking
    assert (exchange.finished, exchange.sent) == (True, b"firstsecond")
    assert world.outcome["status"] == "complete"


async def test_renewed_decision_keeps_the_decision_id(world: World) -> None:
    walking, gate = await streaming(world)
    world.engine.generation += 1
    await world.journey.leases.look()
    gate.set()
    await walking
    ids = {asked["request"]["id"] for asked in world.engine.asked}  # type: ignore[index,call-overload]
    assert ids == {world.decision["id"]}


async def test_cut_that_meets_the_last_byte_gives_one_outcome(world: World) -> None:
    """Whatever turn of the loop the cut falls on, there is one outcome, and it says what happened."""
    for turns in range(12):
        world = World()
        exchange = world.exchange()
        walking, gate = await streaming(world, exchange)
        revoke(world)
        gate.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await world.journey.leases.look()
        await walking
        assert world.outcome["status"] == ("complete" if exchange.finished else "terminated"), turns
        assert not walking.cancelled()


async def test_stream_that_ended_while_it_was_judged_again_is_left_alone(world: World) -> None:
    walking, gate = await streaming(world)
    change_policy(world)
    looking = asyncio.create_task(world.journey.leases.look())
    gate.set()
    exchange = await walking
    await looking
    assert world.outcome["status"] in ("complete", "terminated")
    assert exchange.finished is (world.outcome["status"] == "complete")


async def test_cancellation_from_outside_is_not_taken_for_a_cut(world: World) -> None:
    walking, _ = await streaming(world)
    walking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walking
    assert not world.journey.leases._held


async def test_task_of_a_cut_stream_can_be_used_again(world: World) -> None:
    """The connection's task serves the next request; a cancellation left over would end it."""

    async def connection() -> None:
        gate = asyncio.Event()
        world.archive.found = Found(parts=[b"first", gate])
        await world.walk()
        await asyncio.sleep(0)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    serving = asyncio.create_task(connection())
    while "write" not in world.trace:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    revoke(world)
    await world.journey.leases.look()
    await serving


@pytest.mark.parametrize(
    "change", [revoke, worsen_posture, change_policy, lose_posture], ids=lambda each: each.__name__
)
async def test_answer_that_the_archive_began_late_is_judged_again_before_a_byte_leaves(
    world: World, change: Callable[[World], None]
) -> None:
    fetch = world.archive.fetch

    @asynccontextmanager
    async def late(request: DicomRequest) -> AsyncIterator[Found]:
        async with fetch(request) as found:
            world.clock.advance(8)
            change(world)
            yield found

    world.archive.fetch = late  # type: ignore[method-assign]
    exchange = await world.walk()
    assert exchange.status in (403, 503)
    assert b"pixels" not in exchange.sent
    assert (world.outcome["status"], world.outcome["reason"]) == ("terminated", exchange.reasons()[0])


async def test_answer_that_began_late_is_given_where_nothing_changed(world: World) -> None:
    fetch = world.archive.fetch

    @asynccontextmanager
    async def late(request: DicomRequest) -> AsyncIterator[Found]:
        async with fetch(request) as found:
            world.clock.advance(8)
            yield found

    world.archive.fetch = late  # type: ignore[method-assign]
    assert (await world.walk()).status == 200
