"""Opening an origin: whole, or not at all, and by one process alone."""

from __future__ import annotations

import fcntl
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from proxy.errors import ConfigurationError, IntegrityError, SpoolError
from proxy.record import origin_file
from proxy.record.origin_file import OriginMeta
from proxy.record.receipts import Receipts


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An origin as its file has it."""

    connection: sqlite3.Connection
    meta: OriginMeta
    count: int
    head: bytes
    receipts: Receipts


def open_origin(folder: Path, origin: bytes) -> Opened:
    """:raises sqlite3.Error, OSError, SpoolError, IntegrityError: and nothing stays open"""
    connection = origin_file.connect(origin_file.database(folder, origin))
    try:
        meta = origin_file.read_meta(connection)
        count, head = origin_file.tail(connection, meta)
        key = origin_file.load_key(folder, origin)
    except (sqlite3.Error, SpoolError, IntegrityError):
        connection.close()
        raise
    receipts = Receipts(key, chain_id=meta.chain_id, contract=meta.contract, origin=origin)
    return Opened(connection=connection, meta=meta, count=count, head=head, receipts=receipts)


def open_or_create(folder: Path, chain_id: int, contract: bytes, predecessor: bytes | None = None) -> Opened:
    try:
        origin = origin_file.current(folder)
        if origin is None:
            origin = origin_file.create(
                folder,
                chain_id=chain_id,
                contract=contract,
                predecessor=predecessor,
                agreed=None if predecessor is None else 0,
            ).origin
            origin_file.point_to(folder, origin)
        opened = open_origin(folder, origin)
    except (sqlite3.Error, OSError) as error:
        raise SpoolError(f"the spool in {folder} cannot be opened: {error}") from error
    if (opened.meta.chain_id, opened.meta.contract) != (chain_id, contract):
        opened.connection.close()
        raise ConfigurationError(
            "ledger.contract: this spool was made for another contract or chain; use another record.directory"
        )
    return opened


def lock(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (folder / "lock").open("wb")
    except OSError as error:
        raise SpoolError(f"the spool folder cannot be used: {error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise ConfigurationError("record.directory: another process holds this spool") from error
    return handle
