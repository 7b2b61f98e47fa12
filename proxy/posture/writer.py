"""The one thread that writes to the posture store, and the connection that is its alone.

A writer waits for the lock that all processes share, and for the disk. The event loop must not: it asks for a write
and goes on. Writes are done one after the other, in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from proxy.errors import PostureUnavailableError
from proxy.posture import schema
from proxy.posture.schema import available

WAIT_S: Final = 2.0
"""How long a write waits for others, counted from when it was asked for: a queue behind a lock does not add up."""


Written = TypeVar("Written")


class Writer:
    def __init__(self, path: Path) -> None:
        """Open the file, and make its tables where it is empty.

        :raises PostureUnavailableError: it cannot be opened, is not ours, or is of another version
        """
        with available(f"{path}"):
            # Opened here, then used by the thread alone, and closed when that has ended.
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT_S, check_same_thread=False)
            try:
                schema.prepare(self._connection, path)
            except BaseException:
                self._connection.close()
                raise
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="posture")
        self._closed = False

    def submit(self, write: Callable[[sqlite3.Connection], Written]) -> asyncio.Future[Written]:
        """Let the thread run ``write`` in a transaction: all of it comes into force, or nothing.

        :raises PostureUnavailableError: the store is closed; in the future: it could not be written
        """
        if self._closed:
            raise PostureUnavailableError("posture store: is closed")
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, self._transaction, write, time.monotonic() + WAIT_S)

    def close(self) -> None:
        """Wait for what was asked for, which is not long, and end."""
        self._closed = True
        self._thread.shutdown(wait=True)
        self._connection.close()

    def _transaction(self, write: Callable[[sqlite3.Connection], Written], until: float) -> Written:
        """It holds the one lock of writers from its beginning: what it reads stays so."""
        left_ms = int((until - time.monotonic()) * 1000)
        if left_ms <= 0:
            raise PostureUnavailableError("posture store: writes before this one took too long")
        with available("posture store"):
            self._connection.execute(f"PRAGMA busy_timeout = {left_ms}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                done = write(self._connection)
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise
        return done
