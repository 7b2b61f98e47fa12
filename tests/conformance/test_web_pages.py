"""A site that lists a web viewer: what browsers are told, and that a connection without certificate gets no more."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator

import pytest

from deploy.dev.dataset import study
from tests.conformance.conftest import caller_of
from tests.conformance.judge import Judge
from tests.conformance.wire import EndedError, Wire, client_context
from tests.laws import check_laws
from tests.stack import GENEROUS, RelayedStack, relayed_stack

VIEWER = "https://viewer.example"
EVIL = "https://evil.example"
CT = study("ct-small")
TARGETS = [
    "/dicom-web/studies",
    f"/dicom-web/studies/{CT.uid}",
    f"/dicom-web/studies/{CT.uid}/metadata",
    f"/dicom-web/studies/{CT.uid}/rendered",
    f"/wado?requestType=WADO&studyUID={CT.uid}",
    "/dicom-web",
    "/",
    "/dicom-web/servers",
    "/system",
]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayedStack]:
    overrides = {"limits": dict(GENEROUS), "listen": {"cors_origins": [VIEWER]}}
    with relayed_stack(tmp_path_factory.mktemp("pages"), overrides) as running:
        yield running
        check_laws(running.dev)


@pytest.fixture(scope="module")
def door(listed: RelayedStack) -> Judge:
    return Judge(listed, caller_of(listed))


def asking(method: str, target: str, *fields: str) -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *fields, "", "")).encode()


@pytest.fixture
def nobody(listed: RelayedStack) -> Iterator[Wire]:
    wire = Wire(listed.dev.ports.proxy, client_context(listed.dev.ca, None))
    yield wire
    wire.close()


def test_preflight_without_certificate_is_answered_for_a_listed_page(listed: RelayedStack, nobody: Wire) -> None:
    before, recorded = listed.relay.count, listed.metric("records_total", kind="decision")
    nobody.send(asking("OPTIONS", TARGETS[1], f"Origin: {VIEWER}", "Access-Control-Request-Method: GET"))
    reply = nobody.read()
    assert reply.status == 204
    assert reply.value("Access-Control-Allow-Origin") == VIEWER
    assert reply.value("Access-Control-Allow-Credentials") == "true"
    assert reply.value("Allow") == "GET, HEAD, OPTIONS, POST"
    assert reply.value("Vary") == "Origin"
    assert reply.value("Decision-Id") is None
    assert listed.relay.count == before
    assert listed.metric("records_total", kind="decision") == recorded


@pytest.mark.parametrize("origin", [EVIL, "null", f"{VIEWER}.evil.example", VIEWER.upper()])
def test_preflight_of_another_page_allows_it_nothing(nobody: Wire, origin: str) -> None:
    nobody.send(asking("OPTIONS", TARGETS[1], f"Origin: {origin}", "Access-Control-Request-Method: GET"))
    reply = nobody.read()
    assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("target", TARGETS)
def test_without_certificate_nothing_but_options_is_answered(
    listed: RelayedStack, nobody: Wire, method: str, target: str
) -> None:
    before, counted = listed.relay.count, listed.metric("suppressed_total", reason="certificate-missing")
    nobody.send(asking(method, target, f"Origin: {VIEWER}"))
    reply = nobody.read(bodiless=method == "HEAD")
    assert reply.status == 403
    assert method == "HEAD" or reply.reasons == ["certificate-missing"]
    assert listed.relay.count == before
    time.sleep(0.01)
    assert listed.metric("suppressed_total", reason="certificate-missing") == counted + 1


@pytest.mark.parametrize("fields", [(f"Origin: {EVIL}",), ("Origin: null",), ("Sec-Fetch-Site: cross-site",)])
@pytest.mark.parametrize("target", TARGETS[:4])
def test_page_that_is_not_listed_cannot_use_a_certificate(door: Judge, target: str, fields: tuple[str, ...]) -> None:
    door.refused(asking("GET", target, *fields), 403, "origin-not-permitted")


def test_listed_page_reads_answers_and_what_came_of_them(door: Judge) -> None:
    reply = door.caller.ask(asking("GET", f"{TARGETS[0]}?limit=1", f"Origin: {VIEWER}"))
    assert reply.status == 200
    assert reply.value("Access-Control-Allow-Origin") == VIEWER
    shown = reply.value("Access-Control-Expose-Headers") or ""
    assert {"Decision-Id", "Decision-Receipt", "Warning"} <= set(shown.split(", "))


def test_stranger_ends_in_the_handshake_all_the_same(listed: RelayedStack, door: Judge) -> None:
    before = listed.metric("handshakes_total", result="untrusted")
    with pytest.raises((ssl.SSLError, ConnectionError, EndedError)):
        door.caller.ask(asking("OPTIONS", TARGETS[0]), who="stranger")
    assert listed.metric("handshakes_total", result="untrusted") == before + 1
