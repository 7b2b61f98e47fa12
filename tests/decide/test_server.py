"""The OPA server as an engine: against a real one, and against one that answers what no OPA should."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from deploy.dev.pki import Issued, issue_certificate, make_authority
from proxy.decide import Embedded, OpaServer, Shelf, read_policies
from proxy.decide import server as room
from proxy.decide.example import MOMENT, example_input
from proxy.decide.policies import PolicySet
from proxy.decide.prepared import Prepared, prepare
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyUnavailableError
from proxy.model import Action
from tests.decide.conftest import SHIPPED
from tests.simulators.opa import (
    OpaSimulator,
    Speak,
    answering,
    provenance,
    real_opa,
    response,
    saying,
    settings,
    simulated_opa,
)

ASKED = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)
REFUSED = example_input("urn:dicomward:device:nobody", Action.RETRIEVE)
ALLOW = {"allow": True, "reasons": [], "obligations": []}


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(read_policies(SHIPPED), MOMENT)


@pytest.fixture(scope="module")
def other() -> Prepared:
    """The shipped policies for a site that knows nobody."""
    files = dict(read_policies(SHIPPED).files) | {"data/subjects.json": b'{"subjects": {}}'}
    return prepare(PolicySet(files=files), MOMENT)


# ---------------------------------------------------------------------------------------------- a real server


async def test_real_server_answers_as_the_embedded_engine_by_the_same_policies(
    tmp_path: Path, prepared: Prepared
) -> None:
    embedded = Embedded()
    await embedded.load(prepared)
    async with real_opa(tmp_path) as (engine, _):
        await engine.load(prepared)
        for asked in (ASKED, REFUSED, {}):
            assert await engine.decide(asked) == await embedded.decide(asked)
            assert await engine.visible(asked) == await embedded.visible(asked)
        verdict = await engine.decide(ASKED)
        assert (verdict.allow, verdict.policy, verdict.policy_as_of) == (True, prepared.digest, MOMENT)
        assert len(await engine.visible(ASKED)) == 10


async def test_server_without_our_policies_gives_no_verdict_and_has_them_soon(
    tmp_path: Path, prepared: Prepared
) -> None:
    async with real_opa(tmp_path) as (engine, _):
        with pytest.raises(PolicyUnavailableError, match="not in force here"):
            await engine.decide(ASKED)
        assert engine.failures["revision"] == 1
        await engine.load(prepared)
        assert (await engine.decide(ASKED)).allow


async def test_swap_reaches_the_server_at_once_and_nothing_is_denied_meanwhile(
    tmp_path: Path, prepared: Prepared, other: Prepared
) -> None:
    async with real_opa(tmp_path) as (engine, _):
        await engine.load(prepared)
        await asyncio.sleep(0.5)  # for its long poll
        failed = engine.failures.total()
        loading = asyncio.create_task(engine.load(other))
        started = time.monotonic()
        verdicts = [await engine.decide(ASKED)]
        while not loading.done():
            verdicts.append(await engine.decide(ASKED))
        took = time.monotonic() - started
        verdicts.append(await engine.decide(ASKED))
        assert {(each.allow, each.policy) for each in verdicts} == {(True, prepared.digest), (False, other.digest)}
        assert engine.failures.total() == failed
        print(f"a swap took {took * 1000:.0f} ms")
        assert took < room.LOAD_S


async def test_policies_that_the_server_refuses_leave_those_before_in_force(
    tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOAD_S", 1.5)
    files = dict(prepared.policies.files)
    site = "dicomweb/site/site.rego"
    files[site] += b"\nstranger := data.dicomweb.site.stranger\n"  # recursion: OPA finds it, the other engine late
    policies = PolicySet(files=files)
    modules = tuple((path, files[path].decode()) for path, _ in prepared.modules)
    recursive = Prepared(
        policies=policies,
        modules=modules,
        data=prepared.data,
        builtins=prepared.builtins,
        reasons=prepared.reasons,
        as_of=MOMENT,
    )
    async with real_opa(tmp_path) as (engine, server):
        await engine.load(prepared)
        with pytest.raises(PolicyInvalidError, match="does not take these policies up"):
            await engine.load(recursive)
        assert "rego_recursion_error" in server.log
        verdict = await engine.decide(ASKED)
        assert (verdict.allow, verdict.policy) == (True, prepared.digest)


async def test_server_that_is_killed_and_started_again_has_the_policies_without_our_doing(
    tmp_path: Path, prepared: Prepared
) -> None:
    async with real_opa(tmp_path) as (engine, server):
        await engine.load(prepared)
        watching = asyncio.create_task(engine.watch(0.05))
        try:
            await _until(lambda: engine.healthy)
            server.kill()
            with pytest.raises(PolicyUnavailableError, match="cannot be reached"):
                await engine.decide(ASKED)
            await _until(lambda: not engine.healthy)
            await server.start()
            started = time.monotonic()
            await _until(lambda: engine.healthy)
            assert time.monotonic() - started < 5
            assert (await engine.decide(ASKED)).policy == prepared.digest
        finally:
            watching.cancel()


async def test_server_that_stands_still_is_late_and_answers_again_when_it_goes_on(
    tmp_path: Path, prepared: Prepared
) -> None:
    async with real_opa(tmp_path, deadline_s=0.3) as (engine, server):
        await engine.load(prepared)
        server.pause()
        try:
            started = time.monotonic()
            with pytest.raises(PolicyUnavailableError, match=r"no answer within 0\.3 s"):
                await engine.decide(ASKED)
            assert time.monotonic() - started < 2
        finally:
            server.resume()
        await _until_verdict(engine)


async def test_policies_may_change_while_no_server_is_there(
    tmp_path: Path, prepared: Prepared, other: Prepared
) -> None:
    async with real_opa(tmp_path) as (engine, server):
        server.kill()
        await engine.load(prepared)
        await engine.load(other)
        with pytest.raises(PolicyUnavailableError):
            await engine.decide(ASKED)
        await server.start()
        await _until_verdict(engine)
        assert (await engine.decide(ASKED)).policy == other.digest


async def test_nobody_can_put_policies_beside_ours(tmp_path: Path, prepared: Prepared) -> None:
    """Our bundle claims every root: what the server was started with goes, and what is added later is refused."""
    foreign = 'package dicomweb.authz\n\ndecision := {"allow": true, "reasons": [], "obligations": []}\n'
    (tmp_path / "foreign.rego").write_text(foreign)
    flags = [
        *("--set", "bundles.more.service=dicomward", "--set", "bundles.more.resource=bundle.tar.gz"),
        *("--set", "bundles.more.polling.min_delay_seconds=1", "--set", "bundles.more.polling.max_delay_seconds=1"),
        str(tmp_path / "foreign.rego"),
    ]
    async with real_opa(tmp_path, flags=flags) as (engine, server):
        with pytest.raises(PolicyUnavailableError, match="not in force here"):
            await engine.decide(REFUSED)
        await engine.load(prepared)
        await _until(lambda: "overlapping roots" in server.log, "the second bundle was not refused")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as somebody:
            for path, body in (("policies/foreign", foreign), ("data/subjects", "{}")):
                async with somebody.put(f"/v1/{path}", data=body) as answer:
                    assert answer.status == 400
                    assert "owned by bundle" in await answer.text()
        assert not (await engine.decide(REFUSED)).allow
        assert (await engine.decide(ASKED)).allow


async def test_server_without_the_token_gets_no_policies(tmp_path: Path, prepared: Prepared) -> None:
    async with real_opa(tmp_path) as (engine, server):
        server.kill()
        (tmp_path / "bundle.token").write_text("another")
        await server.start()
        loading = asyncio.create_task(engine.load(prepared))
        await _until(lambda: "401" in server.log or "Unauthorized" in server.log, "it was not refused")
        loading.cancel()
        with pytest.raises(PolicyUnavailableError, match="not in force here"):
            await engine.decide(ASKED)


# ---------------------------------------------------------------------------------------------- TLS


class Site:
    """An authority with a server and a client, and what should not be believed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.foreign = make_authority("ours"), make_authority("foreign")
        now = datetime.now(UTC)
        for name, issued in {
            "ca": self.authority,
            "foreign": self.foreign,
            "server": self.leaf(self.authority),
            "client": self.leaf(self.authority),
            "stranger": self.leaf(self.foreign),
            "elsewhere": self.leaf(self.authority, names=[x509.DNSName("opa.example")]),
            "expired": self.leaf(
                self.authority, not_before=now - timedelta(days=2), not_after=now - timedelta(minutes=1)
            ),
        }.items():
            issued.write(folder, name)

    def leaf(self, authority: Issued, **changes: Any) -> Issued:
        now = datetime.now(UTC)
        told = {
            "names": [x509.IPAddress(ip_address("127.0.0.1"))],
            "purposes": None,
            "not_before": now - timedelta(hours=1),
            "not_after": now + timedelta(hours=1),
        }
        return issue_certificate(authority, "leaf", **told | changes)

    def path(self, name: str) -> Path:
        return self.folder / name

    def serving(self, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path(f"{name}.crt"), self.path(f"{name}.key"))
        return context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("pki"))


