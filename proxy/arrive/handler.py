"""From a parsed head to the journey and back. The one broad ``except`` of the package is here, and it denies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from aiohttp import HttpVersion10, HttpVersion11, web

from proxy.arrive.admission import Admission
from proxy.arrive.cors import PLAIN, Cors
from proxy.arrive.exchange import AiohttpExchange, GoneResponse
from proxy.errors import PeerGoneError
from proxy.model import Arrival, Peer, Reason
from proxy.ports import Clock, Exchange, Suppressor

logger = logging.getLogger(__name__)

_VERSIONS: Final = (HttpVersion10, HttpVersion11)
"""The parser also takes HTTP/0.9, a request line alone, which no client of today sends and no answer of ours fits."""

Walk = Callable[[Arrival, Exchange], Awaitable[None]]


class ProblemLike(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class Handler:
    """Serves one request; ``requests`` counts every head that was completed or answered."""

    def __init__(
        self,
        *,
        walk: Walk,
        admission: Admission,
        suppressor: Suppressor,
        problem: Callable[[Sequence[str], str], ProblemLike],
        clock: Clock,
        cors: Cors,
        idle_s: float,
        body_bytes: int,
    ) -> None:
        self._walk = walk
        self._cors = cors
        self._admission = admission
        self._suppressor = suppressor
        self._problem = problem
        self._clock = clock
        self._idle_s = idle_s
        self._body_bytes = body_bytes
        self.requests = 0

    async def handle(self, request: web.BaseRequest, peer: Peer, parser_error: str | None = None) -> web.StreamResponse:
        self.requests += 1
        now = self._clock()
        if parser_error is None and request.version not in _VERSIONS:
            parser_error = "HttpVersion"
        page = self._cors.judge(request) if parser_error is None else PLAIN
        exchange = AiohttpExchange(
            request,
            idle_s=self._idle_s,
            body_bytes=self._body_bytes,
            close=parser_error is not None,
            headers=page.headers,
        )
        try:
            if not self._admission.admits(peer.certificate, peer.address, monotonic()):
                self._suppressor.suppress(Reason.RATE_LIMITED, now)
                exchange.decided = True
                await self._refuse(request, exchange, Reason.RATE_LIMITED)
            elif parser_error is None:
                arrival = Arrival(
                    peer=peer,
                    method=request.method,
                    target=request.raw_path,
                    headers=request.raw_headers,
                    at=now,
                    foreign=page.foreign,
                )
                await self._walk(arrival, exchange)
            else:
                arrival = Arrival(peer=peer, method="", target="", headers=(), at=now, parser_error=parser_error)
                await self._walk(arrival, exchange)
        except PeerGoneError:
            self._suppress_undecided(exchange, Reason.ABANDONED)
            return exchange.response or GoneResponse()
        except asyncio.CancelledError:
            # The proxy stops and did not wait any longer.
            self._suppress_undecided(exchange, Reason.ABANDONED)
            raise
        except Exception as error:  # whatever went wrong, nothing is served
            # Neither message nor locals: both may hold patient data.
            logger.error("request failed", exc_info=error)
            self._suppress_undecided(exchange, Reason.INTERNAL_ERROR)
            await self._refuse(request, exchange, Reason.INTERNAL_ERROR)
        return exchange.response or GoneResponse()

    def abandon(self, heads: int) -> None:
        """Heads that the parser completed and nobody will read any more."""
        now = self._clock()
        self.requests += heads
        for _ in range(heads):
            self._suppressor.suppress(Reason.ABANDONED, now)

    def _suppress_undecided(self, exchange: AiohttpExchange, reason: Reason) -> None:
        if not exchange.decided:
            self._suppressor.suppress(reason, self._clock())

    async def _refuse(self, request: web.BaseRequest, exchange: AiohttpExchange, reason: Reason) -> None:
        """An answer without a record of its own; the connection ends with it."""
        if exchange.response is not None:
            exchange.abort()
            return
        problem = self._problem((reason,), "")
        last = AiohttpExchange(request, idle_s=self._idle_s, body_bytes=0, close=True, headers=exchange.headers)
        try:
            await last.start(problem.status, (("Content-Type", "application/problem+json"),), len(problem.body))
            await last.write(problem.body)
            await last.finish()
        except PeerGoneError:
            pass
        exchange.response = last.response
