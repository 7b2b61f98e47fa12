"""Records for the tests of this room, and a look at what a spool's file holds."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from proxy import commitment
from proxy.model import JsonObject, RecordRow
from proxy.record import Spool, origin_file
from proxy.record.reader import OriginReader, current_reader

CHAIN_ID = 31337
CONTRACT = bytes.fromhex("5fbdb2315678afecb367f032d93f642f64180aa3")
NOW = datetime(2026, 11, 22, 19, 40, tzinfo=UTC)


def body(number: int, identity: str | None = None) -> JsonObject:
    return {"v": 1, "kind": "decision", "id": identity or f"{number:032x}", "number": number}


def stored(folder: Path, origin: bytes | None = None) -> list[RecordRow]:
    """All rows, checked: gap-free, each leaf of its body, each head of the leaves before it."""
    reader = current_reader(folder) if origin is None else OriginReader(folder, origin)
    try:
        rows = reader.rows(0, 1_000_000)
        head = reader.head(0)
        assert head is not None
        for index, row in enumerate(rows):
            assert row.index == index
            assert row.leaf == commitment.leaf_of(row.salt, row.body)
            head = commitment.next_head(head, row.leaf)
            assert row.head == head
        assert reader.count() == len(rows)
        return rows
    finally:
        reader.close()


def break_connection(spool: Spool) -> None:
    """As a disk that goes away: the next statement fails, a connection opened anew works."""
    spool._connection.close()


def fill_disk(spool: Spool, pages: int = 0) -> None:
    """SQLITE_FULL for this connection after so many more pages."""
    (used,) = spool._connection.execute("PRAGMA page_count").fetchone()
    spool._connection.execute(f"PRAGMA max_page_count = {used + pages}")


def forbid_reopening(folder: Path, origin: bytes) -> Path:
    """Take the file away from a path, so that a reopened connection finds nothing of it. Returns where it went."""
    path = origin_file.database(folder, origin)
    away = path.with_suffix(".away")
    path.rename(away)
    return away


def tamper(folder: Path, origin: bytes, statement: str) -> None:
    connection = sqlite3.connect(origin_file.database(folder, origin))
    connection.execute(statement)
    connection.commit()
    connection.close()
