"""One request's connection as the journey sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from aiohttp import HttpVersion11, web
from aiohttp.http_writer import StreamWriter
from aiohttp.web_protocol import RequestPayloadError

from proxy.errors import BodyTooLargeError, PeerError, PeerGoneError
from proxy.ports import Body

SERVER: Final = "dicomward"
ALWAYS: Final = (
    ("Server", SERVER),
    ("X-Content-Type-Options", "nosniff"),
    # No page of another origin may embed an image of a patient (Fetch 3.7).
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
TOO_LONG: Final = "the announced body is larger than limits.body_bytes"


class AiohttpBody:
    """:class:`proxy.ports.Body`."""

    __slots__ = ("_idle_s", "_left", "_request")

    def __init__(self, request: web.BaseRequest, idle_s: float, most: int) -> None:
        self._request = request
        self._idle_s = idle_s
        self._left = most

    async def read(self) -> bytes:
        announced = self._request.content_length
        if announced is not None and announced > self._left and self._request.content.total_bytes == 0:
            raise BodyTooLargeError(TOO_LONG)
        try:
            async with asyncio.timeout(self._idle_s):
                chunk = await self._request.content.readany()
        except TimeoutError as error:
            raise PeerGoneError("no byte of the body came in time") from error
        except RequestPayloadError as error:
            raise PeerError("the body's framing is broken") from error
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise PeerGoneError("the connection was lost in the body") from error
        self._left -= len(chunk)
        if self._left < 0:
            raise BodyTooLargeError("the body is larger than limits.body_bytes")
        return chunk


class Response(web.StreamResponse):
    """Head and first bytes leave together: one TLS record, one system call and one wake-up of the peer less."""

    _send_headers_immediately = False


class GoneResponse(web.StreamResponse):
    """What the handler returns where nothing more may be sent: the server closes without a byte."""

    async def prepare(self, request: web.BaseRequest) -> None:
        raise ConnectionResetError("the exchange was aborted")


class AiohttpExchange:
    """:class:`proxy.ports.Exchange`."""

    __slots__ = ("_body_bytes", "_close", "_idle_s", "_request", "body", "decided", "headers", "response")

    def __init__(
        self,
        request: web.BaseRequest,
        *,
        idle_s: float,
        body_bytes: int,
        close: bool,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """:param headers: what every answer on this exchange carries besides its own"""
        self._request = request
        self.headers = headers
        self._idle_s = idle_s
        self._close = close
        self._body_bytes = body_bytes
        self.body: Body = AiohttpBody(request, idle_s, body_bytes)
        self.decided = False
        self.response: web.StreamResponse | None = None

    async def proceed(self) -> None:
        if (self._request.content_length or 0) > self._body_bytes:
            raise BodyTooLargeError(TOO_LONG)
        writer = self._request.writer
        try:
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except ConnectionError as error:
            raise PeerGoneError("the connection was lost") from error
        # The final answer's head follows an interim one: nothing of the answer itself was sent yet.
        writer.output_size = 0

    async def start(self, status: int, headers: Sequence[tuple[str, str]], length: int | None) -> None:
        response = Response(status=status)
        response.headers.extend((*headers, *ALWAYS, *self.headers))
        if length is not None:
            response.content_length = length
        # HTTP/1.0 has no chunks: only the end of the connection tells where such a body ends (RFC 9112 6.3).
        if self._close or (length is None and self._request.version < HttpVersion11):
            response.force_close()
        self.response = response
        try:
            await response.prepare(self._request)
        except ConnectionError as error:
            raise PeerGoneError("the connection was lost") from error

    async def write(self, chunk: bytes) -> None:
        if self._request.method == "HEAD" or self.response is None:
            return
        try:
            # Does not wait: a deadline is set up only where the peer's window is full, which it seldom is.
            await cast(StreamWriter, self._request.writer).write(chunk, drain=False)
        except ConnectionError as error:
            raise PeerGoneError("the connection was lost") from error
        await self._taken()

    async def finish(self) -> None:
        if self.response is None:
            return
        await self._taken()
        try:
            await self.response.write_eof()
        except ConnectionError as error:
            raise PeerGoneError("the connection was lost") from error

    async def _taken(self) -> None:
        """Wait until the peer took enough of what was written.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        protocol = self._request.protocol
        if protocol is None or not protocol.writing_paused:
            return
        try:
            async with asyncio.timeout(self._idle_s):
                await self._request.writer.drain()
        except TimeoutError as error:
            self.abort()
            raise PeerGoneError("the peer took no byte in time") from error
        except ConnectionError as error:
            raise PeerGoneError("the connection was lost") from error

    def abort(self) -> None:
        self.response = GoneResponse()
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            transport.abort()
