"""A bearer token (RFC 6750) from a file that its owner may change while the proxy runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from aiohttp import hdrs

from proxy.errors import ConfigurationError

_LONGEST: Final = 16_384


class BearerToken:
    """Read again when the file is another, or was written since."""

    def __init__(self, path: Path | None, setting: str) -> None:
        """:param setting: its name in the configuration, for messages
        :raises ConfigurationError: as :meth:`headers`
        """
        self._path, self._setting = path, setting
        self._read_of: tuple[int, int, int] | None = None
        self._headers: dict[str, str] = {}
        self.headers()

    def headers(self) -> dict[str, str]:
        """The one that shows the token; none where there is no file. No message holds the token.

        :raises ConfigurationError: the file cannot be read, others may read it, or it holds no token
        """
        if self._path is None:
            return {}
        try:
            found = self._path.stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
            if state != self._read_of:
                self._headers, self._read_of = {hdrs.AUTHORIZATION: f"Bearer {self._token(self._path)}"}, state
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self._setting}: {self._path} cannot be read") from error
        return self._headers

    def _token(self, path: Path) -> str:
        with path.open() as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigurationError(f"{self._setting}: {path} is readable by others: chmod 600 it")
            token = file.read(_LONGEST).strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError(f"{self._setting}: {path} holds no token")
        return token
