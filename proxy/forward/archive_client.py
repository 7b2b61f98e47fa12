"""The archive client: aiohttp, one connection pool, headers written by us alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict
from yarl import URL

from proxy.errors import ArchiveError, ArchiveRefusedError, ArchiveTimeoutError
from proxy.forward.answer_head import Head, checked_head
from proxy.model import Action, DicomRequest, Representation

CHUNK_BYTES: Final = 2**18


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
    withheld_frames: frozenset[str] = frozenset()
    """Media types that the archive is not asked to give frames as."""


class _Request(aiohttp.ClientRequest):
    """Carries the headers it is given, and none that the client library would add.

    The library can be told to skip them, by building and sorting what to skip for every request.
    """

    def update_headers(self, headers: LooseHeaders | None) -> None:
        self.headers = CIMultiDict(headers or ())

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        pass


class _Answer:
    """:class:`proxy.ports.ArchiveAnswer` over an aiohttp response."""

    __slots__ = ("_response", "boundary", "content_type", "length", "more", "status")

    def __init__(self, response: aiohttp.ClientResponse, head: Head) -> None:
        self._response = response
        self.status = response.status
        self.content_type = head.content_type
        self.boundary = head.boundary
        self.more = head.more
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

    __slots__ = ("_asked", "_request", "_response")

    def __init__(self, asked: Awaitable[aiohttp.ClientResponse], request: DicomRequest) -> None:
        self._asked = asked
        self._request = request
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> _Answer:
        """:raises ArchiveError: no answer, or not one that was asked for"""
        response = self._response = await self._asked
        try:
            return _Answer(response, checked_head(self._request, response.status, response.headers))
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
        headers = {
            hdrs.HOST: URL(settings.url).host_port_subcomponent or "",
            # RFC 7239 4 wants a quoted-string where there is a port; Orthanc would put the quotes into its links.
            hdrs.FORWARDED: f"host={public.authority};proto={public.scheme}",
        }
        if settings.username is not None:
            headers[hdrs.AUTHORIZATION] = aiohttp.encode_basic_auth(settings.username, settings.password or "")
        self._headers = headers
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
            headers=self._headers,
            request_class=_Request,
            read_bufsize=CHUNK_BYTES,
            trust_env=False,
        )

    def fetch(self, request: DicomRequest) -> _Asking:
        return _Asking(self._ask(self._reads, request, None, self._headers_of(request)), request)

    def store(self, request: DicomRequest, body: AsyncIterator[bytes], boundary: str) -> _Asking:
        content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = (*self._headers_of(request), (hdrs.CONTENT_TYPE, content_type))
        return _Asking(self._send(request, body, headers), request)

    async def _send(
        self, request: DicomRequest, body: AsyncIterator[bytes], headers: tuple[tuple[str, str], ...]
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
                return await self._ask(self._writes, request, paced(), headers)
        except TimeoutError as error:
            raise ArchiveTimeoutError("the archive took no byte of a store in time") from error

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        request: DicomRequest,
        body: AsyncIterator[bytes] | None,
        headers: tuple[tuple[str, str], ...],
    ) -> aiohttp.ClientResponse:
        if request.representation is Representation.PIXELS and request.media_type in self._settings.withheld_frames:
            raise ArchiveRefusedError("frames of a type that this archive is not asked for")
        try:
            return await session.request(
                # What a client asks by HEAD is asked of the archive by GET.
                hdrs.METH_POST if request.action is Action.STORE else hdrs.METH_GET,
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
