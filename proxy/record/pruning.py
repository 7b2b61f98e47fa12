"""Taking the oldest records out of an origin, in steps so short that no request notices.

What goes is final on the chain, published as evidence, and older than the site keeps. The floor, and the head at it,
stay in the file: everything above can still be verified from there.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import orjson

ROWS: Final = 128
"""Most records of one step."""
PAGES: Final = 64
"""Most pages that one step gives back to the disk; of 16 KiB each."""


def step(connection: sqlite3.Connection, upto: int, before: str) -> int:
    """Remove up to :data:`ROWS` records below ``upto`` whose time is before ``before``. Returns how many went.

    The first record that is kept keeps all after it, also where a clock went back in between.

    :raises sqlite3.Error: nothing of the step happened
    """
    (lowest,) = connection.execute("SELECT min(idx) FROM record").fetchone()
    if lowest is None:
        return 0
    until = min(lowest + ROWS, upto)
    found = connection.execute("SELECT idx, body, head FROM record WHERE idx < ? ORDER BY idx", (until,)).fetchall()
    floor, head = lowest, b""
    for index, body, following in found:
        time = orjson.loads(body).get("time")
        if not isinstance(time, str) or time >= before:
            break
        floor, head = index + 1, following
    if floor == lowest:
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("DELETE FROM record WHERE idx < ?", (floor,))
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [("floor", floor), ("floor_head", head)])
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.executescript(f"PRAGMA incremental_vacuum({PAGES})")  # execute() would take the first page alone
    return int(floor - lowest)
