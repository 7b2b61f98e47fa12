"""A file that is read again when it changes."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int, int]


class StampedFile:
    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._stamp: Stamp | None = None

    def read_if_changed(self) -> bytes | None:
        """What it holds now, ``None`` where that was read before.

        :raises OSError: it cannot be read; asking again tries again
        :raises ValueError: it is too long
        """
        stamp: Stamp | None = None
        try:
            # Before reading: what is written in between shows as a change the next time.
            stat = self.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return None
            with self.path.open("rb") as file:
                content = file.read(self._most_bytes + 1)
        except OSError:
            self._stamp = None
            raise
        self._stamp = stamp
        if len(content) > self._most_bytes:
            raise ValueError(f"is longer than {self._most_bytes} bytes")
        return content
