"""Real HTTP against a small local server."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.dev.pki import DevPki
from proxy.errors import ConfigurationError, DependencyError
from proxy.identify.fetching import Fetcher, FetchError

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    server = TestServer(app, scheme="http" if tls is None else "https", host="localhost")
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("/list"))
    finally:
        await server.close()


@asynccontextmanager
async def fetching(ca_file: Path | None = None, timeout_s: float = 10) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(ca_file, timeout_s)
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def test_body_of_an_answer_is_had_and_no_cookie_is_kept() -> None:
    cookies: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(dict(request.cookies))
        response = web.Response(body=b"content")
        response.set_cookie("seen", "before")
        return response

    async with serving(answer) as url, fetching() as fetcher:
        assert await fetcher.get(url, 7) == b"content"
        assert await fetcher.get(url, 7) == b"content"
    assert cookies == [{}, {}]


@pytest.mark.parametrize("announced", [True, False])
async def test_body_that_is_too_long_is_refused(announced: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if announced:
            return web.Response(body=b"12345678")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"12345678")
        return response

    async with serving(answer) as url, fetching() as fetcher:
        with pytest.raises(FetchError, match="more than 7 bytes"):
            await fetcher.get(url, 7)


@pytest.mark.parametrize("status", [204, 404, 500])
async def test_other_statuses_are_refused_without_their_content(status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=b"" if status == 204 else b"secret")

    async with serving(answer) as url, fetching() as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.get(url, 1000)
    assert str(status) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, DependencyError)


async def test_redirect_is_not_followed() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(answer) as url, fetching() as fetcher:
        with pytest.raises(FetchError, match="302"):
            await fetcher.get(url, 1000)
    assert asked == ["/list"]


async def test_encoded_answer_is_refused_before_it_can_swell() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(10**6)), headers={"Content-Encoding": "gzip"})

    async with serving(answer) as url, fetching() as fetcher:
        with pytest.raises(FetchError, match="encoding"):
            await fetcher.get(url, 10**7)


async def test_answer_that_is_late_is_refused() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with serving(answer) as url, fetching(timeout_s=0.1) as fetcher:
        with pytest.raises(FetchError, match="in time"):
            await fetcher.get(url, 1000)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://", "junk", "http://[::1"])
async def test_address_that_nobody_answers_is_refused(url: str) -> None:
    async with fetching() as fetcher:
        with pytest.raises(FetchError):
            await fetcher.get(url, 1000)


async def test_server_of_another_authority_is_refused(tmp_path: Path) -> None:
    pki = DevPki(tmp_path)
    pki.prepare(datetime.now(UTC))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"content")

    async with serving(answer, tls) as url:
        async with fetching(tmp_path / "ca.crt") as fetcher:
            assert await fetcher.get(url, 1000) == b"content"
        for other in (tmp_path / "stranger-ca.crt", None):
            async with fetching(other) as fetcher:
                with pytest.raises(FetchError):
                    await fetcher.get(url, 1000)


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"content")

    async with serving(answer) as url, fetching() as fetcher:
        assert await fetcher.get(url, 1000) == b"content"


@pytest.mark.parametrize("content", [None, b"junk"])
def test_authority_that_cannot_be_read_is_a_configuration_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        Fetcher(path)
