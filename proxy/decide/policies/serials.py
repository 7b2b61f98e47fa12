"""The highest serial of a signed bundle that was ever taken, kept in the store: a replayed older bundle is refused.

Workers share the file and take turns by a lock. What is unreadable is no reason to begin anew: whoever could damage it
could bring old policies back.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from proxy.decide.policies.source import Offer
from proxy.errors import PolicyInvalidError
from proxy.model import wire_time

_LONGEST: Final = 4096


class Serials:
    def __init__(self, folder: Path) -> None:
        """:param folder: the store, which is there"""
        self._path = folder / "serial.json"

    def check(self, offered: Offer) -> None:
        """Nothing to say of what nobody signed.

        :raises PolicyInvalidError: a later bundle was taken already, or another one with this serial
        :raises OSError: the file cannot be read
        """
        with self._opened() as descriptor:
            self._check(descriptor, offered)

    def take(self, offered: Offer) -> None:
        """Durable when it returns.

        :raises PolicyInvalidError: as for :meth:`check`
        :raises OSError: the file cannot be written
        """
        with self._opened() as descriptor:
            if self._check(descriptor, offered):
                content = orjson.dumps(_told(offered) | {"serial": offered.serial}) + b"\n"
                os.pwrite(descriptor, content.ljust(256), 0)
                os.fsync(descriptor)

    def _check(self, descriptor: int, offered: Offer) -> bool:
        """Whether it is higher than what was taken."""
        if offered.serial is None:
            return False
        content = os.pread(descriptor, _LONGEST, 0)
        if not content:
            return True
        try:
            taken = orjson.loads(content)
            serial = int(taken.pop("serial"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PolicyInvalidError(
                f"{self._path}: cannot be read, so an old bundle could not be told: restore it, or remove it if no "
                "bundle older than the server's may be offered"
            ) from error
        if offered.serial < serial:
            raise PolicyInvalidError(f"the bundle's serial is {offered.serial}, and {serial} was taken already")
        if offered.serial == serial and taken != _told(offered):
            raise PolicyInvalidError(f"another bundle with serial {serial} was taken already: a new one needs a higher")
        return offered.serial > serial

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _told(offered: Offer) -> dict[str, object]:
    return {"digest": offered.policies.digest, "issued_at": wire_time(offered.as_of)}
