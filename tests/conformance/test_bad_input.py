"""Input meant to cost more than it should: a clear 4xx, soon, in flat memory; floods stay with who sends them."""

from __future__ import annotations

import io
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pydicom
import pytest

from deploy.dev import dataset
from proxy.model import Kind
from proxy.record.reader import current_reader
from tests.conformance.conftest import caller_of
from tests.conformance.files import PART_HEAD, body, content_type, file
from tests.conformance.judge import Judge
from tests.conformance.seen import check_seen
from tests.conformance.wire import HOST, EndedError, Reply, Wire, request
from tests.laws import check_laws
from tests.stack import RelayedStack, relayed_stack

pytestmark = pytest.mark.real

GROWTH = 32 * 2**20
PIPELINED = 10_000
HEAD_S, IDLE_S = 2.0, 2.0
PER_S, BURST = 20, 40
MOST_PARTS = 10_000
FLOOD = 1_500
FLOOD_S = 60.0
SEARCH = request("GET", "/dicom-web/studies?limit=1")
REFUSED = request("GET", "/system")


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayedStack]:
    """A stack whose limits are met soon."""
    limits = {
        "head_s": HEAD_S,
        "idle_s": IDLE_S,
        "handshake_s": 2,
        "requests_per_s": PER_S,
        "burst": BURST,
        "suppression_window_s": 1,
        "connections_per_address": 60,
    }
    with relayed_stack(tmp_path_factory.mktemp("tight"), {"limits": limits}) as running:
        yield running
        check_laws(running.dev)
        check_seen(running)


@pytest.fixture(scope="module")
def strict(tight: RelayedStack) -> Judge:
    return Judge(tight, caller_of(tight))


@contextmanager
def flat(stack: RelayedStack) -> Iterator[None]:
    """The proxy's memory does not grow by more than a handful of buffers."""
    before = stack.memory()
    yield
    grown = stack.memory() - before
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB more"


@contextmanager
def quick(within_s: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < within_s


# ------------------------------------------------------------------------------------------ too much of it


BIG = b"GET /dicom-web/studies HTTP/1.1\r\n" + HOST + b"X-Big: " + b"x" * 2**20 + b"\r\n\r\n"


def test_header_of_a_megabyte_is_refused(judge: Judge) -> None:
    with flat(judge.stack), quick(20):
        for _ in range(100):
            judge.refused(BIG, 400, "malformed-request")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /dicom-web/studies?" + b"x" * 2**20 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"G" * 2**20 + b" /dicom-web/studies HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /dicom-web/studies HTTP/1.1\r\n" + HOST + b"x" * 2**20 + b": x\r\n\r\n",
        b"GET /dicom-web/studies HTTP/1.1\r\n" + HOST + b"Accept: " + b"a/b," * 2**18 + b"\r\n\r\n",
        b"GET /dicom-web/studies HTTP/1.1\r\n" + HOST + b"X-A: b\r\n" * 100_000 + b"\r\n",
        b"GET /dicom-web/studies HTTP/1.1\r\n" + HOST + (b"X-A: " + b"c" * 8000 + b"\r\n") * 130 + b"\r\n",
        b"\xff" * 2**20,
    ],
    ids=["target", "method", "name", "accept", "100,000 headers", "130 large headers", "junk"],
)
def test_head_of_a_megabyte_is_refused_or_cut(judge: Judge, head: bytes) -> None:
    with flat(judge.stack), quick(20):
        for _ in range(10):
            try:
                reply = judge.caller.ask(head)
            except EndedError:
                continue
            assert reply.status == 400
            assert reply.reasons == ["malformed-request"]


def test_65_headers_are_refused_and_64_are_not(judge: Judge) -> None:
    some = tuple(f"X-{number}: x" for number in range(63))
    assert judge.caller.get("/dicom-web/studies?limit=1", *some).status == 200
    judge.refused(request("GET", "/dicom-web/studies", *some, *some), 400, "malformed-request")


