"""How far an origin certainly came, beside its file, so that a file which lost its end is not continued.

SQLite opens a database whose write-ahead log was cut or removed without a word, some records short. The mark is
written after each commit and not fsynced: it may be behind the file, never ahead of it. 72 bytes: number of records
(8, big endian), the head after them (32), SHA-256 of both (32).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

from proxy.errors import IntegrityError

_BYTES: Final = 72


def _sealed(count: int, head: bytes) -> bytes:
    said = count.to_bytes(8, "big") + head
    return said + hashlib.sha256(said).digest()


class Mark:
    def __init__(self, path: Path) -> None:
        """:raises OSError: it can be neither opened nor made"""
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> tuple[int, bytes] | None:
        """Count and head; ``None`` where none was written yet.

        :raises IntegrityError: it is not a mark
        """
        content = os.pread(self._descriptor, _BYTES + 1, 0)
        if not content:
            return None
        count, head = int.from_bytes(content[:8], "big"), content[8:40]
        if content != _sealed(count, head):
            raise IntegrityError(f"{self._path} is not a mark: restore the spool's files from one backup")
        return count, head

    def write(self, count: int, head: bytes) -> None:
        """What cannot be written leaves the mark behind, which is safe."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _sealed(count, head), 0)

    def close(self) -> None:
        """What is written afterwards goes nowhere."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
