"""One origin on disk: a SQLite file and the key that signs its receipts. Creation, opening and succession.

``<folder>/current`` names the origin in use; earlier ones are found through ``predecessor``. A file that no
chain of predecessors reaches was left by a crash during creation and is ignored.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

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


def current(folder: Path) -> bytes | None:
    """The origin in use, ``None`` in a folder that never had one.

    :raises IntegrityError: the pointer is not an origin, or its file is gone
    """
    try:
        text = (folder / "current").read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpoolError("the spool's pointer cannot be read") from error
    try:
        origin = bytes.fromhex(text)
    except ValueError as error:
        raise IntegrityError("the spool's pointer is not an origin") from error
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
    carried: list[RecordRow] | None = None,
) -> OriginMeta:
    """A new origin with its receipt key, not yet the one in use.

    ``carried`` rows keep salt, body and leaf and get new places: what a predecessor lost on the chain.
    """
    origin = secrets.token_bytes(32)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
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
        connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", _replaced(meta, carried or []))
        connection.execute("COMMIT")
    finally:
        connection.close()
    _sync_folder(folder)
    return meta


def _replaced(meta: OriginMeta, rows: list[RecordRow]) -> list[tuple[int, str, str, bytes, bytes, bytes, bytes]]:
    head = meta.genesis
    placed = []
    for index, row in enumerate(rows):
        head = commitment.next_head(head, row.leaf)
        placed.append((index, row.kind, row.id, row.salt, row.body, row.leaf, head))
    return placed


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


def tail(connection: sqlite3.Connection, meta: OriginMeta) -> tuple[int, bytes]:
    """Number of records and the head after them.

    :raises IntegrityError: the index has a gap
    """
    count, highest = connection.execute("SELECT count(*), max(idx) FROM record").fetchone()
    if count == 0:
        return 0, meta.genesis
    if highest != count - 1:
        raise IntegrityError(f"the spool holds {count} records but its highest index is {highest}")
    (head,) = connection.execute("SELECT head FROM record WHERE idx = ?", (highest,)).fetchone()
    return count, head


def load_key(folder: Path, origin: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(key_file(folder, origin).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise SpoolError("the receipt key of this origin cannot be read") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError("the receipt key of this origin is not an Ed25519 key")
    return key
