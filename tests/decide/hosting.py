"""A bundle server on loopback that tells what it was asked, and can be late, wrong or absent."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class BundleHost:
    def __init__(self) -> None:
        self.content = b""
        self.status = 200
        self.delay_s = 0.0
        self.endless = False
        self.location: str | None = None
        self.asked: list[dict[str, str]] = []
        self.answered: list[int] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.headers))
        await asyncio.sleep(self.delay_s)
        etag = f'"{hashlib.sha256(self.content).hexdigest()}"'
        if self.endless:
            return await self._never_end(request)
        status = 304 if self.status == 200 and request.headers.get("If-None-Match") == etag else self.status
        self.answered.append(status)
        headers = {"ETag": etag} | ({} if self.location is None else {"Location": self.location})
        return web.Response(status=status, body=b"" if status == 304 else self.content, headers=headers)

    async def _never_end(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100_000):
            await response.write(bytes(1 << 16))
        return response


@asynccontextmanager
async def hosted(tls: ssl.SSLContext | None = None) -> AsyncIterator[BundleHost]:
    host = BundleHost()
    app = web.Application()
    app.router.add_get("/bundle.tar.gz", host.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    host.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/bundle.tar.gz"
    try:
        yield host
    finally:
        await runner.cleanup()
