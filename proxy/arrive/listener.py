"""Listening: aiohttp's low-level server with its parser's refusals turned into requests like any other."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import aiohttp
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from proxy.arrive.handler import Handler
from proxy.arrive.tls import ServerTls
from proxy.errors import ConfigurationError
from proxy.model import Peer

logger = logging.getLogger(__name__)

MINIMUM_AIOHTTP: Final = (3, 14, 4)
READ_BYTES: Final = 2**18
BACKLOG: Final = 1024
PAUSE_S: Final = 0.05
"""Before the next try, where the system has no more descriptors."""
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

    __slots__ = ("_handler", "_peer", "_refused", "_seat", "_server")

    def __init__(self, server: Server, handler: Handler, seat: Seat, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self._seat = seat
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
            self._seat.leave()
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
        self.open_connections = 0
        """Connections, unfinished handshakes included."""
        self.refused = 0

    def connection(self, seat: Seat) -> Connection:
        return Connection(self, self._handler, seat, loop=self._loop, **self._kwargs)

    def seat(self, address: str) -> Seat | None:
        """A place for one more connection of an address, from its first packet on; ``None`` where there is none."""
        if (
            self.open_connections >= self._limits.connections
            or self._per_address[address] >= self._limits.connections_per_address
        ):
            self.refused += 1
            return None
        self._per_address[address] += 1
        self.open_connections += 1
        return Seat(self, address)

    def leave(self, address: str) -> None:
        self.open_connections -= 1
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]


class Seat:
    """One connection's share of the limits, handed back once, whether its handshake ended or not."""

    __slots__ = ("_address", "_server")

    def __init__(self, server: Server, address: str) -> None:
        self._server: Server | None = server
        self._address = address

    def leave(self) -> None:
        if self._server is not None:
            self._server.leave(self._address)
            self._server = None


class Listener:
    """The DICOMweb port."""

    def __init__(self, handler: Handler, limits: Limits, tls: ServerTls) -> None:
        """
        :raises ConfigurationError: the HTTP parser is not the one that was tested"""
        assert_parser()
        self.server = Server(handler, limits)
        self._limits = limits
        self._tls = tls
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshaking: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on, for whoever asked for any."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])

    @property
    def listening(self) -> bool:
        return self._accepting is not None and not self._accepting.done()

    async def start(self, host: str, port: int) -> None:
        """:raises ConfigurationError: the address cannot be bound"""
        try:
            self._socket = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
            )
        except OSError as error:
            raise ConfigurationError(f"listen: {host}:{port}: {error.strerror}") from error
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket), name="accept")

    async def _accept(self, listening: socket.socket) -> None:
        """Connections are taken here, and not by the loop, so that an address is known before its handshake.

        Handshakes that never end would otherwise lock everybody out, from one address and without a certificate.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:
                logger.warning("no connection can be taken", extra={"error": type(error).__name__})
                await asyncio.sleep(PAUSE_S)
                continue
            seat = self.server.seat(str(address[0]))
            if seat is None:
                accepted.close()
                continue
            task = asyncio.create_task(self._shake_hands(accepted, seat))
            self._handshaking.add(task)
            task.add_done_callback(self._handshaking.discard)

    async def _shake_hands(self, accepted: socket.socket, seat: Seat) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self.server.connection(seat),
                accepted,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._limits.handshake_s,
                # Until the peer agrees to the end, or this passes, what it sends is still decrypted and thrown away.
                ssl_shutdown_timeout=LINGER_S,
            )
        except (OSError, asyncio.CancelledError):
            # It was counted where it failed (``Handshakes``).
            seat.leave()
            accepted.close()

    async def stop(self, timeout_s: float) -> None:
        """Take no more connections, let requests under way end; whatever has not after ``timeout_s`` is cancelled.

        None of them runs any more when this returns.
        """
        if self._accepting is None or self._socket is None:
            return
        for task in (self._accepting, *self._handshaking):
            task.cancel()
        await asyncio.wait((self._accepting, *self._handshaking), timeout=CANCEL_S)
        self._socket.close()
        self.server.pre_shutdown()
        under_way = [each for connection in self.server.connections if (each := connection._task_handler)]
        # The library waits for this long twice, and not for what it cancels then.
        await self.server.shutdown(timeout_s / 2)
        if under_way:
            await asyncio.wait(under_way, timeout=CANCEL_S)


def assert_parser() -> None:
    """Refuse to start on a parser with known holes.

    :raises ConfigurationError: aiohttp is too old, or its C parser is not in use
    """
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:3])
    if version < MINIMUM_AIOHTTP:
        raise ConfigurationError(f"aiohttp {aiohttp.__version__} is older than 3.14.4")
    if http_parser.HttpRequestParser is not getattr(http_parser, "HttpRequestParserC", None):
        raise ConfigurationError("aiohttp runs without its C parser; install its wheel")