def mutual(site: Site) -> list[str]:
    return [
        *("--tls-cert-file", str(site.path("server.crt")), "--tls-private-key-file", str(site.path("server.key"))),
        *("--tls-ca-cert-file", str(site.path("ca.crt")), "--authentication", "tls"),
    ]


async def test_real_server_is_asked_over_mutual_tls(tmp_path: Path, prepared: Prepared, site: Site) -> None:
    shown = {"certificate": site.path("client.crt"), "key": site.path("client.key"), "ca_file": site.path("ca.crt")}
    async with real_opa(tmp_path, scheme="https", flags=mutual(site), **shown) as (engine, _):
        await engine.load(prepared)
        assert (await engine.decide(ASKED)).allow


async def test_who_may_ask_for_verdicts_may_ask_for_nothing_else(tmp_path: Path, prepared: Prepared) -> None:
    """Data may name patients. The rule comes with the policies, so that before them nothing is permitted at all."""
    whole = {"input": ASKED}
    flags = ["--authorization", "basic"]
    async with real_opa(tmp_path, flags=flags) as (engine, server):
        with pytest.raises(PolicyUnavailableError, match="status 500"):
            await engine.decide(ASKED)
        await engine.load(prepared)
        assert (await engine.decide(ASKED)).allow
        assert len(await engine.visible(ASKED)) == 10
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as somebody:
            for method, path, body in (
                ("GET", "/v1/data", None),
                ("GET", "/v1/data/dicomweb/authz/decision", None),
                ("POST", "/v1/data", whole),
                ("POST", "/v1/data/dicomweb/prepared", whole),
                ("POST", "/v1/data/dicomweb/authz", whole),
                ("POST", "/v1/data/dicomweb/authz/decision/allow", whole),
                ("POST", "/v0/data/dicomweb/authz/decision", whole),
                ("POST", "/", whole),
                ("POST", "/v1/query", {"query": "data"}),
                ("GET", "/v1/query?q=data", None),
                ("POST", "/v1/compile", {"query": "data"}),
                ("GET", "/v1/policies", None),
                ("PUT", "/v1/policies/mine", None),
                ("PUT", "/v1/data/mine", {}),
                ("PATCH", "/v1/data", []),
                ("GET", "/v1/config", None),
                ("GET", "/metrics", None),
            ):
                async with somebody.request(method, path, json=body) as answer:
                    assert answer.status == 401, (method, path, await answer.text())


