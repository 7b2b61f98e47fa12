"""Roles that the site itself gives, in one JSON file by user id and by certificate name.

``{"users": {"clinic/4711": ["radiologist"]}, "devices": {"urn:pc:reading-room": ["technologist"]}}``
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from proxy import strict
from proxy.errors import ConfigurationError
from proxy.identify.stamped import StampedFile
from proxy.model import Role, User

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 4 * 2**20
MOST_ROLES: Final = 128
MOST_ROLE: Final = 128
_SECTIONS: Final = ("users", "devices")

Roles = Mapping[str, tuple[Role, ...]]


def parse(content: bytes) -> tuple[Roles, Roles]:
    """Roles of users and of devices.

    :raises ValueError: not of that form; its text holds none of the content
    """
    document = strict.loads(content)
    if not isinstance(document, dict) or not set(document) <= set(_SECTIONS):
        raise ValueError("is no object of users and devices alone")
    users, devices = (_section(document.get(name, {})) for name in _SECTIONS)
    if any(not all(user.partition("/")) for user in users):
        raise ValueError("has a user without the name of an issuer and a slash before it")
    return users, devices


def _section(value: object) -> Roles:
    if not isinstance(value, dict):
        raise ValueError("has a section that is no object")
    return {name: _roles(name, roles) for name, roles in value.items()}


def _roles(name: str, value: object) -> tuple[Role, ...]:
    if not name or not isinstance(value, list) or len(value) > MOST_ROLES:
        raise ValueError("has an entry without a name, or that is no list of roles")
    if any(not isinstance(role, str) or not 1 <= len(role) <= MOST_ROLE or not role.isprintable() for role in value):
        raise ValueError("has a role that is no name")
    if len(set(value)) != len(value):
        raise ValueError("has a role twice")
    return tuple(Role(name=role, source="directory") for role in sorted(value))


class Directory:
    """The file as last read. One that cannot be used leaves the old in force."""

    def __init__(self, path: Path) -> None:
        """:raises ConfigurationError: it cannot be used"""
        self.generation = 0
        """Counts up when it was read anew."""
        self.failed = False
        """The file was changed and cannot be used."""
        self._file = StampedFile(path, MOST_BYTES)
        try:
            self._read = parse(self._file.read_if_changed() or b"")
        except OSError as error:
            raise ConfigurationError(f"identify.directory: {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError(f"identify.directory: {path}: {error}") from error

    def roles(self, user: User | None, device: str) -> tuple[Role, ...]:
        """Roles of the user, or of the certificate's name where no user is known."""
        users, devices = self._read
        return devices.get(device, ()) if user is None else users.get(user.id, ())

    def reload(self) -> bool:
        """Read it where it changed. Returns whether another is in force now."""
        try:
            content = self._file.read_if_changed()
            if content is None:
                return False
            read = parse(content)
        except OSError as error:
            return self._fail(error.strerror or "cannot be read")
        except ValueError as error:
            return self._fail(str(error))
        self.failed = False
        if read == self._read:
            return False
        self._read = read
        self.generation += 1
        logger.info("directory reloaded", extra={"generation": self.generation})
        return True

    def _fail(self, detail: str) -> bool:
        if not self.failed:
            logger.error("directory not reloaded, the old one stays", extra={"detail": detail})
        self.failed = True
        return False
