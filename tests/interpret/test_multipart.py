"""Bodies of stores: one form, bounded memory, and the same events however the bytes arrive."""

from __future__ import annotations

import email
import email.policy
import random
import tracemalloc

import pytest

from proxy.errors import BodyError, BodyTooLargeError
from proxy.interpret import MultipartReader, closing, part_opening
from proxy.interpret.dicom_header import PartUnreadableError

from .building import BOUNDARY, EXPLICIT, INSTANCE, SERIES, STUDY, body, dicom, parts, read

FIRST, SECOND = dicom(), dicom(PatientID="P2", PixelData=b"\r\n--x\r\n" * 40)
MARK = b"--" + BOUNDARY.encode()
HEAD = b"Content-Type: application/dicom"


def test_a_body_as_dicomweb_client_writes_it():
    (header, content), (other, rest) = parts(read(body(FIRST, SECOND)))
    assert (header.study, header.series, header.instance) == (STUDY, SERIES, INSTANCE)
    assert (header.patient_id, other.patient_id) == ("P1", "P2")
    assert (content, rest) == (FIRST, SECOND)


def test_a_body_with_no_leading_and_with_a_closing_newline():
    assert parts(read(body(FIRST)[2:] + b"\r\n")) == parts(read(body(FIRST)))


@pytest.mark.parametrize("slice_bytes", [1, 2, 3, 7, 39, 40, 41, 128, 1000])
def test_slices_change_nothing(slice_bytes):
    whole = body(FIRST, SECOND) + b"\r\n"
    assert parts(read(whole, slice_bytes=slice_bytes)) == parts(read(whole))


def test_random_slices_change_nothing():
    chance = random.Random(7)
    whole = body(FIRST, SECOND, FIRST)
    expected = parts(read(whole))
    for _ in range(100):
        reader, events, start = MultipartReader(BOUNDARY), [], 0
        while start < len(whole):
            stop = start + chance.choice([1, 2, 5, 30, 50, 300, 2000])
            events += reader.feed(whole[start:stop])
            start = stop
        reader.end()
        assert parts(events) == expected


def test_content_that_nearly_holds_the_boundary_is_content():
    near = b"".join((b"\r\n" + MARK)[:size] + b"!" for size in range(len(MARK) + 2)) + b"\r\r\r\n-" + b"\r" * 100
    content = dicom(PixelData=near + b"x" * (len(near) % 2))
    for size in (1, 13, 64, 10_000):
        assert parts(read(body(content), slice_bytes=size))[0][1] == content


def test_what_is_written_for_the_archive_is_read_alike_by_another_parser():
    written = b""
    for number, (_, content) in enumerate(parts(read(body(FIRST, SECOND)))):
        written += part_opening("ours", first=number == 0) + content
    written += closing("ours")
    message = email.message_from_bytes(
        b'Content-Type: multipart/related; type="application/dicom"; boundary=ours\r\n\r\n' + written,
        policy=email.policy.HTTP,
    )
    found = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert [len(content) for content in found] == [len(FIRST), len(SECOND)]
    reader = MultipartReader("ours")
    events = list(reader.feed(written))
    reader.end()
    assert [content for _, content in parts(events)] == [FIRST, SECOND]


HOSTILE = [
    b"",
    b"\r\n",
    MARK + b"--",
    MARK + b"--\r\n",
    b"preamble\r\n" + body(FIRST),
    b"\r\n" + body(FIRST),
    b"\n" + body(FIRST)[2:],
    b" " + body(FIRST)[2:],
    body(FIRST) + b"epilogue",
    body(FIRST) + b"\r\nepilogue",
    body(FIRST) + b"\r\n\r\n",
    body(FIRST) + b"\n",
    body(FIRST) + b"\r",
    body(FIRST) + body(SECOND),
    body(FIRST) + b"-",
    body(FIRST)[:-1],
    body(FIRST)[:-2],
    body(FIRST)[: -len(MARK) - 4],
    body(FIRST).replace(b"\r\n\r\n", b"\n\n"),
    body(FIRST).replace(MARK + b"\r\n", MARK + b"\n"),
    body(FIRST).replace(MARK + b"\r\n", MARK + b" \r\n"),
    body(FIRST).replace(MARK + b"\r\n", MARK + b"\t\r\n"),
    body(FIRST).replace(MARK + b"\r\n", MARK + b"x\r\n"),
    body(FIRST).replace(MARK + b"\r\n", MARK + b"-\r\n"),
    body(FIRST).replace(BOUNDARY.encode(), b"another"),
    body(FIRST).replace(BOUNDARY.encode(), BOUNDARY.upper().encode()),
    body(FIRST, head=b""),
    body(FIRST, head=b"Content-Type: text/plain"),
    body(FIRST, head=b"Content-Type: application/dicom+json"),
    body(FIRST, head=b"Content-Type: multipart/related; boundary=x"),
    body(FIRST, head=b"Content-Type: application/dicom; boundary=x"),
    body(FIRST, head=b"Content-Type: application/dicom; transfer-syntax=*"),
    body(FIRST, head=b"Content-Type: application/dicom; transfer-syntax=1.2; transfer-syntax=1.2"),
    body(FIRST, head=b"Content-Type: application/dicom, text/plain"),
    body(FIRST, head=HEAD + b"\r\n" + HEAD),
    body(FIRST, head=HEAD + b"\r\ncontent-type: application/dicom"),
    body(FIRST, head=b"Content-Location: x"),
    body(FIRST, head=HEAD + b"\r\nContent-Disposition: form-data; name=x"),
    body(FIRST, head=HEAD + b"\r\nContent-Encoding: gzip"),
    body(FIRST, head=HEAD + b"\r\nContent-Transfer-Encoding: base64"),
    body(FIRST, head=HEAD + b"\r\nX-HTTP-Method-Override: DELETE"),
    body(FIRST, head=b"Content-Type:\r\n application/dicom"),
    body(FIRST, head=b"Content-Type : application/dicom"),
    body(FIRST, head=b" Content-Type: application/dicom"),
    body(FIRST, head=HEAD + b"\nContent-ID: x"),
    body(FIRST, head=HEAD + b"\rContent-ID: x"),
    body(FIRST, head=HEAD + b"\r\nContent-ID: \x00"),
    body(FIRST, head=HEAD + b"\r\nContent-ID: \xc3\xa9"),
    body(FIRST, head=HEAD + b"\r\nContent-Length: 5"),
    body(FIRST, head=HEAD + b"\r\nContent-Length: %d" % (len(FIRST) + 1)),
    body(FIRST, head=HEAD + b"\r\nContent-Length: -1"),
    body(FIRST, head=HEAD + b"\r\nContent-Length: 0x10"),
]


