"""What posture costs: ``python -m tests.bench.posture``. Microseconds, medians.

The store is a real file. Writes are not synced one by one, so the disk's own speed hardly shows. Where nothing is
written it is this thread's processor time; reports and webhooks, which are written by another thread, are measured
as they are waited for.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy.model import DeviceClaims, DeviceId, PostureReport, Taken, Trust
from proxy.posture import PostureStore
from proxy.posture.claims import merge
from tests.bench.decide import measure
from tests.posture.making import VALUES, claim, desk, details, device, examined, managed, webhook

COUNT = 2000
ATTRIBUTES = tuple(f"attribute_{number}" for number in range(8))
NOW = datetime.now(UTC)


def device_id(number: int) -> DeviceId:
    return DeviceId(f"{number:064x}")


def told(source: str, trust: Trust, number: int) -> PostureReport:
    life: dict[str, Any] = {"issued_at": NOW, "expires_at": NOW + timedelta(hours=1)}
    attributes = {name: claim(source=source, trust=trust, **life) for name in ATTRIBUTES}
    claims = (DeviceClaims(device=device_id(number), attributes=attributes),)
    return PostureReport(source=source, trust=trust, sha256="0" * 64, issued_at=NOW, claims=claims)


async def measure_waiting(label: str, run: Callable[[], Awaitable[None]], count: int) -> None:
    for _ in range(100):
        await run()
    took = []
    for _ in range(count):
        started = time.perf_counter_ns()
        await run()
        took.append((time.perf_counter_ns() - started) / 1000)
    took.sort()
    print(f"{label:40} median {statistics.median(took):8.1f} us   p99 {took[int(count * 0.99)]:8.1f} us   (waiting)")


async def measure_source(store: PostureStore) -> None:
    for number in range(1000):
        await store.put(told("agent", Trust.REPORTED, number), NOW)
        await store.put(told("fleet", Trust.MANAGED, number), NOW)
    store.forget_changed()
    numbers = iter(range(10**9))

    def cold() -> None:
        store._devices.clear()
        store.posture(device_id(next(numbers) % 1000), NOW)

    measure("posture(), remembered", lambda: store.posture(device_id(7), NOW), COUNT)
    measure("posture(), read from the file", cold, COUNT)
    own, fleet = (told(*each, 0).claims[0].attributes for each in (("agent", Trust.REPORTED), ("fleet", Trust.MANAGED)))
    said = {name: {"agent": own[name], "fleet": fleet[name]} for name in ATTRIBUTES}
    measure("merge, 8 attributes of 2 sources", lambda: merge(said, NOW), COUNT)
    measure("nothing of others to forget", store.forget_changed, COUNT)
    measure("remaining(), 1000 devices", lambda: store.remaining(NOW), COUNT // 10)


async def measure_desk(store: PostureStore) -> None:
    who, made = device("P-256"), desk(store, managed())
    # Each report is one millisecond later than the one before, and judged at that time.
    moments = (NOW + timedelta(milliseconds=number) for number in range(10**9))
    bodies = [
        (who.report(made.nonce(who.principal, moment), iat=moment.timestamp(), posture=dict(VALUES)), moment)
        for moment, _ in zip(moments, range(COUNT + 100), strict=False)
    ]
    waiting = iter(bodies)

    async def report() -> None:
        body, moment = next(waiting)
        found = await examined(made, body, who, moment)
        assert isinstance(found, PostureReport), found
        assert isinstance(await made.accept(found, moment), Taken)

    measure("nonce()", lambda: made.nonce(who.principal, NOW), COUNT)
    await measure_waiting("a report, P-256: examine and accept", report, COUNT)
    hook = details({"Firewall on": "pass", "Disk": "pass"})
    requests = iter([webhook(hook, identity=f"msg_{number}", at=NOW) for number in range(COUNT + 100)])

    async def management() -> None:
        found = await made.examine(hook, who.peer, who.principal, next(requests), NOW)
        assert isinstance(found, PostureReport), found
        assert isinstance(await made.accept(found, NOW), Taken)

    await measure_waiting("a webhook of one host: examine and accept", management, COUNT)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = PostureStore(Path(folder) / "posture.db")
        await measure_source(store)
        await measure_desk(store)
        store.close()


if __name__ == "__main__":
    asyncio.run(main())
