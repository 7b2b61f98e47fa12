"""What posture costs: ``python -m tests.bench.posture``. Microseconds of this thread's processor time, medians.

The store is a real file. Writes are not synced one by one, so the disk's own speed hardly shows.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.model import DeviceClaims, DeviceId, PostureReport, Trust
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
    life = {"issued_at": NOW, "expires_at": NOW + timedelta(hours=1)}
    attributes = {name: claim(source=source, trust=trust, **life) for name in ATTRIBUTES}
    claims = (DeviceClaims(device=device_id(number), attributes=attributes),)
    return PostureReport(source=source, trust=trust, sha256="0" * 64, issued_at=NOW, claims=claims)


def measure_source(store: PostureStore) -> None:
    for number in range(1000):
        store.put(told("agent", Trust.REPORTED, number), NOW)
        store.put(told("fleet", Trust.MANAGED, number), NOW)
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


def measure_desk(store: PostureStore) -> None:
    who, made = device("P-256"), desk(store, managed())
    # Each report is one millisecond later than the one before, and judged at that time.
    moments = (NOW + timedelta(milliseconds=number) for number in range(10**9))
    bodies = [
        (who.report(made.nonce(who.principal, moment), iat=moment.timestamp(), posture=dict(VALUES)), moment)
        for moment, _ in zip(moments, range(COUNT + 100), strict=False)
    ]
    waiting = iter(bodies)

    def report() -> None:
        body, moment = next(waiting)
        found = examined(made, body, who, moment)
        assert isinstance(found, PostureReport), found
        assert not isinstance(made.accept(found, moment), str)

    measure("nonce()", lambda: made.nonce(who.principal, NOW), COUNT)
    measure("a report, P-256: examine and accept", report, COUNT)
    hook = details({"Firewall on": "pass", "Disk": "pass"})
    requests = iter([webhook(hook, identity=f"msg_{number}", at=NOW) for number in range(COUNT + 100)])

    def management() -> None:
        found = made.examine(hook, who.peer, who.principal, next(requests), NOW)
        assert isinstance(found, PostureReport), found
        assert not isinstance(made.accept(found, NOW), str)

    measure("a webhook of one host: examine and accept", management, COUNT)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = PostureStore(Path(folder) / "posture.db")
        measure_source(store)
        measure_desk(store)
        store.close()


if __name__ == "__main__":
    main()
