"""The tables of the posture store, and whether a file has them."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from typing import Final

from proxy.errors import PostureUnavailableError

APPLICATION: Final = 0x44435053
"""``application_id`` of the file: "DCPS"."""
VERSION: Final = 1
KEY_BYTES: Final = 32

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
        connection.execute("PRAGMA journal_mode = WAL")
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
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return (tables, version) == (0, 0)
