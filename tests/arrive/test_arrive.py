from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import http_parser
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pki import DevPki, Issued, issue_certificate
from proxy.answer import problem_of
from proxy.arrive import Admission, Bucket, Cors, Handler, Handshakes, Limits, Listener, ServerTls, server_context
from proxy.arrive.admission import _Buckets
from proxy.arrive.listener import assert_parser
from proxy.errors import ConfigurationError, PeerError, PeerGoneError
from proxy.model import Arrival
from proxy.ports import Exchange

# ------------------------------------------------------------------------------------------- admission

arrivals = st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=200)


@given(arrivals, st.floats(0.1, 100), st.integers(1, 50))
def test_never_more_than_burst_and_rate_are_admitted(gaps: list[float], per_s: float, burst: int) -> None:
    buckets = _Buckets(Bucket(per_s=per_s, burst=burst))
    now, admitted = 1000.0, []
    for gap in gaps:
        now += gap
        if buckets.take("peer", now):
            admitted.append(now)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            elapsed = admitted[last] - admitted[first]
            assert last - first + 1 <= burst + per_s * elapsed + 1e-3


@given(st.floats(1, 100), st.integers(1, 50))
def test_a_burst_is_admitted_and_then_the_rate(per_s: float, burst: int) -> None:
    buckets = _Buckets(Bucket(per_s=per_s, burst=burst))
    assert sum(buckets.take("peer", 1000.0) for _ in range(burst * 2)) == burst
    assert not buckets.take("peer", 1000.0)
    assert buckets.take("peer", 1000.0 + 1.001 / per_s)


def test_one_certificate_does_not_spend_the_tokens_of_another() -> None:
    admission = Admission(certificate=Bucket(per_s=1, burst=5), address=Bucket(per_s=1000, burst=1000))
    assert sum(admission.admits(b"flood", "192.0.2.1", 0.0) for _ in range(100)) == 5
    assert admission.admits(b"other", "192.0.2.1", 0.0)


def test_many_certificates_of_one_address_share_its_bucket() -> None:
    admission = Admission(certificate=Bucket(per_s=1, burst=5), address=Bucket(per_s=1, burst=20))
    assert sum(admission.admits(bytes([n % 50]), "192.0.2.1", 0.0) for n in range(250)) == 20
    assert admission.admits(b"other", "192.0.2.2", 0.0)


# ------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    made = DevPki(tmp_path_factory.mktemp("pki"))
    made.prepare()
    expired = issue_certificate(
        made.authority,
        "expired",
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(2020, 2, 1, tzinfo=UTC),
    )
    expired.write(made.directory, "expired")
    return made


def server_tls(pki: DevPki, handshakes: Handshakes | None = None, preflights: bool = False) -> ServerTls:
    folder = pki.directory
    return ServerTls(
        folder / "server.crt",
        folder / "server.key",
        [folder / "ca.crt"],
        handshakes or Handshakes(),
        preflights=preflights,
    )


def client_tls(pki: DevPki, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.directory / "ca.crt"))
    if name is not None:
        context.load_cert_chain(pki.directory / f"{name}.pem")
    return context


def test_tls_is_1_3_with_client_certificates_and_without_tickets(pki: DevPki) -> None:
    context = server_tls(pki).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert [each["subject"][0][0][1] for each in context.get_ca_certs()] == ["Dicomward dev authority"]


@pytest.mark.parametrize("spoil", ["server.crt", "server.key", "ca.crt"])
def test_tls_files_that_cannot_be_used_are_a_configuration_error(pki: DevPki, tmp_path: Path, spoil: str) -> None:
    for name in ("server.crt", "server.key", "ca.crt"):
        (tmp_path / name).write_bytes(b"junk" if name == spoil else (pki.directory / name).read_bytes())
    with pytest.raises(ConfigurationError):
        server_context(tmp_path / "server.crt", tmp_path / "server.key", [tmp_path / "ca.crt"], Handshakes())


def test_key_of_another_certificate_is_a_configuration_error(pki: DevPki) -> None:
    folder = pki.directory
    with pytest.raises(ConfigurationError):
        server_context(folder / "server.crt", folder / "radiologist.key", [folder / "ca.crt"], Handshakes())


def test_parser_of_this_installation_is_the_one_that_was_tested() -> None:
    assert_parser()


@pytest.mark.parametrize("version", ["3.14.3", "3.9.0", "2.99.99"])
def test_old_parser_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    with pytest.raises(ConfigurationError, match="older"):
        assert_parser()


def test_parser_in_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(ConfigurationError, match="C parser"):
        assert_parser()


# ------------------------------------------------------------------------------- listener and handler


