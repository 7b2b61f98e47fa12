"""The admin port: ``/metrics``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from proxy.errors import ConfigurationError
from proxy.watch.tally import Tally


class Admin:
    """Plain HTTP for operators. ``ready`` gives each condition by name; all must hold."""

    def __init__(self, tally: Tally, ready: Callable[[], Mapping[str, bool]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(tally)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._ready = ready
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, keepalive_timeout=75)

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
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        conditions = dict(self._ready())
        status = 200 if all(conditions.values()) else 503
        return web.Response(status=status, body=orjson.dumps(conditions), content_type="application/json")
