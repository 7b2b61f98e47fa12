from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

from proxy.model import Reason
from proxy.record import Spool, Suppression
from tests.record.building import NOW, break_connection, stored


class Moments:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> object:
        return self.now


def bodies(folder: Path) -> list[dict[str, object]]:
    return [json.loads(row.body) for row in stored(folder)]


async def test_flood_costs_one_record_a_reason_and_window(spool: Spool, tmp_path: Path) -> None:
    clock = Moments()
    suppression = Suppression(spool, 10, clock)
    for number in range(10_000):
        suppression.suppress(Reason.RATE_LIMITED, NOW + timedelta(milliseconds=number))
    suppression.suppress(Reason.ABANDONED, NOW + timedelta(seconds=3))
    clock.now = NOW + timedelta(seconds=10)
    suppression.flush()
    suppression.flush()
    await spool.drain()
    common = {"v": 1, "kind": "suppressed", "time": "2026-11-22T19:40:10.000Z", "to": "2026-11-22T19:40:10.000Z"}
    assert bodies(tmp_path / "spool") == [
        {**common, "reason": "abandoned", "count": 1, "from": "2026-11-22T19:40:03.000Z"},
        {**common, "reason": "rate-limited", "count": 10_000, "from": "2026-11-22T19:40:00.000Z"},
    ]
    assert suppression.total == {"rate-limited": 10_000, "abandoned": 1}


async def test_window_without_suppression_costs_nothing(spool: Spool, tmp_path: Path) -> None:
    Suppression(spool, 10, lambda: NOW).flush()
    await spool.drain()
    assert bodies(tmp_path / "spool") == []


async def test_run_flushes_each_window(spool: Spool, tmp_path: Path) -> None:
    suppression = Suppression(spool, 0.01, lambda: NOW)
    running = asyncio.ensure_future(suppression.run())
    suppression.suppress(Reason.RATE_LIMITED, NOW)
    while not spool.count:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert bodies(tmp_path / "spool")[0]["count"] == 1


async def test_window_that_could_not_be_recorded_is_told_by_a_later_one(spool: Spool, tmp_path: Path) -> None:
    """An outage of the spool is when most is suppressed: its counts must outlive it."""
    suppression = Suppression(spool, 10, lambda: NOW)
    for _ in range(3):
        suppression.suppress(Reason.RECORD_NOT_DURABLE, NOW)
    break_connection(spool)
    suppression.flush()
    suppression.suppress(Reason.RECORD_NOT_DURABLE, NOW + timedelta(seconds=11))
    await spool.drain()
    await asyncio.sleep(0)
    assert bodies(tmp_path / "spool") == []
    suppression.flush()
    await spool.drain()
    (told,) = bodies(tmp_path / "spool")
    assert (told["count"], told["from"]) == (4, "2026-11-22T19:40:00.000Z")
    assert suppression.total == {"record-not-durable": 4}


async def test_window_that_met_a_full_queue_is_told_by_a_later_one(open_spool: object, tmp_path: Path) -> None:
    spool = open_spool(limit=1)  # type: ignore[operator]
    suppression = Suppression(spool, 10, lambda: NOW)
    for reason in (Reason.ABANDONED, Reason.RATE_LIMITED):
        suppression.suppress(reason, NOW)
    suppression.flush()
    await spool.drain()
    await asyncio.sleep(0)
    suppression.flush()
    await spool.drain()
    assert [(told["reason"], told["count"]) for told in bodies(tmp_path / "spool")] == [
        ("abandoned", 1),
        ("rate-limited", 1),
    ]
