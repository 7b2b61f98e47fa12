"""Signed bundles over real HTTP: renewed, replayed, withheld, aged, and offered by whoever has no key."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.dev.pki import DevPki
from proxy.decide import BundleServer, PolicySet, PolledBundle, read_keys, read_policies
from proxy.decide.policies import Kept, signed_bundle
from proxy.decide.policies.fetching import BundleFetcher
from proxy.decide.prepared import Prepared, prepare
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyStaleError
from tests.decide.conftest import SHIPPED, Counting
from tests.decide.hosting import BundleHost, hosted
from tests.decide.signers import (
    archive,
    bundle,
    contents,
    endless_headers,
    manifest,
    ours,
    private,
    public,
    signed,
    trusted,
)
from tests.decide.supplying import GOOD, NOW, Clock, polling
from tests.decide.test_supply import loop, put_away, revoke

DAY_S = 86_400


@pytest.fixture
def first() -> PolicySet:
    return read_policies(SHIPPED)


@pytest.fixture
def second(folder: Path) -> PolicySet:
    """Other policies: the radiologist is nobody any more."""
    revoke(folder)
    return read_policies(folder)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_newer_bundle_comes_into_force(
    first: PolicySet, second: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            verdict = await supply.decide(GOOD)
            assert (verdict.allow, verdict.policy, verdict.policy_as_of) == (True, first.digest, NOW)
            await supply.look()
            assert host.answered == [200, 304]
            host.content = bundle(second, 2, NOW)
            await supply.look()
            assert (await supply.decide(GOOD)).policy == second.digest
            assert [(told.digest, told.serial) for told in Kept(store).history()] == [
                (first.digest, 1),
                (second.digest, 2),
            ]


async def test_signed_anew_renews_the_age_and_builds_nothing(
    first: PolicySet, store: Path, observer: Counting, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            clock.pass_by(DAY_S + 1)
            for ask in (supply.decide, supply.visible):
                assert supply.generation == -1, "streams under way are not judged again"
                with pytest.raises(PolicyStaleError) as stale:
                    await ask(GOOD)
                assert (stale.value.status, stale.value.code) == (503, "policy-stale")
            assert supply.age_s(clock()) == DAY_S + 1
            monkeypatch.delattr("subprocess.Popen")
            host.content = bundle(first, 2, clock())
            await supply.look()
            verdict = await supply.decide(GOOD)
            assert (verdict.allow, verdict.policy_as_of) == (True, clock())
            assert (supply.generation, supply.as_of, supply.age_s(clock())) == (1, clock(), 0)
            assert Kept(store).history()[-1].serial == 2


async def _refused(
    content: bytes, match: str, host: BundleHost, store: Path, observer: Counting, clock: Clock, first: PolicySet
) -> None:
    """Offered to a worker that serves: the old policies stay, and one alarm tells."""
    host.content = bundle(first, 5, NOW)
    async with polling(host.url, store, observer, clock) as supply:
        host.content = content
        for _ in range(4):
            await supply.look()
        assert supply.last_error is not None
        assert match in supply.last_error
        assert (supply.digest, supply.generation) == (first.digest, 1)
        assert (await supply.decide(GOOD)).allow
        assert observer.reloads("rejected") == 1
        assert observer.reloads("loaded") == 1
        host.content = bundle(first, 6, NOW)
        await supply.look()
        assert supply.last_error is None


@pytest.mark.parametrize(
    ("hostile", "match"),
    [
        (lambda policies, _: signed_bundle(policies, 6, NOW, private(_stranger()), "site"), "no key that this site"),
        (lambda policies, _: archive(dict(policies.files) | {".manifest": manifest()}), "is not signed"),
        (lambda _, other: bundle(other, 4, NOW), "serial is 4, and 5 was taken already"),
        (lambda _, other: bundle(other, 5, NOW), "another bundle with serial 5"),
        (lambda policies, _: bundle(policies, 5, NOW + timedelta(minutes=1)), "another bundle with serial 5"),
        (lambda _, other: bundle(other, 6, NOW + timedelta(hours=1)), "yet to come"),
        (lambda _, other: bundle(other, 6, NOW - timedelta(days=2)), "too long ago"),
        (lambda policies, _: bundle(policies, 6, NOW)[:-40], "cut off"),
        (lambda *_: b"", "cut off"),
        (lambda *_: endless_headers(), "no tar archive"),
        (lambda *_: archive(contents() | {".signatures.json": b'{"signatures": ["\\ud800"]}'}), "half a surrogate"),
        (lambda *_: bytes(41 << 20), "more than"),
        (lambda *_: signed({"x.rego": b"package x\n"}), "no manifest"),
    ],
)
async def test_what_is_hostile_keeps_the_old_policies(
    hostile: Callable[[PolicySet, PolicySet], bytes],
    match: str,
    first: PolicySet,
    second: PolicySet,
    store: Path,
    observer: Counting,
    clock: Clock,
) -> None:
    async with hosted() as host:
        content = hostile(first, second)
        if match == "more than":
            await _out_of_reach(host, content, store, observer, clock, first)
        else:
            await _refused(content, match, host, store, observer, clock, first)


def _stranger() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def _out_of_reach(
    host: BundleHost, content: bytes, store: Path, observer: Counting, clock: Clock, first: PolicySet
) -> None:
    host.content = bundle(first, 5, NOW)
    async with polling(host.url, store, observer, clock) as supply:
        host.content = content
        for _ in range(3):
            await supply.look()
        assert supply.last_error is not None
        assert "more than" in supply.last_error
        assert (await supply.decide(GOOD)).allow
        assert observer.reloads("unreachable") == 1


async def test_broken_policies_are_refused_however_well_signed(
    folder: Path, first: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    (folder / "dicomweb/conflict/conflict.rego").write_text("package dicomweb.conflict\n\ndeny contains {")
    async with hosted() as host:
        broken = bundle(read_policies(folder), 6, NOW)
        await _refused(broken, "conflict.rego:3", host, store, observer, clock, first)


async def test_a_rule_that_never_ends_is_refused_however_well_signed(
    folder: Path, first: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    loop(folder)
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            supply._compile_s = 4.0
            host.content = bundle(read_policies(folder), 2, NOW)
            await supply.look()
            await supply.look()
            assert supply.last_error == "not compiled and evaluated within 4 s"
            assert (supply.digest, observer.reloads("rejected")) == (first.digest, 1)


# ------------------------------------------------------------------------------------------------ restarts


async def test_a_replay_after_a_restart_is_refused_and_what_was_kept_serves(
    first: PolicySet, second: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    async with hosted() as host:
        old = host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            host.content = bundle(second, 2, NOW)
            await supply.look()
        host.content = old
        async with polling(host.url, store, observer, clock) as again:
            assert again.digest == second.digest
            assert again.last_error == "the bundle's serial is 1, and 2 was taken already"
            assert observer.reloads("rejected") == 1


async def test_without_the_server_what_was_kept_serves_until_it_is_too_old(
    first: PolicySet, store: Path, observer: Counting, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock):
            pass
        clock.pass_by(3600)
        host.content = bundle(first, 2, clock())
        async with polling(host.url, store, observer, clock):
            pass
    clock.pass_by(DAY_S - 60)
    with caplog.at_level(logging.ERROR):
        async with polling(host.url, store, observer, clock) as supply:
            assert (supply.digest, supply.age_s(clock())) == (first.digest, DAY_S - 60)
            assert (await supply.decide(GOOD)).allow
            for _ in range(3):
                await supply.look()
            assert supply.last_error is not None
            assert "not reached" in supply.last_error
            assert observer.reloads("unreachable") == len(caplog.records) == 1
            clock.pass_by(61)
            with pytest.raises(PolicyStaleError):
                await supply.decide(GOOD)
    with pytest.raises(ConfigurationError, match=r"policies of http.*: the bundle server was not reached"):
        async with polling(host.url, store, observer, clock):
            pass


async def test_without_anything_kept_the_start_fails_and_says_why(
    first: PolicySet, second: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    async with hosted() as host:
        for content, match in (
            (signed_bundle(first, 1, NOW, private(_stranger()), "site"), "no key that this site trusts signed it"),
            (bundle(second, 1, NOW - timedelta(days=2)), "too long ago: sign them anew"),
        ):
            host.content = content
            with pytest.raises(ConfigurationError, match=match):
                async with polling(host.url, store, observer, clock):
                    pass
    assert observer.counted == []


async def test_what_a_folder_once_brought_is_no_bundle(
    first: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    kept = Kept(store)
    kept.keep(first)
    kept.came_into_force(first.digest, NOW, NOW)
    with pytest.raises(ConfigurationError, match="not reached"):
        async with polling("http://127.0.0.1:9/bundle.tar.gz", store, observer, clock):
            pass


async def test_quarantine_is_no_rollback(
    first: PolicySet, second: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            host.content = bundle(second, 2, NOW)
            await supply.look()
            put_away(store, second.digest)
            await supply.look()
            assert (supply.digest, supply.quarantined) == (first.digest, True)
        async with polling(host.url, store, observer, clock) as again:
            assert (again.digest, again.quarantined) == (first.digest, True)
            host.content = bundle(first, 3, NOW)
            await again.look()
            assert (again.digest, again.quarantined) == (first.digest, False)
            assert again.last_error is None


async def test_serials_that_cannot_be_read_are_no_reason_to_begin_anew(
    first: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock):
            pass
        for damage in (b"x" * 40, b"[]", b"{}", b'{"serial": null}', b'{"serial": 0}\0\0'):
            (store / "serial.json").write_bytes(damage)
            async with polling(host.url, store, observer, clock) as supply:
                assert supply.last_error is not None
                assert "serial.json: cannot be read" in supply.last_error
                assert supply.digest == first.digest


async def test_what_was_refused_is_tried_again_where_it_is_signed_anew(
    first: PolicySet,
    second: PolicySet,
    store: Path,
    observer: Counting,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that was too busy to try policies in time is no fault of theirs for good."""
    tried: list[str] = []

    def busy(policies: PolicySet, as_of: datetime, deadline_s: float) -> Prepared:
        tried.append(policies.digest)
        if len(tried) == 1:
            raise PolicyInvalidError("not compiled and evaluated within 20 s")
        return prepare(policies, as_of)

    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            monkeypatch.setattr("proxy.decide.supply.try_in_child", busy)
            host.content = bundle(second, 2, NOW)
            for _ in range(3):
                await supply.look()
            assert (tried, supply.digest) == ([second.digest], first.digest)
            host.content = bundle(second, 3, NOW)
            await supply.look()
            assert (supply.digest, supply.last_error) == (second.digest, None)


