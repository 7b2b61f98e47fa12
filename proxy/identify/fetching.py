"""Fetching what authorities and issuers publish: revocation lists, key sets. Never within a request."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import hdrs

from proxy.errors import ConfigurationError, DependencyError

_READ_BYTES: Final = 2**18


class FetchError(DependencyError):
    """Something published could not be had. Its text holds no byte of an answer, and no address."""


class Fetcher:
    """GET and nothing more: no redirects, cookies, proxies of the environment, nor encodings that could swell."""

    def __init__(self, ca_file: Path | None = None, timeout_s: float = 10) -> None:
        """
        :param ca_file: PEM of the only authority that https addresses are held to; ``None``: those of the system
        :param timeout_s: for the whole of an answer
        :raises ConfigurationError: the file cannot be used
        """
        self._tls: ssl.SSLContext | bool
        try:
            self._tls = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{ca_file}: is no authority's certificate in PEM: {error}") from error
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, most_bytes: int) -> bytes:
        """The body of a 200 answer.

        :raises FetchError: no such answer in time, or one of more than ``most_bytes``
        """
        try:
            async with self._opened().get(url, allow_redirects=False, ssl=self._tls) as response:
                if response.status != 200:
                    raise FetchError(f"answered with status {response.status}")
                if response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
                    raise FetchError("answered in an encoding that was not asked for")
                return await _bounded(response, most_bytes)
        except TimeoutError as error:
            raise FetchError("no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"no answer: {type(error).__name__}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        """Made at the first request, since a session belongs to the loop that it was made in."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={hdrs.ACCEPT_ENCODING: "identity"},
            )
        return self._session


async def _bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    received = bytearray()
    while chunk := await response.content.read(_READ_BYTES):
        received += chunk
        if len(received) > most_bytes:
            raise FetchError(f"answered with more than {most_bytes} bytes")
    return bytes(received)
