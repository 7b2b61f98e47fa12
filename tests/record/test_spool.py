from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import commitment
from proxy.errors import ConfigurationError, IntegrityError, SpoolError
from proxy.model import Durable, Kind
from proxy.record import Spool, origin_file
from proxy.record.reader import OriginReader, current_reader, open_readers
from tests.record.building import NOW, body, break_connection, fill_disk, forbid_reopening, stored, tamper

Open = Callable[..., Spool]


async def test_records_are_stored_in_the_order_in_which_they_were_given(spool: Spool, tmp_path: Path) -> None:
    places = await asyncio.gather(*(spool.record(Kind.DECISION, body(n)) for n in range(100)))
    rows = stored(tmp_path / "spool")
    assert [place.index for place in places] == list(range(100))
    assert [row.body for row in rows] == [commitment.canonical(body(n)) for n in range(100)]
    assert [(place.leaf, place.head) for place in places] == [(row.leaf, row.head) for row in rows]
    assert spool.count == 100
    assert spool.batches == 7  # 16 a batch
    assert spool.records["decision"] == 100


async def test_salts_differ_so_equal_records_have_different_leaves(spool: Spool, tmp_path: Path) -> None:
    await asyncio.gather(*(spool.record(Kind.DECISION, body(1)) for _ in range(50)))
    assert len({row.leaf for row in stored(tmp_path / "spool")}) == 50


async def test_many_writers_leave_no_gap(spool: Spool, tmp_path: Path) -> None:
    async def write(writer: int) -> list[int]:
        indices = []
        for number in range(20):
            indices.append((await spool.record(Kind.DECISION, body(writer * 1000 + number))).index)
            if number % 3 == 0:
                spool.record_later(Kind.OUTCOME, body(writer))
        return indices

    all_indices = await asyncio.gather(*(write(writer) for writer in range(40)))
    await spool.drain()
    rows = stored(tmp_path / "spool")
    assert len(rows) == 40 * 27
    for indices in all_indices:
        assert indices == sorted(set(indices))


async def test_awaiting_returns_only_when_another_connection_sees_the_record(spool: Spool, tmp_path: Path) -> None:
    reader = current_reader(tmp_path / "spool")
    for number in range(20):
        recording = spool.record(Kind.DECISION, body(number))
        assert reader.count() == number
        place = await recording
        assert reader.head(place.index + 1) == place.head
    reader.close()


async def test_record_that_nobody_waits_for_becomes_durable_by_itself(spool: Spool, tmp_path: Path) -> None:
    spool.record_later(Kind.OUTCOME, body(1))
    assert spool.waiting == 1
    await spool.drain()
    assert len(stored(tmp_path / "spool")) == 1


async def test_record_whose_waiter_was_cancelled_is_stored_all_the_same(spool: Spool, tmp_path: Path) -> None:
    waiting = [asyncio.ensure_future(spool.record(Kind.DECISION, body(n))) for n in range(4)]
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await spool.drain()
    assert len(stored(tmp_path / "spool")) == 4


async def test_restart_continues_the_chain(open_spool: Open, tmp_path: Path) -> None:
    first = open_spool()
    place = await first.record(Kind.DECISION, body(1))
    await first.close()
    second = open_spool()
    assert (second.origin, second.count) == (first.origin, 1)
    following = await second.record(Kind.DECISION, body(2))
    assert following.head == commitment.next_head(place.head, following.leaf)
    assert len(stored(tmp_path / "spool")) == 2