@pytest.mark.parametrize("slice_bytes", [None, 1, 50])
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_body_that_two_readers_could_read_differently_is_refused(number, slice_bytes):
    with pytest.raises(BodyError):
        read(HOSTILE[number], slice_bytes=slice_bytes)


def test_a_boundary_within_the_content_is_refused():
    with pytest.raises(BodyError):
        read(body(dicom(PixelData=b"\r\n" + MARK + b"xx")))


@pytest.mark.parametrize(
    "head",
    [
        b"content-type:application/dicom",
        b"Content-Type: application/dicom; transfer-syntax=" + EXPLICIT.encode(),
        b"MIME-Version: 1.0\r\n" + HEAD + b"\r\nContent-ID: <a@b>\r\nContent-Location: x",
        HEAD + b"\r\nContent-Length: %d" % len(FIRST),
        HEAD + b"\r\nContent-Transfer-Encoding: binary",
    ],
)
def test_heads_that_clients_write(head):
    assert parts(read(body(FIRST, head=head))) == parts(read(body(FIRST)))


def test_a_part_declared_in_another_transfer_syntax_is_refused():
    with pytest.raises(PartUnreadableError):
        read(body(FIRST, head=HEAD + b"; transfer-syntax=1.2.840.10008.1.2"))


def test_an_empty_part_is_refused():
    with pytest.raises(PartUnreadableError):
        read(body(b""))


def test_limits_are_kept():
    with pytest.raises(BodyTooLargeError):
        read(body(FIRST, FIRST, FIRST), max_parts=2)
    long_head = HEAD + b"\r\nContent-ID: " + b"x" * 9000
    for size in (None, 100):
        with pytest.raises(BodyTooLargeError):
            read(body(FIRST, head=long_head), slice_bytes=size)
    with pytest.raises(PartUnreadableError):
        read(body(dicom(StudyDescription="x" * 60, ImageComments=None)), max_dicom_header_bytes=200)


def test_a_reader_that_refused_reads_no_more():
    reader = MultipartReader(BOUNDARY)
    with pytest.raises(BodyError):
        reader.feed(b"nonsense")
    with pytest.raises(BodyError):
        reader.feed(body(FIRST))
    with pytest.raises(BodyError):
        reader.end()


def test_a_refusal_keeps_what_was_accepted_before_it():
    reader = MultipartReader(BOUNDARY)
    first, bad = body(FIRST)[:-2], b"\r\n\r\n".join((b"", HEAD, b"no dicom here" * 20))[2:]
    events = list(reader.feed(first))
    with pytest.raises(PartUnreadableError):
        reader.feed(bad)
    assert parts(events)[0][1] == FIRST


def test_a_large_part_is_passed_on_and_not_kept():
    reader = MultipartReader(BOUNDARY)
    slice_ = bytes(256 * 1024)
    pixels = b"\xe0\x7f\x10\x00OW\x00\x00" + (400 * len(slice_)).to_bytes(4, "little")
    reader.feed(body(dicom(PixelData=None) + pixels)[: -len(MARK) - 4])
    tracemalloc.start()
    passed = 0
    for _ in range(400):
        passed += sum(len(event.data) for event in reader.feed(slice_))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert passed == 400 * len(slice_)
    assert peak < 1024 * 1024


@pytest.mark.parametrize("after", [b"", b"x" * 20_000, b"\r\n--b--"], ids=["nothing", "much", "delimiter"])
def test_part_that_does_not_say_what_it_is_is_malformed_and_not_too_large(after: bytes) -> None:
    with pytest.raises(BodyError):
        MultipartReader("b").feed(b"--b\r\n\r\n" + after)
