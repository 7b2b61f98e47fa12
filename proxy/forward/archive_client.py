"""The archive client: aiohttp, one connection pool, headers written by us alone."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from proxy.errors import ArchiveError, ArchiveTimeoutError
from proxy.model import Action, DicomRequest, Representation

CHUNK_BYTES: Final = 2**18
_OURS: Final = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE)
# A parameter of RFC 9110 5.6.6, and a boundary that needs no quotes (RFC 2046 5.1.1, less the characters that would).
_PARAMETER: Final = re.compile(r';\s*([\w-]+)=(?:"([^"\\]*)"|([^\s;"]+))', re.ASCII)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'+_.-]{1,70}", re.ASCII)
_JSON_TYPES: Final = frozenset({"application/dicom+json", "application/json"})
_SEARCH_STATUS: Final = frozenset({200, 204})
"""A search that finds nothing is not a 404: that would be an archive whose DICOMweb lives elsewhere."""
_FETCH_STATUS: Final = frozenset({200, 404})
_STORE_STATUS: Final = frozenset({200, 202, 409})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    url: str
    public_url: str
    """What the archive is told that it is called, so that links in its answers are ours (RFC 7239)."""
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    connect_s: float
    idle_s: float
    connections: int


class _Answer:
    """:class:`proxy.ports.ArchiveAnswer` over an aiohttp response."""

    __slots__ = ("_response", "content_type", "length", "status")

    def __init__(self, response: aiohttp.ClientResponse, content_type: str) -> None:
        self._response = response
        self.status = response.status
        self.content_type = content_type
        self.length = response.content_length

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except TimeoutError as error:
            raise ArchiveTimeoutError("the archive stalled in its answer") from error
        except aiohttp.ClientError as error:
            raise ArchiveError(f"the archive's answer broke off: {type(error).__name__}") from error


class _Asking:
    """One question, as a context: entered with an answer that was checked, left with the connection given back.

    A class and not a generator, for it stands in the way of every request.
    """

    __slots__ = ("_asked", "_response", "_statuses", "_wanted")

    def __init__(
        self, asked: Awaitable[aiohttp.ClientResponse], wanted: Representation, statuses: frozenset[int]
    ) -> None:
        self._asked = asked
        self._wanted = wanted
        self._statuses = statuses
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> _Answer:
        """:raises ArchiveError: no answer, or not one that was asked for"""
        response = self._response = await self._asked
        try:
            if response.status not in self._statuses:
                raise ArchiveError(f"the archive answered {response.status}")
            # An answer without rows or object says nothing of a type that anyone would be shown.
            typed = response.status not in (204, 404)
            return _Answer(response, _checked_type(response, self._wanted) if typed else "")
        except ArchiveError:
            response.close()
            raise

    async def __aexit__(self, *_: object) -> None:
        # Gives the connection back where the answer was read to its end, and closes it where it was not.
        if self._response is not None:
            self._response.release() if self._response.content.at_eof() else self._response.close()


class ArchiveClient:
    """The transport half of :class:`proxy.ports.Archive`."""

    def __init__(
        self,
        settings: ArchiveSettings,
        target_of: Callable[[DicomRequest], str],
        headers_of: Callable[[DicomRequest], tuple[tuple[str, str], ...]],
    ) -> None:
        self._base = settings.url
        self._target_of = target_of
        self._headers_of = headers_of
        public = URL(settings.public_url)
        # RFC 7239 4 wants a quoted-string where there is a port; Orthanc would put the quotes into its links.
        self._forwarded = f"host={public.authority};proto={public.scheme}"
        self._auth = (
            None if settings.username is None else aiohttp.encode_basic_auth(settings.username, settings.password or "")
        )
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_s, sock_read=settings.idle_s)
        self._tls: ssl.SSLContext | bool = settings.tls or True
        self._settings = settings
        # The archive closes idle connections after a second; a GET that meets one is sent again by the client
        # library, a store must not be, so stores never use an idle connection.
        self._reads = self._session(
            aiohttp.TCPConnector(limit=settings.connections, keepalive_timeout=0.8, ssl=self._tls)
        )
        self._writes = self._session(aiohttp.TCPConnector(limit=settings.connections, force_close=True, ssl=self._tls))

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OURS,
            read_bufsize=CHUNK_BYTES,
            trust_env=False,
        )

    def fetch(self, request: DicomRequest) -> _Asking:
        statuses = _SEARCH_STATUS if request.action is Action.SEARCH else _FETCH_STATUS
        return _Asking(self._ask(self._reads, request, None, ()), request.representation, statuses)

    def store(self, request: DicomRequest, body: AsyncIterator[bytes], boundary: str) -> _Asking:
        content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        asked = self._send(request, body, ((hdrs.CONTENT_TYPE, content_type),))
        return _Asking(asked, Representation.JSON, _STORE_STATUS)

    async def _send(
        self, request: DicomRequest, body: AsyncIterator[bytes], more: tuple[tuple[str, str], ...]
    ) -> aiohttp.ClientResponse:
        """:meth:`_ask` with a deadline on each piece that the archive has to take: the client library knows none."""
        now = asyncio.get_running_loop().time

        async def paced() -> AsyncIterator[bytes]:
            async for chunk in body:
                # Where an answer came before the body's end nobody waits any more, and the deadline is over.
                with suppress(RuntimeError):
                    taking.reschedule(now() + self._settings.idle_s)
                yield chunk
                with suppress(RuntimeError):
                    taking.reschedule(None)

        try:
            async with asyncio.timeout(None) as taking:
                return await self._ask(self._writes, request, paced(), more)
        except TimeoutError as error:
            raise ArchiveTimeoutError("the archive took no byte of a store in time") from error

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        request: DicomRequest,
        body: AsyncIterator[bytes] | None,
        more: tuple[tuple[str, str], ...],
    ) -> aiohttp.ClientResponse:
        headers = [*self._headers_of(request), *more, (hdrs.FORWARDED, self._forwarded)]
        if self._auth is not None:
            headers.append((hdrs.AUTHORIZATION, self._auth))
        try:
            return await session.request(
                request.method,
                URL(self._base + self._target_of(request), encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
            )
        except TimeoutError as error:
            raise ArchiveTimeoutError("the archive did not answer in time") from error
        except aiohttp.ClientError as error:
            raise ArchiveError(f"the archive could not be asked: {type(error).__name__}") from error

    async def close(self) -> None:
        await self._reads.close()
        await self._writes.close()


def _checked_type(response: aiohttp.ClientResponse, wanted: Representation) -> str:
    """The answer's type, rebuilt, so that nothing of the archive's own header survives but a boundary.

    :raises ArchiveError: it is not what was asked for
    """
    if response.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise ArchiveError("the archive encoded an answer although identity was asked for")
    header = response.headers.get(hdrs.CONTENT_TYPE, "")
    kind, _, rest = header.partition(";")
    kind = kind.strip().lower()
    if wanted is Representation.JSON and kind in _JSON_TYPES:
        return Representation.JSON.value
    if wanted is Representation.DICOM and kind == "multipart/related":
        parameters = {name.lower(): quoted or token for name, quoted, token in _PARAMETER.findall(";" + rest)}
        boundary = parameters.get("boundary", "")
        if parameters.get("type", "").lower() == "application/dicom" and _BOUNDARY.fullmatch(boundary):
            return f'multipart/related; type="application/dicom"; boundary={boundary}'
    raise ArchiveError(f"the archive answered {kind} where {wanted.name} was asked for")
