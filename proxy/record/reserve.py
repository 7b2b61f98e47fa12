"""Disk space kept for what must still be written when the disk is full.

A file beside the spool holds the space. When the disk is full it is given up, so that streams under way get their
outcomes and SQLite can write its log back; nothing new is begun until there is space for the file again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

MARGIN: Final = 4
"""Service resumes when this part of the reserve is free beyond it, so that it does not flutter."""


class Reserve:
    def __init__(self, folder: Path, size: int) -> None:
        """:param size: bytes, 0 for no reserve"""
        self._folder = folder
        self._file = folder / "reserve"
        self._size = size
        self.held = self._file.is_file() and self._file.stat().st_size == size
        if size == 0:
            self._file.unlink(missing_ok=True)
        elif not self.held:
            self.take()

    @property
    def spent(self) -> bool:
        """Whether it had to be given up and there is no space to take it back."""
        return self._size > 0 and not self.held

    def short(self) -> bool:
        """Whether the disk is as good as full, the reserve left out."""
        return self._size > 0 and self._free() < self._size // MARGIN

    def release(self) -> None:
        self._file.unlink(missing_ok=True)
        self.held = False

    def take(self) -> bool:
        """Take the space if there is enough of it. Blocks for as long as the file system needs."""
        if not self.held and self._free() >= self._size + self._size // MARGIN:
            self._file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.held = self._made()
            if not self.held:
                self._file.unlink(missing_ok=True)
        return self.held

    def _made(self) -> bool:
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def _free(self) -> int:
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize
