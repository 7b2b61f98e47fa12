from __future__ import annotations

import re
from email.parser import BytesParser
from email.policy import compat32
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.fulfil import Fulfilling
from proxy.fulfil.parts import PartReader
from proxy.model import Action, DicomRequest, Representation
from proxy.ports import Recoder
from tests.fulfil.building import INSTANCE, PUBLIC, SERIES, STUDY, Answer, cut, read

SYNTAX = "1.2.840.10008.1.2.1"
FILES = read(Action.RETRIEVE, Representation.DICOM, series=None, instance=None)
FILE = read(Action.RETRIEVE, Representation.DICOM, bare=True)
DICOM = f"Content-Type: application/dicom; transfer-syntax={SYNTAX}"
ORTHANC = "Content-Type: image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"


def frames(*numbers: int, **more: Any) -> DicomRequest:
    return read(Action.RETRIEVE, Representation.PIXELS, frames=numbers, **more)


def upstream(
    parts: list[bytes], head: str = DICOM, *, lengths: bool = True, start: bytes = b"", end: bytes = b"\r\n"
) -> bytes:
    body = start
    for number, part in enumerate(parts):
        more = f"\r\nContent-Length: {len(part)}" if lengths else ""
        body += b"" if number == 0 else b"\r\n"
        body += f"--theirs\r\n{head}{more}\r\nMIME-Version: 1.0\r\n\r\n".encode() + part
    return body + b"\r\n--theirs--" + end


def recoder(request: DicomRequest, length: int | None = None) -> Recoder:
    return Fulfilling(PUBLIC).recoder(request, (), Answer("multipart/related", "theirs", length))


def recoded(made: Recoder, body: bytes, sizes: list[int]) -> bytes:
    out = b"".join(piece for chunk in cut(body, sizes) for piece in made.feed(chunk))
    return out + made.end()


def understood(content_type: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Heads and bodies as another reader of MIME finds them."""
    found = re.fullmatch(r'multipart/related; type="[a-z0-9/+-]+"; boundary=([0-9a-f]{32})', content_type)
    assert found is not None
    whole = BytesParser(policy=compat32).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    assert not whole.defects
    pieces = (b"\r\n" + body).split(f"\r\n--{found[1]}".encode())
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    heads = [dict(part.items()) for part in whole.get_payload()]  # type: ignore[union-attr]
    return list(zip(heads, [piece[2:].split(b"\r\n\r\n", 1)[1] for piece in pieces[1:-1]], strict=True))


parts = st.lists(
    st.binary(max_size=80)
    | st.sampled_from([b"", b"\r\n", b"\r\n--thei", b"--theirs", b"\r", b"\r\n\r\n", b"\r\n--their\r\n--x"]),
    min_size=1,
    max_size=4,
)


@given(
    parts,
    st.lists(st.integers(1, 90), max_size=4),
    st.booleans(),
    st.sampled_from([b"", b"\r\n"]),
    st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]),
)
def test_bodies_of_parts_come_out_as_they_went_in(
    bodies: list[bytes], sizes: list[int], lengths: bool, start: bytes, end: bytes
) -> None:
    whole = upstream(bodies, lengths=lengths, start=start, end=end)
    for length in (None, len(whole)):
        made = recoder(FILES, length)
        body = recoded(made, whole, sizes)
        assert made.length in (None, len(body))
        assert [found for _, found in understood(made.content_type, body)] == bodies
        if len(bodies) == 1 and lengths and length is not None and len(end) < 4:
            assert made.length == len(body)


@given(st.binary(max_size=300), st.lists(st.integers(1, 90), max_size=4), st.booleans())
def test_one_part_by_itself_is_its_bytes_alone(data: bytes, sizes: list[int], lengths: bool) -> None:
    made = recoder(FILE, 5)
    assert recoded(made, upstream([data], lengths=lengths), sizes) == data
    assert made.content_type == f"application/dicom; transfer-syntax={SYNTAX}"
    assert made.length == (len(data) if lengths else None)


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"--theirs", b"\r\n", b"--", DICOM.encode(), b"x", b"Content-Length: 2"])).map(b"".join)
)
def test_whatever_the_archive_sends_is_parts_or_an_archive_error(body: bytes) -> None:
    made = recoder(FILES)
    try:
        out = recoded(made, body, [7])
    except ArchiveError:
        return
    assert understood(made.content_type, out)


def test_chunk_within_a_part_is_not_touched() -> None:
    chunk = bytes(1 << 16)
    for made in (recoder(FILES), recoder(FILE)):
        made.feed(f"--theirs\r\n{DICOM}\r\nContent-Length: {10 << 16}\r\n\r\n".encode())
        for _ in range(10):
            (same,) = made.feed(chunk)
            assert same is chunk


def test_part_of_unknown_length_is_not_held() -> None:
    reader = PartReader("theirs")
    reader.feed(f"--theirs\r\n{DICOM}\r\n\r\n".encode())
    chunk = b"x" * 1000
    assert reader.feed(chunk) == [chunk]
    assert reader.feed(b"ab\r\n--the") == [b"ab"]
    assert reader.feed(b"y" * 10) == [b"\r\n--they" + b"y" * 9]


def test_nothing_of_a_head_leaves_but_what_was_parsed() -> None:
    head = f"{DICOM}; charset=http://10.0.0.7\r\nX-Archive: 10.0.0.7\r\nContent-Location: http://10.0.0.7:8042/secret"
    made = recoder(FILES)
    body = recoded(made, upstream([b"data"], head), [])
    assert understood(made.content_type, body) == [
        ({"Content-Type": f"application/dicom; transfer-syntax={SYNTAX}", "Content-Length": "4"}, b"data")
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("application/dicom", "application/dicom"),
        ("Application/DICOM ; Transfer-Syntax=1.2", "application/dicom; transfer-syntax=1.2"),
        ('application/dicom;transfer-syntax="1.2"', "application/dicom; transfer-syntax=1.2"),
        ("application/dicom; transfer-syntax=1.02", "application/dicom"),
        ("application/dicom; transfer-syntax=*", "application/dicom"),
        ("application/dicom; transfer-syntax=", "application/dicom"),
    ],
)
def test_transfer_syntax_is_kept_where_it_is_one(value: str, written: str) -> None:
    made = recoder(FILES)
    body = recoded(made, upstream([b"data"], f"Content-Type: {value}"), [])
    assert understood(made.content_type, body)[0][0]["Content-Type"] == written


# ---------------------------------------------------------------------------------------------- frames


def test_frames_are_named_in_the_order_asked_for_under_our_address() -> None:
    made = recoder(frames(7, 2))
    body = recoded(made, upstream([b"a", b"b"], ORTHANC), [10])
    at = f"{PUBLIC}/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/frames"
    assert made.content_type.startswith('multipart/related; type="image/jp2"; boundary=')
    assert understood(made.content_type, body) == [
        (
            {
                "Content-Type": "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90",
                "Content-Length": "1",
                "Content-Location": f"{at}/{number}",
            },
            data,
        )
        for number, data in ((7, b"a"), (2, b"b"))
    ]


def test_all_frames_of_an_instance_are_counted_and_those_of_a_series_are_not_named() -> None:
    for request, wanted in ((frames(), ["/1", "/2"]), (frames(instance=None), [None, None])):
        made = recoder(request)
        body = recoded(made, upstream([b"a", b"b"], ORTHANC), [])
        heads = [head for head, _ in understood(made.content_type, body)]
        assert [None if "Content-Location" not in head else head["Content-Location"][-2:] for head in heads] == wanted


def test_one_frame_by_itself() -> None:
    made = recoder(frames(3, bare=True))
    assert recoded(made, upstream([b"frame"], ORTHANC), [3]) == b"frame"
    assert made.content_type == "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"


@pytest.mark.parametrize(
    ("request_", "count"), [(frames(1), 2), (frames(1, 2), 1), (frames(1, 2), 3), (FILE, 2), (frames(1, bare=True), 2)]
)
def test_other_number_of_parts_than_asked_for_is_an_error(request_: DicomRequest, count: int) -> None:
    head = DICOM if request_ is FILE else ORTHANC
    with pytest.raises(ArchiveError):
        recoded(recoder(request_), upstream([b"data"] * count, head), [])


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (FILES, ORTHANC),
        (FILES, "Content-Type: text/html"),
        (FILES, "Content-Type: multipart/related; boundary=x"),
        (frames(1), DICOM),
        (frames(1), "Content-Type: image/png"),
        (frames(1), "Content-Type: text/html"),
        (read(Action.BULKDATA, Representation.BULK, bulk=("00420011",)), "Content-Type: application/pdf"),
    ],
)
def test_part_of_another_type_is_an_error(request_: DicomRequest, head: str) -> None:
    with pytest.raises(ArchiveError):
        recoded(recoder(request_), upstream([b"data"], head), [])


def test_frames_of_two_types_are_an_error() -> None:
    body = upstream([b"a"], ORTHANC, end=b"")[: -len(b"--")] + b"\r\nContent-Type: image/jpeg\r\n\r\nb\r\n--theirs--"
    with pytest.raises(ArchiveError):
        recoded(recoder(frames(1, 2)), body, [])


def test_bulk_data_passes_under_the_type_asked_for() -> None:
    made = recoder(read(Action.BULKDATA, Representation.BULK, bulk=("00420011",)))
    body = recoded(made, upstream([b"data"], "Content-Type: application/octet-stream"), [])
    assert made.content_type.startswith('multipart/related; type="application/octet-stream"; boundary=')
    assert understood(made.content_type, body)[0][1] == b"data"


# --------------------------------------------------------------------------------------- hostile bodies

GOOD = upstream([b"data", b"more"])


@given(st.integers(0, len(GOOD) - len(b"\r\n") - 1), st.booleans())
def test_body_that_ends_early_is_an_error(end: int, lengths: bool) -> None:
    whole = upstream([b"data", b"more"], lengths=lengths, end=b"")
    with pytest.raises(ArchiveError):
        recoded(recoder(FILES), whole[: min(end, len(whole) - 1)], [11])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--theirs--\r\n",
        b"preamble\r\n" + GOOD,
        b"\n" + GOOD,
        b"\r\n\r\n" + GOOD,
        GOOD + b"epilogue",
        GOOD + GOOD,
        GOOD.replace(b"\r\n", b"\n"),
        GOOD.replace(b"--theirs", b"--others"),
        GOOD.replace(b"--theirs\r\n", b"--theirsX\r\n"),
        GOOD.replace(b"--theirs\r\n", b"--theirs" + b" " * 100 + b"\r\n"),
        GOOD.replace(b"Length: 4", b"Length: 3"),
        GOOD.replace(b"Length: 4", b"Length: 5"),
        GOOD.replace(b"Length: 4", b"Length: -4"),
        GOOD.replace(b"Length: 4", b"Length: +4"),
        GOOD.replace(b"Length: 4", b"Length: 0x4"),
        GOOD.replace(b"Length: 4", "Length: ４".encode()),
        GOOD.replace(b"Length: 4", b"Length: 4, 4"),
        GOOD.replace(b"Length: 4", b"Length: 4\r\nContent-Length: 4"),
        GOOD.replace(b"Content-Type: ", b"Content-Type: text/html\r\ncontent-type: "),
        GOOD.replace(b"Content-Type: ", b"Content-Typ: "),
        GOOD.replace(b"Content-Type: ", b"Content-Type : "),
        GOOD.replace(b"MIME-Version: 1.0", b"MIME-Version: 1.0\r\n folded"),
        GOOD.replace(b"MIME-Version: 1.0", b"MIME-Version"),
        GOOD.replace(b"MIME-Version: 1.0", b"MIME-Version: 1\n.0"),
        GOOD.replace(b"MIME-Version: 1.0", b"X: " + b"y" * 9000),
        GOOD.replace(b"MIME-Version: 1.0", b"Content-Transfer-Encoding: base64"),
        GOOD.replace(b"MIME-Version: 1.0", b"Content-Encoding: gzip"),
        GOOD.replace(b"syntax=", b"syntax=1.2; transfer-syntax="),
        b"--theirs\r\n\r\ndata\r\n--theirs--",
    ],
)
def test_ambiguous_body_is_an_error(body: bytes) -> None:
    for sizes in ([], [1], [13]):
        with pytest.raises(ArchiveError):
            recoded(recoder(FILES), body, sizes)


def test_head_without_end_is_not_held() -> None:
    made = recoder(FILES)
    made.feed(b"--theirs\r\nX: ")
    with pytest.raises(ArchiveError):
        list(map(made.feed, [b"y" * 1024] * 9))


def test_length_is_promised_only_where_the_archive_has_room_for_nothing_else() -> None:
    whole = upstream([b"data"])
    made = recoder(FILES, len(whole) + 1)
    recoded(made, whole, [])
    assert made.length is None
    two = upstream([b"data", b"more"])
    made = recoder(FILES, len(two))
    recoded(made, two, [])
    assert made.length is None
    lying = recoder(FILES, len(whole))
    with pytest.raises(ArchiveError):
        recoded(lying, two, [])


def test_type_is_not_told_before_a_part_has_begun() -> None:
    made = recoder(FILES)
    assert list(made.feed(b"--theirs\r\n")) == []
    with pytest.raises(ArchiveError):
        _ = made.content_type


@pytest.mark.parametrize("answer", [Answer("application/dicom", "theirs"), Answer("multipart/related", ""), Answer("")])
def test_answer_that_is_not_in_parts_is_an_error(answer: Answer) -> None:
    for request in (FILES, FILE, frames(1)):
        with pytest.raises(ArchiveError):
            Fulfilling(PUBLIC).recoder(request, (), answer)
