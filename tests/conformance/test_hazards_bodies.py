"""Bodies of stores that the archive takes apart otherwise than a filter would.

A body is read after its request was allowed, so the decision says allow, the outcome says failed and why, and nothing
is stored.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable

import pytest

from tests.conformance.files import BOUNDARY, PART_HEAD, File, body, content_type, file
from tests.conformance.judge import Judge
from tests.conformance.wire import request
from tests.simulators.relay import Seen

pytestmark = pytest.mark.real

MARK = f"--{BOUNDARY}".encode()
FILE = file("hazard")
OTHER = file("hazard-other", institution="South Clinic")

BAD_TYPES = (
    'Content-Type: multipart/related; type="application/dicom"; boundary=a; boundary=b',
    f'Content-Type: multipart/related; boundary=a; type="application/dicom"; boundary="{BOUNDARY}"',
    'Content-Type: multipart/related; type="application/dicom"; Boundary=a; boundary=b',
    'Content-Type: multipart/related; type="application/dicom"; boundary*0=a; boundary*1=b',
    "Content-Type: multipart/related; type=\"application/dicom\"; boundary*=utf-8''a",
    'Content-Type: multipart/related; type="application/dicom"',
    'Content-Type: multipart/related; type="application/dicom"; boundary=',
    'Content-Type: multipart/related; type="application/dicom"; boundary=""',
    'Content-Type: multipart/related; type="application/dicom"; boundary="a b"',
    'Content-Type: multipart/related; type="application/dicom"; boundary="a\\"b"',
    f'Content-Type: multipart/related; type="application/dicom"; boundary={"x" * 71}',
    f"Content-Type: multipart/related; boundary={BOUNDARY}",
    f'Content-Type: multipart/related; type="application/dicom+json"; boundary={BOUNDARY}',
    f'Content-Type: multipart/related; type="application/dicom"; type="image/jpeg"; boundary={BOUNDARY}',
    f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY}; start=x',
    f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY}, text/plain',
    f'Content-Type: multipart/mixed; type="application/dicom"; boundary={BOUNDARY}',
    f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
    "Content-Type: application/dicom",
    "Content-Type: application/dicom+json",
    "Content-Type: application/json",
    "Content-Type: application/x-www-form-urlencoded",
    "X-No-Type: at-all",
)


@pytest.mark.parametrize("kind", BAD_TYPES)
def test_store_of_another_type_or_an_unclear_boundary_is_refused(judge: Judge, kind: str) -> None:
    judge.refused(request("POST", "/dicom-web/studies", kind, body=body(FILE.data)), 415, "unsupported-media-type")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-gzip", "gzip, identity"])
def test_encoded_body_is_refused(judge: Judge, coding: str) -> None:
    packed = gzip.compress(body(FILE.data))
    raw = request("POST", "/dicom-web/studies", content_type(), f"Content-Encoding: {coding}", body=packed)
    judge.refused(raw, 415, "unsupported-media-type")


def test_two_content_types_are_refused(judge: Judge) -> None:
    raw = request("POST", "/dicom-web/studies", content_type("a"), content_type(), body=body(FILE.data))
    judge.refused(raw, 400, "malformed-request")


def test_store_without_a_body_is_refused(judge: Judge) -> None:
    judge.refused(request("POST", "/dicom-web/studies", content_type()), 400, "multipart-malformed")
    judge.refused(
        request("POST", "/dicom-web/studies", content_type(), "Content-Length: 0"), 400, "multipart-malformed"
    )


def _nested() -> bytes:
    inner = body(FILE.data, boundary="inner")
    return body(inner, head=b'Content-Type: multipart/related; type="application/dicom"; boundary=inner')


WHOLE = body(FILE.data)
MALFORMED: dict[str, bytes] = {
    "preamble": b"preamble\r\n" + WHOLE,
    "blank lines before": b"\r\n\r\n" + WHOLE,
    "epilogue": WHOLE + b"epilogue",
    "a second message behind the end": WHOLE + WHOLE,
    "a part behind the end": WHOLE + MARK + b"\r\n" + PART_HEAD + b"\r\n\r\n" + OTHER.data + b"\r\n" + MARK + b"--",
    "bare LF everywhere in the framing": MARK + b"\n" + PART_HEAD + b"\n\n" + FILE.data + b"\n" + MARK + b"--\n",
    "bare LF after the boundary": WHOLE.replace(MARK + b"\r\n", MARK + b"\n"),
    "bare LF in the part's head": WHOLE.replace(PART_HEAD + b"\r\n\r\n", PART_HEAD + b"\n\r\n\r\n"),
    "space after the boundary": WHOLE.replace(MARK + b"\r\n", MARK + b" \r\n"),
    "boundary as a prefix": WHOLE.replace(MARK + b"\r\n", MARK + b"x\r\n"),
    "another boundary": body(FILE.data, boundary="other"),
    "no end": WHOLE[: -len(MARK) - 4],
    "half an end": WHOLE[:-3],
    "no part": MARK + b"--\r\n",
    "nested": _nested(),
    "part of another type": body(b"{}", head=b"Content-Type: application/dicom+json"),
    "part without a type": body(FILE.data, head=b"Content-ID: <1>"),
    "part with two types": body(FILE.data, head=PART_HEAD + b"\r\nContent-Type: text/plain"),
    "part with a folded type": body(FILE.data, head=b"Content-Type:\r\n application/dicom"),
    "part with a boundary of its own": body(FILE.data, head=PART_HEAD + b"; boundary=inner"),
    "part with an encoding": body(FILE.data, head=PART_HEAD + b"\r\nContent-Encoding: gzip"),
    "part with a transfer encoding": body(FILE.data, head=PART_HEAD + b"\r\nContent-Transfer-Encoding: base64"),
    "part with an unknown field": body(FILE.data, head=PART_HEAD + b"\r\nX-A: b"),
    "part longer than it says": body(FILE.data, head=PART_HEAD + b"\r\nContent-Length: 200"),
    "part that announces 3 GB": body(FILE.data, head=PART_HEAD + b"\r\nContent-Length: 3221225472"),
    "delimiter that goes on": WHOLE[:-4] + b"x--\r\n",
    "second part of another type": WHOLE[: -len(MARK) - 4] + body(b"{}", head=b"Content-Type: text/plain"),
}
UNREADABLE: dict[str, bytes] = {
    "junk": body(b"junk" * 100),
    "empty": body(b""),
    "without preamble and DICM": body(FILE.data[132:]),
    "gzip": body(gzip.compress(FILE.data)),
    "cut within the pixels": body(FILE.data[:-100]),
    "boundary within the pixels": body(FILE.data[:4000] + b"\r\n" + MARK + b"x" + FILE.data[4000:]),
    "bytes behind the data set": body(FILE.data + b"\0\0\0"),
}


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("case", MALFORMED)
def test_body_that_two_readers_see_differently_stores_nothing(judge: Judge, case: str, framing: str) -> None:
    _stores_nothing(judge, MALFORMED[case], framing, "multipart-malformed")


@pytest.mark.parametrize("case", UNREADABLE)
def test_part_that_is_no_dicom_file_stores_nothing(judge: Judge, case: str) -> None:
    _stores_nothing(judge, UNREADABLE[case], "length", "part-unreadable")


def test_part_without_a_head_stores_nothing(judge: Judge) -> None:
    headless = MARK + b"\r\n\r\n" + FILE.data + b"\r\n" + MARK + b"--\r\n"
    _stores_nothing(judge, headless, "length", "multipart-malformed")


def test_identifiers_twice_in_one_part_store_nothing(judge: Judge) -> None:
    """A later second Study Instance UID would be what the archive files the image under."""
    marker = b"\x20\x00\x0d\x00UI"
    start = FILE.data.index(marker)
    length = int.from_bytes(FILE.data[start + 6 : start + 8], "little")
    element = FILE.data[start : start + 8 + length]
    doubled = FILE.data[: start + len(element)] + element + FILE.data[start + len(element) :]
    _stores_nothing(judge, body(doubled), "length", "part-unreadable")


def test_body_longer_than_allowed_is_refused_before_a_byte_of_it_was_read(judge: Judge) -> None:
    before = judge.stack.relay.count
    with judge.caller.connected() as wire:
        wire.send(request("POST", "/dicom-web/studies", content_type(), f"Content-Length: {3 * 2**30}"))
        reply = wire.read()
    assert (reply.status, reply.reasons) == (413, ["too-large"])
    assert judge.outcome(reply)["reason"] == "too-large"
    assert judge.stack.relay.count == before


def test_archive_is_never_told_of_bytes_that_did_not_come(judge: Judge) -> None:
    """A small request that announces much makes the archive reserve memory for all of it: ours announces nothing."""
    promised = file("hazard-promised", pixels=2**20)
    before = judge.stack.relay.count
    sent = body(promised.data)[:50_000]
    with judge.caller.connected() as wire:
        wire.send(request("POST", "/dicom-web/studies", content_type(), f"Content-Length: {2**30 - 1}") + sent)
        _until(lambda: bool(_posts(judge, before)))
        (seen,) = _posts(judge, before)
        assert seen.value("Content-Length") is None
        assert seen.value("Transfer-Encoding") == "chunked"
    _until(lambda: judge.stack.metric("outcomes_total", status="aborted") > 0)
    assert not seen.complete
    assert seen.length <= len(sent) + 200
    assert _held(judge, promised) == 0


def _posts(judge: Judge, before: int) -> list[Seen]:
    """Stores that reached the archive; it is also asked what the study is that they go to."""
    return [seen for seen in judge.stack.relay.since(before) if seen.method == "POST"]


def _stores_nothing(judge: Judge, sent: bytes, framing: str, code: str, status: int = 400) -> None:
    before = judge.stack.relay.count
    if framing == "length":
        raw = request("POST", "/dicom-web/studies", content_type(), body=sent)
    else:
        raw = request("POST", "/dicom-web/studies", content_type(), "Transfer-Encoding: chunked")
        pieces = [sent[start : start + 997] for start in range(0, len(sent), 997)]
        raw += b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    reply = judge.caller.ask(raw)
    assert (reply.status, reply.reasons) == (status, [code])
    judge.is_silent(reply)
    assert judge.decision(reply)["verdict"]["allow"]
    outcome = judge.outcome(reply)
    assert (outcome["status"], outcome["reason"]) == ("failed", code)
    assert not [seen for seen in _posts(judge, before) if seen.complete]
    assert _held(judge, FILE) == _held(judge, OTHER) == 0


def _held(judge: Judge, stored: File) -> int:
    answer = judge.stack.archived(f"/studies/{stored.study}/instances")
    return len(answer.json()) if answer.status_code == 200 and answer.content else 0


def _until(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
