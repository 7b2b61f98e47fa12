from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.errors import ArchiveError, ArchiveRefusedError
from proxy.forward.answer_head import Head, checked_head
from proxy.model import DicomRequest, Representation
from tests.forward.archive import BULK, IMAGE, METADATA, MULTIPART, PIXELS, RETRIEVE, SEARCH, STORE

JSON = "application/dicom+json"
XML = replace(METADATA, representation=Representation.XML, media_type="application/dicom+xml")
READS = {"retrieve": RETRIEVE, "metadata": METADATA, "xml": XML, "pixels": PIXELS, "bulk": BULK, "image": IMAGE}
OF_FRAMES = 'multipart/related; type="application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"; boundary=abc-1'


def head(request: DicomRequest, content_type: str, status: int = 200, **more: str) -> Head:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return checked_head(request, status, CIMultiDict({"Content-Type": content_type, **named}))


@pytest.mark.parametrize(
    ("request_", "content_type", "expected"),
    [
        (SEARCH, "application/dicom+json", Head(JSON)),
        (SEARCH, "Application/DICOM+JSON; charset=utf-8", Head(JSON)),
        (METADATA, "application/json", Head(JSON)),
        (XML, "application/dicom+json", Head(JSON)),
        (STORE, "application/json", Head(JSON)),
        (RETRIEVE, MULTIPART, Head("multipart/related", "abc")),
        (RETRIEVE, "Multipart/Related;boundary=abc;TYPE=application/dicom", Head("multipart/related", "abc")),
        (
            RETRIEVE,
            'multipart/related; type="application/dicom"; start=x; boundary="abc"; x=<script>',
            Head("multipart/related", "abc"),
        ),
        (PIXELS, OF_FRAMES, Head("multipart/related", "abc-1")),
        (PIXELS, "multipart/related; type=image/jls; boundary=b", Head("multipart/related", "b")),
        (PIXELS, 'multipart/related; type="Video/MP4"; boundary=b', Head("multipart/related", "b")),
        (BULK, OF_FRAMES, Head("multipart/related", "abc-1")),
        (IMAGE, "image/png", Head("image/png")),
        (IMAGE, "Image/PNG; charset=binary", Head("image/png")),
        (replace(IMAGE, media_type="image/jpeg"), "image/jpeg", Head("image/jpeg")),
    ],
)
def test_type_of_an_answer_is_rebuilt(request_: DicomRequest, content_type: str, expected: Head) -> None:
    assert head(request_, content_type) == expected


