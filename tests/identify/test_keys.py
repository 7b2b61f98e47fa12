"""Key sets that are late, gone, garbage or rotated; those behind an address from a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy.identify.key_set import parse_key_set
from proxy.identify.keys import KeyCache
from tests.identify.issuing import NOW, SECOND, Clock, Issuer, jwks, put, settings


class KeyServer:
    """Publishes a key set, or whatever it is told to."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(body=self.body, status=self.status, headers={"Location": "/elsewhere"})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[KeyServer]:
        app = web.Application()
        app.router.add_get("/jwks", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
        try:
            yield self
        finally:
            await runner.cleanup()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(keys: KeyCache, interval_s: float = 0.02) -> AsyncIterator[None]:
    task = asyncio.create_task(keys.watch(interval_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await keys.close()


async def test_key_set_of_an_address_is_had_and_had_again() -> None:
    first, second = Issuer(kid="first"), Issuer(kid="second")
    async with KeyServer().serving() as server:
        server.body = jwks(first.jwk())
        clock = Clock()
        keys = KeyCache(settings(server.url, jwks_refresh_s=0.05), clock)
        assert keys.end(NOW) is None
        assert keys.age_s(NOW) == math.inf
        async with watched(keys):
            await until(lambda: keys.generation == 1)
            assert keys.find("first", NOW) is not None
            assert keys.end(NOW) == NOW + 3600 * SECOND
            server.body = jwks(second.jwk())
            await until(lambda: keys.generation == 2)
            assert keys.find("first", NOW) is None
            assert keys.find("second", NOW) is not None
            clock.now = NOW + SECOND
            await until(lambda: keys.end(NOW) == NOW + 3601 * SECOND)
    assert (keys.generation, keys.failures) == (2, 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (302, b""), (404, b""), (200, b"garbage"), (200, b'{"keys":[]}'), (200, b" " * (2**18 + 1))],
)
async def test_answer_that_is_no_key_set_leaves_the_old_until_it_is_too_old(status: int, body: bytes) -> None:
    issuer, clock = Issuer(), Clock()
    async with KeyServer().serving() as server:
        server.body = jwks(issuer.jwk())
        keys = KeyCache(settings(server.url, jwks_refresh_s=0.02, jwks_max_age_s=60), clock)
        async with watched(keys):
            await until(lambda: keys.generation == 1)
            server.status, server.body = status, body
            clock.now = NOW + 59 * SECOND
            await until(lambda: keys.failures >= 2)
    assert keys.generation == 1
    assert keys.find("k1", clock.now) is not None
    age = keys.age_s(clock.now)
    assert 0 <= age <= 59
    last = clock.now - age * SECOND
    assert keys.end(last + 59 * SECOND) == last + 60 * SECOND
    assert keys.end(last + 60 * SECOND) is None


async def test_address_that_does_not_answer_is_no_key_set(caplog: pytest.LogCaptureFixture) -> None:
    keys = KeyCache(settings("http://127.0.0.1:1/jwks", jwks_refresh_s=0.02), Clock())
    with caplog.at_level(logging.INFO):
        async with watched(keys):
            await until(lambda: keys.failures >= 3)
    assert keys.end(NOW) is None
    assert keys.find("k1", NOW) is None
    assert len(caplog.records) == 1


async def test_unknown_key_id_wakes_the_refresh_once_in_ten_seconds() -> None:
    first, second = Issuer(kid="first"), Issuer(kid="second")
    async with KeyServer().serving() as server:
        server.body = jwks(first.jwk())
        keys = KeyCache(settings(server.url), Clock())
        async with watched(keys):
            await until(lambda: keys.generation == 1)
            server.body = jwks(second.jwk())
            assert keys.find("second", NOW) is None
            await until(lambda: keys.generation == 2)
            assert server.asked == 2
            for number in range(100):
                assert keys.find(f"made-up-{number}", NOW + 9 * SECOND) is None
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
            assert server.asked == 2
            assert keys.find("made-up", NOW + 10 * SECOND) is None
            await until(lambda: server.asked == 3)
            assert keys.find("second", NOW) is not None
    assert keys.generation == 2


async def test_known_key_id_wakes_nothing() -> None:
    issuer = Issuer()
    async with KeyServer().serving() as server:
        server.body = jwks(issuer.jwk())
        keys = KeyCache(settings(server.url), Clock())
        async with watched(keys):
            await until(lambda: keys.generation == 1)
            for _ in range(50):
                assert keys.find("k1", NOW) is not None
                assert keys.find(None, NOW) is not None
            await asyncio.sleep(0.1)
            assert server.asked == 1


async def test_key_set_of_a_file_is_read_when_it_changes(tmp_path: Path) -> None:
    first, second, clock = Issuer(kid="first"), Issuer(kid="second"), Clock()
    path = tmp_path / "jwks.json"
    put(path, jwks(first.jwk()))
    keys = KeyCache(settings(path), clock)
    assert keys.generation == 1
    async with watched(keys):
        clock.now = NOW + 10 * SECOND
        await until(lambda: keys.age_s(clock.now) == 0)
        put(path, jwks(first.jwk(), second.jwk()))
        await until(lambda: keys.generation == 2)
        put(path, b"garbage")
        await until(lambda: keys.failures == 1)
    assert keys.find("second", NOW) is not None
    clock.now = NOW + 4000 * SECOND
    assert not keys.reload()
    assert keys.end(clock.now) is None
    path.unlink()
    assert not keys.reload()
    assert keys.failures == 2
    assert keys.end(clock.now) is None
    put(path, jwks(second.jwk()))
    assert keys.reload()
    assert keys.end(clock.now) is not None
    assert keys.find("first", NOW) is None


def test_file_that_comes_after_the_start_is_read(tmp_path: Path) -> None:
    issuer = Issuer()
    keys = KeyCache(settings(tmp_path / "jwks.json"), Clock())
    assert (keys.end(NOW), keys.failures) == (None, 1)
    put(tmp_path / "jwks.json", jwks(issuer.jwk()))
    assert keys.reload()
    assert keys.end(NOW) == NOW + 3600 * SECOND


def test_file_that_was_moved_away_and_back_is_had_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "jwks.json", Clock()
    put(path, jwks(Issuer().jwk()))
    keys = KeyCache(settings(path), clock)
    path.rename(tmp_path / "away")
    keys.reload()
    (tmp_path / "away").rename(path)
    clock.now = NOW + SECOND
    keys.reload()
    assert (keys.age_s(clock.now), keys.failures, keys.generation) == (0, 1, 1)


def test_members_in_another_order_are_the_same_keys(tmp_path: Path) -> None:
    first, second = Issuer(kid="first"), Issuer(kid="second")
    put(tmp_path / "jwks.json", jwks(first.jwk(), second.jwk()))
    keys = KeyCache(settings(tmp_path / "jwks.json"), Clock())
    put(tmp_path / "jwks.json", jwks(dict(reversed(second.jwk().items())), first.jwk()))
    assert not keys.reload()
    assert keys.generation == 1
    first.key = Issuer().key
    put(tmp_path / "jwks.json", jwks(first.jwk(), second.jwk()))
    assert keys.reload()
    assert keys.generation == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
KINDS = tuple(Issuer(algorithm) for algorithm in ("ES256", "RS256", "EdDSA"))
MEMBERS = ["kty", "crv", "x", "y", "n", "e", "d", "k", "kid", "use", "alg", "key_ops"]


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3))
def test_members_of_any_type_are_read_or_left_out(issuer: Issuer, changes: dict[str, object]) -> None:
    beside = Issuer(kid="beside")
    keys = parse_key_set(jwks(issuer.jwk(**changes), beside.jwk()))
    assert "beside" in keys
    if not isinstance(changes.get("kid", "k1"), str):
        assert set(keys) == {"beside"}
    if changes.keys() & {"d", "k", "kty"}:
        assert set(keys) == {"beside"}


@hypothesis_settings(max_examples=200, deadline=None)
@given(JSON)
def test_document_of_any_form_is_refused(document: object) -> None:
    with pytest.raises(ValueError):
        parse_key_set(json.dumps({"keys": document}).encode())
    with pytest.raises(ValueError):
        parse_key_set(json.dumps(document).encode())
