"""GET of a bundle, and nothing more: no redirects, cookies, proxies of the environment, nor encodings that could swell.

What comes is not trusted: its signature is verified elsewhere. TLS keeps it from others, who could read of patients.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import hdrs

from proxy.decide.policies.archive import MAX_BUNDLE_BYTES
from proxy.decide.policies.bearer import BearerToken
from proxy.errors import ConfigurationError, PolicyUnavailableError

_READ_BYTES: Final = 1 << 18
_TAG: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,1023}")
"""What can be sent back. A tag of another form is left: with it no further request could be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleServer:
    """Where bundles are, and how the proxy shows itself there."""

    url: str
    timeout_s: float
    ca_file: Path | None = None
    """PEM of the only authority that an https address is held to; ``None``: those of the system."""
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    content: bytes
    etag: str | None


class BundleFetcher:
    def __init__(self, server: BundleServer) -> None:
        """:raises ConfigurationError: a file cannot be used"""
        self._server = server
        try:
            self._tls = ssl.create_default_context(cafile=server.ca_file)
            if server.certificate is not None:
                self._tls.load_cert_chain(server.certificate, server.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"policy.bundle: ca_file, certificate or key cannot be used: {error}") from error
        self._token = BearerToken(server.token_file, "policy.bundle.token_file")
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, etag: str | None) -> Fetched | None:
        """The bundle; ``None`` where it is still the one that ``etag`` names.

        :raises PolicyUnavailableError: no such answer in time, or one that is too large; no byte of it is in the text
        """
        headers = self._token.headers() | ({} if etag is None else {hdrs.IF_NONE_MATCH: etag})
        try:
            async with self._opened().get(self._server.url, headers=headers, allow_redirects=False) as response:
                if response.status == 304 and etag is not None:
                    return None
                if response.status != 200:
                    raise PolicyUnavailableError(f"the bundle server answered with status {response.status}")
                tag = response.headers.get(hdrs.ETAG, "")
                return Fetched(content=await _bounded(response), etag=tag if _TAG.fullmatch(tag) else None)
        except TimeoutError as error:
            raise PolicyUnavailableError("the bundle server did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PolicyUnavailableError(f"the bundle server was not reached: {type(error).__name__}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        """Made at the first request, since a session belongs to the loop that it was made in."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=1),
                timeout=aiohttp.ClientTimeout(total=self._server.timeout_s),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={hdrs.ACCEPT_ENCODING: "identity"},
            )
        return self._session


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > MAX_BUNDLE_BYTES:
        raise PolicyUnavailableError(f"the bundle server offers more than {MAX_BUNDLE_BYTES} bytes")
    received = bytearray()
    while chunk := await response.content.read(_READ_BYTES):
        received += chunk
        if len(received) > MAX_BUNDLE_BYTES:
            raise PolicyUnavailableError(f"the bundle server sent more than {MAX_BUNDLE_BYTES} bytes")
    return bytes(received)