async def test_close_writes_what_is_pending(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    recordings = [spool.record(Kind.DECISION, body(n)) for n in range(40)]
    spool.record_later(Kind.OUTCOME, body(41))
    await spool.close()
    assert all(recording.done() for recording in recordings)
    assert len(stored(tmp_path / "spool")) == 41
    with pytest.raises(SpoolError):
        spool.record(Kind.DECISION, body(42))


async def test_second_spool_on_the_same_folder_is_refused(spool: Spool, open_spool: Open) -> None:
    with pytest.raises(ConfigurationError, match=r"record\.directory"):
        open_spool()
    assert (await spool.record(Kind.DECISION, body(1))).index == 0


@pytest.mark.parametrize("other", [{"chain_id": 1}, {"contract": bytes(20)}])
async def test_spool_of_another_chain_is_refused_and_released(open_spool: Open, other: dict[str, object]) -> None:
    await open_spool().close()
    with pytest.raises(ConfigurationError, match=r"ledger\.contract"):
        open_spool(**other)
    assert open_spool().count == 0  # the refusal holds neither lock nor file


async def test_files_are_for_their_owner_alone(spool: Spool, tmp_path: Path) -> None:
    await spool.record(Kind.DECISION, body(1))
    folder = tmp_path / "spool"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (*folder.glob("*.db*"), *folder.glob("*.key")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_full_queue_refuses_at_once(open_spool: Open) -> None:
    spool = open_spool(limit=3)
    recordings = [spool.record(Kind.DECISION, body(n)) for n in range(3)]
    with pytest.raises(SpoolError):
        spool.record(Kind.DECISION, body(4))
    spool.record_later(Kind.OUTCOME, body(5))
    assert spool.lost == 1
    await asyncio.gather(*recordings)
    assert (await spool.record(Kind.DECISION, body(6))).index == 3


async def test_record_without_canonical_form_disturbs_no_other(spool: Spool, tmp_path: Path) -> None:
    good = spool.record(Kind.DECISION, body(1))
    with pytest.raises(ValueError):
        spool.record(Kind.DECISION, {"v": 1, "bad": 2**60})
    await good
    assert len(stored(tmp_path / "spool")) == 1


# ---------------------------------------------------------------------------------- the disk fails


@pytest.mark.parametrize("fail", [break_connection, fill_disk], ids=["connection", "disk-full"])
async def test_failing_write_fails_the_whole_batch_and_leaves_no_gap(
    spool: Spool, tmp_path: Path, fail: Callable[[Spool], None]
) -> None:
    await spool.record(Kind.DECISION, body(0))
    fail(spool)
    large = {**body(1), "filling": "x" * 200_000}
    results = await asyncio.gather(*(spool.record(Kind.DECISION, large) for _ in range(10)), return_exceptions=True)
    assert {type(result) for result in results} == {SpoolError}
    assert not spool.healthy
    assert (await spool.record(Kind.DECISION, body(2))).index == 1
    assert spool.healthy
    assert [row.index for row in stored(tmp_path / "spool")] == [0, 1]
    assert spool.records["decision"] == 2


async def test_disk_that_fills_between_batches_loses_nothing_acknowledged(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(batch=4)
    fill_disk(spool, pages=40)
    large = {**body(1), "filling": "x" * 30_000}
    results = await asyncio.gather(*(spool.record(Kind.DECISION, large) for _ in range(200)), return_exceptions=True)
    durable = {result.leaf for result in results if isinstance(result, Durable)}
    failed = [result for result in results if isinstance(result, SpoolError)]
    assert durable
    assert failed
    assert len(durable) + len(failed) == 200
    assert {row.leaf for row in stored(tmp_path / "spool")} == durable


async def test_failing_write_of_what_nobody_waits_for_is_counted(spool: Spool) -> None:
    break_connection(spool)
    for number in range(3):
        spool.record_later(Kind.OUTCOME, body(number))
    await spool.drain()
    assert spool.lost == 3
    assert spool.records["decision"] == 0


async def test_spool_whose_file_is_gone_fails_until_it_is_back(spool: Spool, tmp_path: Path) -> None:
    await spool.record(Kind.DECISION, body(0))
    away = forbid_reopening(tmp_path / "spool", spool.origin)
    break_connection(spool)
    for number in range(3):
        with pytest.raises(SpoolError):
            await asyncio.wait_for(spool.record(Kind.DECISION, body(number)), 5)
    assert not origin_file.database(tmp_path / "spool", spool.origin).exists()  # and nothing is put in its place
    away.rename(origin_file.database(tmp_path / "spool", spool.origin))
    async with asyncio.timeout(20):
        while not spool.healthy:  # without a request that would have to fail for it
            await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(spool.record(Kind.DECISION, body(5)), 5)).index == 1
    assert len(stored(tmp_path / "spool")) == 2


async def test_spool_found_with_a_gap_after_a_failure_refuses_instead_of_hanging(spool: Spool, tmp_path: Path) -> None:
    for number in range(3):
        await spool.record(Kind.DECISION, body(number))
    tamper(tmp_path / "spool", spool.origin, "DELETE FROM record WHERE idx = 1")
    break_connection(spool)
    for number in range(3):
        with pytest.raises(SpoolError):
            await asyncio.wait_for(spool.record(Kind.DECISION, body(number)), 5)
    await asyncio.wait_for(spool.close(), 5)


async def test_spool_with_a_gap_does_not_open(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    for number in range(3):
        await spool.record(Kind.DECISION, body(number))
    await spool.close()
    tamper(tmp_path / "spool", spool.origin, "DELETE FROM record WHERE idx = 1")
    with pytest.raises(IntegrityError):
        open_spool()


async def test_spool_whose_database_is_missing_does_not_begin_anew(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    origin_file.database(tmp_path / "spool", spool.origin).unlink()
    with pytest.raises(IntegrityError):
        open_spool()


async def test_spool_without_its_receipt_key_does_not_open(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await spool.close()
    origin_file.key_file(tmp_path / "spool", spool.origin).unlink()
    with pytest.raises(SpoolError):
        open_spool()


# --------------------------------------------------------------------------------------- readers


async def test_records_of_a_decision_are_found_by_its_id(spool: Spool, tmp_path: Path) -> None:
    for number in range(6):
        await spool.record(Kind.DECISION if number < 3 else Kind.OUTCOME, body(number, f"{number % 3:032x}"))
    await spool.record(Kind.EVENT, {"v": 1, "kind": "event", "event": "start"})
    reader = current_reader(tmp_path / "spool")
    assert [row.index for row in reader.find(f"{1:032x}")] == [1, 4]
    assert reader.find("") == []
    plan = reader._query("EXPLAIN QUERY PLAN SELECT idx FROM record WHERE id = ? AND id <> ''", ("a",))
    assert "record_id" in plan[0][3]
    reader.close()


async def test_reader_cannot_write(spool: Spool, tmp_path: Path) -> None:
    reader = current_reader(tmp_path / "spool")
    with pytest.raises(SpoolError):
        reader._query("DELETE FROM record", ())
    reader.close()


def test_reader_of_a_folder_without_spool_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="no spool yet"):
        current_reader(tmp_path)


# ------------------------------------------------------------------------------------ succession


async def test_successor_carries_what_the_chain_lost_with_its_leaves(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    await asyncio.gather(*(spool.record(Kind.DECISION, body(n)) for n in range(10)))
    before = stored(folder)
    old = spool.origin
    new = await spool.succeed(6, NOW)
    await spool.drain()
    assert spool.origin == new != old
    after = stored(folder)
    same = ("kind", "id", "salt", "body", "leaf")
    assert [[getattr(row, name) for name in same] for row in after[:4]] == [
        [getattr(row, name) for name in same] for row in before[6:]
    ]
    assert after[4].kind == "event"
    assert b"origin-succeeded" in after[4].body
    assert stored(folder, old) == before
    readers = open_readers(folder)
    assert [(reader.origin, reader.predecessor, reader.agreed) for reader in readers] == [
        (old, None, None),
        (new, old, 6),
    ]
    assert readers[0].receipt_key != readers[1].receipt_key
    for reader in readers:
        reader.close()


async def test_successor_is_the_one_in_use_after_a_restart(open_spool: Open) -> None:
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    new = await spool.succeed(1, NOW)
    await spool.close()
    again = open_spool()
    assert (again.origin, again.count) == (new, 1)


async def test_records_given_during_a_succession_get_into_the_successor(spool: Spool, tmp_path: Path) -> None:
    await spool.record(Kind.DECISION, body(0))
    succeeding = asyncio.ensure_future(spool.succeed(1, NOW))
    await asyncio.sleep(0)
    place = await asyncio.wait_for(spool.record(Kind.DECISION, body(1)), 5)
    assert place.origin == await succeeding
    await spool.drain()
    assert len(stored(tmp_path / "spool")) == 2


async def test_succession_happens_under_constant_load(spool: Spool, tmp_path: Path) -> None:
    stop = False
    places: list[Durable] = []

    async def write() -> None:
        while not stop:
            places.append(await spool.record(Kind.DECISION, body(len(places))))

    writers = [asyncio.ensure_future(write()) for _ in range(64)]
    await asyncio.sleep(0.05)
    old = spool.origin
    new = await asyncio.wait_for(spool.succeed(0, NOW), 5)
    await asyncio.sleep(0.05)
    stop = True
    await asyncio.wait_for(asyncio.gather(*writers), 5)
    await spool.drain()
    leaves = {row.leaf for row in stored(tmp_path / "spool")}
    assert {place.leaf for place in places} <= leaves
    assert {place.origin for place in places} == {old, new}


async def test_succession_that_fails_lets_what_waits_go_on(spool: Spool, tmp_path: Path) -> None:
    await spool.record(Kind.DECISION, body(0))
    blocker = tmp_path / "spool" / "current.new"
    blocker.mkdir()
    old = spool.origin
    succeeding = asyncio.ensure_future(spool.succeed(0, NOW))
    await asyncio.sleep(0)
    recording = spool.record(Kind.DECISION, body(1))
    with pytest.raises(SpoolError):
        await succeeding
    assert (await asyncio.wait_for(recording, 5)).origin == old
    blocker.rmdir()
    assert await spool.succeed(0, NOW) != old
    await asyncio.wait_for(spool.drain(), 5)


async def test_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a #1?mode=memory&b=%41"
    spool = Spool(folder, chain_id=1, contract=bytes(20), batch=1, limit=1)
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    assert len(stored(folder)) == 1


async def test_file_that_no_pointer_reaches_is_ignored(spool: Spool, tmp_path: Path) -> None:
    origin_file.create(tmp_path / "spool", chain_id=1, contract=bytes(20))
    readers = open_readers(tmp_path / "spool")
    assert [reader.origin for reader in readers] == [spool.origin]
    readers[0].close()


async def test_reader_of_a_missing_origin_is_refused(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(SpoolError):
        OriginReader(tmp_path / "spool", bytes(32))


async def test_spool_made_in_place_of_a_lost_one_names_it(open_spool: Open) -> None:
    lost = bytes(range(32))
    spool = open_spool(predecessor=lost)
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    again = open_spool(predecessor=bytes(32))  # a spool that is there is not made anew
    assert (again.origin, again.count) == (spool.origin, 1)
    reader = current_reader(again._folder)
    assert (reader.predecessor, reader.agreed) == (lost, 0)
    reader.close()


async def test_record_before_the_first_is_named_by_readers(spool: Spool, tmp_path: Path) -> None:
    await spool.record(Kind.DECISION, body(1))
    folder = tmp_path / "spool"
    tamper(folder, spool.origin, "INSERT INTO record SELECT -1, kind, 'planted', salt, body, leaf, head FROM record")
    with pytest.raises(IntegrityError, match="before its first"):
        current_reader(folder)


async def test_spool_that_succeeds_itself_ends_the_search_for_predecessors(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    itself = "UPDATE meta SET value = (SELECT value FROM meta WHERE key = 'origin') WHERE key = 'predecessor'"
    tamper(folder, spool.origin, itself)
    with pytest.raises(IntegrityError, match="its own predecessor"):
        open_readers(folder)


@pytest.mark.parametrize("failure", [MemoryError(), OSError("no memory"), ValueError("surrogate")])
async def test_failure_that_is_not_sqlites_fails_its_batch_and_no_other(spool: Spool, failure: Exception) -> None:
    class Broken:
        def execute(self, *_: object) -> None:
            raise failure

        def close(self) -> None:
            pass

    before, spool._connection = spool._connection, Broken()  # type: ignore[assignment]
    before.close()
    async with asyncio.timeout(5):
        with pytest.raises(SpoolError):
            await spool.record(Kind.DECISION, body(1))
        assert not spool.healthy
        assert (await spool.record(Kind.DECISION, body(2))).index == 0
    assert spool.healthy
