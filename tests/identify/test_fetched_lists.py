"""Lists fetched over real HTTP from a small local server, and kept for a start without it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.dev.pki import Issued, issue_certificate, make_authority
from proxy.errors import ConfigurationError
from proxy.identify import Certificates, kept
from proxy.model import Reason
from proxy.ports import Clock
from tests.identify.building import HOUR, NOW, Site, judged, list_of, list_with_spoiled_signature, list_without_end

SECOND = timedelta(seconds=1)
EPOCH = datetime.fromtimestamp(0, UTC)


class Publisher:
    """Answers with what it is given; ``None``: 503."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.asked = 0
        app = web.Application()
        app.router.add_get("/site.crl", self._answer)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/site.crl"))

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=503) if self.content is None else web.Response(body=self.content)


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    made = Publisher()
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
def site(tmp_path: Path, publisher: Publisher) -> Site:
    made = Site(tmp_path)
    made.files = replace(made.files, crls=(publisher.url,), crl_refresh_s=0.05)
    publisher.content = list_of(made.authority)
    return made


@asynccontextmanager
async def started(site: Site, cache: Path | None = None, clock: Clock = lambda: NOW) -> AsyncIterator[Certificates]:
    certificates = site.certificates(crl_cache=cache, clock=clock)
    try:
        yield certificates
    finally:
        await certificates.close()


async def test_list_is_fetched_and_taken(site: Site, publisher: Publisher) -> None:
    leaf, revoked = site.issue(), site.issue("revoked")
    async with started(site) as certificates:
        assert judged(certificates, leaf).reasons == (Reason.REVOCATION_MISSING,)
        await certificates.fetch()
        assert (judged(certificates, leaf).reasons, certificates.generation) == ((), 1)
        await certificates.fetch()
        assert certificates.generation == 1, "the same list changes nothing"
        publisher.content = list_of(site.authority, revoked, last_update=NOW - SECOND)
        await certificates.fetch()
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)
        assert certificates.fetch_failures == {"site": 0}


BAD: dict[str, tuple[Callable[[Issued], bytes | None], Reason]] = {
    "down": (lambda ca: None, Reason.REVOCATION_MISSING),
    "garbage": (lambda ca: b"<html>maintenance</html>", Reason.REVOCATION_UNREADABLE),
    "empty": (lambda ca: b"", Reason.REVOCATION_UNREADABLE),
    "no-end": (list_without_end, Reason.REVOCATION_UNREADABLE),
    "impostor": (lambda ca: list_of(make_authority("site", NOW)), Reason.REVOCATION_UNTRUSTED),
    "spoiled": (list_with_spoiled_signature, Reason.REVOCATION_UNTRUSTED),
}


@pytest.mark.parametrize("bad", BAD)
async def test_without_any_list_the_answer_is_the_reason(site: Site, publisher: Publisher, bad: str) -> None:
    make, reason = BAD[bad]
    publisher.content = make(site.authority)
    async with started(site) as certificates:
        await certificates.fetch()
        assert judged(certificates, site.issue()).reasons == (reason,)
        assert certificates.fetch_failures == {"site": 1}
        assert certificates.revocation_expires == {"site": EPOCH}
        publisher.content = list_of(site.authority)
        await certificates.fetch()
        assert judged(certificates, site.issue()).reasons == ()


@pytest.mark.parametrize("bad", BAD)
async def test_bad_answer_takes_no_list_out_of_force(site: Site, publisher: Publisher, bad: str) -> None:
    revoked = site.issue("revoked")
    publisher.content = list_of(site.authority, revoked)
    async with started(site) as certificates:
        await certificates.fetch()
        publisher.content = BAD[bad][0](site.authority)
        await certificates.fetch()
        await certificates.fetch()
        assert judged(certificates, site.issue()).reasons == ()
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)
        assert (certificates.fetch_failures, certificates.generation) == ({"site": 2}, 1)
        late = judged(certificates, site.issue(), NOW + timedelta(days=8))
        assert late.reasons == (Reason.REVOCATION_STALE,), "it is good until its own end"


async def test_replayed_answer_gives_nothing_back(
    site: Site, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    revoked = site.issue("revoked")
    before = publisher.content
    publisher.content = list_of(site.authority, revoked, last_update=NOW - SECOND)
    async with started(site) as certificates:
        await certificates.fetch()
        publisher.content = before
        await certificates.fetch()
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)
        assert certificates.fetch_failures == {"site": 1}
    assert "an older revocation list was fetched, and is not taken" in caplog.text


