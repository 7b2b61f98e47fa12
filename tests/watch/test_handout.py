"""Policies for an OPA server on the admin port: only for who shows the token, and at once when they change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from proxy.decide import Shelf
from proxy.model import PolicyDigest
from proxy.watch import Admin, Tally
from proxy.watch import admin as room
from proxy.watch.admin import Handout
from tests.simulators.opa import TOKEN, free_port, handing_out

DIGEST, NEXT = PolicyDigest("ab" * 32), PolicyDigest("cd" * 32)
PATH = "/policies/bundle.tar.gz"
BUNDLES = "application/vnd.openpolicyagent.bundles"
OURS = {"Authorization": f"Bearer {TOKEN}"}


class Served:
    def __init__(self, shelf: Shelf, client: aiohttp.ClientSession) -> None:
        self.shelf, self.client = shelf, client

    async def get(self, **headers: str) -> tuple[int, bytes, Any]:
        async with self.client.get(PATH, headers=OURS | headers) as answer:
            return answer.status, await answer.read(), answer.headers

    def wait(self, known: str, seconds: str) -> asyncio.Task[tuple[int, bytes, Any]]:
        prefer = {"If-None-Match": f'"{known}"', "Prefer": f"modes=snapshot,delta;wait={seconds}"}
        return asyncio.create_task(self.get(**prefer))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    shelf = Shelf()
    async with handing_out(shelf) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        yield Served(shelf, client)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \u00fc",
    ],
)
async def test_who_does_not_show_the_token_gets_nothing(served: Served, shown: str | None) -> None:
    served.shelf.offer(DIGEST, b"policies")
    headers = {} if shown is None else {"Authorization": shown}
    async with served.client.get(PATH, headers=headers) as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"], await answer.read()) == (401, "Bearer", b"")
    for method in ("PUT", "POST", "DELETE"):
        async with served.client.request(method, PATH, headers=OURS) as answer:
            assert answer.status == 405


async def test_where_no_server_is_configured_there_is_nothing() -> None:
    admin, port = Admin(Tally(), dict, dict), free_port()
    await admin.start("127.0.0.1", port)
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{PATH}", headers=OURS) as answer:
        assert answer.status == 404
    await admin.stop()


async def test_policies_come_with_their_digest_and_not_again(served: Served) -> None:
    served.shelf.offer(DIGEST, b"policies")
    status, body, headers = await served.get()
    assert (status, body, headers["ETag"], headers["Content-Type"]) == (200, b"policies", f'"{DIGEST}"', BUNDLES)
    assert headers["Cache-Control"] == "no-store"
    status, body, headers = await served.get(**{"If-None-Match": f'"{DIGEST}"'})
    assert (status, body, headers["ETag"], headers["Content-Type"]) == (304, b"", f'"{DIGEST}"', BUNDLES)
    assert (await served.get(**{"If-None-Match": f'"{NEXT}"'}))[:2] == (200, b"policies")


async def test_before_there_are_any_it_says_so(served: Served) -> None:
    status, body, headers = await served.get()
    assert (status, body, headers["Retry-After"]) == (503, b"", "1")


async def test_who_waits_gets_new_policies_at_once(served: Served) -> None:
    served.shelf.offer(DIGEST, b"policies")
    waiting = served.wait(DIGEST, "30")
    await asyncio.sleep(0.3)
    assert not waiting.done()
    offered = time.monotonic()
    served.shelf.offer(NEXT, b"other policies")
    status, body, headers = await waiting
    assert (status, body, headers["ETag"]) == (200, b"other policies", f'"{NEXT}"')
    assert time.monotonic() - offered < 1


async def test_who_has_others_does_not_wait(served: Served) -> None:
    served.shelf.offer(DIGEST, b"policies")
    started = time.monotonic()
    assert (await served.wait(NEXT, "30"))[:2] == (200, b"policies")
    assert time.monotonic() - started < 5


async def test_waiting_ends(served: Served) -> None:
    served.shelf.offer(DIGEST, b"policies")
    started = time.monotonic()
    assert (await served.wait(DIGEST, "1"))[0] == 304
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("seconds", ["", "x", "-1", "1e9", "99999", "0"])
async def test_wait_that_is_none_is_answered_at_once(served: Served, seconds: str) -> None:
    served.shelf.offer(DIGEST, b"policies")
    async with asyncio.timeout(5):
        assert (await served.wait(DIGEST, seconds))[0] == 304


async def test_nobody_waits_longer_than_we_like(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LONGEST_WAIT_S", 0.2)
    served.shelf.offer(DIGEST, b"policies")
    async with asyncio.timeout(5):
        assert (await served.wait(DIGEST, "9999"))[0] == 304


async def test_only_so_many_wait(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_WAITING", 3)
    served.shelf.offer(DIGEST, b"policies")
    waiting = [served.wait(DIGEST, "30") for _ in range(3)]
    await asyncio.sleep(0.3)
    async with asyncio.timeout(5):
        assert (await served.wait(DIGEST, "30"))[0] == 304
    assert not any(each.done() for each in waiting)
    served.shelf.offer(NEXT, b"other policies")
    assert {(await each)[0] for each in waiting} == {200}


def test_token_is_not_shown() -> None:
    assert TOKEN not in repr(Handout(shelf=Shelf(), token=TOKEN))
