from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from proxy import commitment
from proxy.errors import IntegrityError, SpoolError
from proxy.model import Kind, wire_time
from proxy.record import Spool, origin_file
from proxy.record.reader import current_reader, open_readers
from tests.record.building import NOW, body, break_connection, tamper

Open = Callable[..., Spool]


async def _days(spool: Spool, days: range, each: int = 10, filling: int = 0) -> None:
    for day in days:
        at = wire_time(NOW + timedelta(days=day))
        await asyncio.gather(
            *(spool.record(Kind.DECISION, {**body(n), "time": at, "filling": "x" * filling}) for n in range(each))
        )


def _later(days: float) -> datetime:
    return NOW + timedelta(days=days)


async def test_only_old_records_below_the_bound_go_and_the_rest_still_follows(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=30)
    await _days(spool, range(60))
    before = current_reader(tmp_path / "spool")
    kept = before.rows(0, 600)
    assert await spool.prune(600, _later(60)) == 300, "those older than 30 days"
    assert await spool.prune(600, _later(60)) == 0
    assert await spool.prune(415, _later(90)) == 115, "those below the bound"
    reader = current_reader(tmp_path / "spool")
    assert (reader.floor(), reader.count(), before.floor()) == (415, 600, 415)
    assert reader.head(414) is None
    assert reader.head(0) is None
    assert reader.head(415) == kept[414].head
    head = reader.head(415)
    assert head is not None
    for row in reader.rows(0, 600):
        head = commitment.next_head(head, row.leaf)
        assert (row, head) == (kept[row.index], row.head)
    assert reader.rows(400, 20) == kept[415:420]
    assert spool.pruned == 415
    before.close()
    reader.close()


async def test_nothing_goes_unless_the_site_says_so(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await _days(spool, range(2))
    assert await spool.prune(20, _later(100_000)) == 0


async def test_record_that_is_kept_keeps_all_after_it_where_the_clock_went_back(open_spool: Open) -> None:
    spool = open_spool(keep_days=10)
    for day in (0, 1, 30, 2, 3):
        await _days(spool, range(day, day + 1), each=1)
    assert await spool.prune(5, _later(20)) == 2


async def test_spool_goes_on_after_everything_was_pruned_also_after_a_restart(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=1)
    await _days(spool, range(3))
    assert await spool.prune(30, _later(100)) == 30
    reader = current_reader(tmp_path / "spool")
    head = reader.head(30)
    assert (reader.floor(), reader.count(), reader.rows(0, 100)) == (30, 30, [])
    reader.close()
    await spool.close()
    again = open_spool(keep_days=1)
    assert again.count == 30
    place = await again.record(Kind.DECISION, body(1))
    assert head is not None
    assert (place.index, place.head) == (30, commitment.next_head(head, place.leaf))


async def test_pruned_spool_whose_floor_was_lowered_does_not_open(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=1)
    await _days(spool, range(3))
    await spool.prune(15, _later(100))
    await spool.close()
    tamper(tmp_path / "spool", spool.origin, "UPDATE meta SET value = 0 WHERE key = 'floor'")
    with pytest.raises(IntegrityError, match="has a gap"):
        open_spool()


async def test_step_that_fails_leaves_everything_as_it_was(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=1)
    await _days(spool, range(3))
    break_connection(spool)
    with pytest.raises(SpoolError, match="could not be pruned"):
        await spool.prune(30, _later(100))
    reader = current_reader(tmp_path / "spool")
    assert (reader.floor(), reader.count()) == (0, 30)
    reader.close()


async def test_space_goes_back_to_the_disk_and_no_record_waits_long_for_it(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=1, batch=256)
    await _days(spool, range(20), each=250, filling=2000)
    path = origin_file.database(tmp_path / "spool", spool.origin)
    origin_file.settle(origin_file.connect(path))
    before = path.stat().st_size
    pruning = asyncio.ensure_future(spool.prune(4_900, _later(100)))
    slowest, number = 0.0, 0
    while not pruning.done():
        begun = time.monotonic()
        await spool.record(Kind.DECISION, {**body(number), "time": wire_time(_later(100))})
        slowest = max(slowest, time.monotonic() - begun)
        number += 1
    assert await pruning == 4_900
    origin_file.settle(origin_file.connect(path))
    assert number > 10
    assert slowest < 2, f"a record waited {slowest:.2f} s"
    assert path.stat().st_size < before / 4, "the file shrank"


async def test_successor_of_a_pruned_origin_carries_from_its_floor(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=1)
    await _days(spool, range(3))
    await spool.prune(12, _later(100))
    await spool.succeed(5, NOW)
    await spool.drain()
    readers = open_readers(tmp_path / "spool")
    assert [row.leaf for row in readers[1].rows(0, 18)] == [row.leaf for row in readers[0].rows(12, 18)]
    for reader in readers:
        reader.close()


async def test_successor_takes_over_many_records_without_holding_them(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(batch=4096, limit=100_000)
    await _days(spool, range(10), each=1_000, filling=4_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await spool.succeed(0, NOW)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert spool.count >= 10_000
    assert grown < 20 * 1024, f"{grown} KiB more for 40 MB of records"