# ------------------------------------------------------------------------------------------------ HTTP


@pytest.mark.parametrize("status", [204, 206, 301, 302, 307, 401, 404, 500, 503])
async def test_any_other_answer_is_none_and_redirects_are_not_followed(
    first: PolicySet, store: Path, observer: Counting, clock: Clock, status: int
) -> None:
    async with hosted() as host, hosted() as elsewhere:
        host.content = elsewhere.content = bundle(first, 1, NOW)
        host.status, host.location = status, elsewhere.url
        with pytest.raises(ConfigurationError, match=f"status {status}"):
            async with polling(host.url, store, observer, clock):
                pass
        assert elsewhere.asked == []


async def test_a_tag_that_cannot_be_sent_back_is_left() -> None:
    """One answer of a stranger must not put the server out of reach for good."""
    asked: list[bytes] = []
    tag: str | None = None

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nETag: "a\x01b"\r\n\r\nhi')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    fetcher = BundleFetcher(BundleServer(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout_s=5.0))
    try:
        for _ in range(2):
            fetched = await fetcher.fetch(tag)
            assert fetched is not None
            assert fetched.content == b"hi"
            tag = fetched.etag
        assert b"If-None-Match" not in asked[1]
    finally:
        await fetcher.close()
        server.close()
        await server.wait_closed()


