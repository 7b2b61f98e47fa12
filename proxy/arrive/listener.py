"""Listening: aiohttp's low-level server with its parser's refusals turned into requests like any other."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import aiohttp
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from proxy.arrive.handler import Handler
from proxy.errors import ConfigurationError
from proxy.model import Peer

MINIMUM_AIOHTTP: Final = (3, 14, 4)
READ_BYTES: Final = 2**18
LINGER_S: Final = 2.0
CANCEL_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    connections: int
    connections_per_address: int
    handshake_s: float
    head_s: float
    line_bytes: int
    headers: int


class Connection(RequestHandler):
    """One connection: its peer is read once, its certificate judged again on every request."""

    __slots__ = ("_handler", "_peer", "_refused", "_server")

    def __init__(self, server: Server, handler: Handler, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self._handler = handler
        self._peer: Peer | None = None
        self._refused = False
        """Whether the parser gave up: what comes behind has no beginning that both sides agree on."""

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            raise RuntimeError("a request before its connection")
        return self._peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = transport.get_extra_info("peername")
        sslobject = transport.get_extra_info("ssl_object")
        self._peer = Peer(
            certificate=None if sslobject is None else sslobject.getpeercert(binary_form=True),
            address=str(address[0]) if address else "",
            connection=next(self._server.numbers),
        )
        super().connection_made(transport)
        if not self._server.enter(self._peer):
            self.force_close()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        error = getattr(self._messages[-1][0], "exc", None) if self._messages else None
        if error is not None:
            self._refused = True
            # Through its traceback it holds all that was received, and itself: megabytes until garbage is collected.
            error.__traceback__ = None

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._peer is not None and self._manager is not None:
            self._server.leave(self._peer)
            self._handler.abandon(len(self._messages))
            self._messages.clear()
        super().connection_lost(exc)

    def _make_error_handler(self, err_info: Any) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handler.handle(request, self.peer, type(err_info.exc).__name__)

        return handle


class Server(web.Server):
    """Makes connections and bounds their number."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            connection: Any = request.protocol
            return await handler.handle(request, connection.peer)

        super().__init__(
            serve,
            keepalive_timeout=limits.head_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            max_headers=limits.headers,
            lingering_time=LINGER_S,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
            access_log=None,
        )
        self._handler = handler
        self._limits = limits
        self._per_address: Counter[str] = Counter()
        self.numbers = count(1)
        self.refused = 0

    def __call__(self) -> RequestHandler:
        return Connection(self, self._handler, loop=self._loop, **self._kwargs)

    def enter(self, peer: Peer) -> bool:
        self._per_address[peer.address] += 1
        allowed = (
            self._per_address.total() <= self._limits.connections
            and self._per_address[peer.address] <= self._limits.connections_per_address
        )
        self.refused += not allowed
        return allowed

    def leave(self, peer: Peer) -> None:
        self._per_address[peer.address] -= 1
        if not self._per_address[peer.address]:
            del self._per_address[peer.address]

    @property
    def open_connections(self) -> int:
        return self._per_address.total()


class Listener:
    """The DICOMweb port."""

    def __init__(self, handler: Handler, limits: Limits, context: ssl.SSLContext) -> None:
        """:raises ConfigurationError: the HTTP parser is not the one that was tested"""
        assert_parser()
        self.server = Server(handler, limits)
        self._limits = limits
        self._context = context
        self._listening: asyncio.Server | None = None

    @property
    def listening(self) -> bool:
        return self._listening is not None and self._listening.is_serving()

    async def start(self, host: str, port: int) -> None:
        """:raises ConfigurationError: the address cannot be bound"""
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                self.server,
                host,
                port,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_s,
                # Until the peer agrees to the end, or this passes, what it sends is still decrypted and thrown away.
                ssl_shutdown_timeout=LINGER_S,
                backlog=1024,
            )
        except OSError as error:
            raise ConfigurationError(f"listen: {host}:{port}: {error.strerror}") from error

    async def stop(self, timeout_s: float) -> None:
        """Take no more connections, let requests under way end; whatever has not after ``timeout_s`` is cancelled.

        None of them runs any more when this returns.
        """
        if self._listening is not None:
            self._listening.close()
            self.server.pre_shutdown()
            under_way = [task for connection in self.server.connections if (task := connection._task_handler)]
            # The library waits for this long twice, and not for what it cancels then.
            await self.server.shutdown(timeout_s / 2)
            if under_way:
                await asyncio.wait(under_way, timeout=CANCEL_S)
            await self._listening.wait_closed()


def assert_parser() -> None:
    """Refuse to start on a parser with known holes.

    :raises ConfigurationError: aiohttp is too old, or its C parser is not in use
    """
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:3])
    if version < MINIMUM_AIOHTTP:
        raise ConfigurationError(f"aiohttp {aiohttp.__version__} is older than 3.14.4")
    if http_parser.HttpRequestParser is not getattr(http_parser, "HttpRequestParserC", None):
        raise ConfigurationError("aiohttp runs without its C parser; install its wheel")
