from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.errors import PostureUnavailableError
from proxy.model import DeviceId, PostureAttribute
from proxy.posture import PostureStore

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEVICE, OTHER = DeviceId("ab" * 32), DeviceId("cd" * 32)
ROOT = Path(__file__).parents[2]


def attribute(value: bool | int | str = True, **changes: datetime) -> PostureAttribute:
    times = {"issued_at": NOW, "expires_at": NOW + timedelta(hours=1), **changes}
    return PostureAttribute(value=value, source="mdm", trust="managed", **times)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "posture.db"


@pytest.fixture
def store(path: Path) -> Iterator[PostureStore]:
    made = PostureStore(path)
    yield made
    made.close()


def write(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_what_was_put_is_found_again(store: PostureStore, path: Path) -> None:
    attributes = {"disk_encrypted": attribute(), "patch_age_days": attribute(12), "system": attribute("debian 12")}
    store.put(DEVICE, attributes)
    again = PostureStore(path)
    for each in (store, again):
        posture = each.posture(DEVICE, NOW)
        assert posture.attributes == attributes
        assert posture.generation == 1
        assert posture.expires_at == NOW + timedelta(hours=1)
    again.close()


def test_device_of_which_nothing_is_known_has_an_empty_posture(store: PostureStore) -> None:
    store.put(OTHER, {"firewall": attribute()})
    posture = store.posture(DEVICE, NOW)
    assert (dict(posture.attributes), posture.generation, posture.expires_at) == ({}, 0, None)


def test_expired_attributes_are_handed_on_with_their_times(store: PostureStore) -> None:
    """Whether that is too old is policy's to say, and it says so with a reason."""
    store.put(DEVICE, {"firewall": attribute(expires_at=NOW - timedelta(days=1))})
    assert store.posture(DEVICE, NOW).attributes["firewall"].expires_at == NOW - timedelta(days=1)


def test_put_replaces_all_and_counts_up(store: PostureStore) -> None:
    store.put(DEVICE, {"firewall": attribute(), "disk_encrypted": attribute()})
    store.put(DEVICE, {"firewall": attribute(False)})
    posture = store.posture(DEVICE, NOW)
    assert posture.generation == 2
    assert posture.attributes == {"firewall": attribute(False)}


def test_write_of_another_process_is_seen_once_looked_for(store: PostureStore, path: Path) -> None:
    store.put(DEVICE, {"firewall": attribute()})
    assert store.posture(DEVICE, NOW).attributes["firewall"].value is True
    program = (
        "import sys; from pathlib import Path; from tests.posture.test_store import *;"
        "s = PostureStore(Path(sys.argv[1])); s.put(DEVICE, {'firewall': attribute(False)}); s.close()"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=True)
    store.forget_changed()
    posture = store.posture(DEVICE, NOW)
    assert (posture.attributes["firewall"].value, posture.generation) == (False, 2)


async def test_watch_sees_the_writes_of_others(store: PostureStore, path: Path) -> None:
    assert store.posture(DEVICE, NOW).generation == 0
    watching = asyncio.ensure_future(store.watch(0.01))
    writer = PostureStore(path)
    writer.put(DEVICE, {"firewall": attribute()})
    writer.close()
    async with asyncio.timeout(5):
        while store.posture(DEVICE, NOW).generation == 0:
            await asyncio.sleep(0.01)
    watching.cancel()


@pytest.mark.parametrize(
    "content",
    [
        b"junk",
        b"",
        b"[]",
        b"7",
        b'{"firewall": 1}',
        b'{"firewall": {}}',
        b'{"firewall": {"value": true, "source": "mdm", "trust": "managed", "issued_at": "x", "expires_at": "x"}}',
        b'{"firewall": {"value": true, "source": "m", "trust": "managed", "issued_at": 1, "expires_at": 2}}',
        b'{"firewall": {"value": 1.5, "source": "mdm", "trust": "managed",'
        b' "issued_at": "2026-11-22T12:00:00Z", "expires_at": "2026-11-22T12:00:00Z"}}',
        b'{"firewall": {"value": {}, "source": "mdm", "trust": "managed",'
        b' "issued_at": "2026-11-22T12:00:00Z", "expires_at": "2026-11-22T12:00:00Z"}}',
        b'{"firewall": {"value": true, "source": "mdm", "trust": "managed",'
        b' "issued_at": "2026-11-22T12:00:00", "expires_at": "2026-11-22T12:00:00"}}',
    ],
    ids=[
        "junk",
        "empty",
        "list",
        "number",
        "no-object",
        "no-members",
        "no-times",
        "numbers",
        "float",
        "object",
        "naive",
    ],
)
def test_row_that_cannot_be_read_is_no_posture(store: PostureStore, path: Path, content: bytes) -> None:
    write(path, "INSERT INTO device VALUES (?, 1, ?)", DEVICE, content)
    store.forget_changed()
    with pytest.raises(PostureUnavailableError):
        store.posture(DEVICE, NOW)
    assert store.posture(OTHER, NOW).attributes == {}


def test_row_of_text_where_bytes_belong_is_read(store: PostureStore, path: Path) -> None:
    write(path, "INSERT INTO device VALUES (?, 1, ?)", DEVICE, "{}")
    store.forget_changed()
    assert store.posture(DEVICE, NOW).attributes == {}


def test_table_that_vanished_denies_and_says_whose_fault(store: PostureStore, path: Path) -> None:
    store.put(DEVICE, {"firewall": attribute()})
    store.posture(DEVICE, NOW)
    write(path, "DROP TABLE device")
    store.forget_changed()
    with pytest.raises(PostureUnavailableError):
        store.posture(DEVICE, NOW)


async def test_store_that_cannot_be_read_any_more_keeps_nothing_it_remembered(store: PostureStore) -> None:
    store.put(DEVICE, {"firewall": attribute()})
    store.posture(DEVICE, NOW)
    store._connection.close()
    with pytest.raises(PostureUnavailableError):
        store.forget_changed()
    with pytest.raises(PostureUnavailableError):
        store.posture(DEVICE, NOW)
    with pytest.raises(PostureUnavailableError):
        store.put(DEVICE, {})
    watching = asyncio.ensure_future(store.watch(0.001))
    await asyncio.sleep(0.02)
    assert not watching.done()  # it tries again
    watching.cancel()


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + bytes(4096)], ids=["text", "zeros"]
)
def test_file_that_is_no_database_is_refused_at_start(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(PostureUnavailableError):
        PostureStore(path)


def test_folder_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(PostureUnavailableError):
        PostureStore(tmp_path / "nowhere" / "posture.db")


def test_file_is_for_its_owner_alone(store: PostureStore, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0