@pytest.mark.parametrize("shown", [None, "stranger"])
async def test_real_server_refuses_who_has_no_certificate_of_its_authority(
    tmp_path: Path, prepared: Prepared, site: Site, shown: str | None
) -> None:
    own = {} if shown is None else {"certificate": site.path(f"{shown}.crt"), "key": site.path(f"{shown}.key")}
    async with real_opa(tmp_path, scheme="https", flags=mutual(site), ca_file=site.path("ca.crt"), **own) as (
        engine,
        _,
    ):
        with pytest.raises(PolicyUnavailableError, match="cannot be reached"):
            await engine.decide(ASKED)


@pytest.mark.parametrize("certificate", ["stranger", "elsewhere", "expired"])
async def test_server_whose_certificate_does_not_hold_is_told_nothing(
    prepared: Prepared, site: Site, certificate: str
) -> None:
    async with simulated_opa(site.serving(certificate)) as simulator:
        simulator.speak = answering({"result": ALLOW, "provenance": provenance(prepared.digest)})
        url = f"https://127.0.0.1:{simulator.port}"
        engine = await _engine(prepared, simulator, url=url, ca_file=site.path("ca.crt"))
        with pytest.raises(PolicyUnavailableError, match="cannot be reached"):
            await engine.decide(ASKED)
        assert simulator.heads == []
        await engine.close()


