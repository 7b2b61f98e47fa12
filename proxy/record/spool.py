"""The spool: group commit of records into SQLite, off the event loop.

The loop gathers what is pending into one batch, computes leaves and heads, and hands it to one thread that
runs *one* INSERT statement, which is one transaction and one fsync. While it runs the next batch gathers. Two
things keep it cheap: a single statement a batch (each statement gives up the interpreter's lock and has to win it
back from a busy loop), and one wake-up of the loop a batch rather than a record.

Indices are given out when a batch is formed and a batch is formed only when the one before has ended, so a batch
that fails leaves no gap.

A commit that failed says nothing about what the file holds. The connection is closed, the file opened anew and all
it shows made durable again; a batch that is then in the file counts as durable, and one that is not has failed. While
the file cannot be opened nobody knows: what was asked is answered 503, what only counts waits until it is known.

The thread does everything that touches the file: batches, pruning, the disk reserve, succession. One thing at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from proxy import commitment
from proxy.errors import IntegrityError, SpoolError
from proxy.model import Durable, JsonObject, Kind, RecordRow, wire_time
from proxy.record import opening, origin_file, pruning
from proxy.record.reader import OriginReader
from proxy.record.receipts import Receipts
from proxy.record.reserve import Reserve

logger = logging.getLogger(__name__)

LATER_S: Final = 0.05
"""How long a record that nobody waits for may wait for company."""

LOOK_S: Final = 1.0
"""How often a disk that is full, or a file that failed, is looked at."""
PRUNING_STEPS: Final = 64
"""Most steps of one call of :meth:`Spool.prune`, so that what it was told is not too old."""
CARRIED_ROWS: Final = 512
"""Rows read at a time while a successor takes them over."""

_BATCH_FAILURES: Final = (sqlite3.Error, OSError, MemoryError, ValueError, OverflowError, TypeError)
"""What a batch may end in. Were the thread to end with it, every later request would wait for ever."""

_Pending = tuple[str, str, bytes, "asyncio.Future[Durable] | None"]
_Row = tuple[int, str, str, bytes, bytes, bytes, bytes]
_Batch = tuple[list[_Row], list["asyncio.Future[Durable] | None"]]


class Spool:
    """:class:`proxy.ports.Recorder` over one folder, which it locks for itself."""

    def __init__(
        self,
        folder: Path,
        *,
        chain_id: int,
        contract: bytes,
        batch: int,
        limit: int,
        predecessor: bytes | None = None,
        reserve: int = 0,
        keep_days: int = 0,
    ) -> None:
        """Open or create the spool. To be called inside the running loop.

        ``predecessor`` is the origin that stood here before, if known: a new spool succeeds it with nothing of it.
        :param reserve: bytes of disk kept for what must still be written when it is full
        :param keep_days: age at which records may be pruned, 0 for never

        :raises ConfigurationError: another process uses the folder, or it was made for another chain or contract
        :raises SpoolError: the folder cannot be used
        :raises IntegrityError: what it holds contradicts itself
        """
        self._folder = folder
        self._size = batch
        self._limit = limit
        self._pending: deque[_Pending] = deque()
        self._busy = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()
        self.records: dict[str, int] = {kind.value: 0 for kind in Kind}
        """Durable records of this process by kind."""
        self.lost = 0
        """Records of :meth:`record_later` that did not become durable."""
        self.batches = 0
        self.pruned = 0
        """Records that this process pruned."""
        self._well = True
        self._unsure: _Batch | None = None
        """The batch whose fate only the file can tell, while it cannot be opened."""
        self._keep = timedelta(days=keep_days) if keep_days else None
        self._receipts: dict[bytes, Receipts] = {}
        """By origin: a decision of a predecessor may be answered after its successor took over."""
        with contextlib.ExitStack() as undo:
            self._lock = opening.lock(folder)
            undo.callback(self._lock.close)
            try:
                self._reserve = Reserve(folder, reserve)
            except OSError as error:
                raise SpoolError(f"{folder / 'reserve'} cannot be kept: {error}") from error
            self._use(self._opened(chain_id, contract, predecessor))
            undo.pop_all()
        self._switching = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()
        if self._reserve.spent:
            self._tell_full()
            self._look_later()

    def _opened(self, chain_id: int, contract: bytes, predecessor: bytes | None) -> opening.Opened:
        try:
            return opening.open_or_create(self._folder, chain_id, contract, predecessor)
        except SpoolError:
            if not (self._reserve.held and self._reserve.short()):
                raise
            self._reserve.release()
            return opening.open_or_create(self._folder, chain_id, contract, predecessor)

    def _use(self, opened: opening.Opened) -> None:
        self._connection, self._mark, self._open = opened.connection, opened.mark, True
        self._meta = opened.meta
        self._count, self._head = opened.count, opened.head
        self._receipts[opened.meta.origin] = opened.receipts

    @property
    def origin(self) -> bytes:
        return self._meta.origin

    @property
    def count(self) -> int:
        """Durable records of the origin in use."""
        return self._count

    @property
    def healthy(self) -> bool:
        """Whether the last batch became durable, and there is disk for more."""
        return self._well and not self._reserve.spent

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def record(self, kind: Kind, body: JsonObject) -> asyncio.Future[Durable]:
        future: asyncio.Future[Durable] = self._loop.create_future()
        self._append(kind, body, future)
        return future

    def record_later(self, kind: Kind, body: JsonObject) -> None:
        try:
            self._append(kind, body, None)
        except SpoolError:
            self.lost += 1
            logger.error("a record that nobody waits for is lost", extra={"record_kind": kind.value})

    def receipt(self, decision: str, durable: Durable, now: datetime) -> str:
        return self._receipts[durable.origin].sign(decision, durable, now)

    async def drain(self) -> None:
        """Wait until nothing is pending."""
        while self._busy or self._pending:
            self._begin()
            self._idle.clear()
            await self._idle.wait()

    async def close(self) -> None:
        await self.drain()
        self._closing = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._unsure is not None:
            self._learn(self._unsure, False)
        self._connection.close()
        self._mark.close()
        self._lock.close()

    async def succeed(self, agreed: int, now: datetime) -> bytes:
        """Leave this origin behind: the chain holds another life of it from index ``agreed`` on.

        Records from there on are carried into the successor with their leaves unchanged, so that receipts
        already given still find them. Returns the successor.
        """
        self._switching = True  # no batch begins; what comes meanwhile waits
        try:
            while self._busy:
                self._idle.clear()
                await self._idle.wait()
            carried = await self._on_thread(partial(self._switch, agreed))
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"no successor could be made: {error}") from error
        finally:
            self._switching = False
            self._idle.set()
            self._begin()
        self.record_later(
            Kind.EVENT,
            {
                "v": 1,
                "kind": Kind.EVENT.value,
                "time": wire_time(now),
                "event": "origin-succeeded",
                "predecessor": (self._meta.predecessor or b"").hex(),
                "agreed": agreed,
                "carried": carried,
            },
        )
        return self._meta.origin

    def _switch(self, agreed: int) -> int:
        reader = OriginReader(self._folder, self._meta.origin)
        try:
            successor = origin_file.create(
                self._folder,
                chain_id=self._meta.chain_id,
                contract=self._meta.contract,
                predecessor=self._meta.origin,
                agreed=agreed,
                carried=_rows(reader, max(agreed, reader.floor()), self._count),
            )
        finally:
            reader.close()
        opened = opening.open_origin(self._folder, successor.origin)
        try:
            origin_file.point_to(self._folder, successor.origin)
        except OSError:
            opened.close()
            raise
        self._connection.close()
        self._mark.close()
        self._use(opened)
        return opened.count

    async def prune(self, upto: int, now: datetime) -> int:
        """Remove records below ``upto`` that are older than is kept, a bounded number a call. Returns how many.

        ``upto``: what is final on the chain *and* published as evidence. Batches go between the steps.

        :raises SpoolError: the file could not be written; it is as it was before the step that failed
        """
        if self._keep is None:
            return 0
        before, gone = wire_time(now - self._keep), 0
        for _ in range(PRUNING_STEPS):
            if self._switching or self._closing:
                break
            try:
                step = await self._on_thread(partial(self._prune, self._meta.origin, upto, before))
            except _BATCH_FAILURES as error:
                raise SpoolError(f"records could not be pruned: {error}") from error
            if step == 0:
                break
            gone += step
            self.pruned += step
        return gone

    def _prune(self, origin: bytes, upto: int, before: str) -> int:
        return pruning.step(self._connection, upto, before) if origin == self._meta.origin else 0

    async def _on_thread(self, work: Callable[[], int]) -> int:
        done: Future[int] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except (*_BATCH_FAILURES, SpoolError, IntegrityError) as error:
                done.set_exception(error)

        self._work.put(run)
        return await asyncio.wrap_future(done)

    def _append(self, kind: Kind, body: JsonObject, future: asyncio.Future[Durable] | None) -> None:
        if self._closing or len(self._pending) >= self._limit:
            raise SpoolError("the spool takes no more records")
        if self._reserve.spent and kind in (Kind.DECISION, Kind.PART):
            raise SpoolError("the disk is full: what is left is for what was begun")
        identity = body.get("id")
        encoded = commitment.encode(body)
        self._pending.append((kind.value, identity if isinstance(identity, str) else "", encoded, future))
        if self._busy:
            return
        # Not at once: whatever else this turn of the loop records joins the same fsync, and what
        # nobody waits for joins the next one that somebody does.
        if future is not None:
            self._begin()
        elif self._timer is None:
            self._timer = self._loop.call_later(LATER_S, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._busy and not self._switching and self._pending:
            self._busy = True
            self._loop.call_soon(self._form_batch)

    def _form_batch(self) -> None:
        size = min(self._size, len(self._pending))
        salts = os.urandom(commitment.SALT_BYTES * size)
        rows: list[_Row] = []
        futures: list[asyncio.Future[Durable] | None] = []
        head = self._head
        for number in range(size):
            kind, identity, body, future = self._pending.popleft()
            salt = salts[32 * number : 32 * number + 32]
            leaf = commitment.leaf_of(salt, body)
            head = commitment.next_head(head, leaf)
            rows.append((self._count + number, kind, identity, salt, body, leaf, head))
            futures.append(future)
        self._work.put(partial(self._store, rows, futures))

    # ------------------------------------------------------------------------- on the thread

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _store(self, rows: list[_Row], futures: list[asyncio.Future[Durable] | None]) -> None:
        for _ in range(2):
            executed = self._open
            failure = self._insert(rows)
            if failure is None:
                self._count, self._head = rows[-1][0] + 1, rows[-1][6]
                self._mark.write(self._count, self._head)
                break
            room = self._make_room(failure)
            if self._reopen() and (self._count, self._head) == (rows[-1][0] + 1, rows[-1][6]):
                # The commit failed, and what it wrote is there, made durable since.
                logger.warning("a commit failed and was made good", extra={"detail": str(failure)})
                failure = None
                break
            if not (room and self._open and self._count == rows[0][0]):
                break
        unsure = failure is not None and executed and not self._open
        if unsure:
            self._unsure = (rows, futures)
        told = None if failure is None else str(failure) or type(failure).__name__
        self._loop.call_soon_threadsafe(self._settle, (rows, futures), told, unsure)

    def _insert(self, rows: list[_Row]) -> Exception | None:
        """What went wrong, if anything did."""
        places = ",".join(["(?,?,?,?,?,?,?)"] * len(rows))
        statement = f"INSERT INTO record VALUES {places}"  # noqa: S608 - placeholders only
        try:
            self._connection.execute(statement, [value for row in rows for value in row])
        except _BATCH_FAILURES as error:
            return error
        return None

    def _reopen(self) -> bool:
        """Whether the file is open again. A connection that stays closed fails every batch."""
        self._open = False
        self._connection.close()
        self._mark.close()
        try:
            opened = opening.open_origin(self._folder, self._meta.origin)
            if opened.count < self._count:
                opened.close()
                raise IntegrityError(f"{self._count} records were durable, and the file holds {opened.count}")
        except (*_BATCH_FAILURES, SpoolError, IntegrityError) as error:
            logger.error("spool cannot be reopened", extra={"detail": str(error)})
            return False
        self._use(opened)
        if self._unsure is not None:
            batch, self._unsure = self._unsure, None
            last = batch[0][-1]
            self._loop.call_soon_threadsafe(self._learn, batch, (self._count, self._head) == (last[0] + 1, last[6]))
        return True

    def _make_room(self, failure: Exception) -> bool:
        full = getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if not self._reserve.held or not (full or self._reserve.short()):
            return False
        self._reserve.release()
        self._loop.call_soon_threadsafe(self._tell_full)
        self._loop.call_soon_threadsafe(self._look_later)
        return True

    # --------------------------------------------------------------------------- on the loop

    def _tell_full(self) -> None:
        logger.critical(
            "the disk of the spool is full: new requests are refused, streams under way are still recorded from the "
            "reserve. Free space on it; service resumes by itself",
            extra={"folder": str(self._folder)},
        )

    def _look_later(self) -> None:
        if self._look_timer is None:
            self._look_timer = self._loop.call_later(LOOK_S, self._work.put, self._look)

    def _look(self) -> None:
        """On the thread: whether the disk has space again and the file can be used."""
        spent = self._reserve.spent
        try:
            room = not spent or self._reserve.take()
        except OSError:
            room = False
        well = room and (self._open or self._reopen())
        if spent and room:
            logger.warning("the disk of the spool has space again: service resumes")
        self._loop.call_soon_threadsafe(self._looked, well)

    def _looked(self, well: bool) -> None:
        self._look_timer = None
        self._well = well
        if not well and not self._closing:
            self._look_later()

    def _settle(self, batch: _Batch, failure: str | None, unsure: bool) -> None:
        self._well = failure is None
        if failure is None:
            self.batches += 1
            self._give(batch)
        else:
            logger.error("records could not be made durable", extra={"records": len(batch[0]), "detail": failure})
            self._refuse(batch, failure, unsure=unsure)
            self._look_later()
        if self._pending and not self._switching:
            self._form_batch()
        else:
            self._busy = False
            self._idle.set()

    def _give(self, batch: _Batch) -> None:
        for row, future in zip(*batch, strict=True):
            self.records[row[1]] += 1
            if future is not None and not future.done():
                future.set_result(Durable(origin=self._meta.origin, index=row[0], leaf=row[5], head=row[6]))

    def _refuse(self, batch: _Batch, failure: str, *, unsure: bool = False) -> None:
        for row, future in zip(*batch, strict=True):
            if unsure and (future is None or row[1] == Kind.SUPPRESSED):
                continue  # told twice if it was counted as lost and turns up in the file
            if future is None:
                self.lost += 1
            elif not future.done():
                future.set_exception(SpoolError(failure))

    def _learn(self, batch: _Batch, held: bool) -> None:
        """What became of a batch whose fate was not known."""
        if held:
            logger.warning("records whose commit had failed are in the spool", extra={"records": len(batch[0])})
            self._give(batch)
            return
        self._refuse(batch, "it is not in the spool")


def _rows(reader: OriginReader, first: int, end: int) -> Iterator[RecordRow]:
    for begin in range(first, end, CARRIED_ROWS):
        yield from reader.rows(begin, min(CARRIED_ROWS, end - begin))