def test_10000_pipelined_requests_are_10000_refusals(judge: Judge) -> None:
    """On one connection, in their order, each decided and recorded; the sender's haste costs no memory."""
    before = judge.stack.metric("records_total", kind="decision")
    batch = request("GET", "/dicom-web/studies/" + "1" * 65) + REFUSED
    with flat(judge.stack), quick(60), judge.caller.connected(timeout_s=60) as wire:
        wire.pour(batch * (PIPELINED // 2))
        replies = Counter(_told(wire.read()) for _ in range(PIPELINED))
    assert replies == {(400, "invalid-uid"): PIPELINED // 2, (404, "unknown-route"): PIPELINED // 2}
    assert judge.stack.metric("records_total", kind="decision") == before + PIPELINED


def test_pipelining_without_reading_answers_costs_no_memory(judge: Judge) -> None:
    with flat(judge.stack), judge.caller.connected(timeout_s=3) as wire:
        try:
            wire.send(REFUSED * 1_000_000)  # more than the kernel's buffers take
        except (TimeoutError, OSError):
            pass  # the proxy stopped reading: that is the point
        else:
            pytest.fail("everything was read although no answer was taken")


def test_junk_bodies_are_refused(judge: Judge) -> None:
    for kind, sent in (
        ("application/json", b'{"a": ' * 100_000),
        ("application/dicom+json", b"[" * 100_000),
        ("application/json", b"not json"),
        ("text/plain", b"x"),
        ("application/octet-stream", bytes(1000)),
    ):
        for path in ("/dicom-web/studies", "/dicom-web/studies/1.2.3"):
            raw = request("POST", path, f"Content-Type: {kind}", body=sent)
            judge.refused(raw, 415, "unsupported-media-type")


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """As small as an object can be, and of another institution than the technologist's."""
    made = pydicom.dcmread(io.BytesIO(file("bad-input", institution="South Clinic").data))
    kept = {"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "InstitutionName"}
    for element in list(made):
        if element.keyword not in kept:
            del made[element.tag]
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _store(judge: Judge, sent: bytes, *fields: str, who: str = "radiologist") -> Reply:
    """Send a store that must be refused, and hold that the archive was asked nothing."""
    before = judge.stack.relay.count
    with flat(judge.stack), judge.caller.connected(who, timeout_s=120) as wire:
        with suppress(ConnectionError):  # it may have answered before it had heard all
            wire.send(request("POST", "/dicom-web/studies", content_type(), *fields, body=sent))
        reply = wire.read()
    judge.is_silent(reply)
    time.sleep(0.1)
    assert judge.stack.relay.since(before) == []
    return reply


def test_bomb_is_never_unpacked(judge: Judge, tiny: bytes) -> None:
    """A gigabyte in a megabyte: as the body, as a part, and as a part that says so."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    assert len(bomb) < 2 * 2**20
    reply = _store(judge, bomb, "Content-Encoding: gzip")
    assert (reply.status, reply.reasons) == (415, ["unsupported-media-type"])
    reply = _store(judge, body(bomb))
    assert (reply.status, reply.reasons) == (400, ["part-unreadable"])
    reply = _store(judge, body(bomb, head=b"Content-Type: application/dicom\r\nContent-Encoding: gzip"))
    assert (reply.status, reply.reasons) == (400, ["multipart-malformed"])
    reply = _store(judge, body(tiny.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)))
    assert (reply.status, reply.reasons) == (400, ["part-unreadable"])


def test_deflated_object_is_refused(judge: Judge) -> None:
    """The data set is a compressed stream itself (PS3.5 A.5): what is in it cannot be judged without unpacking it."""
    (source,) = [each.source for each in dataset.study("captures").series[0].instances if "dfl" in str(each.source)]
    assert source is not None
    reply = _store(judge, body(source.read_bytes()))
    assert (reply.status, reply.reasons) == (400, ["part-unreadable"])


def test_gigabytes_that_are_announced_are_refused_or_never_waited_for(judge: Judge, tiny: bytes) -> None:
    before = judge.stack.relay.count
    with flat(judge.stack):
        for announced in (3 * 2**30, 2**40, 10**15):
            with judge.caller.connected() as wire:
                wire.send(request("POST", "/dicom-web/studies", content_type(), f"Content-Length: {announced}"))
                reply = wire.read()
            assert (reply.status, reply.reasons) == (413, ["too-large"])
        aborted = judge.stack.metric("outcomes_total", status="aborted")
        with judge.caller.connected() as wire:
            head = request("POST", "/dicom-web/studies", content_type(), "Transfer-Encoding: chunked")
            wire.send(head + b"C0000000\r\n" + body(tiny)[:500])
            time.sleep(0.5)
        deadline = time.monotonic() + 10
        while judge.stack.metric("outcomes_total", status="aborted") == aborted:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert judge.stack.relay.since(before) == []


def test_part_head_of_a_megabyte_is_refused(judge: Judge, tiny: bytes) -> None:
    for head in (
        PART_HEAD + b"; x=" + b"x" * 2**20,
        PART_HEAD + b"\r\nContent-ID: <" + b"x" * 2**20 + b">",
        (PART_HEAD + b"\r\n") * 40_000 + PART_HEAD,
        b"x" * 2**20,
    ):
        reply = _store(judge, body(tiny, head=head))
        assert reply.status in (400, 413)
        assert reply.reasons in (["too-large"], ["multipart-malformed"])


def test_identifiers_behind_a_megabyte_are_not_waited_for(judge: Judge, tiny: bytes) -> None:
    """The study UID stands behind an element of two megabytes: policy would have to wait for it."""
    study = tiny.index(b"\x20\x00\x0d\x00UI")
    filler = b"\x19\x00\x10\x10UN\0\0" + (2**21).to_bytes(4, "little") + bytes(2**21)
    reply = _store(judge, body(tiny[:study] + filler + tiny[study:]))
    assert reply.status in (400, 413)
    assert reply.reasons in (["too-large"], ["part-unreadable"])


def test_one_part_more_than_allowed_is_refused(judge: Judge, tiny: bytes) -> None:
    """All of them are another institution's, so that nothing goes on; they are judged and recorded until that shows."""
    with quick(120):
        reply = _store(judge, body(*[tiny] * (MOST_PARTS + 1)), who="technologist")
    assert (reply.status, reply.reasons) == (413, ["too-large"])
    parts = judge.parts(reply)
    # The one too many is noticed when it is received, and what was received with it is not judged any more: how much
    # that is depends on how far the reader was ahead, which the connection's buffer bounds.
    assert MOST_PARTS // 2 < len(parts) <= MOST_PARTS
    assert not any(part["verdict"]["allow"] for part in parts)
    assert judge.outcome(reply)["reason"] == "too-large"


def test_endless_body_of_a_refused_request_is_not_listened_to(judge: Judge) -> None:
    raw = request("POST", "/dicom-web/studies", "Content-Type: text/plain", "Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    with flat(judge.stack), quick(15), judge.caller.connected(timeout_s=5) as wire:
        wire.send(raw)
        assert wire.read().status == 415
        assert _cut(wire, (chunk for _ in range(100_000)))


# ------------------------------------------------------------------------------------------ too little of it


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"G",
        b"GET /dicom-web/studies HTTP/1.1\r\n",
        b"GET /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b",
        b"\r\n" * 2**19,
    ],
    ids=["nothing", "one byte", "a request line", "half a field", "a megabyte of blank lines"],
)
def test_half_a_head_is_cut_at_its_deadline(strict: Judge, half: bytes) -> None:
    requests = strict.stack.metric("requests_total")
    with quick(HEAD_S + 3), strict.caller.connected() as wire:
        wire.send(half)
        assert wire.ended()
    assert strict.stack.metric("requests_total") == requests


def test_head_that_comes_drop_by_drop_is_cut_at_its_deadline(strict: Judge) -> None:
    with quick(HEAD_S + 5), strict.caller.connected() as wire:
        assert _cut(wire, (bytes([byte]) for byte in SEARCH * 10), pause_s=0.1)


def test_idle_connection_is_closed(strict: Judge) -> None:
    with quick(HEAD_S + 4), strict.caller.connected() as wire:
        wire.send(REFUSED)
        assert wire.read().status == 404
        assert wire.ended()


def test_half_a_body_is_cut_and_recorded_as_aborted(strict: Judge) -> None:
    aborted = strict.stack.metric("outcomes_total", status="aborted")
    before = strict.stack.relay.count
    kind = 'Content-Type: multipart/related; type="application/dicom"; boundary=b'
    with quick(IDLE_S + 4), strict.caller.connected() as wire:
        wire.send(request("POST", "/dicom-web/studies", kind, "Content-Length: 1000") + b"--b\r\nContent-Type: appli")
        assert wire.ended()
    time.sleep(0.2)
    assert strict.stack.metric("outcomes_total", status="aborted") == aborted + 1
    assert strict.stack.relay.count == before


def test_connections_over_the_cap_are_closed_and_the_rest_goes_on(strict: Judge) -> None:
    refused = strict.stack.metric("connections_refused_total")
    with ExitStack() as held:
        wires = []
        for _ in range(70):
            with suppress(OSError):  # closed before its handshake
                wires.append(held.enter_context(strict.caller.connected("technologist")))
        assert len(wires) <= 60
        served = 0
        for wire in wires[:20]:
            wire.send(REFUSED)
            served += wire.read().status == 404
        assert served == 20
    assert strict.stack.metric("connections_refused_total") >= refused + 10
    time.sleep(0.3)


# ------------------------------------------------------------------------------------------ floods


def test_flood_of_one_certificate_leaves_another_served_and_costs_few_records(strict: Judge) -> None:
    stack = strict.stack
    time.sleep(1.2)
    records, suppressed = stack.recorded(), stack.metric("suppressed_total", reason="rate-limited")
    statuses: Counter[int] = Counter()
    started = time.monotonic()
    with flat(stack):
        flood = threading.Thread(target=_flood, args=(strict, statuses), daemon=True)
        flood.start()
        served = []
        while flood.is_alive() and len(served) < BURST - 5:
            served.append(strict.caller.ask(SEARCH, "technologist").status)
            time.sleep(0.05)
        flood.join(FLOOD_S)
    seconds = time.monotonic() - started
    assert not flood.is_alive()
    assert served
    assert set(served) == {200}, served
    assert statuses[429] > FLOOD // 4
    time.sleep(1.3)
    counted = stack.metric("suppressed_total", reason="rate-limited") - suppressed
    assert counted == statuses[429]
    assert statuses[404] <= BURST + PER_S * seconds + 2
    # An admitted request costs a decision and an outcome; all the others one record a window and reason, of which
    # there are two: rate-limited, and abandoned where the client had sent more before it heard of the end.
    written = stack.recorded() - records
    assert written <= 2 * (statuses[404] + len(served)) + 2 * (seconds + 2)
    assert written < FLOOD


def test_pipelined_flood_ends_its_connection(strict: Judge) -> None:
    time.sleep(BURST / PER_S)
    records = strict.stack.recorded()
    with flat(strict.stack), quick(20), strict.caller.connected("rooted") as wire:
        wire.pour(REFUSED * PIPELINED)
        told: Counter[int] = Counter()
        with suppress(EndedError, OSError):
            while reply := wire.read():
                told[reply.status] += 1
    assert told[429] <= 1  # a reset of the connection may overtake it
    assert 1 <= sum(told.values()) <= BURST + PER_S * 5
    time.sleep(1.3)
    assert strict.stack.recorded() - records < 2 * (BURST + PER_S * 5) + 10


def test_suppressed_records_name_reason_count_and_window(strict: Judge) -> None:
    """After the floods above: what was refused without a record of its own is told by these."""
    reader = current_reader(strict.stack.dev.layout.spool)
    rows = [row for row in reader.rows(0, reader.count()) if row.kind == Kind.SUPPRESSED]
    reader.close()
    assert rows
    assert any(b'"reason":"rate-limited"' in row.body for row in rows)


def _flood(judge: Judge, statuses: Counter[int]) -> None:
    """One certificate, a new connection whenever the last one was closed on it."""
    deadline = time.monotonic() + FLOOD_S
    while statuses.total() < FLOOD and time.monotonic() < deadline:
        with judge.caller.connected("radiologist") as wire:
            try:
                while statuses.total() < FLOOD:
                    wire.send(REFUSED)
                    statuses[wire.read().status] += 1
            except (EndedError, OSError):
                continue


def _cut(wire: Wire, pieces: Iterator[bytes], pause_s: float = 0) -> bool:
    """Whether the other side breaks the connection off while the pieces are sent."""
    for piece in pieces:
        try:
            wire.send(piece)
        except OSError:
            return True
        time.sleep(pause_s)
    return False


def _told(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.reasons[0]
