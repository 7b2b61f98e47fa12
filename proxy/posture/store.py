"""Posture in SQLite. One writer process, readers that notice its changes within a second."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.errors import PostureUnavailableError
from proxy.model import MAX_INTEGER, DeviceId, Posture, PostureAttribute, Trust

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS device (
  id TEXT PRIMARY KEY, generation INTEGER NOT NULL, attributes BLOB NOT NULL
) WITHOUT ROWID;
"""
REMEMBERED: Final = 50_000


class PostureStore:
    """:class:`proxy.ports.PostureSource` over one file, and its writer."""

    def __init__(self, path: Path) -> None:
        """:raises PostureUnavailableError: the file cannot be opened"""
        self._path = path
        self._devices: dict[DeviceId, Posture] = {}
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=5)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(SCHEMA)
            self._version = self._data_version()
        except (sqlite3.Error, OSError) as error:
            raise PostureUnavailableError(f"{path}: {error}") from error

    def posture(self, device: DeviceId, now: datetime) -> Posture:
        known = self._devices.get(device)
        if known is not None:
            return known
        try:
            row = self._connection.execute(
                "SELECT generation, attributes FROM device WHERE id = ?", (device,)
            ).fetchone()
            posture = Posture(attributes={}, generation=0) if row is None else _from_row(*row)
        except (sqlite3.Error, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise PostureUnavailableError(f"posture store: {type(error).__name__}") from error
        if len(self._devices) >= REMEMBERED:
            self._devices.clear()
        self._devices[device] = posture
        return posture

    def put(self, device: DeviceId, attributes: Mapping[str, PostureAttribute]) -> None:
        """Replace what is known of one device.

        :raises PostureUnavailableError: the file cannot be written
        """
        body = orjson.dumps({name: attribute.to_wire() for name, attribute in attributes.items()})
        try:
            self._connection.execute(
                "INSERT INTO device VALUES (?, 1, ?) ON CONFLICT (id) DO UPDATE "
                "SET generation = generation + 1, attributes = excluded.attributes",
                (device, body),
            )
        except sqlite3.Error as error:
            raise PostureUnavailableError(f"posture store: {error}") from error
        self._devices.pop(device, None)

    def forget_changed(self) -> None:
        """Drop what is remembered if another process wrote since.

        :raises PostureUnavailableError: the file cannot be read any more
        """
        try:
            version = self._data_version()
        except sqlite3.Error as error:
            self._devices.clear()
            raise PostureUnavailableError(f"posture store: {error}") from error
        if version != self._version:
            self._version = version
            self._devices.clear()

    async def watch(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                self.forget_changed()
            except PostureUnavailableError:
                continue  # nothing is remembered now: the next request meets the failure itself

    def close(self) -> None:
        self._connection.close()

    def _data_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


def _from_row(generation: int, attributes: bytes) -> Posture:
    """:raises ValueError, KeyError, TypeError: it is not what :meth:`PostureStore.put` writes"""
    found = orjson.loads(attributes)
    if type(found) is not dict or not all(name.isascii() for name in found):
        raise ValueError("attributes are not an object with ASCII names")
    return Posture(generation=generation, attributes={name: _attribute(each) for name, each in found.items()})


def _attribute(each: dict[str, Any]) -> PostureAttribute:
    value = each["value"]
    if type(value) not in (bool, int, str) or (type(value) is int and abs(value) > MAX_INTEGER):
        raise ValueError("a value is a boolean, an integer or a string")
    return PostureAttribute(
        value=value,
        source=str(each["source"]),
        trust=Trust(each["trust"]),
        issued_at=_time(each["issued_at"]),
        expires_at=_time(each["expires_at"]),
    )


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment
