"""The admin port: ``/metrics``, ``/healthz``, ``/readyz``, and for an OPA server ``/policies/bundle.tar.gz``."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from proxy.errors import ConfigurationError
from proxy.ports import PolicyShelf
from proxy.watch.tally import Tally

LONGEST_WAIT_S: Final = 60.0
MOST_WAITING: Final = 16
_WAIT: Final = re.compile(r"(?:^|[;,\s])wait=([0-9]{1,4})(?:$|[;,\s])")
_BUNDLE_TYPE: Final = "application/vnd.openpolicyagent.bundles"
"""What OPA's bundle plugin takes as a sign that the server can wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """Policies for an OPA server, which may name patients, and the token it shows for them."""

    shelf: PolicyShelf
    token: str

    def __repr__(self) -> str:
        return "Handout()"


class Admin:
    """Plain HTTP for operators."""

    def __init__(
        self,
        tally: Tally,
        ready: Callable[[], Mapping[str, bool]],
        troubles: Callable[[], Mapping[str, bool]],
        handout: Handout | None = None,
    ) -> None:
        """
        :param ready: each condition by name; all must hold for requests to be served
        :param troubles: what is to be looked at although requests are served, by name
        """
        self._registry = CollectorRegistry()
        self._registry.register(tally)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._ready = ready
        self._troubles = troubles
        self._handout = handout
        self._waiting = 0
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        if handout is not None:
            application.add_routes([web.get("/policies/bundle.tar.gz", self._policies)])
        self._runner = web.AppRunner(application, access_log=None, keepalive_timeout=75, shutdown_timeout=1)

    async def start(self, host: str, port: int) -> None:
        """:raises ConfigurationError: the address cannot be bound"""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise ConfigurationError(f"listen.admin_port: {host}:{port}: {error.strerror}") from error

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: web.Request) -> web.Response:
        degraded = [name for name, held in self._troubles().items() if held]
        body = {"status": "degraded" if degraded else "ok", "degraded": degraded}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _readyz(self, request: web.Request) -> web.Response:
        conditions = dict(self._ready())
        status = 200 if all(conditions.values()) else 503
        return web.Response(status=status, body=orjson.dumps(conditions), content_type="application/json")

    async def _policies(self, request: web.Request) -> web.Response:
        """As OPA's bundle plugin asks: ``If-None-Match``, and ``Prefer: wait=N`` for long polling."""
        handout = self._handout
        shown = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
        if handout is None or not hmac.compare_digest(shown, f"Bearer {handout.token}".encode()):
            return web.Response(status=401, headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
        known = request.headers.get(hdrs.IF_NONE_MATCH, "").strip('"')
        found = _WAIT.search(request.headers.get("Prefer", ""))
        wait_s = min(float(found[1]), LONGEST_WAIT_S) if found is not None and self._waiting < MOST_WAITING else 0.0
        self._waiting += 1
        try:
            digest, bundle = await handout.shelf.take(known, wait_s)
        finally:
            self._waiting -= 1
        headers = {hdrs.CONTENT_TYPE: _BUNDLE_TYPE, hdrs.ETAG: f'"{digest}"', hdrs.CACHE_CONTROL: "no-store"}
        if not digest:
            return web.Response(status=503, headers={hdrs.RETRY_AFTER: "1"})
        if digest == known:
            return web.Response(status=304, headers=headers)
        return web.Response(body=bundle, headers=headers)