@dataclass
class Suppressed:
    reasons: list[str] = field(default_factory=list)

    def suppress(self, reason: str, now: datetime) -> None:
        self.reasons.append(reason)


class Door:
    """A listener on loopback with a walk that a test gives it."""

    def __init__(self, pki: DevPki, **settings: Any) -> None:
        self.pki = pki
        self.arrivals: list[Arrival] = []
        self.walk: Callable[[Arrival, Exchange], Awaitable[None]] = answer_ok
        self.suppressed = Suppressed()
        self.handshakes = Handshakes()
        origins = settings.pop("cors_origins", ())
        many = Bucket(per_s=1e6, burst=1_000_000)
        self.handler = Handler(
            walk=self._walk,
            admission=Admission(certificate=settings.pop("certificate", many), address=many),
            suppressor=self.suppressed,
            problem=problem_of,
            clock=lambda: datetime.now(UTC),
            cors=Cors(origins, "https://localhost:8443"),
            idle_s=settings.pop("idle_s", 0.3),
            body_bytes=settings.pop("body_bytes", 1000),
        )
        limits = {
            "connections": 50,
            "connections_per_address": 50,
            "handshake_s": 0.5,
            "head_s": 0.3,
            "line_bytes": 2000,
            "headers": 20,
        }
        self.tls = server_tls(pki, self.handshakes, bool(origins))
        self.listener = Listener(self.handler, Limits(**{**limits, **settings}), self.tls)
        self.port = 0

    async def _walk(self, arrival: Arrival, exchange: Exchange) -> None:
        self.arrivals.append(arrival)
        await self.walk(arrival, exchange)

    async def __aenter__(self) -> Door:
        await self.listener.start("127.0.0.1", 0)
        self.port = self.listener.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop(1)

    async def say(self, content: bytes, name: str | None = "radiologist", patience_s: float = 2) -> bytes:
        """Send bytes, give all that comes until the end, or until patience does."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=client_tls(self.pki, name), server_hostname="localhost"
        )
        received = b""
        try:
            writer.write(content)
            await writer.drain()
            async with asyncio.timeout(patience_s):
                while chunk := await reader.read(65536):
                    received += chunk
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
        return received


async def answer_ok(arrival: Arrival, exchange: Exchange) -> None:
    exchange.decided = True
    await exchange.start(200, (("Content-Type", "text/plain"),), 2)
    await exchange.write(b"ok")
    await exchange.finish()


@pytest.fixture
async def door(pki: DevPki) -> AsyncIterator[Door]:
    async with Door(pki) as made:
        yield made


GET = b"GET /dicom-web/studies?x=%41 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nConnection: close\r\n\r\n"


async def test_head_arrives_as_it_was_sent(door: Door) -> None:
    answer = await door.say(GET)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")
    assert b"Server: dicomward\r\n" in answer
    (arrival,) = door.arrivals
    assert (arrival.method, arrival.target) == ("GET", "/dicom-web/studies?x=%41")
    assert arrival.headers[1:3] == ((b"X-One", b"1"), (b"x-one", b"2"))
    assert arrival.peer.certificate == ssl.PEM_cert_to_DER_cert(
        Issued.read(door.pki.directory, "radiologist").certificate_pem().decode()
    )
    assert (door.handler.requests, door.suppressed.reasons) == (1, [])


async def test_expired_certificate_gets_through_the_handshake_to_be_told_and_recorded(door: Door) -> None:
    assert (await door.say(GET, "expired")).startswith(b"HTTP/1.1 200")
    assert len(door.arrivals) == 1


@pytest.mark.parametrize(("name", "counted"), [("stranger", "untrusted"), (None, "no-certificate")])
async def test_stranger_ends_in_the_handshake(door: Door, name: str | None, counted: str) -> None:
    assert await door.say(GET, name) == b""
    assert door.arrivals == []
    assert door.handler.requests == 0
    assert door.handshakes.failed[counted] == 1


async def test_tls_1_2_ends_in_the_handshake(door: Door) -> None:
    context = client_tls(door.pki, "radiologist")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", door.port, ssl=context, server_hostname="localhost")
    assert door.handshakes.failed["protocol"] == 1


async def test_failure_in_the_walk_is_500_without_its_message_and_counted(door: Door) -> None:
    async def fail(arrival: Arrival, exchange: Exchange) -> None:
        raise RuntimeError("DOE^JANE")

    door.walk = fail
    answer = await door.say(GET)
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"DOE" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reasons"][0]["code"] == "internal-error"
    assert door.suppressed.reasons == ["internal-error"]


async def test_failure_after_the_answer_began_cuts_it(door: Door) -> None:
    async def fail(arrival: Arrival, exchange: Exchange) -> None:
        exchange.decided = True
        await exchange.start(200, (), 100)
        await exchange.write(b"half")
        raise RuntimeError

    door.walk = fail
    answer = await door.say(GET)
    assert b"500" not in answer
    assert not answer.endswith(b"}")
    assert door.suppressed.reasons == []  # it has its decision


async def test_idle_connections_of_one_address_lock_out_nobody_else(pki: DevPki) -> None:
    """Before their handshake they have no certificate to be counted by, so the address is."""
    async with Door(pki, connections=1000, connections_per_address=20) as door:
        idle = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(60)]
        for _ in range(100):
            if door.listener.server.refused >= 40:
                break
            await asyncio.sleep(0.02)
        assert door.listener.server.refused >= 40
        assert door.listener.server.open_connections <= 20
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            door.port,
            ssl=client_tls(pki, "radiologist"),
            server_hostname="localhost",
            local_addr=("127.0.0.9", 0),
        )
        writer.write(b"GET /dicom-web/studies HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 ")
        for _, each in (*idle, (reader, writer)):
            each.close()
        for _ in range(200):
            if door.listener.server.open_connections == 0:
                break
            await asyncio.sleep(0.02)
        assert door.listener.server.open_connections == 0, "every place is handed back"


async def test_peer_that_leaves_before_a_decision_is_counted_as_abandoned(door: Door) -> None:
    async def gone(arrival: Arrival, exchange: Exchange) -> None:
        raise PeerGoneError("lost")

    door.walk = gone
    assert await door.say(GET) == b""
    assert door.suppressed.reasons == ["abandoned"]


async def test_flood_is_429_before_anything_is_asked(pki: DevPki) -> None:
    async with Door(pki, certificate=Bucket(per_s=0.001, burst=3)) as door:
        answer = await door.say(GET.replace(b"Connection: close\r\n", b"") * 3 + GET)
        assert answer.count(b"HTTP/1.1 200") == 3
        assert answer.count(b"HTTP/1.1 429") == 1
        assert len(door.arrivals) == 3
        assert door.suppressed.reasons == ["rate-limited"]
        assert door.handler.requests == len(door.arrivals) + len(door.suppressed.reasons)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"x" * 3000 + b"\r\n\r\n",
        b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(30)) + b"\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"junk\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\0b: c\r\n\r\n",
    ],
    ids=["long-header", "long-target", "many-headers", "version", "junk", "two-lengths", "smuggling", "folded", "nul"],
)
async def test_head_that_the_parser_refuses_arrives_as_such_and_closes(door: Door, head: bytes) -> None:
    await door.say(head)
    assert [bool(arrival.parser_error) for arrival in door.arrivals] == [True]
    assert door.arrivals[0].headers == ()
    assert door.handler.requests == 1


async def test_slow_head_and_silent_connection_are_closed_in_time(door: Door) -> None:
    begun = asyncio.get_running_loop().time()
    await asyncio.gather(door.say(b"GET / HTTP/1.1\r\nHost: a\r\nX:"), door.say(b""))
    assert asyncio.get_running_loop().time() - begun < 1.9
    assert door.arrivals == []


async def test_connections_over_the_cap_are_closed(pki: DevPki) -> None:
    async with Door(pki, connections_per_address=2) as door:
        release = asyncio.Event()

        async def wait(arrival: Arrival, exchange: Exchange) -> None:
            await release.wait()
            await answer_ok(arrival, exchange)

        door.walk = wait
        held = [asyncio.create_task(door.say(GET)) for _ in range(2)]
        while len(door.arrivals) < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(ConnectionError):
            await door.say(GET)  # closed before its handshake costs anything
        assert door.listener.server.refused == 1
        release.set()
        assert all(answer.endswith(b"ok") for answer in await asyncio.gather(*held))
        await asyncio.sleep(0.05)
        assert door.listener.server.open_connections == 0


async def test_body_larger_than_accepted_is_refused_before_it_is_read(door: Door) -> None:
    errors: list[str] = []

    async def read(arrival: Arrival, exchange: Exchange) -> None:
        try:
            while await exchange.body.read():
                pass
        except PeerError as error:
            errors.append(type(error).__name__)
        await answer_ok(arrival, exchange)

    door.walk = read
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    await door.say(head + b"Content-Length: 1001\r\n\r\n", patience_s=0.3)
    await door.say(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, patience_s=0.6)
    await door.say(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 11 + b"0\r\n\r\n")
    assert errors == ["BodyTooLargeError", "PeerGoneError", "BodyTooLargeError"]


async def test_port_that_is_taken_names_the_key(pki: DevPki, door: Door) -> None:
    other = Door(pki)
    with pytest.raises(ConfigurationError, match="listen"):
        await other.listener.start("127.0.0.1", door.port)


async def test_request_that_a_stop_does_not_wait_for_is_counted_as_abandoned(pki: DevPki) -> None:
    async with Door(pki) as door:

        async def stalled(arrival: Arrival, exchange: Exchange) -> None:
            await asyncio.Event().wait()

        door.walk = stalled
        asking = asyncio.create_task(door.say(GET))
        while not door.arrivals:
            await asyncio.sleep(0.01)
        begun = asyncio.get_running_loop().time()
        await door.listener.stop(0.4)
        assert asyncio.get_running_loop().time() - begun < 1
        assert door.suppressed.reasons == ["abandoned"]
        assert await asking == b""


# ---------------------------------------------------------------------------------------- web pages

VIEWER = "https://viewer.example"


def asking(*fields: str, method: str = "GET") -> bytes:
    lines = (f"{method} /dicom-web/studies HTTP/1.1", "Host: localhost", *fields, "Connection: close", "", "")
    return "\r\n".join(lines).encode()


@pytest.fixture
async def viewed(pki: DevPki) -> AsyncIterator[Door]:
    async with Door(pki, cors_origins=(VIEWER,)) as door:
        yield door


@pytest.mark.parametrize(
    ("fields", "foreign"),
    [
        ((), False),
        ((f"Origin: {VIEWER}",), False),
        (("Origin: https://localhost:8443",), False),
        (("Origin: https://evil.example",), True),
        (("Origin: null",), True),
        (("Origin: http://viewer.example",), True),
        (("Origin: https://viewer.example.evil.example",), True),
        (("Origin: https://viewer.example:444",), True),
        ((f"Origin: {VIEWER}", "Origin: https://evil.example"), True),
        ((f"Origin: {VIEWER}, https://evil.example",), True),
        (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"), True),
        (("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"), True),
        (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), False),
        (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"), True),
        (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"), True),
        (("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"), False),
        (("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"), False),
    ],
)
async def test_request_of_a_page_that_is_not_listed_is_foreign(
    viewed: Door, fields: tuple[str, ...], foreign: bool
) -> None:
    answer = await viewed.say(asking(*fields))
    assert answer.startswith(b"HTTP/1.1 200")
    assert [arrival.foreign for arrival in viewed.arrivals] == [foreign]
    listed = fields == (f"Origin: {VIEWER}",)
    assert (b"Access-Control-Allow-Origin: https://viewer.example\r\n" in answer) == listed
    assert (b"Access-Control-Allow-Credentials: true\r\n" in answer) == listed
    assert b"Vary: Origin" in answer
    assert b"Access-Control-Allow-Origin: *" not in answer
    assert b"Cross-Origin-Resource-Policy: same-origin" in answer


async def test_preflight_comes_without_a_certificate_and_is_told_what_pages_may(viewed: Door) -> None:
    answer = await viewed.say(
        asking(f"Origin: {VIEWER}", "Access-Control-Request-Method: GET", method="OPTIONS"), name=None
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Access-Control-Allow-Methods: GET, HEAD, OPTIONS, POST" in answer
    assert b"Purpose-Of-Use" in answer
    assert [arrival.peer.certificate for arrival in viewed.arrivals] == [None]


async def test_preflight_of_another_page_is_told_nothing(viewed: Door) -> None:
    answer = await viewed.say(asking("Origin: https://evil.example", method="OPTIONS"), name=None)
    assert b"Access-Control-Allow" not in answer


async def test_certificate_that_is_presented_is_held_to_the_authorities_all_the_same(
    viewed: Door, tmp_path: Path
) -> None:
    assert await viewed.say(asking(), name="stranger") == b""
    assert viewed.arrivals == []
    assert viewed.handshakes.failed["untrusted"] == 1


async def test_without_listed_origins_a_connection_without_certificate_ends_in_its_handshake(door: Door) -> None:
    assert await door.say(asking(method="OPTIONS"), name=None) == b""
    assert door.arrivals == []
    assert b"Vary" not in await door.say(asking())


async def test_body_of_unknown_length_ends_with_the_connection_for_who_knows_no_chunks(door: Door) -> None:
    async def walk(arrival: Arrival, exchange: Exchange) -> None:
        exchange.decided = True
        await exchange.start(200, (), None)
        await exchange.write(b"some")
        await exchange.write(b"thing")
        await exchange.finish()

    door.walk = walk
    begun = asyncio.get_running_loop().time()
    answer = await door.say(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", patience_s=5)
    assert answer.endswith(b"\r\n\r\nsomething")
    assert b"keep-alive" not in answer.lower()
    assert asyncio.get_running_loop().time() - begun < 5