async def test_a_late_or_endless_answer_is_none(
    first: PolicySet, store: Path, observer: Counting, clock: Clock
) -> None:
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock, timeout_s=1.0) as supply:
            host.delay_s = 3.0
            await supply.look()
            assert supply.last_error == "the bundle server did not answer in time"
            host.delay_s, host.endless = 0.0, True
            await supply.look()
            assert supply.last_error is not None
            assert supply.last_error.startswith(("the bundle server sent more than", "the bundle server did not"))
            host.endless = False
            await supply.look()
            assert supply.last_error is None
            assert observer.reloads("unreachable") == 1


async def test_proxies_of_the_environment_do_not_count(
    first: PolicySet, store: Path, observer: Counting, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosted() as host:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock) as supply:
            assert supply.digest == first.digest


async def test_the_token_is_read_each_time_and_stands_in_no_message(
    first: PolicySet, store: Path, observer: Counting, clock: Clock, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("secret-one\n")
    async with hosted() as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock, token_file=token) as supply:
            token.write_text("secret-two\n")
            await supply.look()
            assert [each["Authorization"] for each in host.asked] == ["Bearer secret-one", "Bearer secret-two"]
            token.write_text("secret three\n")
            await supply.look()
            assert supply.last_error is not None
            assert "holds no token" in supply.last_error
            assert "secret" not in supply.last_error
            token.chmod(0o644)
            with pytest.raises(ConfigurationError, match="chmod 600"):
                PolledBundle(BundleServer(url=host.url, timeout_s=1, token_file=token), trusted(), store)
            assert len(host.asked) == 2


