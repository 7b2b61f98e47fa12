"""Claims in SQLite: one file for all workers of a site, each of which sees the others' writes within a second.

A write is one transaction, so a process that is killed leaves the old or the new. ``synchronous = NORMAL``: a loss of
power can lose the last writes, never the file. That is enough here, since posture is short-lived and told again
within minutes, and the decision that took it in is durable in the spool before.

The event loop reads, over a connection that cannot write and hardly waits: readers do not wait for a writer (WAL).
Writes are the :class:`Writer`'s, on a thread of its own. What is remembered is read and dropped on the loop alone, and
a device is dropped after each write of it that has ended, so nothing older than that stays remembered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from proxy.errors import PostureUnavailableError
from proxy.model import DeviceId, Posture, PostureReport, Taken
from proxy.posture import rows, schema
from proxy.posture.claims import RemainingLife, Said, merge, next_expiry, to_milliseconds
from proxy.posture.schema import available
from proxy.posture.writer import Writer

logger = logging.getLogger(__name__)

REMEMBERED = 50_000
READ_WAIT_S: Final = 0.05
"""How long the event loop waits for a lock, where there is one at all (another process repairs the file)."""

_LIFE = """
SELECT (SELECT count(*) FROM device WHERE fresh_until > :now), (SELECT count(*) FROM device WHERE fresh_until <= :now),
       (SELECT min(fresh_until) FROM device WHERE fresh_until > :now)
"""
_MIDDLE = "SELECT fresh_until FROM device WHERE fresh_until > ? ORDER BY fresh_until LIMIT 1 OFFSET ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is remembered of one device, and in which time its merge is right."""

    said: Said
    posture: Posture
    since: datetime
    until: datetime | None


class PostureStore:
    """:class:`proxy.ports.PostureSource` and :class:`proxy.posture.claims.ClaimStore` over one file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it where its folder exists.

        :raises PostureUnavailableError: it cannot be opened, is not ours, or is of another version
        """
        self._devices: dict[DeviceId, _Known] = {}
        created = _touched(path)
        with available(f"{path}"):
            self._writer = Writer(path)
            self._reader = sqlite3.connect(path, isolation_level=None, timeout=READ_WAIT_S)
            try:
                self._reader.execute("PRAGMA query_only = ON")
                self._version = self._data_version()
                self._change = 0
                _, self._change = self._changed()
            except BaseException:
                self.close()
                raise
        if created:
            logger.info("posture store %s is new: every device has to report", path)

    def posture(self, device: DeviceId, now: datetime) -> Posture:
        known = self._devices.get(device)
        if known is not None and known.since <= now and (known.until is None or now < known.until):
            return known.posture
        with available("posture store"):
            if known is None:
                said, generation = rows.read_device(self._reader, device)
            else:
                said, generation = known.said, known.posture.generation
        posture = Posture(attributes=merge(said, now), generation=generation)
        if len(self._devices) >= REMEMBERED:
            self._devices.clear()
        self._devices[device] = _Known(said=said, posture=posture, since=now, until=next_expiry(said, now))
        return posture

    async def put(self, report: PostureReport, now: datetime) -> Taken | None:
        writing = self._writer.submit(lambda connection: rows.put(connection, report, now))
        # Dropped when the write has ended, and before anybody hears of it: whoever waits for it may be gone by then.
        writing.add_done_callback(lambda _: self._forget(claim.device for claim in report.claims))
        return await asyncio.shield(writing)

    def reported_at(self, device: DeviceId) -> datetime | None:
        with available("posture store"):
            return rows.reported_at(self._reader, device)

    def is_spent(self, once: str) -> bool:
        with available("posture store"):
            return rows.is_spent(self._reader, once)

    async def spend(self, once: str, until: datetime, now: datetime) -> bool:
        return await asyncio.shield(self._writer.submit(lambda connection: rows.spend(connection, once, until, now)))

    def nonce_key(self) -> bytes:
        with available("posture store"):
            (key,) = self._reader.execute("SELECT key FROM secret").fetchone()
            if type(key) is not bytes or len(key) != schema.KEY_BYTES:
                raise ValueError("the key of nonces is gone")
            return key

    def remaining(self, now: datetime) -> RemainingLife:
        moment = to_milliseconds(now)
        with available("posture store"):
            fresh, expired, first = self._reader.execute(_LIFE, {"now": moment}).fetchone()
            if not fresh:
                return RemainingLife(fresh=0, expired=expired, shortest_s=None, median_s=None)
            (middle,) = self._reader.execute(_MIDDLE, (moment, (fresh - 1) // 2)).fetchone()
        return RemainingLife(
            fresh=fresh, expired=expired, shortest_s=(first - moment) / 1000, median_s=(middle - moment) / 1000
        )

    def forget_changed(self) -> None:
        """Drop what is remembered of devices that anybody wrote since, in another process above all.

        :raises PostureUnavailableError: the file cannot be read any more; then nothing is remembered
        """
        try:
            with available("posture store"):
                version = self._data_version()
                if version == self._version:
                    return
                written, change = self._changed()
        except PostureUnavailableError:
            self._devices.clear()
            raise
        self._version, self._change = version, change
        self._forget(written)

    async def watch(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                self.forget_changed()
            except PostureUnavailableError:
                continue  # nothing is remembered now: the next request meets the failure itself

    def close(self) -> None:
        """Waits for writes under way: never longer than one waits for a lock."""
        self._writer.close()
        self._reader.close()

    def _changed(self) -> tuple[list[DeviceId], int]:
        """Devices that anybody wrote since we last looked, and up to which change that goes."""
        statement = "SELECT id, change FROM device WHERE change > ? ORDER BY change"
        found = self._reader.execute(statement, (self._change,)).fetchall()
        return [device for device, _ in found], int(found[-1][1]) if found else self._change

    def _forget(self, devices: Iterable[DeviceId]) -> None:
        for device in devices:
            self._devices.pop(device, None)

    def _data_version(self) -> int:
        (version,) = self._reader.execute("PRAGMA data_version").fetchone()
        return int(version)


def _touched(path: Path) -> bool:
    """Make the file, for its owner alone, where there is none. Whether it was made.

    :raises PostureUnavailableError: it cannot be made, or others can read it
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise PostureUnavailableError(f"{path}: is not a file") from None
        if path.stat().st_mode & 0o077:
            raise PostureUnavailableError(f"{path}: can be read by others; chmod 600") from None
        return False
    except OSError as error:
        raise PostureUnavailableError(f"{path}: {error.strerror}; its folder has to exist and be ours") from error
    return True