@pytest.mark.parametrize(
    ("request_", "content_type"),
    [
        (SEARCH, "text/html"),
        (SEARCH, ""),
        (SEARCH, "application/dicom+xml"),
        (SEARCH, MULTIPART),
        (METADATA, "text/plain; x=application/json"),
        (XML, "application/dicom+xml"),
        (XML, 'multipart/related; type="application/dicom+xml"; boundary=abc'),
        (STORE, "application/dicom+xml"),
        (RETRIEVE, "application/dicom+json"),
        (RETRIEVE, "application/dicom"),
        (RETRIEVE, "multipart/related"),
        (RETRIEVE, 'multipart/related; type="image/jpeg"; boundary=abc'),
        (RETRIEVE, OF_FRAMES),
        (RETRIEVE, 'multipart/related; type="application/dicom"'),
        (RETRIEVE, 'multipart/related; type="application/dicom"; boundary=""'),
        (RETRIEVE, 'multipart/related; type="application/dicom"; boundary="a b"'),
        (RETRIEVE, 'multipart/related; type="application/dicom"; boundary="a;b"'),
        (RETRIEVE, 'multipart/related; type="application/dicom"; boundary=' + "a" * 71),
        (RETRIEVE, 'multipart/related; type="application/dicom"; boundary=a; boundary=b'),
        (RETRIEVE, 'multipart/related; type="image/jpeg"; type="application/dicom"; boundary=a'),
        (RETRIEVE, "multipart/mixed; type=application/dicom; boundary=abc"),
        (RETRIEVE, 'multipart/related; type="application/dicom"; boundary=ümlaut'),
        (PIXELS, MULTIPART),
        (PIXELS, "application/octet-stream"),
        (PIXELS, 'multipart/related; type="text/html"; boundary=b'),
        (PIXELS, 'multipart/related; type="image/png"; boundary=b'),
        (PIXELS, JSON),
        (BULK, 'multipart/related; type="image/jpeg"; boundary=b'),
        (BULK, JSON),
        (IMAGE, "image/jpeg"),
        (IMAGE, "image/gif"),
        (IMAGE, "text/html"),
        (IMAGE, 'multipart/related; type="image/png"; boundary=b'),
        (replace(IMAGE, media_type="image/gif"), "image/gif"),
    ],
)
def test_answer_of_another_type_is_refused(request_: DicomRequest, content_type: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        head(request_, content_type)
    assert not isinstance(caught.value, ArchiveRefusedError)


@pytest.mark.parametrize("request_", [*READS.values(), SEARCH, STORE])
@pytest.mark.parametrize("encoding", ["gzip", "identity, gzip", "br"])
def test_encoded_answer_is_refused(request_: DicomRequest, encoding: str) -> None:
    with pytest.raises(ArchiveError):
        head(request_, JSON, Content_Encoding=encoding)


@pytest.mark.parametrize("request_", [*READS.values()], ids=READS)
@pytest.mark.parametrize("status", [400, 406, 415, 501])
def test_form_that_the_archive_refuses(request_: DicomRequest, status: int) -> None:
    with pytest.raises(ArchiveRefusedError):
        head(request_, "text/html", status)


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (PIXELS, True),
        (IMAGE, True),
        (replace(RETRIEVE, transfer_syntax="1.2.840.10008.1.2.1"), True),
        (replace(RETRIEVE, transfer_syntax=None), True),
        (replace(RETRIEVE, transfer_syntax="*"), False),
        (METADATA, False),
        (XML, False),
        (BULK, False),
        (SEARCH, False),
        (STORE, False),
    ],
)
def test_archive_that_fails_at_what_it_has_to_make_has_refused_it(request_: DicomRequest, refused: bool) -> None:
    with pytest.raises(ArchiveError) as caught:
        head(request_, "text/html", 500)
    assert isinstance(caught.value, ArchiveRefusedError) is refused


@pytest.mark.parametrize("status", [201, 206, 301, 302, 307, 400, 401, 403, 404, 406, 409, 415, 500, 501, 502, 503])
def test_status_that_a_search_cannot_have_is_an_error(status: int) -> None:
    with pytest.raises(ArchiveError) as caught:
        head(SEARCH, JSON, status)
    assert not isinstance(caught.value, ArchiveRefusedError)


@pytest.mark.parametrize("request_", [*READS.values()], ids=READS)
@pytest.mark.parametrize("status", [204, 206, 301, 302, 401, 403, 409, 502, 503])
def test_status_that_a_read_cannot_have_is_an_error(request_: DicomRequest, status: int) -> None:
    with pytest.raises(ArchiveError) as caught:
        head(request_, JSON, status)
    assert not isinstance(caught.value, ArchiveRefusedError)


@pytest.mark.parametrize("request_", [*READS.values()], ids=READS)
def test_absent_object_is_a_status_without_type(request_: DicomRequest) -> None:
    assert head(request_, "text/html", 404) == Head()


@pytest.mark.parametrize(
    ("warning", "more"),
    [
        ('299 archive "The number of results exceeded the maximum"', True),
        ('199 a "b", 299 archive "more"', True),
        ("299", True),
        ('199 archive "x"', False),
        ("", False),
    ],
)
def test_rows_held_back_are_told_of_searches_alone(warning: str, more: bool) -> None:
    assert head(SEARCH, JSON, Warning=warning).more is more
    assert head(METADATA, JSON, Warning=warning).more is False


@given(st.sampled_from([RETRIEVE, PIXELS, BULK, IMAGE, METADATA, SEARCH]), st.text(max_size=80))
def test_whatever_type_the_archive_claims_what_survives_is_ours(request_: DicomRequest, content_type: str) -> None:
    try:
        found = head(request_, content_type)
    except ArchiveError:
        return
    assert found.content_type in (JSON, "multipart/related", "image/png")
    assert found.boundary.isascii()