async def test_server_with_the_right_certificate_is_believed(prepared: Prepared, site: Site) -> None:
    """Else the test above would hold of anything."""
    async with simulated_opa(site.serving("server")) as simulator:
        simulator.speak = answering({"result": ALLOW, "provenance": provenance(prepared.digest)})
        url = f"https://127.0.0.1:{simulator.port}"
        engine = await _engine(prepared, simulator, url=url, ca_file=site.path("ca.crt"))
        assert (await engine.decide(ASKED)).allow
        await engine.close()


async def test_old_tls_is_not_spoken(prepared: Prepared, site: Site) -> None:
    context = site.serving("server")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with simulated_opa(context) as simulator:
        url = f"https://127.0.0.1:{simulator.port}"
        engine = await _engine(prepared, simulator, url=url, ca_file=site.path("ca.crt"))
        with pytest.raises(PolicyUnavailableError, match="cannot be reached"):
            await engine.decide(ASKED)
        await engine.close()


# ---------------------------------------------------------------------------------------------- faults


def told(digest: str, **changes: Any) -> dict[str, Any]:
    return {"result": ALLOW, "provenance": provenance(digest), **changes}


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    for _ in range(1000):
        writer.write(bytes(1 << 16))
        await writer.drain()


async def _slow(writer: asyncio.StreamWriter) -> None:
    """A byte each while, so that no wait between two bytes is long."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def _silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(10)


def faults(digest: str) -> dict[str, tuple[Speak, str, str]]:
    """By name: what the server says, the kind that is counted, and what the error tells."""
    good = told(digest)
    whole = json.dumps(good).encode()
    unbundled = {"result": ALLOW, "provenance": {"version": "1.22.2"}}
    reasoned = {"allow": False, "reasons": ["made-up"], "obligations": []}
    twice = whole.replace(b'"allow": true', b'"allow": false, "allow": true')

    def result(**changes: Any) -> Speak:
        return answering(told(digest, result=ALLOW | changes))

    def without(member: str) -> Speak:
        return answering(told(digest, result={key: value for key, value in ALLOW.items() if key != member}))

    return {
        "undefined": (answering({"provenance": provenance(digest)}), "undefined", "is undefined"),
        "null": (answering(told(digest, result=None)), "malformed", "undefined or has other members"),
        "true": (answering(told(digest, result=True)), "malformed", "undefined or has other members"),
        "a list": (answering(told(digest, result=[ALLOW])), "malformed", "undefined or has other members"),
        "a text for a boolean": (result(allow="true"), "malformed", "not a boolean"),
        "one for a boolean": (result(allow=1), "malformed", "not a boolean"),
        "null for a boolean": (result(allow=None), "malformed", "not a boolean"),
        "another member": (result(allowed=True), "malformed", "other members"),
        "no allow": (without("allow"), "malformed", "other members"),
        "no reasons": (without("reasons"), "malformed", "other members"),
        "no obligations": (without("obligations"), "malformed", "other members"),
        "an allow with reasons": (result(reasons=["subject-unknown"]), "malformed", "allows, or it has reasons"),
        "a denial without": (result(allow=False), "malformed", "allows, or it has reasons"),
        "a reason of nobody": (answering(told(digest, result=reasoned)), "malformed", "known codes"),
        "obligations that are none": (result(obligations=[{}]), "malformed", "no type"),
        "a member twice": (answering(twice), "refused", "not JSON"),
        "a number that is none": (answering(whole.replace(b"true", b"NaN")), "refused", "not JSON"),
        "no provenance": (answering({"result": ALLOW}), "revision", "not in force"),
        "no bundle": (answering(unbundled), "revision", "not in force"),
        "another revision": (answering(told(digest, provenance=provenance("1" * 64))), "revision", "not in force"),
        "an empty revision": (answering(told(digest, provenance=provenance(""))), "revision", "not in force"),
        "two bundles": (answering(told(digest, provenance=provenance(digest, digest))), "revision", "not in force"),
        "bundles as a list": (answering(told(digest, provenance={"bundles": [digest]})), "revision", "not in force"),
        "a list around it": (answering([good]), "refused", "not JSON"),
        "500": (answering(good, "500 Internal Server Error"), "refused", "status 500"),
        "503": (answering(good, "503 Service Unavailable"), "refused", "status 503"),
        "401": (answering(good, "401 Unauthorized"), "refused", "status 401"),
        "204": (saying(response(b"", "204 No Content", {"Content-Length": ""})), "refused", "status 204"),
        "206": (answering(good, "206 Partial Content"), "refused", "status 206"),
        "a redirect": (answering(good, "307 Temporary Redirect", {"Location": "/v1/data"}), "refused", "status 307"),
        "a web page": (answering(b"<html>welcome</html>"), "refused", "not JSON"),
        "nothing": (answering(b""), "refused", "not JSON"),
        "compressed": (answering(b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"}), "refused", "not JSON"),
        "half of it": (answering(whole[:-9]), "refused", "not JSON"),
        "cut off": (saying(response(whole)[:-9]), "refused", "cannot be used"),
        "no HTTP": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "refused", "cannot be used"),
        "a hang-up": (saying(b""), "unreachable", "cannot be reached"),
        "endless": (_endless, "refused", "too large"),
        "slow": (_slow, "late", "no answer within"),
        "silent": (_silent, "late", "no answer within"),
    }


NAMES = sorted(faults("0" * 64))


@pytest.fixture
async def simulator() -> AsyncIterator[OpaSimulator]:
    async with simulated_opa() as simulator:
        yield simulator


async def _engine(prepared: Prepared, simulator: OpaSimulator, **changes: Any) -> OpaServer:
    """With these policies in force, whatever the server says of them."""
    engine = OpaServer(settings(simulator.port, **{"deadline_s": 1.0} | changes), Shelf())
    engine._prepared = prepared
    return engine


@pytest.mark.parametrize("name", NAMES)
async def test_fault_is_no_verdict_and_is_counted_and_nothing_is_asked_twice(
    simulator: OpaSimulator, prepared: Prepared, name: str
) -> None:
    simulator.speak, kind, message = faults(prepared.digest)[name]
    engine = await _engine(prepared, simulator)
    started = time.monotonic()
    with pytest.raises(PolicyUnavailableError, match=message):
        await engine.decide(ASKED)
    assert time.monotonic() - started < 4
    assert {kind: count for kind, count in engine.failures.items() if count} == {kind: 1}
    assert len(simulator.heads) == 1
    await engine.close()


async def test_good_answer_is_a_verdict(simulator: OpaSimulator, prepared: Prepared) -> None:
    """Else the tests above would hold of anything. It also shows what is asked."""
    simulator.speak = answering(told(prepared.digest))
    engine = await _engine(prepared, simulator)
    verdict = await engine.decide(ASKED)
    assert (verdict.allow, verdict.policy) == (True, prepared.digest)
    (head,) = simulator.heads
    assert head.startswith("POST /v1/data/dicomweb/authz/decision?provenance=true HTTP/1.1\r\n")
    assert "authorization" not in head.lower()
    assert json.loads(simulator.bodies[0]) == {"input": ASKED}
    await engine.close()


@pytest.mark.parametrize("result", [None, {}, "0", ["0"], [10], [-1], [True], [0.0], [[0]], {"0": True}])
async def test_rows_that_are_no_indices_show_nothing(
    simulator: OpaSimulator, prepared: Prepared, result: object
) -> None:
    simulator.speak = answering(told(prepared.digest, result=result))
    engine = await _engine(prepared, simulator)
    with pytest.raises(PolicyUnavailableError, match="row indices"):
        await engine.visible(ASKED)
    assert engine.failures["malformed"] == 1
    await engine.close()


async def test_rows_come_from_the_policies_in_force_alone(simulator: OpaSimulator, prepared: Prepared) -> None:
    engine = await _engine(prepared, simulator)
    simulator.speak = answering(told(prepared.digest, result=[0, 9]))
    assert await engine.visible(ASKED) == {0, 9}
    simulator.speak = answering({"result": [0, 9], "provenance": provenance("0" * 64)})
    with pytest.raises(PolicyUnavailableError, match="not in force here"):
        await engine.visible(ASKED)
    await engine.close()


async def test_policies_before_count_for_a_while_and_are_named(
    simulator: OpaSimulator, prepared: Prepared, other: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await _engine(other, simulator)
    engine._before, engine._changed_at = prepared, time.monotonic()
    simulator.speak = answering(told(prepared.digest))
    assert (await engine.decide(ASKED)).policy == prepared.digest
    monkeypatch.setattr(room, "GRACE_S", 0.0)
    with pytest.raises(PolicyUnavailableError, match="not in force here"):
        await engine.decide(ASKED)
    await engine.close()


async def test_server_that_keeps_to_the_old_policies_does_not_get_the_new(
    simulator: OpaSimulator, prepared: Prepared, other: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOAD_S", 0.2)
    shelf = Shelf()
    engine = OpaServer(settings(simulator.port), shelf)
    simulator.speak = answering(told(prepared.digest))
    await engine.load(prepared)
    with pytest.raises(PolicyInvalidError):
        await engine.load(other)
    assert (await shelf.take("", 0))[0] == prepared.digest
    simulator.speak = answering(told(other.digest))
    with pytest.raises(PolicyUnavailableError, match="not in force here"):
        await engine.decide(ASKED)
    await engine.close()


async def test_nothing_is_decided_before_there_are_policies_or_after_the_end(
    simulator: OpaSimulator, prepared: Prepared
) -> None:
    engine = OpaServer(settings(simulator.port), Shelf())
    simulator.speak = answering(told(prepared.digest))
    with pytest.raises(PolicyUnavailableError, match="not in force here"):
        await engine.decide(ASKED)
    await engine.close()
    with pytest.raises(PolicyUnavailableError, match="not asked any more"):
        await engine.decide(ASKED)
    assert len(simulator.heads) == 1


async def test_input_that_is_no_json_is_not_sent(simulator: OpaSimulator, prepared: Prepared) -> None:
    engine = await _engine(prepared, simulator)
    with pytest.raises(PolicyUnavailableError, match="input is not JSON"):
        await engine.decide({"time": "\ud800"})
    assert simulator.heads == []
    await engine.close()


async def test_deadline_holds_for_waiting_for_a_connection_too(simulator: OpaSimulator, prepared: Prepared) -> None:
    simulator.speak = _silent
    engine = await _engine(prepared, simulator, connections=2, deadline_s=0.5)
    started = time.monotonic()
    found = await asyncio.gather(*(engine.decide(ASKED) for _ in range(20)), return_exceptions=True)
    assert time.monotonic() - started < 3
    assert {type(each).__mro__[1] for each in found} == {PolicyUnavailableError}
    assert engine.failures["late"] == 20
    assert len(simulator.heads) < 10  # the others waited for one of the two
    await engine.close()


async def test_address_that_swallows_connections_is_late(prepared: Prepared) -> None:
    """A full backlog: the connection is never made, and never refused."""
    with contextlib.ExitStack() as closing:
        deaf, *held = [closing.enter_context(socket.socket()) for _ in range(5)]
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        for one in held:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        engine = OpaServer(settings(port, deadline_s=0.4), Shelf())
        with pytest.raises(PolicyUnavailableError, match=r"no answer within 0\.4 s"):
            await engine.decide(ASKED)
        await engine.close()


# ---------------------------------------------------------------------------------------------- token and files


async def test_token_is_sent_and_read_anew(simulator: OpaSimulator, prepared: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    file.chmod(0o600)
    simulator.speak = answering(told(prepared.digest))
    engine = await _engine(prepared, simulator, token_file=file)
    await engine.decide(ASKED)
    file.write_text("second\n")
    await engine.decide(ASKED)
    assert "\r\nAuthorization: Bearer first\r\n" in simulator.heads[0]
    assert "\r\nAuthorization: Bearer second\r\n" in simulator.heads[1]
    file.unlink()
    with pytest.raises(PolicyUnavailableError) as refused:
        await engine.decide(ASKED)
    assert "second" not in str(refused.value)
    assert len(simulator.heads) == 2
    await engine.close()


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"line\nline", "\u00fc".encode(), b"\xff"])
async def test_token_that_is_none_stops_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"token_file: .* (holds no token|cannot be read)") as refused:
        OpaServer(settings(1, token_file=file), Shelf())
    assert "words" not in str(refused.value)


async def test_token_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret-words")
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600") as refused:
        OpaServer(settings(1, token_file=file), Shelf())
    assert "words" not in str(refused.value)


async def test_files_of_tls_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    for content in (None, b"", b"no certificate"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"policy\.opa"):
            OpaServer(settings(1, url="https://127.0.0.1:1", ca_file=file), Shelf())


async def test_proxies_of_the_environment_are_not_used(
    simulator: OpaSimulator, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    simulator.speak = answering(told(prepared.digest))
    engine = await _engine(prepared, simulator)
    assert (await engine.decide(ASKED)).allow
    await engine.close()


# ---------------------------------------------------------------------------------------------- helpers


async def _until(condition: Any, what: str = "it did not come") -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def _until_verdict(engine: OpaServer) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            await engine.decide(ASKED)
        except PolicyUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return
