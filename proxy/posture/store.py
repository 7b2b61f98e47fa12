"""Claims in SQLite: one file for all workers of a site, each of which sees the others' writes within a second.

A write is one transaction, so a process that is killed leaves the old or the new. ``synchronous = NORMAL``: a loss of
power can lose the last writes, never the file. That is enough here, since posture is short-lived and told again
within minutes, and the decision that took it in is durable in the spool before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from proxy.errors import PostureUnavailableError
from proxy.model import DeviceClaims, DeviceId, Posture, PostureReport, Trust
from proxy.posture import schema
from proxy.posture.claims import (
    RemainingLife,
    Said,
    decode,
    encode,
    fresh_until,
    from_milliseconds,
    merge,
    next_expiry,
    to_milliseconds,
    updated,
    values,
)

logger = logging.getLogger(__name__)

REMEMBERED = 50_000

_LIFE = """
SELECT (SELECT count(*) FROM device WHERE fresh_until > :now), (SELECT count(*) FROM device WHERE fresh_until <= :now),
       (SELECT min(fresh_until) FROM device WHERE fresh_until > :now)
"""
_MIDDLE = "SELECT fresh_until FROM device WHERE fresh_until > ? ORDER BY fresh_until LIMIT 1 OFFSET ?"
_PUT = """
INSERT INTO device VALUES (:id, 1, (SELECT coalesce(max(change), 0) + 1 FROM device), :fresh, :reported, :claims)
ON CONFLICT (id) DO UPDATE SET generation = generation + 1, change = excluded.change, claims = excluded.claims,
  fresh_until = excluded.fresh_until, reported_at = coalesce(excluded.reported_at, reported_at)
"""


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
        with _available(f"{path}"):
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=2)
        try:
            with _available(f"{path}"):
                schema.prepare(self._connection, path)
                self._version = self._data_version()
                self._change = 0
                _, self._change = self._changed()
        except PostureUnavailableError:
            self._connection.close()
            raise
        if created:
            logger.info("posture store %s is new: every device has to report", path)

    def posture(self, device: DeviceId, now: datetime) -> Posture:
        known = self._devices.get(device)
        if known is not None and known.since <= now and (known.until is None or now < known.until):
            return known.posture
        with _available("posture store"):
            said, generation = (known.said, known.posture.generation) if known is not None else self._read(device)
        posture = Posture(attributes=merge(said, now), generation=generation)
        if len(self._devices) >= REMEMBERED:
            self._devices.clear()
        self._devices[device] = _Known(said=said, posture=posture, since=now, until=next_expiry(said, now))
        return posture

    def put(self, report: PostureReport, now: datetime) -> Sequence[DeviceId] | None:
        changed: list[DeviceId] = []
        with _available("posture store"), self._writing():
            if report.once is not None and not self._spent(*report.once, now):
                return None
            own = report.trust is Trust.REPORTED
            if own and not all(self._later(claim.device, report.issued_at) for claim in report.claims):
                return None
            changed += [claim.device for claim in report.claims if self._put(claim, report)]
            written = self._changed()
        self._forget(*written)
        return changed

    def reported_at(self, device: DeviceId) -> datetime | None:
        with _available("posture store"):
            row = self._connection.execute("SELECT reported_at FROM device WHERE id = ?", (device,)).fetchone()
            return None if row is None or row[0] is None else from_milliseconds(row[0])

    def is_spent(self, once: str) -> bool:
        with _available("posture store"):
            return self._connection.execute("SELECT 1 FROM spent WHERE once = ?", (once,)).fetchone() is not None

    def spend(self, once: str, until: datetime, now: datetime) -> bool:
        with _available("posture store"), self._writing():
            return self._spent(once, until, now)

    def nonce_key(self) -> bytes:
        with _available("posture store"):
            (key,) = self._connection.execute("SELECT key FROM secret").fetchone()
            if type(key) is not bytes or len(key) != schema.KEY_BYTES:
                raise ValueError("the key of nonces is gone")
            return key

    def remaining(self, now: datetime) -> RemainingLife:
        moment = to_milliseconds(now)
        with _available("posture store"):
            fresh, expired, first = self._connection.execute(_LIFE, {"now": moment}).fetchone()
            if not fresh:
                return RemainingLife(fresh=0, expired=expired, shortest_s=None, median_s=None)
            (middle,) = self._connection.execute(_MIDDLE, (moment, (fresh - 1) // 2)).fetchone()
        return RemainingLife(
            fresh=fresh, expired=expired, shortest_s=(first - moment) / 1000, median_s=(middle - moment) / 1000
        )

    def forget_changed(self) -> None:
        """Drop what is remembered of devices that another process wrote since.

        :raises PostureUnavailableError: the file cannot be read any more; then nothing is remembered
        """
        try:
            with _available("posture store"):
                version = self._data_version()
                if version == self._version:
                    return
                written = self._changed()
        except PostureUnavailableError:
            self._devices.clear()
            raise
        self._version = version
        self._forget(*written)

    async def watch(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                self.forget_changed()
            except PostureUnavailableError:
                continue  # nothing is remembered now: the next request meets the failure itself

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that holds the one lock of writers from its beginning: what it reads stays so."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    def _spent(self, once: str, until: datetime, now: datetime) -> bool:
        self._connection.execute("DELETE FROM spent WHERE until < ?", (to_milliseconds(now),))
        row = (once, to_milliseconds(until))
        return self._connection.execute("INSERT OR IGNORE INTO spent VALUES (?, ?)", row).rowcount == 1

    def _later(self, device: DeviceId, issued_at: datetime) -> bool:
        before = self.reported_at(device)
        return before is None or before < issued_at

    def _put(self, claim: DeviceClaims, report: PostureReport) -> bool:
        """Whether a value changed."""
        before, _ = self._read(claim.device)
        own = report.trust is Trust.REPORTED
        after = updated(before, report.source, claim.attributes, whole=own)
        changed = values(after) != values(before)
        if own or changed or after != before:
            row = {
                "id": claim.device,
                "fresh": to_milliseconds(fresh_until(after)),
                "reported": to_milliseconds(report.issued_at) if own else None,
                "claims": encode(after),
            }
            self._connection.execute(_PUT, row)
        return changed

    def _read(self, device: DeviceId) -> tuple[Said, int]:
        statement = "SELECT claims, generation FROM device WHERE id = ?"
        row = self._connection.execute(statement, (device,)).fetchone()
        return ({}, 0) if row is None else (decode(row[0]), int(row[1]))

    def _changed(self) -> tuple[list[DeviceId], int]:
        """Devices that anybody wrote since we last looked, and up to which change that goes."""
        statement = "SELECT id, change FROM device WHERE change > ? ORDER BY change"
        rows = self._connection.execute(statement, (self._change,)).fetchall()
        return [device for device, _ in rows], int(rows[-1][1]) if rows else self._change

    def _forget(self, devices: list[DeviceId], change: int) -> None:
        for device in devices:
            self._devices.pop(device, None)
        self._change = change

    def _data_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


@contextmanager
def _available(what: str) -> Iterator[None]:
    """Nothing of SQLite leaves this room. Errors of form are of rows that we did not write."""
    try:
        yield
    except sqlite3.Error as error:
        raise PostureUnavailableError(f"{what}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # Not its text: it may hold what was stored.
        raise PostureUnavailableError(f"{what}: cannot be read: {type(error).__name__}") from error


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
