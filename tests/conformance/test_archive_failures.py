"""An archive that is gone, late or talks nonsense: 502 with nothing of it inside, and an outcome that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.dev import dataset
from tests.conformance.files import body, content_type, file
from tests.conformance.judge import Judge
from tests.conformance.wire import EndedError, Reply, request

pytestmark = pytest.mark.real

KNOWN = dataset.study("us-loop")
STUDY = f"/dicom-web/studies/{KNOWN.uid}"
SEARCH = request("GET", "/dicom-web/studies?limit=1")
METADATA = request("GET", f"{STUDY}/metadata")
RETRIEVE = request("GET", STUDY, 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*')
CONVERTED = request("GET", STUDY)


def _answer(status: str, *fields: str, content: bytes = b"") -> bytes:
    head = "".join(f"{field}\r\n" for field in (f"HTTP/1.1 {status}", "Server: Orthanc 1.10.1", *fields))
    return head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content


JSON = "Content-Type: application/dicom+json"
TALK = b'{"Message":"Orthanc at http://127.0.0.1:8042 failed","Uri":"http://127.0.0.1:8042/patients"}'
NONSENSE = {
    "an error of its own": _answer("500 Internal Server Error", "Content-Type: application/json", content=TALK),
    "not authorised": _answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="Orthanc"', content=TALK),
    "a redirect": _answer("302 Found", "Location: http://127.0.0.1:8042/patients"),
    "a redirect that stays": _answer("308 Permanent Redirect", "Location: /dicom-web/studies"),
    "XML": _answer("200 OK", "Content-Type: application/dicom+xml", content=b"<NativeDicomModel/>"),
    "HTML": _answer("200 OK", "Content-Type: text/html", content=b"<html>Orthanc Explorer</html>"),
    "no type": _answer("200 OK", content=TALK),
    "two types": _answer("200 OK", "Content-Type: text/html, application/dicom+json", content=b"[]"),
    "an encoded answer": _answer(
        "200 OK", "Content-Type: application/dicom+json", "Content-Encoding: gzip", content=TALK
    ),
    "part of an answer": _answer("206 Partial Content", JSON, content=b"[]"),
    "not HTTP": b"Orthanc\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
}


@pytest.mark.parametrize("case", NONSENSE)
@pytest.mark.parametrize("asked", [SEARCH, METADATA, RETRIEVE])
def test_answer_that_is_not_dicomweb_is_not_passed_on(judge: Judge, asked: bytes, case: str) -> None:
    _context_is_known(judge)
    with judge.stack.relay.answering(NONSENSE[case]):
        reply = judge.caller.ask(asked)
    _failed(judge, reply)


def test_conversion_that_the_archive_cannot_make_is_told_as_such(judge: Judge) -> None:
    _context_is_known(judge)
    with judge.stack.relay.answering(NONSENSE["an error of its own"]):
        reply = judge.caller.ask(CONVERTED)
    assert (reply.status, reply.reasons) == (406, ["representation-unavailable"])
    judge.is_silent(reply)
    assert judge.outcome(reply)["status"] == "failed"


def test_search_answer_that_breaks_off_or_is_not_json_is_not_passed_on(judge: Judge) -> None:
    short = _answer("200 OK", JSON, content=b"[]").replace(b"Content-Length: 2", b"Content-Length: 200")
    for canned in (short, _answer("200 OK", JSON, content=TALK), _answer("200 OK", JSON, content=b"[{")):
        with judge.stack.relay.answering(canned):
            reply = judge.caller.ask(SEARCH)
        _failed(judge, reply)


def test_stream_that_breaks_off_is_cut_and_never_looks_whole(judge: Judge) -> None:
    _context_is_known(judge)
    kind = 'Content-Type: multipart/related; type="application/dicom"; boundary=b'
    content = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + bytes(2**20)
    length = f"Content-Length: {len(content)}".encode()
    canned = _answer("200 OK", kind, content=content).replace(length, length + b"0")
    failed = judge.stack.metric("outcomes_total", status="failed")
    with judge.stack.relay.answering(canned), pytest.raises((EndedError, OSError)):
        judge.caller.ask(RETRIEVE)
    assert judge.stack.metric("outcomes_total", status="failed") == failed + 1


def test_not_found_is_told_in_our_words(judge: Judge) -> None:
    _context_is_known(judge)
    with judge.stack.relay.answering(_answer("404 Not Found", content=TALK)):
        reply = judge.caller.ask(RETRIEVE)
    assert (reply.status, reply.reasons) == (404, ["resource-unknown"])
    judge.is_silent(reply)


def test_archive_that_is_gone_answers_502_and_is_recorded(judge: Judge) -> None:
    _context_is_known(judge)
    with _stopped(judge):
        for asked in (SEARCH, METADATA, RETRIEVE):
            _failed(judge, judge.caller.ask(asked))
        stored = request("POST", "/dicom-web/studies", content_type(), body=body(file("archive-gone").data))
        _failed(judge, judge.caller.ask(stored))
        # Nothing is known of this one, so nothing is decided in its favour.
        reply = judge.caller.get(f"/dicom-web/studies/{dataset.study('nuclear').uid}")
        assert (reply.status, reply.reasons) == (502, ["archive-unavailable"])
        assert judge.decision(reply)["verdict"]["reasons"] == ["archive-unavailable"]
        assert judge.outcome(reply)["http_status"] == 502
    assert judge.caller.ask(SEARCH).status == 200


def test_archive_that_hangs_up_is_never_sent_a_store_twice(judge: Judge) -> None:
    known = file("archive-hangs-up")
    first = request("POST", "/dicom-web/studies", content_type(), body=body(known.data))
    assert judge.caller.ask(first).status == 200
    # What the study is, is known for half a minute, so that only the store itself meets the failure.
    assert judge.caller.get(f"/dicom-web/studies/{known.study}/metadata").status == 200
    more = file("archive-hangs-up-2", study="archive-hangs-up")
    before = judge.stack.relay.count
    stored = request("POST", "/dicom-web/studies", content_type(), body=body(more.data))
    with judge.stack.relay.answering(b"", "POST"):
        _failed(judge, judge.caller.ask(stored))
    assert [seen.method for seen in judge.stack.relay.since(before)].count("POST") == 1


def _context_is_known(judge: Judge) -> None:
    assert judge.caller.ask(METADATA).status == 200


def _failed(judge: Judge, reply: Reply) -> None:
    assert (reply.status, reply.reasons) == (502, ["archive-unavailable"])
    judge.is_silent(reply)
    assert b":8042" not in reply.head + reply.body
    assert judge.decision(reply)["verdict"]["allow"]
    outcome = judge.outcome(reply)
    assert (outcome["status"], outcome["reason"], outcome["http_status"]) == ("failed", "archive-unavailable", 502)


@contextmanager
def _stopped(judge: Judge) -> Iterator[None]:
    judge.stack.dev.stop_part("archive")
    try:
        yield
    finally:
        judge.stack.dev.restart("archive")
