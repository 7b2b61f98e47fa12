"""The spool: group commit of records into SQLite, off the event loop.

The loop gathers what is pending into one batch, computes leaves and heads, and hands it to one thread that
runs *one* INSERT statement, which is one transaction and one fsync. While it runs the next batch gathers. Two
things keep it cheap: a single statement a batch (each statement gives up the interpreter's lock and has to win it
back from a busy loop), and one wake-up of the loop a batch rather than a record.

Indices are given out when a batch is formed and a batch is formed only when the one before has ended, so a batch
that fails leaves no gap.
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
from datetime import datetime
from pathlib import Path
from typing import Final

from proxy import commitment
from proxy.errors import IntegrityError, SpoolError
from proxy.model import Durable, JsonObject, Kind, wire_time
from proxy.record import opening, origin_file
from proxy.record.reader import OriginReader
from proxy.record.receipts import Receipts

logger = logging.getLogger(__name__)

LATER_S: Final = 0.05
"""How long a record that nobody waits for may wait for company."""

_BATCH_FAILURES: Final = (sqlite3.Error, OSError, MemoryError, ValueError, OverflowError)
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
    ) -> None:
        """Open or create the spool. To be called inside the running loop.

        ``predecessor`` is the origin that stood here before, if known: a new spool succeeds it with nothing of it.

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
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()
        self.records: dict[str, int] = {kind.value: 0 for kind in Kind}
        """Durable records of this process by kind."""
        self.lost = 0
        """Records of :meth:`record_later` that did not become durable."""
        self.batches = 0
        self.healthy = True
        """Whether the last batch became durable."""
        self._receipts: dict[bytes, Receipts] = {}
        """By origin: a decision of a predecessor may be answered after its successor took over."""
        with contextlib.ExitStack() as undo:
            self._lock = opening.lock(folder)
            undo.callback(self._lock.close)
            self._use(opening.open_or_create(folder, chain_id, contract, predecessor))
            undo.pop_all()
        self._switching = False
        self._work: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="spool", daemon=True)
        self._thread.start()

    def _use(self, opened: opening.Opened) -> None:
        self._connection = opened.connection
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
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()
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
            await asyncio.to_thread(self._switch, agreed)
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
                "carried": self._count,
            },
        )
        return self._meta.origin

    def _switch(self, agreed: int) -> None:
        reader = OriginReader(self._folder, self._meta.origin)
        carried = reader.rows(agreed, max(0, self._count - agreed))
        reader.close()
        successor = origin_file.create(
            self._folder,
            chain_id=self._meta.chain_id,
            contract=self._meta.contract,
            predecessor=self._meta.origin,
            agreed=agreed,
            carried=carried,
        )
        opened = opening.open_origin(self._folder, successor.origin)
        try:
            origin_file.point_to(self._folder, successor.origin)
        except OSError:
            opened.connection.close()
            raise
        self._connection.close()
        self._use(opened)

    def _append(self, kind: Kind, body: JsonObject, future: asyncio.Future[Durable] | None) -> None:
        if self._closing or len(self._pending) >= self._limit:
            raise SpoolError("the spool takes no more records")
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
        self._work.put((rows, futures))

    def _write(self) -> None:
        while (batch := self._work.get()) is not None:
            rows, futures = batch
            places = ",".join(["(?,?,?,?,?,?,?)"] * len(rows))
            statement = f"INSERT INTO record VALUES {places}"  # noqa: S608 - placeholders only
            failure: str | None = None
            try:
                self._connection.execute(statement, [value for row in rows for value in row])
            except _BATCH_FAILURES as error:
                failure = str(error) or type(error).__name__
                self._reopen()
            self._loop.call_soon_threadsafe(self._settle, rows, futures, failure)

    def _reopen(self) -> None:
        # After a failed commit only the file knows what it holds. A connection that stays closed fails every batch.
        try:
            self._connection.close()
            self._use(opening.open_origin(self._folder, self._meta.origin))
        except (*_BATCH_FAILURES, SpoolError, IntegrityError) as error:
            logger.error("spool cannot be reopened", extra={"detail": str(error)})

    def _settle(self, rows: list[_Row], futures: list[asyncio.Future[Durable] | None], failure: str | None) -> None:
        self.healthy = failure is None
        if failure is None:
            self._count += len(rows)
            self._head = rows[-1][6]
            self.batches += 1
        else:
            logger.error("records could not be made durable", extra={"records": len(rows), "detail": failure})
        for row, future in zip(rows, futures, strict=True):
            if failure is None:
                self.records[row[1]] += 1
            if future is None:
                self.lost += failure is not None
                continue
            if future.done():
                continue
            if failure is None:
                future.set_result(Durable(origin=self._meta.origin, index=row[0], leaf=row[5], head=row[6]))
            else:
                future.set_exception(SpoolError(failure))
        if self._pending and not self._switching:
            self._form_batch()
        else:
            self._busy = False
            self._idle.set()