async def test_start_needs_no_server_where_a_list_was_kept(site: Site, publisher: Publisher, tmp_path: Path) -> None:
    cache, revoked = tmp_path / "cache", site.issue("revoked")
    older = publisher.content
    publisher.content = list_of(site.authority, revoked, last_update=NOW - SECOND)
    async with started(site, cache) as certificates:
        await certificates.fetch()
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700
    publisher.content = None
    async with started(site, cache) as certificates:
        assert judged(certificates, site.issue()).reasons == ()
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)
        publisher.content = older
        await certificates.fetch()
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,), "nor by a restart and a replay"
    async with started(site, cache) as certificates:
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)


async def test_start_without_server_and_without_a_kept_list_denies_until_it_is_back(
    site: Site, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.content = None
    async with started(site, tmp_path / "cache") as certificates:
        await certificates.fetch()
        assert judged(certificates, site.issue()).reasons == (Reason.REVOCATION_MISSING,)
        publisher.content = list_of(site.authority)
        await certificates.fetch()
        assert judged(certificates, site.issue()).reasons == ()


@pytest.mark.parametrize("content", [b"junk", None], ids=["junk", "a-folder"])
async def test_kept_list_that_was_spoiled_is_fetched_anew(
    site: Site, publisher: Publisher, tmp_path: Path, content: bytes | None
) -> None:
    cache = tmp_path / "cache"
    async with started(site, cache) as certificates:
        await certificates.fetch()
    (kept,) = cache.iterdir()
    kept.unlink()
    if content is None:
        kept.mkdir()
    else:
        kept.write_bytes(content)
    async with started(site, cache) as certificates:
        (reason,) = judged(certificates, site.issue()).reasons
        assert reason in (Reason.REVOCATION_UNREADABLE, Reason.REVOCATION_MISSING)
        await certificates.fetch()
        assert judged(certificates, site.issue()).reasons == ()


def test_cache_that_cannot_be_a_folder_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"identify\.crl_cache"):
        Site(tmp_path).certificates(crl_cache=tmp_path / "cache")


async def test_watch_fetches_and_looks_beside_requests(site: Site, publisher: Publisher, tmp_path: Path) -> None:
    """Of one authority by its address, of the intermediate below it from a file."""
    address = site.files.crls
    middle = site.below()
    assert site.files.crls[:-1] == address
    below = issue_certificate(middle, "below", not_before=NOW - HOUR)
    async with started(site) as certificates:
        watching = asyncio.create_task(certificates.watch(0.01))
        await until(lambda: judged(certificates, below).reasons == ())
        publisher.content = list_of(site.authority, middle, last_update=NOW - SECOND)
        await until(lambda: judged(certificates, below).reasons == (Reason.CERTIFICATE_REVOKED,))
        publisher.content = list_of(site.authority, last_update=NOW)
        (tmp_path / "middle.crl").write_bytes(list_of(middle, below, last_update=NOW - SECOND))
        await until(lambda: judged(certificates, below).revocation.as_of == NOW - SECOND)
        assert judged(certificates, below).reasons == (Reason.CERTIFICATE_REVOKED,)
        publisher.content = None
        asked = publisher.asked
        await until(lambda: publisher.asked > asked + 2 and certificates.fetch_failures["site"] > 1)
        assert not watching.done()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------- whoever is on the way of plain HTTP


class Two:
    """A root and two authorities below it; the list of the first is fetched, the others are files."""

    def __init__(self, site: Site, publisher: Publisher) -> None:
        self.one, self.two = site.below("one"), site.below("two")
        folder = site.files.certificate.parent
        site.files = replace(site.files, crls=(str(site.crl), publisher.url, str(folder / "two.crl")))
        self.leaf = issue_certificate(self.one, "leaf", not_before=NOW - HOUR)
        self.other = issue_certificate(self.one, "other", not_before=NOW - HOUR)
        self.newest = list_of(self.one, self.leaf, last_update=NOW - SECOND)
        self.older = list_of(self.one)

    def holds(self, certificates: Certificates) -> bool:
        leaf, other = judged(certificates, self.leaf), judged(certificates, self.other)
        return (leaf.reasons, other.reasons) == ((Reason.CERTIFICATE_REVOKED,), ())


@pytest.fixture
def both(site: Site, publisher: Publisher) -> Two:
    return Two(site, publisher)


