"""HTTP itself: framing that two readers see differently, headers that imitate ours or ask us to drop ours."""

from __future__ import annotations

import pytest

from tests.conformance.judge import Judge
from tests.conformance.wire import HOST, request

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("untouched")]

SEARCH = "/dicom-web/studies"
LINE = b"GET /dicom-web/studies HTTP/1.1\r\n"
STORE = b"POST /dicom-web/studies HTTP/1.1\r\n" + HOST
STORE_TYPE = b'Content-Type: multipart/related; type="application/dicom"; boundary=x\r\n'

MALFORMED = {
    "bare LF between lines": b"GET /dicom-web/studies HTTP/1.1\nHost: 127.0.0.1\n\n",
    "bare LF after a field": LINE + b"Host: 127.0.0.1\nAccept: */*\r\n\r\n",
    "bare CR in a value": LINE + HOST + b"X-A: a\rb\r\n\r\n",
    "folded line": LINE + HOST + b"X-A: a\r\n b\r\n\r\n",
    "folded Accept": LINE + HOST + b"Accept: application/dicom+json,\r\n\tapplication/dicom+xml\r\n\r\n",
    "NUL in a value": LINE + HOST + b"X-A: a\0b\r\n\r\n",
    "NUL in a name": LINE + HOST + b"X\0A: b\r\n\r\n",
    "NUL in the target": b"GET /dicom-web/studies\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "control byte in Accept": LINE + HOST + b"Accept: */*\x01\r\n\r\n",
    "no colon": LINE + HOST + b"Accept\r\n\r\n",
    "empty name": LINE + HOST + b": x\r\n\r\n",
    "space before the colon": LINE + HOST + b"Accept : */*\r\n\r\n",
    "space before the first field": LINE + b" " + HOST + b"\r\n",
    "space in a name": LINE + HOST + b"X A: b\r\n\r\n",
    "two Content-Length": STORE + STORE_TYPE + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two equal Content-Length": STORE + STORE_TYPE + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list as Content-Length": STORE + STORE_TYPE + b"Content-Length: 4, 4\r\n\r\nabcd",
    "Content-Length with a sign": STORE + STORE_TYPE + b"Content-Length: +4\r\n\r\nabcd",
    "Content-Length in hexadecimal": STORE + STORE_TYPE + b"Content-Length: 0x4\r\n\r\nabcd",
    "negative Content-Length": STORE + STORE_TYPE + b"Content-Length: -1\r\n\r\nabcd",
    "length and chunks": STORE + STORE_TYPE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": STORE + STORE_TYPE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "another transfer coding": STORE + STORE_TYPE + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a transfer coding twice": STORE
    + STORE_TYPE
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a misspelt transfer coding": STORE + STORE_TYPE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "no host": LINE + b"\r\n",
    "two hosts": LINE + HOST + HOST + b"\r\n",
    "two Purpose-Of-Use": LINE + HOST + b"Purpose-Of-Use: TREAT\r\nPurpose-Of-Use: HRESCH\r\n\r\n",
    "two Authorization": LINE + HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
    "purpose in small letters": LINE + HOST + b"Purpose-Of-Use: treat\r\n\r\n",
    "purpose as a list": LINE + HOST + b"Purpose-Of-Use: TREAT, HRESCH\r\n\r\n",
    "another expectation": STORE + STORE_TYPE + b"Content-Length: 4\r\nExpect: 200-ok\r\n\r\nabcd",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /dicom-web/studies\r\n\r\n",
    "HTTP/1.2": b"GET /dicom-web/studies HTTP/1.2\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /dicom-web/studies x HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS in TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32 + b"\r\n\r\n",
    "junk": b"\x00\x01\x02\x03junk\r\n\r\n",
}

FORBIDDEN = (
    "Connection: Authorization",
    "Connection: close, authorization",
    "Connection: Purpose-Of-Use",
    "Connection: purpose_of_use",
    "Connection: Host",
    "Connection: Content-Length",
    "Connection: Accept",
    "Connection: Cookie",
    "Connection: Decision-Id",
    "Connection: keep-alive\r\nConnection: Seal-Nonce",
    "Purpose_Of_Use: TREAT",
    "Purpose.Of.Use: TREAT",
    "purpose-of_use: TREAT",
    "Content_Length: 5",
    "Transfer_Encoding: chunked",
    "X_Forwarded_For: 10.0.0.1",
    "X_HTTP_Method_Override: DELETE",
    "X_Method: DELETE",
    "Seal_Nonce: x",
    "Decision_Id: x",
    "Upgrade: h2c",
    "Upgrade: websocket",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
)


@pytest.mark.parametrize("case", MALFORMED)
def test_request_that_two_readers_see_differently_is_refused(judge: Judge, case: str) -> None:
    judge.refused(MALFORMED[case], 400, "malformed-request")


@pytest.mark.parametrize("field", FORBIDDEN)
def test_header_that_imitates_or_drops_one_that_counts_is_refused(judge: Judge, field: str) -> None:
    judge.refused(request("GET", SEARCH, field), 400, "forbidden-header")


def test_upgrade_is_refused_and_what_follows_it_is_no_tunnel(judge: Judge) -> None:
    upgrade = request("GET", SEARCH, "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    judge.refused(upgrade + request("GET", "/patients"), 400, "forbidden-header")


def test_body_where_none_belongs_is_refused(judge: Judge) -> None:
    for path in (SEARCH, f"{SEARCH}/1.2.3", f"{SEARCH}/1.2.3/metadata"):
        judge.refused(request("GET", path, body=b"{}"), 400, "unexpected-body")
        chunked = request("GET", path, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"
        judge.refused(chunked, 400, "unexpected-body")


def test_request_hidden_in_a_refused_body_is_not_a_request(judge: Judge) -> None:
    """Smuggling: the bytes of a body are never read as the next request."""
    hidden = request("DELETE", "/dicom-web/studies/1.2.3")
    requests = judge.stack.metric("requests_total")
    judge.refused(request("GET", SEARCH, body=hidden), 400, "unexpected-body")
    assert judge.stack.metric("requests_total") == requests + 1


def test_connection_ends_after_a_head_that_is_not_http(judge: Judge) -> None:
    """What stands behind it has no beginning that both sides agree on."""
    before = judge.stack.relay.count
    with judge.caller.connected() as wire:
        wire.send(MALFORMED["length and chunks"] + request("GET", SEARCH))
        judge.is_refusal(wire.read(), 400, "malformed-request", since=before)
        assert wire.ended()


def test_http_1_0_gets_an_answer_and_the_end(judge: Judge) -> None:
    with judge.caller.connected() as wire:
        wire.send(b"GET /system HTTP/1.0\r\n\r\n")
        assert wire.read().reasons == ["unknown-route"]
        assert wire.ended()
