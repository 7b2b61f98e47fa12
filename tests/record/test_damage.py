"""Spools that were cut, mixed up or put back: continued exactly, or refused by name. Never a second life in silence."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import IntegrityError, SpoolError
from proxy.model import Kind
from proxy.record import Spool, origin_file
from proxy.record.mark import Mark
from proxy.record.reader import open_readers
from tests.record.building import NOW, body, stored

Open = Callable[..., Spool]
FULL = os.environ.get("DICOMWARD_FULL") == "1"
SEEDS = range(200) if FULL else range(20)


async def _left_by_a_kill(open_spool: Open, folder: Path, records: int) -> bytes:
    """Files as they are while the spool is in use: database, log and mark. Returns the origin."""
    spool = open_spool()
    for begin in range(0, records, 50):
        each = range(begin, min(begin + 50, records))
        await asyncio.gather(*(spool.record(Kind.DECISION, {**body(n), "filling": "x" * 900}) for n in each))
    shutil.copytree(folder, folder.with_name("killed"))
    await spool.close()
    shutil.rmtree(folder)
    folder.with_name("killed").rename(folder)
    (folder / f"{spool.origin.hex()}.db-shm").unlink(missing_ok=True)
    return spool.origin


def _damage(chance: random.Random, folder: Path, origin: bytes) -> None:
    database = origin_file.database(folder, origin)
    log = database.with_name(database.name + "-wal")
    damaged = chance.choice([database, log])
    size = damaged.stat().st_size
    at = chance.randrange(size + 1) if chance.random() < 0.7 else max(0, size - chance.randrange(40_000))
    kind = chance.choice(["cut", "zeros", "gone"])
    if kind == "gone":
        damaged.unlink()
        return
    with damaged.open("r+b") as file:
        file.truncate(at)
        if kind == "zeros":
            file.truncate(size)


@pytest.mark.parametrize("seed", SEEDS)
async def test_damaged_files_are_continued_exactly_or_refused_by_name(
    open_spool: Open, tmp_path: Path, seed: int
) -> None:
    chance, folder = random.Random(seed), tmp_path / "spool"
    records = chance.randrange(1, 1500)
    origin = await _left_by_a_kill(open_spool, folder, records)
    if chance.random() < 0.3:
        await open_spool().close()  # the log is written back, and gone
        (folder / f"{origin.hex()}.db-wal").touch()
    _damage(chance, folder, origin)
    refusal = None
    try:
        spool = open_spool()
    except (SpoolError, IntegrityError) as error:
        refusal = error.detail
    if refusal is not None:
        assert origin.hex() in refusal or str(folder) in refusal
        assert "restore" in refusal.lower()
        return
    assert spool.origin == origin
    assert spool.count == records
    assert (await spool.record(Kind.DECISION, body(1))).index == records
    assert len(stored(folder)) == records + 1


async def test_log_that_is_gone_is_noticed_though_the_database_is_whole(open_spool: Open, tmp_path: Path) -> None:
    origin = await _left_by_a_kill(open_spool, tmp_path / "spool", 100)
    (tmp_path / "spool" / f"{origin.hex()}.db-wal").unlink()
    with pytest.raises((IntegrityError, SpoolError), match=rf"(?s){origin.hex()}|cannot be opened"):
        open_spool()


async def test_database_older_than_its_mark_is_refused(open_spool: Open, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    backup = shutil.copy(origin_file.database(folder, spool.origin), tmp_path / "backup")
    again = open_spool()
    await again.record(Kind.DECISION, body(1))
    await again.close()
    shutil.copy(backup, origin_file.database(folder, spool.origin))
    with pytest.raises(IntegrityError, match="holds 1 records, and 2 were durable"):
        open_spool()


async def test_another_life_of_the_same_length_is_refused(open_spool: Open, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = open_spool()
    await spool.close()
    backup = shutil.copy(origin_file.database(folder, spool.origin), tmp_path / "backup")
    mark = shutil.copy(origin_file.mark_file(folder, spool.origin), tmp_path / "mark")
    first = open_spool()
    await first.record(Kind.DECISION, body(1))
    await first.close()
    lived = shutil.copy(origin_file.mark_file(folder, spool.origin), tmp_path / "lived")
    shutil.copy(backup, origin_file.database(folder, spool.origin))
    shutil.copy(mark, origin_file.mark_file(folder, spool.origin))
    second = open_spool()
    await second.record(Kind.DECISION, body(2))
    await second.close()
    shutil.copy(lived, origin_file.mark_file(folder, spool.origin))
    with pytest.raises(IntegrityError, match="of another time than the files beside it"):
        open_spool()


@pytest.mark.parametrize("content", [b"x", bytes(72), bytes(73), b"\xff" * 72], ids=["short", "zeros", "long", "ones"])
async def test_mark_that_is_none_is_refused(open_spool: Open, tmp_path: Path, content: bytes) -> None:
    spool = open_spool()
    await spool.close()
    path = origin_file.mark_file(tmp_path / "spool", spool.origin)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"\.mark is not a mark"):
        open_spool()


def test_mark_that_was_closed_writes_into_no_other_file(tmp_path: Path) -> None:
    mark = Mark(tmp_path / "mark")
    mark.write(1, b"h" * 32)
    mark.close()
    with (tmp_path / "other").open("w+b") as other:
        mark.write(2, b"i" * 32)
        assert other.read() == b""
    mark.close()
    again = Mark(tmp_path / "mark")
    assert again.read() == (1, b"h" * 32)
    again.close()


@pytest.mark.parametrize("exchanged", ["db", "key"])
async def test_files_exchanged_between_origins_are_refused(open_spool: Open, tmp_path: Path, exchanged: str) -> None:
    folder = tmp_path / "spool"
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    old = spool.origin
    new = await spool.succeed(1, NOW)
    await spool.close()
    one, other = (folder / f"{origin.hex()}.{exchanged}" for origin in (old, new))
    one.rename(tmp_path / "away")
    other.rename(one)
    (tmp_path / "away").rename(other)
    with pytest.raises(IntegrityError, match="restore"):
        open_spool()


async def test_pointer_that_is_lost_is_not_answered_with_a_new_beginning(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    (tmp_path / "spool" / "current").unlink()
    with pytest.raises(IntegrityError, match="write the name of the origin in use into it"):
        open_spool()
    origin_file.point_to(tmp_path / "spool", spool.origin)
    assert open_spool().count == 1


async def test_pointer_that_was_removed_opens_a_successor_of_what_was_anchored(
    open_spool: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    (tmp_path / "spool" / "current").unlink()
    successor = open_spool(predecessor=spool.origin)
    assert successor.origin != spool.origin
    assert "a successor is opened" in caplog.text
    readers = open_readers(tmp_path / "spool")
    assert [reader.origin for reader in readers] == [spool.origin, successor.origin]
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "00" * 33, "\x00" * 64])
async def test_pointer_that_is_garbled_is_refused_by_name(open_spool: Open, tmp_path: Path, content: str) -> None:
    await open_spool().close()
    (tmp_path / "spool" / "current").write_text(content)
    with pytest.raises(IntegrityError, match="current"):
        open_spool()


async def test_description_of_another_chain_does_not_open(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await spool.record(Kind.DECISION, body(0))
    await spool.close()
    path = origin_file.database(tmp_path / "spool", spool.origin)
    connection = origin_file.connect(path)
    connection.execute("UPDATE meta SET value = 1 WHERE key = 'chain_id'")
    connection.close()
    with pytest.raises(IntegrityError, match=r"record 0 of the spool of origin .* does not follow"):
        open_spool()
