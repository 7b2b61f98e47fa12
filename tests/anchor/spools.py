"""Spools with plausible records, and the ways in which somebody with access to the file may tamper with them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from proxy import commitment
from proxy.model import JsonObject
from proxy.record import origin_file
from proxy.record.origin_file import OriginMeta
from proxy.record.reader import OriginReader

TIME = "2025-11-22T19:40:00.123Z"
"""Long ago, so that every block is later."""


def decision(identity: str, *, allow: bool = True) -> JsonObject:
    return {
        "v": 1,
        "kind": "decision",
        "time": TIME,
        "id": identity,
        "input": {
            "version": 1,
            "time": TIME,
            "request": {"id": identity, "action": "retrieve", "level": "study", "study": "1.2.3", "method": "GET"},
            "subject": {"certificate": {"name": "urn:dicomward:device:radiologist"}, "user": None},
            "device": {
                "id": "ab" * 32,
                "posture": {
                    "disk_encrypted": {
                        "value": True,
                        "source": "mdm",
                        "trust": "managed",
                        "issued_at": TIME,
                        "expires_at": TIME,
                    }
                },
            },
        },
        "verdict": {
            "allow": allow,
            "reasons": [] if allow else ["posture-stale"],
            "obligations": [],
            "policy": "cd" * 32,
        },
        "http": {"method": "GET", "target_sha256": "ef" * 32},
        "status": 200 if allow else 403,
    }


def outcome(identity: str) -> JsonObject:
    return {
        "v": 1,
        "kind": "outcome",
        "time": TIME,
        "id": identity,
        "status": "complete",
        "http_status": 200,
        "bytes": 1000,
        "sha256": "00" * 32,
    }


def identity(number: int) -> str:
    return f"{number:032x}"


class SpoolFile:
    """One folder whose current origin can be written and rewritten."""

    def __init__(self, folder: Path, chain_id: int, contract: bytes, key: OriginMeta | None = None) -> None:
        self.folder = folder
        self.meta = key or origin_file.create(folder, chain_id=chain_id, contract=contract)
        origin_file.point_to(folder, self.meta.origin)
        self.decisions = 0

    @property
    def origin(self) -> bytes:
        return self.meta.origin

    @property
    def path(self) -> Path:
        return origin_file.database(self.folder, self.origin)

    def reader(self) -> OriginReader:
        return OriginReader(self.folder, self.origin)

    def write(self, records: list[JsonObject]) -> None:
        reader = self.reader()
        first = reader.count()
        head = reader.head(first)
        reader.close()
        assert head is not None
        rows = []
        for index, record in enumerate(records, first):
            body, salt = commitment.canonical(record), os.urandom(32)
            leaf = commitment.leaf_of(salt, body)
            head = commitment.next_head(head, leaf)
            rows.append((index, record["kind"], record.get("id", ""), salt, body, leaf, head))
        self.sql(lambda db: db.executemany("INSERT INTO record VALUES (?,?,?,?,?,?,?)", rows))

    def fill(self, decisions: int) -> None:
        """Decisions with their outcomes: two records each."""
        records: list[JsonObject] = []
        for number in range(self.decisions, self.decisions + decisions):
            records += [decision(identity(number)), outcome(identity(number))]
        self.decisions += decisions
        self.write(records)

    def sql(self, work: Callable[[sqlite3.Connection], object]) -> None:
        connection = origin_file.connect(self.path)
        try:
            connection.execute("BEGIN")
            work(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()

    # ------------------------------------------------------------------------------------- tampering

    def change_record(self, index: int) -> None:
        """One byte: version 1 becomes version 2."""
        changed = """CAST(replace(CAST(body AS TEXT), '"v":1', '"v":2') AS BLOB)"""
        self.sql(lambda db: db.execute(f"UPDATE record SET body = {changed} WHERE idx = ?", (index,)))

    def change_leaf(self, index: int) -> None:
        self.sql(lambda db: db.execute("UPDATE record SET leaf = ? WHERE idx = ?", (os.urandom(32), index)))

    def change_head(self, index: int) -> None:
        self.sql(lambda db: db.execute("UPDATE record SET head = ? WHERE idx = ?", (os.urandom(32), index)))

    def turn_into_text(self, column: str, index: int) -> None:
        self.sql(lambda db: db.execute(f"UPDATE record SET {column} = 'text' WHERE idx = ?", (index,)))

    def drop(self, index: int) -> None:
        self.sql(lambda db: db.execute("DELETE FROM record WHERE idx = ?", (index,)))

    def cut_to(self, count: int) -> None:
        self.sql(lambda db: db.execute("DELETE FROM record WHERE idx >= ?", (count,)))

    def swap(self, one: int, other: int) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE record SET idx = -1 WHERE idx = ?", (one,))
            db.execute("UPDATE record SET idx = ? WHERE idx = ?", (one, other))
            db.execute("UPDATE record SET idx = ? WHERE idx = -1", (other,))

        self.sql(work)

    def shift(self, index: int, by: int) -> None:
        """Renumber all records from ``index`` on."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE record SET idx = -idx - 1000000 WHERE idx >= ?", (index,))
            db.execute("UPDATE record SET idx = -idx - 1000000 + ? WHERE idx < 0", (by,))

        self.sql(work)

    def duplicate(self, index: int) -> None:
        """Insert a copy of a record behind itself and renumber the rest."""
        self.shift(index + 1, 1)
        self.sql(
            lambda db: db.execute(
                "INSERT INTO record SELECT idx + 1, kind, id, salt, body, leaf, head FROM record WHERE idx = ?",
                (index,),
            )
        )

    def rewrite(self, index: int, record: JsonObject) -> None:
        """Replace a record with another and recompute leaf and heads to the end: consistent in itself."""
        body = commitment.canonical(record)
        self.sql(lambda db: db.execute("UPDATE record SET body = ? WHERE idx = ?", (body, index)))
        self.recompute()

    def recompute(self) -> None:
        def work(db: sqlite3.Connection) -> None:
            head = self.meta.genesis
            for index, salt, body in db.execute("SELECT idx, salt, body FROM record ORDER BY idx").fetchall():
                leaf = commitment.leaf_of(salt, body)
                head = commitment.next_head(head, leaf)
                db.execute("UPDATE record SET leaf = ?, head = ? WHERE idx = ?", (leaf, head, index))

        self.sql(work)
