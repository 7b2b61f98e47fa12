"""The tables of the posture store, whether a file has them, and whose fault it is where they cannot be used."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.errors import PostureUnavailableError

APPLICATION: Final = 0x44435053
"""``application_id`` of the file: "DCPS"."""
VERSION: Final = 1
KEY_BYTES: Final = 32
SWITCH_S: Final = 2.0

# Times are milliseconds since 1970. ``change`` counts up over all devices, so that a worker forgets only those that
# another one wrote; ``fresh_until`` is kept beside the claims for metrics.
_TABLES: Final = (
    """CREATE TABLE device (
      id TEXT PRIMARY KEY, generation INTEGER NOT NULL, change INTEGER NOT NULL, fresh_until INTEGER NOT NULL,
      reported_at INTEGER, claims BLOB NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX device_change ON device (change)",
    "CREATE INDEX device_fresh ON device (fresh_until)",
    "CREATE TABLE spent (once TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX spent_until ON spent (until)",
    "CREATE TABLE secret (only INTEGER PRIMARY KEY CHECK (only = 1), key BLOB NOT NULL)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables where the file is empty, and else see that they are ours.

    :raises PostureUnavailableError: they are not
    :raises sqlite3.Error: the file cannot be used
    """
    if _is_empty(connection):
        _switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _is_empty(connection):  # no other worker was first
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute("INSERT INTO secret VALUES (1, ?)", (secrets.token_bytes(KEY_BYTES),))
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) != (APPLICATION, VERSION):
        raise PostureUnavailableError(
            f"{path}: is not a posture store of this version; stop the proxy, move the file away and start again: "
            "devices report anew"
        )
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Where two processes switch together SQLite refuses one at once, whatever its timeout: that one tries again."""
    until = time.monotonic() + SWITCH_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return (tables, version) == (0, 0)


@contextmanager
def available(what: str) -> Iterator[None]:
    """Nothing of SQLite leaves this room. Errors of form are of rows that we did not write."""
    try:
        yield
    except sqlite3.Error as error:
        raise PostureUnavailableError(f"{what}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # Not its text: it may hold what was stored.
        raise PostureUnavailableError(f"{what}: cannot be read: {type(error).__name__}") from error
