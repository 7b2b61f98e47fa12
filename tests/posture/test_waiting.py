"""Writes that have to wait: the event loop goes on, and nobody is shown what a finished write made old."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.errors import PostureUnavailableError
from proxy.model import PostureReport, Reason
from proxy.posture import PostureStore
from tests.posture.making import DEVICE, NOW, REPORT, changed, claim, desk, device, examined, said, seconds

_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("released", flush=True)
sys.stdin.readline()
"""


class Holder:
    """Another process, which holds the lock of writers."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", _HOLDER, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._expect("held")

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self._expect("released")

    def _expect(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"


@contextmanager
def holder(path: Path) -> Iterator[Holder]:
    made = Holder(path)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


async def ticks(count: int) -> None:
    """The loop goes round that often: it could not while it waits for a lock itself."""
    for _ in range(count):
        await asyncio.sleep(0)


def later(value: bool, number: int = 1) -> PostureReport:
    at = NOW + seconds(number)
    return said({"firewall": claim(value, issued_at=at)}, issued_at=at)


async def until_generation(store: PostureStore, generation: int) -> None:
    async with asyncio.timeout(10):
        while store.posture(DEVICE, NOW).generation != generation:
            await asyncio.sleep(0.001)


async def test_report_waits_for_another_process_and_the_loop_does_not(store: PostureStore, path: Path) -> None:
    made, who = desk(store), device()
    body = who.report(made.nonce(who.principal, NOW))
    with holder(path) as lock:
        asked = asyncio.ensure_future(examined(made, body, who))
        await ticks(1000)
        assert not asked.done()
        assert store.posture(who.id, NOW).generation == 0  # reading does not wait
        lock.release()
        report = await asked
    assert isinstance(report, PostureReport)
    with holder(path) as lock:
        accepting = asyncio.ensure_future(made.accept(report, NOW))
        await ticks(1000)
        assert not accepting.done()
        lock.release()
        assert changed(await accepting) == [who.id]
    assert store.posture(who.id, NOW).attributes["disk_encryption"].value is True


async def test_lock_that_is_not_released_makes_the_store_unavailable(
    store: PostureStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes that wait behind one another do not wait longer than one."""
    monkeypatch.setattr("proxy.posture.writer.WAIT_S", 0.5)
    made, who = desk(store), device()
    body = who.report(made.nonce(who.principal, NOW))
    with holder(path) as lock:
        began = time.monotonic()
        several = [asyncio.ensure_future(store.put(later(True, number), NOW)) for number in range(30)]
        asked = asyncio.ensure_future(made.examine(body, who.peer, who.principal, REPORT, NOW))
        await ticks(1000)
        assert not any(each.done() for each in (*several, asked))
        for each in (*several, asked):
            with pytest.raises(PostureUnavailableError):
                await each
        assert time.monotonic() - began < 31 * 0.5 / 2
        lock.release()
    assert store.posture(DEVICE, NOW).generation == 0
    assert isinstance(await examined(made, body, who), PostureReport)  # its nonce was not lost by a failure of ours
    assert changed(await store.put(later(True), NOW)) == [DEVICE]


async def test_what_was_remembered_is_dropped_before_a_write_returns(store: PostureStore) -> None:
    for number in range(1, 50):
        store.posture(DEVICE, NOW)
        await store.put(later(number % 2 == 0, number), NOW)
        assert store.posture(DEVICE, NOW).generation == number
        assert store.posture(DEVICE, NOW).attributes["firewall"].value is (number % 2 == 0)


async def test_reader_that_looks_all_the_time_keeps_nothing_old(store: PostureStore) -> None:
    """It remembers what it reads between the write's end in the file and its end on the loop too."""
    stop = False

    async def look() -> None:
        while not stop:
            store.posture(DEVICE, NOW)
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(look())
    for number in range(1, 50):
        await store.put(later(True, number), NOW)
        assert store.posture(DEVICE, NOW).generation == number
    stop = True
    await looking


async def test_write_whose_caller_is_gone_is_finished_and_seen(store: PostureStore, path: Path) -> None:
    await store.put(said({"firewall": claim(True)}), NOW)
    assert store.posture(DEVICE, NOW).generation == 1
    with holder(path) as lock:
        writing = asyncio.ensure_future(store.put(later(False), NOW))
        await ticks(10)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert store.posture(DEVICE, NOW).generation == 1
        lock.release()
        await until_generation(store, 2)
    assert store.posture(DEVICE, NOW).attributes["firewall"].value is False


async def test_nonce_of_a_report_whose_sender_is_gone_is_spent(store: PostureStore, path: Path) -> None:
    made, who = desk(store), device()
    body = who.report(made.nonce(who.principal, NOW))
    with holder(path) as lock:
        asked = asyncio.ensure_future(examined(made, body, who))
        await ticks(10)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        lock.release()
        assert await examined(made, body, who) is Reason.REPORT_REPLAYED


async def test_closing_waits_for_what_is_being_written_and_takes_nothing_more(path: Path) -> None:
    store = PostureStore(path)
    writing = asyncio.ensure_future(store.put(said({"firewall": claim()}), NOW))
    await ticks(1)
    store.close()
    assert changed(await writing) == [DEVICE]
    for write in (store.put(later(False), NOW), store.spend("a", NOW, NOW)):
        with pytest.raises(PostureUnavailableError, match="closed"):
            await write
    again = PostureStore(path)
    assert again.posture(DEVICE, NOW).generation == 1
    again.close()


async def test_connection_of_the_event_loop_cannot_write(store: PostureStore) -> None:
    import sqlite3

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM device")
    assert store._reader.execute("PRAGMA busy_timeout").fetchone() == (50,)
