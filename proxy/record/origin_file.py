"""One origin on disk: a SQLite file and the key that signs its receipts. Creation, opening and succession.

``<folder>/current`` names the origin in use; earlier ones are found through ``predecessor``. A file that no
chain of predecessors reaches was left by a crash during creation and is ignored.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy import commitment
from proxy.errors import IntegrityError, SpoolError
from proxy.model import RecordRow

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE record (
  idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL,
  salt BLOB NOT NULL, body BLOB NOT NULL, leaf BLOB NOT NULL, head BLOB NOT NULL
);
CREATE INDEX record_id ON record (id) WHERE id <> '';
"""
COLUMNS = "idx, kind, id, salt, body, leaf, head"
CHECKED_BYTES: Final = 512 * 2**20
"""A file up to this size is checked whole when it is opened; a larger one at its end, and by the verifier."""
TAIL: Final = 256
"""Records at the end whose leaves and heads are computed again when a file is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginMeta:
    origin: bytes
    predecessor: bytes | None
    agreed: int | None
    chain_id: int
    contract: bytes
    receipt_key: bytes

    @property
    def genesis(self) -> bytes:
        return commitment.genesis(self.chain_id, self.contract, self.origin)


def database(folder: Path, origin: bytes) -> Path:
    return folder / f"{origin.hex()}.db"


def key_file(folder: Path, origin: bytes) -> Path:
    return folder / f"{origin.hex()}.key"


def mark_file(folder: Path, origin: bytes) -> Path:
    return folder / f"{origin.hex()}.mark"


def current(folder: Path) -> bytes | None:
    """The origin in use, ``None`` in a folder that never had one.

    :raises IntegrityError: the pointer is not an origin, or its file is gone
    """
    try:
        text = (folder / "current").read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpoolError(f"{folder / 'current'}, the spool's pointer, cannot be read") from error
    try:
        origin = bytes.fromhex(text)
    except ValueError as error:
        raise IntegrityError(
            f"{folder / 'current'}, the spool's pointer, is not an origin: write the name of the origin in use into "
            "it, or remove it to open a successor"
        ) from error
    if len(origin) != 32 or not database(folder, origin).is_file():
        raise IntegrityError(
            f"the spool of origin {text[:64]} is missing: restore it, or remove 'current' to begin anew"
        )
    return origin


def point_to(folder: Path, origin: bytes) -> None:
    """Durably make ``origin`` the one in use."""
    temporary = folder / "current.new"
    with temporary.open("w", encoding="ascii") as file:
        file.write(origin.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / "current")
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that exists, which commits only through fsync, each statement its own transaction."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=1024,
    )
    # Large pages: a record is about 2 KiB, and four-KiB pages cost twice the system time a record.
    connection.execute("PRAGMA page_size = 16384")
    # Of effect in a new file only: what is pruned goes back to the disk in steps.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def create(
    folder: Path,
    *,
    chain_id: int,
    contract: bytes,
    predecessor: bytes | None = None,
    agreed: int | None = None,
    carried: Iterable[RecordRow] = (),
) -> OriginMeta:
    """A new origin with its receipt key, not yet the one in use.

    ``carried`` rows keep salt, body and leaf and get new places: what a predecessor lost on the chain. They are read
    one after the other and may be many.
    """
    origin = secrets.token_bytes(32)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = receipt_key(key)
    _write_private(key_file(folder, origin), pem)
    path = database(folder, origin)
    _write_private(path, b"")
    meta = OriginMeta(
        origin=origin,
        predecessor=predecessor,
        agreed=agreed,
        chain_id=chain_id,
        contract=contract,
        receipt_key=public,
    )
    connection = connect(path)
    try:
        connection.executescript(SCHEMA)
        values = {
            "origin": origin,
            "predecessor": predecessor,
            "agreed": agreed,
            "chain_id": chain_id,
            "contract": contract,
            "receipt_key": public,
        }
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", _replaced(meta, carried))
        connection.execute("COMMIT")
    finally:
        connection.close()
    _sync_folder(folder)
    return meta


def _replaced(
    meta: OriginMeta, rows: Iterable[RecordRow]
) -> Iterator[tuple[int, str | None, str, bytes, bytes, bytes, bytes]]:
    head = meta.genesis
    for index, row in enumerate(rows):
        head = commitment.next_head(head, row.leaf)
        yield index, row.kind, row.id, row.salt, row.body, row.leaf, head


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_meta(connection: sqlite3.Connection) -> OriginMeta:
    values = dict(connection.execute("SELECT key, value FROM meta"))
    try:
        return OriginMeta(
            origin=values["origin"],
            predecessor=values["predecessor"],
            agreed=values["agreed"],
            chain_id=values["chain_id"],
            contract=values["contract"],
            receipt_key=values["receipt_key"],
        )
    except KeyError as error:
        raise IntegrityError(f"the spool's description lacks {error}") from error


def floor(connection: sqlite3.Connection, meta: OriginMeta) -> tuple[int, bytes]:
    """How many of the first records were pruned, and the head after them."""
    found = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('floor', 'floor_head')"))
    return (found["floor"], found["floor_head"]) if found.get("floor") else (0, meta.genesis)


def settle(connection: sqlite3.Connection) -> None:
    """Write what the log holds into the database and begin the log anew, all of it through fsync.

    After an fsync that failed, Linux shows in its cache what the disk does not hold. A log continued behind such a
    page would be cut there by the next loss of power, with everything acknowledged since.

    :raises SpoolError: a reader holds the log
    """
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise SpoolError("the spool's log cannot be written back: a reader holds it")


def tail(connection: sqlite3.Connection, meta: OriginMeta, *, whole: bool) -> tuple[int, bytes]:
    """Number of records, those pruned included, and the head after them. ``whole`` looks at every page.

    :raises IntegrityError: the file is damaged, the index has a gap, or the end does not follow from itself
    """
    pruned, floor_head = floor(connection, meta)
    if whole:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise IntegrityError(f"the spool of origin {meta.origin.hex()} is damaged: restore it. SQLite says: {said}")
        (held,) = connection.execute("SELECT count(*) FROM record").fetchone()
    lowest, highest = connection.execute("SELECT min(idx), max(idx) FROM record").fetchone()
    count = pruned if highest is None else highest + 1
    if (lowest is not None and lowest != pruned) or (whole and held != count - pruned):
        raise IntegrityError(
            f"the spool of origin {meta.origin.hex()} has a gap: its first index is {lowest} and its highest index is "
            f"{highest}; restore it"
        )
    first = max(pruned, count - TAIL)
    head = head_at(connection, first, pruned, floor_head)
    rows = connection.execute("SELECT idx, salt, body, leaf, head FROM record WHERE idx >= ? ORDER BY idx", (first,))
    for expected, (index, salt, body, leaf, following) in enumerate(rows, first):
        typed = all(isinstance(value, bytes) for value in (salt, body, leaf))
        head = commitment.next_head(head, leaf) if typed else b""
        if index != expected or head != following or commitment.leaf_of(salt, body) != leaf:
            raise IntegrityError(
                f"record {expected} of the spool of origin {meta.origin.hex()} does not follow from itself: restore it"
            )
    return count, head


def head_at(connection: sqlite3.Connection, count: int, pruned: int, floor_head: bytes) -> bytes:
    """The head after ``count`` records, as stored.

    :raises IntegrityError: the file does not reach so far
    """
    if count == pruned:
        return floor_head
    row = connection.execute("SELECT head FROM record WHERE idx = ?", (count - 1,)).fetchone()
    if row is None:
        raise IntegrityError(f"the spool holds no record {count - 1}: restore it")
    return bytes(row[0])


def load_key(folder: Path, origin: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(key_file(folder, origin).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise SpoolError(f"{key_file(folder, origin)}, the key of receipts, cannot be read: restore it") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError(f"{key_file(folder, origin)} is not an Ed25519 key: restore it")
    return key


def receipt_key(key: Ed25519PrivateKey) -> bytes:
    """The raw public key, 32 bytes."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
