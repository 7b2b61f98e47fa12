from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from proxy.lease import Lease, Leases
from proxy.model import Arrival, DecisionId, Grounds, Peer, Posture, PostureAttribute, Trust, Verdict
from tests.journey_rooms.simulators import NOW, RETRIEVE, Identifier

HOUR = timedelta(hours=1)
PEER = Peer(certificate=b"", address="192.0.2.1", connection=1)
ALLOW = Verdict(allow=True, reasons=())


def grounds(*, certificate: timedelta | None = HOUR, posture: timedelta | None = HOUR) -> Grounds:
    identifier = Identifier(expires_at=None if certificate is None else NOW + certificate)
    attributes = {}
    if posture is not None:
        attributes["firewall"] = PostureAttribute(
            value=True, source="mdm", trust=Trust.MANAGED, issued_at=NOW, expires_at=NOW + posture
        )
    return Grounds(
        decision=DecisionId("0" * 32),
        arrival=Arrival(peer=PEER, method="GET", target="/", headers=(), at=NOW),
        principal=identifier.identify(PEER, (), NOW),
        posture=Posture(attributes=attributes, generation=1),
        request=RETRIEVE,
        resource=None,
        policy_input=None,
        verdict=ALLOW,
        policy_generation=0,
    )


class Bench:
    """Leases whose judge and clock a test sets."""

    def __init__(self) -> None:
        self.now = NOW
        self.stamp = (0, 1, 0)
        self.verdict = ALLOW
        self.fresh: dict[str, Any] = {}
        self.judged = 0
        self.leases = Leases(self._judge, lambda grounds, now: self.stamp, lambda: self.now)
        self.aborted = 0

    async def _judge(self, old: Grounds, now: datetime) -> Grounds:
        self.judged += 1
        await asyncio.sleep(0)
        return replace(old, verdict=self.verdict, **self.fresh)

    def abort(self) -> None:
        self.aborted += 1

    async def hold(self, held: Grounds, until: asyncio.Event, found: list[Lease]) -> None:
        with self.leases.hold(held, self.abort) as lease:
            found.append(lease)
            await until.wait()

    async def holding(self, held: Grounds) -> tuple[asyncio.Task[None], asyncio.Event, Lease]:
        until, found = asyncio.Event(), list[Lease]()
        task = asyncio.create_task(self.hold(held, until, found))
        await asyncio.sleep(0)
        return task, until, found[0]


@pytest.mark.parametrize(
    ("certificate", "posture", "until"),
    [
        (HOUR, 2 * HOUR, HOUR),
        (2 * HOUR, HOUR, HOUR),
        (None, HOUR, HOUR),
        (HOUR, None, HOUR),
        (None, None, None),
    ],
)
def test_lease_ends_with_the_first_of_its_grounds(
    certificate: timedelta | None, posture: timedelta | None, until: timedelta | None
) -> None:
    expected = None if until is None else NOW + until
    assert grounds(certificate=certificate, posture=posture).until == expected


async def test_nothing_is_judged_while_grounds_hold() -> None:
    bench = Bench()
    task, until, _ = await bench.holding(grounds())
    bench.now += HOUR - timedelta(seconds=1)
    await bench.leases.look()
    assert bench.judged == 0
    until.set()
    await task


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: setattr(bench, "stamp", (1, 1, 0)),
        lambda bench: setattr(bench, "stamp", (0, 2, 0)),
        lambda bench: setattr(bench, "stamp", (0, -1, 0)),
        lambda bench: setattr(bench, "stamp", (0, 1, 1)),
        lambda bench: setattr(bench, "now", NOW + HOUR),
    ],
    ids=["certificates", "posture", "posture-lost", "policy", "time"],
)
async def test_each_change_is_judged_and_a_denial_cuts(change: Callable[[Bench], None]) -> None:
    bench = Bench()
    task, _, lease = await bench.holding(grounds())
    change(bench)
    bench.verdict = Verdict.denied("posture-stale")
    await bench.leases.look()
    await task  # an ordinary end: the caller asks lease.ended
    assert (lease.ended, bench.aborted, bench.judged) == (("posture-stale",), 1, 1)
    await bench.leases.look()
    assert bench.judged == 1


async def test_allow_renews_the_grounds() -> None:
    bench = Bench()
    task, until, lease = await bench.holding(grounds())
    bench.stamp, bench.fresh = (0, 1, 5), {"policy_generation": 5}
    for _ in range(3):
        await bench.leases.look()
    assert (bench.judged, lease.grounds.policy_generation, lease.ended) == (1, 5, ())
    until.set()
    await task


async def test_each_stream_is_judged_by_itself() -> None:
    bench = Bench()
    ending = await bench.holding(grounds(certificate=HOUR / 2))
    lasting = await bench.holding(grounds())
    bench.now += HOUR / 2
    bench.verdict = Verdict.denied("certificate-expired")
    await bench.leases.look()
    await ending[0]
    assert (ending[2].ended, lasting[2].ended) == (("certificate-expired",), ())
    lasting[1].set()
    await lasting[0]


async def test_stream_that_ended_meanwhile_is_not_cut() -> None:
    bench = Bench()
    task, until, lease = await bench.holding(grounds())
    bench.stamp, bench.verdict = (9, 9, 9), Verdict.denied("lease-ended")
    looking = asyncio.create_task(bench.leases.look())
    until.set()
    await asyncio.gather(task, looking)
    assert (lease.ended, bench.aborted) == ((), 0)


async def test_cancellation_that_is_no_cut_goes_on() -> None:
    bench = Bench()
    task, _, _ = await bench.holding(grounds())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bench.leases._held


async def test_failure_inside_gives_the_lease_up() -> None:
    bench = Bench()

    async def fail() -> None:
        with bench.leases.hold(grounds(), bench.abort):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await asyncio.create_task(fail())
    assert not bench.leases._held


async def test_run_looks_each_poll() -> None:
    bench = Bench()
    task, _, lease = await bench.holding(grounds())
    running = asyncio.create_task(bench.leases.run(0.01))
    bench.stamp, bench.verdict = (1, 1, 0), Verdict.denied("certificate-revoked")
    async with asyncio.timeout(5):
        await task
    assert lease.ended == ("certificate-revoked",)
    running.cancel()
