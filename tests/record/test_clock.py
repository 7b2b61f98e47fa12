from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.record import ClockWatch, Spool
from tests.record.building import NOW, stored


class Clocks:
    def __init__(self) -> None:
        self.wall, self.passed = NOW, 1000.0

    def step(self, *, passed: float, told: float) -> None:
        self.passed += passed
        self.wall += timedelta(seconds=told)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def watch(spool: Spool, clocks: Clocks) -> ClockWatch:
    return ClockWatch(spool, lambda: clocks.wall, lambda: clocks.passed)


@pytest.mark.parametrize(
    ("told", "before", "after"),
    [
        (3601, "2026-11-22T19:40:01.000Z", "2026-11-22T20:40:01.000Z"),
        (-3599, "2026-11-22T19:40:01.000Z", "2026-11-22T18:40:01.000Z"),
        (61.5, "2026-11-22T19:40:01.000Z", "2026-11-22T19:41:01.500Z"),
    ],
    ids=["forward", "back", "little"],
)
async def test_jump_is_logged_counted_and_recorded(
    spool: Spool,
    watch: ClockWatch,
    clocks: Clocks,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    told: float,
    before: str,
    after: str,
) -> None:
    clocks.step(passed=1, told=told)
    watch.look()
    clocks.step(passed=1, told=1)
    watch.look()  # and once only
    await spool.drain()
    (row,) = stored(tmp_path / "spool")
    assert json.loads(row.body) == {
        "v": 1,
        "kind": "event",
        "event": "clock-jumped",
        "time": after,
        "from": before,
        "to": after,
    }
    assert watch.jumps == 1
    assert "clock jumped" in caplog.text


@pytest.mark.parametrize(("passed", "told"), [(1, 1), (1, 60), (1, -58), (86_400, 86_400), (3600, 3555)])
async def test_time_that_passed_and_small_corrections_are_no_jump(
    spool: Spool, watch: ClockWatch, clocks: Clocks, passed: float, told: float
) -> None:
    clocks.step(passed=passed, told=told)
    watch.look()
    await spool.drain()
    assert (watch.jumps, spool.count) == (0, 0)


async def test_run_looks_by_itself(
    spool: Spool, watch: ClockWatch, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.record.clock.LOOK_S", 0.01)
    running = asyncio.create_task(watch.run())
    clocks.step(passed=0, told=-7200)
    async with asyncio.timeout(5):
        while not watch.jumps:
            await asyncio.sleep(0.01)
    running.cancel()
