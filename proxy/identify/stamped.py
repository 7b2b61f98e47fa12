"""A file that is read again when it changes."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int, int, int] | None
"""Of a file; ``None`` where it is gone."""


def stamp(path: Path) -> Stamp:
    """Changes whenever a file does, or who may read it. A copy may bring ``mtime`` along, never ``ctime``."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


class StampedFile:
    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._stamp: Stamp = None

    def read_if_changed(self) -> bytes | None:
        """What it holds now, ``None`` where that was read before.

        :raises OSError: it cannot be read; asking again tries again
        :raises ValueError: it is too long
        """
        # Before reading: what is written in between shows as a change the next time.
        found = stamp(self.path)
        if found is not None and found == self._stamp:
            return None
        self._stamp = None
        with self.path.open("rb") as file:
            content = file.read(self._most_bytes + 1)
        self._stamp = found
        if len(content) > self._most_bytes:
            raise ValueError(f"is longer than {self._most_bytes} bytes")
        return content