async def test_list_of_another_ca_and_then_an_old_one_give_nothing_back(
    site: Site, publisher: Publisher, both: Two, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    publisher.content = both.newest
    async with started(site, cache) as certificates:
        await certificates.fetch()
        publisher.content = list_of(both.two)
        await certificates.fetch()
        assert both.holds(certificates)
        assert certificates.fetch_failures == {"site": 1}
        publisher.content = both.older
        await certificates.fetch()
        assert both.holds(certificates)
        assert certificates.fetch_failures == {"site": 2}
    for content in (None, list_of(both.two), both.older):
        publisher.content = content
        async with started(site, cache) as certificates:
            assert both.holds(certificates)
            await certificates.fetch()
            assert both.holds(certificates)


async def test_list_of_another_ca_that_came_first_keeps_out_none(
    site: Site, publisher: Publisher, both: Two, tmp_path: Path
) -> None:
    publisher.content = list_of(both.two)
    async with started(site, tmp_path / "cache") as certificates:
        await certificates.fetch()
        assert judged(certificates, both.other).reasons == (Reason.REVOCATION_MISSING,)
        publisher.content = both.newest
        await certificates.fetch()
        assert both.holds(certificates)


async def test_old_list_writes_over_none_that_another_worker_kept(
    site: Site, publisher: Publisher, both: Two, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    async with started(site, cache) as first, started(site, cache) as second:
        publisher.content = both.newest
        await first.fetch()
        publisher.content = both.older
        await second.fetch()
        assert both.holds(second), "what the first fetched counts for the second"
        assert second.fetch_failures == {"site": 1}
    publisher.content = None
    async with started(site, cache) as certificates:
        assert both.holds(certificates)


async def test_list_counts_while_another_worker_holds_the_folder_and_is_kept_later(
    site: Site, publisher: Publisher, both: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LOCK_S", 0.1)
    cache = tmp_path / "cache"
    publisher.content = both.newest
    async with started(site, cache) as certificates:
        folder = os.open(cache, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        await certificates.fetch()
        assert both.holds(certificates)
        assert list(cache.iterdir()) == []
        os.close(folder)
        await certificates.fetch()
    publisher.content = None
    async with started(site, cache) as certificates:
        assert both.holds(certificates)


async def test_ca_that_was_gone_and_is_back_has_its_newest_list(
    site: Site, publisher: Publisher, both: Two, tmp_path: Path
) -> None:
    publisher.content = both.newest
    async with started(site, tmp_path / "cache") as certificates:
        await certificates.fetch()
        path = site.files.intermediates[0]
        path.write_bytes(both.two.certificate_pem())
        assert certificates.reload()
        assert judged(certificates, both.other).reasons == (Reason.CERTIFICATE_UNTRUSTED,)
        publisher.content = both.older
        await certificates.fetch()
        path.write_bytes(both.one.certificate_pem())
        assert certificates.reload()
        assert both.holds(certificates)
        await certificates.fetch()
        assert both.holds(certificates)


# ------------------------------------------------------------------------------- lists that begin later


async def test_list_that_begins_much_later_is_neither_taken_nor_kept(
    site: Site, publisher: Publisher, tmp_path: Path
) -> None:
    cache, revoked = tmp_path / "cache", site.issue("revoked")
    publisher.content = list_of(site.authority, revoked)
    async with started(site, cache) as certificates:
        await certificates.fetch()
        publisher.content = list_of(site.authority, last_update=NOW + HOUR)
        await certificates.fetch()
        assert certificates.fetch_failures == {"site": 1}
        assert judged(certificates, site.issue()).reasons == ()
    publisher.content = None
    async with started(site, cache) as certificates:
        assert judged(certificates, site.issue()).reasons == ()
        assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)


async def test_list_of_a_clock_that_is_ahead_is_in_force_when_it_begins(site: Site, publisher: Publisher) -> None:
    leaf, now = site.issue(), [NOW]
    async with started(site, clock=lambda: now[0]) as certificates:
        await certificates.fetch()
        publisher.content = list_of(site.authority, leaf, last_update=NOW + SECOND)
        await certificates.fetch()
        assert judged(certificates, leaf).reasons == ()
        publisher.content = None
        watching = asyncio.create_task(certificates.watch(0.01))
        await asyncio.sleep(0.1)
        assert judged(certificates, leaf).reasons == ()
        now[0] = NOW + SECOND
        await until(lambda: judged(certificates, leaf, now[0]).reasons == (Reason.CERTIFICATE_REVOKED,))
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