async def test_the_server_is_held_to_its_authority_and_sees_our_certificate(
    first: PolicySet, store: Path, observer: Counting, clock: Clock, tmp_path: Path
) -> None:
    pki = tmp_path / "pki"
    pki.mkdir()
    DevPki(pki).prepare()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pki / "server.pem")
    server.load_verify_locations(pki / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    us = {"certificate": pki / "radiologist.crt", "key": pki / "radiologist.key"}
    async with hosted(server) as host:
        host.content = bundle(first, 1, NOW)
        async with polling(host.url, store, observer, clock, ca_file=pki / "ca.crt", **us) as supply:
            assert supply.digest == first.digest
        asked = len(host.asked)
        stranger = {"certificate": pki / "stranger.crt", "key": pki / "stranger.key"}
        for settings in (
            us,
            {"ca_file": pki / "stranger-ca.crt", **us},
            {"ca_file": pki / "ca.crt"},
            {"ca_file": pki / "ca.crt", **stranger},
        ):
            with pytest.raises(ConfigurationError, match="not reached"):
                async with polling(host.url, tmp_path / "empty", observer, clock, **settings):
                    pass
        assert len(host.asked) == asked


def test_files_that_cannot_be_used_are_named(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"verification_keys: .*absent"):
        read_keys([tmp_path / "absent"])
    (tmp_path / "key").write_bytes(private(ours()))
    with pytest.raises(ConfigurationError, match=r"verification_keys: .*key is no public key"):
        read_keys([tmp_path / "key"])
    (tmp_path / "key").write_bytes(public(ours()))
    assert read_keys([tmp_path / "key"])[0].algorithm == "ES256"
    for settings in ({"ca_file": tmp_path / "key"}, {"certificate": tmp_path / "key", "key": tmp_path / "key"}):
        with pytest.raises(ConfigurationError, match="ca_file, certificate or key"):
            PolledBundle(BundleServer(url="https://127.0.0.1:9/", timeout_s=1, **settings), trusted(), store)
