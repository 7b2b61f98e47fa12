"""Opening an origin: whole, or not at all, and by one process alone."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from proxy.errors import ConfigurationError, IntegrityError, SpoolError
from proxy.record import origin_file
from proxy.record.mark import Mark
from proxy.record.origin_file import OriginMeta, receipt_key
from proxy.record.receipts import Receipts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An origin as its file has it."""

    connection: sqlite3.Connection
    meta: OriginMeta
    count: int
    head: bytes
    receipts: Receipts
    mark: Mark

    def close(self) -> None:
        self.connection.close()
        self.mark.close()


def open_origin(folder: Path, origin: bytes) -> Opened:
    """The origin, checked, with everything its file shows durable.

    :raises sqlite3.Error, OSError, SpoolError, IntegrityError: and nothing stays open
    """
    path = origin_file.database(folder, origin)
    with contextlib.ExitStack() as undo:
        connection = origin_file.connect(path)
        undo.callback(connection.close)
        try:
            meta = origin_file.read_meta(connection)
        except IntegrityError as error:
            raise IntegrityError(f"{path} is damaged: {error.detail}. Restore it") from error
        if meta.origin != origin:
            raise IntegrityError(f"{path} holds another origin: files were exchanged; restore them")
        mark = Mark(origin_file.mark_file(folder, origin))
        undo.callback(mark.close)
        count, head = origin_file.tail(connection, meta, whole=path.stat().st_size <= origin_file.CHECKED_BYTES)
        _reached(path, connection, meta, mark, count)
        origin_file.settle(connection)
        key = origin_file.load_key(folder, origin)
        if receipt_key(key) != meta.receipt_key:
            raise IntegrityError(f"{origin_file.key_file(folder, origin)} is another origin's key; restore it")
        mark.write(count, head)
        undo.pop_all()
    receipts = Receipts(key, chain_id=meta.chain_id, contract=meta.contract, origin=origin)
    return Opened(connection=connection, meta=meta, count=count, head=head, receipts=receipts, mark=mark)


def _reached(path: Path, connection: sqlite3.Connection, meta: OriginMeta, mark: Mark, count: int) -> None:
    marked = mark.read()
    if marked is None:
        return
    least, head = marked
    pruned, floor_head = origin_file.floor(connection, meta)
    if least < pruned:
        return
    if count < least or origin_file.head_at(connection, least, pruned, floor_head) != head:
        raise IntegrityError(
            f"{path} holds {count} records, and {least} were durable: its log was lost, or it is of another time than "
            "the files beside it. Restore all of them, or remove 'current' to open a successor"
        )


def open_or_create(folder: Path, chain_id: int, contract: bytes, predecessor: bytes | None = None) -> Opened:
    try:
        origin = origin_file.current(folder)
        if origin is None:
            _refuse_second_life(folder, predecessor)
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
        raise SpoolError(
            f"the spool in {folder} cannot be opened: {error}. Restore it, or remove 'current' to open a successor"
        ) from error
    if (opened.meta.chain_id, opened.meta.contract) != (chain_id, contract):
        opened.close()
        raise ConfigurationError(
            "ledger.contract: this spool was made for another contract or chain; use another record.directory"
        )
    return opened


def _refuse_second_life(folder: Path, predecessor: bytes | None) -> None:
    """A folder without its pointer is new, or left for a successor, or has lost the pointer.

    A file that a crash left while it was made has no mark: it never was in use.
    """
    used = sorted(path.stem for path in folder.glob("*.mark") if path.stat().st_size)
    if used and predecessor is None:
        raise IntegrityError(
            f"{folder / 'current'}, the spool's pointer, is missing, and there are spools beside it: write the name of "
            "the origin in use into it, or move them away to begin anew"
        )
    if used:
        logger.critical("the spool's pointer is gone: a successor is opened", extra={"left": used[:16]})


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
