"""Reading a spool from another process: the anchor, the verifier, an explanation. Never writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from proxy.errors import DicomwardError, IntegrityError, SpoolError
from proxy.model import RecordRow
from proxy.record import origin_file

_BYTES: Final = ("salt", "body", "leaf", "head")


def _as_bytes(value: object) -> bytes:
    """SQLite keeps texts and numbers in a column of bytes too. No leaf follows from what they are read as here."""
    return value if isinstance(value, bytes) else b""


class OriginReader:
    """:class:`proxy.ports.SpoolReader` over one origin's file."""

    def __init__(self, folder: Path, origin: bytes) -> None:
        """
        :raises SpoolError: the file cannot be opened
        :raises IntegrityError: it holds what no index reaches, and a search for a decision would find
        """
        path = origin_file.database(folder, origin)
        try:
            self._connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
            self._meta = origin_file.read_meta(self._connection)
            pruned, _ = origin_file.floor(self._connection, self._meta)
            (lowest,) = self._connection.execute("SELECT min(idx) FROM record").fetchone()
        except sqlite3.Error as error:
            raise SpoolError(f"the spool of origin {origin.hex()} cannot be read: {error}") from error
        if lowest is not None and lowest < pruned:
            self._connection.close()
            raise IntegrityError(f"the spool of origin {origin.hex()} holds records before its first")
        self.origin = self._meta.origin
        self.predecessor = self._meta.predecessor
        self.agreed = self._meta.agreed
        self.chain_id = self._meta.chain_id
        self.contract = self._meta.contract
        self.receipt_key = self._meta.receipt_key

    def count(self) -> int:
        rows = self._query("SELECT max(idx) FROM record", ())
        return self.floor() if rows[0][0] is None else int(rows[0][0]) + 1

    def floor(self) -> int:
        return self._floor()[0]

    def head(self, count: int) -> bytes | None:
        floor, at_floor = self._floor()
        if count <= floor:
            return at_floor if count == floor else None
        rows = self._query("SELECT head FROM record WHERE idx = ?", (count - 1,))
        return bytes(rows[0][0]) if rows else None

    def rows(self, first: int, count: int) -> list[RecordRow]:
        return self._rows("WHERE idx >= ? AND idx < ? ORDER BY idx", (first, first + count))

    def find(self, decision: str) -> list[RecordRow]:
        return self._rows("WHERE id = ? AND id <> '' ORDER BY idx", (decision,))

    def close(self) -> None:
        self._connection.close()

    def _floor(self) -> tuple[int, bytes]:
        try:
            return origin_file.floor(self._connection, self._meta)
        except sqlite3.Error as error:
            raise SpoolError(f"the spool of origin {self.origin.hex()} cannot be read: {error}") from error

    def _rows(self, where: str, parameters: tuple[int | str, ...]) -> list[RecordRow]:
        found = self._query(f"SELECT {origin_file.COLUMNS} FROM record {where}", parameters)  # noqa: S608 - constants
        return [
            RecordRow(index=i, kind=str(kind), id=str(id_), **dict(zip(_BYTES, map(_as_bytes, rest), strict=True)))
            for i, kind, id_, *rest in found
        ]

    def _query(self, statement: str, parameters: tuple[int | str, ...]) -> list[Any]:
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise SpoolError(f"the spool of origin {self.origin.hex()} cannot be read: {error}") from error


def current_reader(folder: Path) -> OriginReader:
    """The origin in use.

    :raises SpoolError: there is none yet, or it cannot be read
    """
    return OriginReader(folder, _current(folder))


def _current(folder: Path) -> bytes:
    origin = origin_file.current(folder)
    if origin is None:
        raise SpoolError(f"{folder} holds no spool yet: start the proxy once")
    return origin


def open_readers(folder: Path) -> list[OriginReader]:
    """Every origin of a folder, oldest first, found through predecessors."""
    readers: list[OriginReader] = []
    origin: bytes | None = _current(folder)
    try:
        while origin is not None and origin_file.database(folder, origin).is_file():
            if any(reader.origin == origin for reader in readers):
                raise IntegrityError(f"the spool of origin {origin.hex()} is named as its own predecessor")
            reader = OriginReader(folder, origin)
            readers.append(reader)
            origin = reader.predecessor
    except DicomwardError:
        for reader in readers:
            reader.close()
        raise
    return readers[::-1]
