from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import PostureUnavailableError
from proxy.model import DeviceClaims, DeviceId, PostureReport, Taken, Trust
from proxy.posture import PostureStore, RemainingLife, schema
from proxy.posture.store import REMEMBERED
from tests.posture.making import DEVICE, NOW, OTHER, changed, claim, said, seconds

ROOT = Path(__file__).parents[2]


def fleet(value: bool = True, **changes: object) -> PostureReport:
    attributes = {"firewall": claim(value, source="fleet", trust=Trust.MANAGED, **changes)}
    return said(attributes, source="fleet", trust=Trust.MANAGED)


def write(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def in_process(path: Path, program: str) -> str:
    head = (
        "import asyncio, sys; from pathlib import Path; from tests.posture.making import *;"
        "s = PostureStore(Path(sys.argv[1]));"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + program, str(path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


async def test_what_was_put_is_found_again(store: PostureStore, path: Path) -> None:
    attributes = {"disk_encryption": claim(), "patch_age_days": claim(12), "os_name": claim("debian")}
    assert changed(await store.put(said(attributes), NOW)) == [DEVICE]
    again = PostureStore(path)
    for each in (store, again):
        posture = each.posture(DEVICE, NOW)
        assert posture.attributes == attributes
        assert posture.generation == 1
        assert posture.expires_at == NOW + seconds(900)
    again.close()


async def test_device_of_which_nothing_is_known_has_an_empty_posture(store: PostureStore) -> None:
    await store.put(said({"firewall": claim()}, device=OTHER), NOW)
    posture = store.posture(DEVICE, NOW)
    assert (dict(posture.attributes), posture.generation, posture.expires_at) == ({}, 0, None)
    assert store.reported_at(DEVICE) is None


async def test_expired_attributes_are_handed_on_with_their_times(store: PostureStore) -> None:
    """Whether that is too old is policy's to say, and it says so with a reason."""
    await store.put(said({"firewall": claim(expires_at=NOW - seconds(1))}), NOW)
    assert store.posture(DEVICE, NOW).attributes["firewall"].expires_at == NOW - seconds(1)


async def test_own_report_replaces_the_one_before_and_counts_up(store: PostureStore) -> None:
    await store.put(said({"firewall": claim(), "disk_encryption": claim()}), NOW)
    later = {"issued_at": NOW + seconds(1)}
    assert changed(await store.put(said({"firewall": claim(False, **later)}, **later), NOW)) == [DEVICE]
    posture = store.posture(DEVICE, NOW)
    assert posture.generation == 2
    assert posture.attributes == {"firewall": claim(False, **later)}
    assert store.reported_at(DEVICE) == NOW + seconds(1)


async def test_new_times_alone_are_no_change_of_a_value(store: PostureStore) -> None:
    await store.put(said({"patch_age_days": claim(1), "os_name": claim("a")}), NOW)
    later = {"issued_at": NOW + seconds(1)}
    again = said({"patch_age_days": claim(1, **later), "os_name": claim("a", **later)}, **later)
    assert await store.put(again, NOW) == Taken(changed=(), attributes=2)
    assert store.posture(DEVICE, NOW).generation == 2
    third = {"issued_at": NOW + seconds(2)}
    other = said({"patch_age_days": claim(True, **third), "os_name": claim("a", **third)}, **third)
    assert await store.put(other, NOW) == Taken(changed=(DEVICE,), attributes=2)


@pytest.mark.parametrize("earlier_s", [0, 0.001, 5])
async def test_report_that_is_not_later_than_the_last_is_not_put(store: PostureStore, earlier_s: float) -> None:
    await store.put(said({"firewall": claim()}), NOW)
    at = NOW - seconds(earlier_s)
    assert await store.put(said({"firewall": claim(False, issued_at=at)}, issued_at=at), NOW) is None
    assert store.posture(DEVICE, NOW).attributes["firewall"].value is True
    assert store.posture(DEVICE, NOW).generation == 1


async def test_own_report_of_several_devices_is_put_whole_or_not_at_all(store: PostureStore) -> None:
    await store.put(said({"firewall": claim()}, device=OTHER), NOW)
    both = tuple(DeviceClaims(device=each, attributes={"firewall": claim(False)}) for each in (DEVICE, OTHER))
    report = PostureReport(source="agent", trust=Trust.REPORTED, sha256="", issued_at=NOW, claims=both)
    assert await store.put(report, NOW) is None
    assert store.posture(DEVICE, NOW).attributes == {}


async def test_management_that_is_late_changes_nothing(store: PostureStore) -> None:
    await store.put(fleet(False), NOW)
    assert changed(await store.put(fleet(True, issued_at=NOW - seconds(1)), NOW)) == []
    posture = store.posture(DEVICE, NOW)
    assert (posture.attributes["firewall"].value, posture.generation) == (False, 1)


async def test_remembered_posture_is_merged_anew_when_a_claim_expires(store: PostureStore) -> None:
    await store.put(said({"firewall": claim(False)}), NOW)
    await store.put(fleet(expires_at=NOW + seconds(10)), NOW)
    before = store.posture(DEVICE, NOW)
    assert (before.attributes["firewall"].source, len(before.attributes["firewall"].others)) == ("fleet", 1)
    assert store.posture(DEVICE, NOW + seconds(9.999)) is before
    assert before.expires_at == NOW + seconds(10)
    after = store.posture(DEVICE, before.expires_at)
    ended = after.attributes["firewall"]
    assert (ended.value, ended.expires_at, [each.value for each in ended.others]) == (True, before.expires_at, [False])
    assert after.generation == before.generation
    last = store.posture(DEVICE, NOW + seconds(900))
    assert (last.attributes["firewall"].source, last.attributes["firewall"].others) == ("fleet", ())
    assert store.posture(DEVICE, NOW) == before  # the clock was set back


def test_no_more_devices_are_remembered_than_fit(store: PostureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REMEMBERED == 50_000
    monkeypatch.setattr("proxy.posture.store.REMEMBERED", 2)
    for number in range(5):
        store.posture(DeviceId(f"{number:064}"), NOW)
        assert len(store._devices) <= 2


async def test_write_of_another_process_is_seen_and_only_that_device_forgotten(store: PostureStore, path: Path) -> None:
    await store.put(said({"firewall": claim()}), NOW)
    await store.put(said({"firewall": claim()}, device=OTHER), NOW)
    store.forget_changed()  # of its own writes, which it forgot already
    other = store.posture(OTHER, NOW)
    assert store.posture(DEVICE, NOW).attributes["firewall"].value is True
    in_process(path, "asyncio.run(s.put(said({'firewall': claim(False)}, issued_at=NOW + seconds(1)), NOW))")
    store.forget_changed()
    posture = store.posture(DEVICE, NOW)
    assert (posture.attributes["firewall"].value, posture.generation) == (False, 2)
    assert store.posture(OTHER, NOW) is other


async def test_watch_sees_the_writes_of_others(store: PostureStore, path: Path) -> None:
    assert store.posture(DEVICE, NOW).generation == 0
    watching = asyncio.ensure_future(store.watch(0.01))
    writer = PostureStore(path)
    await writer.put(said({"firewall": claim()}), NOW)
    writer.close()
    async with asyncio.timeout(5):
        while store.posture(DEVICE, NOW).generation == 0:
            await asyncio.sleep(0.01)
    watching.cancel()


async def test_what_is_good_once_is_good_once_in_all_processes(store: PostureStore, path: Path) -> None:
    end = NOW + seconds(60)
    assert await store.spend("nonce/a", end, NOW)
    assert not await store.spend("nonce/a", end, NOW)
    assert store.is_spent("nonce/a")
    assert not store.is_spent("nonce/b")
    assert in_process(
        path, "print(*(asyncio.run(s.spend(f'nonce/{each}', NOW + seconds(60), NOW)) for each in 'ab'))"
    ) == ("False True")
    assert store.is_spent("nonce/b")


async def test_what_is_spent_is_forgotten_when_it_would_have_ended_and_not_before(store: PostureStore) -> None:
    await store.spend("a", NOW + seconds(60), NOW)
    await store.spend("b", NOW + seconds(99), NOW + seconds(60))
    assert store.is_spent("a")
    await store.spend("c", NOW + seconds(99), NOW + seconds(60.001))
    assert not store.is_spent("a")
    assert store.is_spent("b")


async def test_id_is_spent_together_with_what_it_brings(store: PostureStore) -> None:
    once = ("webhook/1", NOW + seconds(300))
    attributes = {"firewall": claim(source="fleet", trust=Trust.MANAGED)}
    report = said(attributes, source="fleet", trust=Trust.MANAGED, once=once)
    assert changed(await store.put(report, NOW)) == [DEVICE]
    generation = store.posture(DEVICE, NOW).generation
    assert await store.put(report, NOW) is None
    assert store.posture(DEVICE, NOW).generation == generation


async def test_write_that_fails_halfway_leaves_all_as_it_was(store: PostureStore, path: Path) -> None:
    write(path, "INSERT INTO device VALUES (?, 1, 1, 0, NULL, ?)", OTHER, b"junk")
    claims = tuple(DeviceClaims(device=each, attributes={"firewall": claim()}) for each in (DEVICE, OTHER))
    report = PostureReport(
        source="fleet", trust=Trust.MANAGED, sha256="", issued_at=NOW, claims=claims, once=("id", NOW + seconds(9))
    )
    with pytest.raises(PostureUnavailableError):
        await store.put(report, NOW)
    assert store.posture(DEVICE, NOW).attributes == {}
    assert not store.is_spent("id")
    assert changed(await store.put(said({"firewall": claim()}), NOW)) == [DEVICE]  # no transaction was left open


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.05, 0.1])
async def test_process_killed_while_it_writes_leaves_the_old_or_the_new(path: Path, wait_s: float) -> None:
    """Both attributes of both devices are written with one number at a time; never are they seen with two."""
    program = """
import sys
from tests.posture.making import *
store = PostureStore(Path(sys.argv[1]))
print("begun", flush=True)
async def write():
    for n in range(10**6):
        at = NOW + timedelta(milliseconds=n)
        told = {name: claim(n, source="fleet", trust=Trust.MANAGED, issued_at=at) for name in ("a", "b")}
        both = tuple(DeviceClaims(device=each, attributes=told) for each in (DEVICE, OTHER))
        await store.put(PostureReport(source="fleet", trust=Trust.MANAGED, sha256="", issued_at=at, claims=both), NOW)
asyncio.run(write())
"""
    program = "import asyncio\nfrom pathlib import Path\n" + program
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    if wait_s == 0.0:
        while PostureStore(path).posture(DEVICE, NOW).generation == 0:
            time.sleep(0.001)
    time.sleep(wait_s)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    store = PostureStore(path)
    numbers = [
        attribute.value for each in (DEVICE, OTHER) for attribute in store.posture(each, NOW).attributes.values()
    ]
    assert len(set(numbers)) <= 1
    assert len(numbers) in (0, 4)
    assert changed(await store.put(said({"firewall": claim()}), NOW)) == [DEVICE]
    store.close()


def test_workers_that_start_together_share_one_file_and_one_key(path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from proxy.posture import PostureStore;"
        "time.sleep(max(0, float(sys.argv[2]) - time.time())); print(PostureStore(Path(sys.argv[1])).nonce_key().hex())"
    )
    at = str(time.time() + 1)
    command = [sys.executable, "-c", program, str(path), at]
    workers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {worker.communicate()[0].strip() for worker in workers}
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    assert [worker.returncode for worker in workers] == [0] * 4


class Refusing(sqlite3.Connection):
    """Of two that switch at the same moment: refused at once, a few times."""

    refusals = 3
    code = sqlite3.SQLITE_BUSY

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if "journal_mode" in statement and self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(statement, *parameters)


def test_worker_that_starts_while_another_makes_the_file_tries_again(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None, factory=Refusing)
    schema.prepare(connection, path)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_worker_does_not_try_again_for_ever_nor_what_failed_otherwise(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.posture.schema.SWITCH_S", 0.05)
    for code, refusals in ((sqlite3.SQLITE_BUSY, 10**6), (sqlite3.SQLITE_IOERR, 1)):
        connection = sqlite3.connect(path, isolation_level=None, factory=Refusing)
        connection.code, connection.refusals = code, refusals
        with pytest.raises(sqlite3.OperationalError):
            schema.prepare(connection, path)
        connection.refusals = 0
        connection.close()


async def test_remaining_life_is_of_devices_that_are_told_whole(store: PostureStore) -> None:
    assert store.remaining(NOW) == RemainingLife(fresh=0, expired=0, shortest_s=None, median_s=None)
    for number, life in enumerate((-5, 0, 10, 20, 400)):
        told = {"a": claim(expires_at=NOW + seconds(life)), "b": claim(expires_at=NOW + seconds(900))}
        await store.put(said(told, device=DeviceId(f"{number:064}")), NOW)
    assert store.remaining(NOW) == RemainingLife(fresh=3, expired=2, shortest_s=10.0, median_s=20.0)
    assert store.remaining(NOW + seconds(400)) == RemainingLife(fresh=0, expired=5, shortest_s=None, median_s=None)


@pytest.mark.parametrize(
    "content",
    [
        b"junk",
        b"",
        b"[]",
        b"7",
        b'{"firewall": 1}',
        b'{"firewall": {"agent": {}}}',
        b'{"firewall": {"agent": [true, "reported", 1]}}',
        b'{"firewall": {"agent": [true, "sworn", 1, 2]}}',
        b'{"firewall": {"agent": [true, "reported", "1", 2]}}',
        b'{"firewall": {"agent": [1.5, "reported", 1, 2]}}',
        b'{"firewall": {"agent": [{}, "reported", 1, 2]}}',
        b'{"firewall": {"agent": [true, "reported", 1, 999999999999999999]}}',
        '{"fïrewall": {}}'.encode(),
    ],
)
def test_row_that_cannot_be_read_is_no_posture(store: PostureStore, path: Path, content: bytes) -> None:
    write(path, "INSERT INTO device VALUES (?, 1, 1, 0, NULL, ?)", DEVICE, content)
    store.forget_changed()
    with pytest.raises(PostureUnavailableError) as caught:
        store.posture(DEVICE, NOW)
    assert "firewall" not in str(caught.value)
    assert store.posture(OTHER, NOW).attributes == {}


async def test_table_that_vanished_denies_and_says_whose_fault(store: PostureStore, path: Path) -> None:
    await store.put(said({"firewall": claim()}), NOW)
    store.posture(DEVICE, NOW)
    write(path, "DROP TABLE device")
    with pytest.raises(PostureUnavailableError):
        store.forget_changed()
    for question in (store.posture, lambda device, now: store.remaining(now)):
        with pytest.raises(PostureUnavailableError):
            question(DEVICE, NOW)


def test_key_that_vanished_is_not_replaced_by_a_guess(store: PostureStore, path: Path) -> None:
    for statement in ("UPDATE secret SET key = x'00'", "DELETE FROM secret"):
        write(path, statement)
        with pytest.raises(PostureUnavailableError):
            store.nonce_key()


async def test_store_that_cannot_be_read_any_more_keeps_nothing_it_remembered(store: PostureStore) -> None:
    await store.put(said({"firewall": claim()}), NOW)
    store.posture(DEVICE, NOW)
    store._reader.close()
    store._writer._connection.close()
    with pytest.raises(PostureUnavailableError):
        store.forget_changed()
    for question in (
        lambda: store.posture(DEVICE, NOW),
        lambda: store.is_spent("a"),
        lambda: store.reported_at(DEVICE),
        store.nonce_key,
    ):
        with pytest.raises(PostureUnavailableError):
            question()
    for write in (store.put(said({}), NOW), store.spend("a", NOW, NOW)):
        with pytest.raises(PostureUnavailableError):
            await write
    watching = asyncio.ensure_future(store.watch(0.001))
    await asyncio.sleep(0.02)
    assert not watching.done()  # it tries again
    watching.cancel()


def refused(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(PostureUnavailableError) as caught:
        PostureStore(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + bytes(4096)], ids=["text", "zeros"]
)
def test_file_that_is_no_database_is_refused_at_start(path: Path, content: bytes) -> None:
    assert str(path) in refused(path, content)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE device (id TEXT PRIMARY KEY, generation INTEGER NOT NULL, attributes BLOB NOT NULL)",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 2",
    ],
    ids=["version-before", "version-alone", "later"],
)
def test_file_of_somebody_else_or_another_version_is_refused_and_left_alone(path: Path, statement: str) -> None:
    write(path, statement)
    path.chmod(0o600)
    before = path.read_bytes()
    assert "move the file away" in refused(path)
    assert path.read_bytes() == before


def test_store_of_a_later_version_is_refused(store: PostureStore, path: Path) -> None:
    write(path, "PRAGMA user_version = 2")
    assert "move the file away" in refused(path)


def test_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path / "nowhere" / "posture.db")
    assert not (tmp_path / "nowhere").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "is not a file" in refused(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is not a file" in refused(tmp_path / "link")


async def test_file_is_for_its_owner_alone(store: PostureStore, path: Path) -> None:
    await store.put(said({"firewall": claim()}), NOW)
    for each in path.parent.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each
    os.chmod(path, 0o640)
    assert "chmod 600" in refused(path)


def test_new_file_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        PostureStore(path).close()
    assert [record.message for record in caplog.records] == [f"posture store {path} is new: every device has to report"]
