"""Revocation lists that were fetched, in files: a start needs no network, and takes no older list than the last one.

A file holds what one address gave for one certificate of an authority. Workers share the folder, so whoever writes
holds its lock, and has read what another wrote before.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.errors import ConfigurationError
from proxy.identify.revocation import MOST_BYTES
from proxy.identify.stamped import StampedFile

logger = logging.getLogger(__name__)

LOCK_S: Final = 2.0
"""How long to wait for another worker that writes, before what was fetched is only held in memory."""


class Kept:
    """What came from one address. Only one thread at a time may call."""

    def __init__(self, folder: Path, location: str) -> None:
        self._folder = folder
        self._location = location
        self._files: dict[bytes, StampedFile] = {}

    def read_if_changed(self, key: bytes) -> bytes | None:
        """What is kept for a :attr:`Ca.key`; ``None`` where that is nothing, or was read before."""
        try:
            return self._files.setdefault(key, StampedFile(self._path(key), MOST_BYTES)).read_if_changed()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.error("a kept revocation list cannot be read", extra={"error": str(error)})
            return None

    def forget(self) -> None:
        """Everything is to be read again."""
        self._files.clear()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """
        :raises OSError: another holds the lock, or there can be none
        """
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(folder)
            yield
        finally:
            os.close(folder)

    def write(self, key: bytes, content: bytes) -> None:
        """Only within :meth:`exclusive`.

        :raises OSError: it cannot be written; what was kept is still there
        """
        path = self._path(key)
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{hashlib.sha256(key + self._location.encode()).hexdigest()}.crl"


def opened_cache(folder: Path) -> Path:
    """:raises ConfigurationError: there is no such folder, and none can be made"""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"identify.crl_cache: {folder}: {error.strerror}") from error
    return folder


def _lock(folder: int) -> None:
    until = time.monotonic() + LOCK_S
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if until < time.monotonic():
                raise
        time.sleep(0.05)
