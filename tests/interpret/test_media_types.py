"""Accept and Content-Type, with the very header values that dicomweb-client and others send."""

from __future__ import annotations

import pytest

from proxy.interpret import headers_of
from proxy.model import Reason, Representation

from .building import BOUNDARY, INSTANCE_PATH, SERIES, STORE_TYPE, STUDY, accepted, refused

RETRIEVE = f"/dicom-web/studies/{STUDY}"
METADATA = f"/dicom-web/studies/{STUDY}/series/{SERIES}/metadata"
SEARCH = "/dicom-web/studies"
DICOM = 'multipart/related; type="application/dicom"'


def syntax(accept: str) -> str:
    return accepted(RETRIEVE, headers=[("Accept", accept)]).transfer_syntax


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+json, application/json",  # dicomweb-client
        "application/dicom+json",  # OHIF
        "application/json",
        "application/json; charset=utf-8",
        "*/*",
        "application/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",  # a browser
        "APPLICATION/DICOM+JSON",
        'multipart/related; type="application/dicom+xml", application/dicom+json',
        "application/dicom+json; transfer-syntax=*; charset=utf-8",
    ],
)
def test_json_is_given_to_who_takes_it(accept):
    for target in (SEARCH, METADATA):
        assert headers_of(accepted(target, headers=[("Accept", accept)]))[0] == ("Accept", "application/dicom+json")


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+xml",
        'multipart/related; type="application/dicom+xml"',
        "multipart/related; type=application/dicom+xml; charset=UTF-8",
        "multipart/related",
        "multipart/*",
        'multipart/related; type="application/dicom+xml", application/dicom+json;q=0.5',
        "application/dicom+json;q=0.0, */*",
        "application/*;q=0, text/plain, */*",
        "application/json;charset=iso-8859-1, application/dicom+xml;q=0.1",
    ],
)
def test_xml_is_given_to_who_prefers_it_and_the_archive_is_asked_for_json(accept):
    for target in (SEARCH, METADATA):
        request = accepted(target, headers=[("Accept", accept)])
        assert (request.representation, request.media_type) == (Representation.XML, "application/dicom+xml")
        assert not request.bare
        assert headers_of(request)[0] == ("Accept", "application/dicom+json")


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml",
        "application/dicom+json;q=0",
        "application/dicom+json; charset=latin1",
        "application/dicom+json; profile=x",
        'application/dicom+json; type="application/dicom+json"',
        "application/*;q=0, text/plain",
        "application/dicom+xml;q=0, application/dicom+json;q=0, multipart/*;q=0, */*",
        DICOM,
    ],
)
def test_no_other_representation_of_attributes_exists(accept):
    for target in (SEARCH, METADATA):
        assert refused(target, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE


def test_a_store_is_answered_in_json():
    headers = [("Content-Type", STORE_TYPE), ("Content-Length", "9")]
    for accept in ("*/*", "application/dicom+json", "application/json"):
        found = accepted(SEARCH, method="POST", headers=[*headers, ("Accept", accept)])
        assert found.representation is Representation.JSON
    for accept in ("application/dicom+xml", 'multipart/related; type="application/dicom+xml"', "text/html"):
        assert refused(SEARCH, method="POST", headers=[*headers, ("Accept", accept)]) is Reason.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (DICOM, "1.2.840.10008.1.2.1"),  # dicomweb-client
        ("multipart/related; type=application/dicom", "1.2.840.10008.1.2.1"),
        (DICOM + "; transfer-syntax=*", "*"),
        ('multipart/related;type="application/dicom";transfer-syntax=*', "*"),
        (DICOM + "; transfer-syntax=1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.90"),
        (
            'multipart/related; transfer-syntax="1.2.840.10008.1.2.4.90"; type="application/dicom"',
            "1.2.840.10008.1.2.4.90",
        ),
        (DICOM + "; transfer-syntax=1.2.840.10008.1.2.5;q=0.5, " + DICOM + "; transfer-syntax=*", "*"),
        (DICOM + "; transfer-syntax=*;q=0.1, */*", "*"),
        ("multipart/related", "1.2.840.10008.1.2.1"),
        ("multipart/*", "1.2.840.10008.1.2.1"),
        ("*/*", "1.2.840.10008.1.2.1"),
        ('multipart/related; type="application/octet-stream", */*;q=0.1', "1.2.840.10008.1.2.1"),
    ],
)
def test_the_transfer_syntax_is_what_the_client_asks_for(accept, expected):
    assert syntax(accept) == expected


def test_no_accept_means_anything():
    assert accepted(RETRIEVE) == accepted(RETRIEVE, headers=[("Accept", "*/*")])


def test_accept_sent_twice_is_one_list():
    headers = [("Accept", "text/html"), ("Accept", DICOM + "; transfer-syntax=*")]
    assert accepted(RETRIEVE, headers=headers).transfer_syntax == "*"


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom",
        "application/dicom; transfer-syntax=*",
        'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="application/dicom+xml"',
        'multipart/related; type="application/*"',
        "multipart/mixed",
        "image/jpeg",
        "application/zip",
        DICOM + ";q=0",
        DICOM + ";q=0, */*",
        DICOM + "; transfer-syntax=1.2.",
        DICOM + "; transfer-syntax=**",
        DICOM + '; transfer-syntax="* "',
        DICOM + "; boundary=x",
    ],
)
def test_what_cannot_be_given_is_not_acceptable(accept):
    assert refused(RETRIEVE, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    "accept",
    [
        "",
        ",",
        "*/*,",
        ",*/*",
        "*",
        "*/dicom",
        "application",
        "application/",
        "a/b c/d",
        "a/b;q=2",
        "a/b;q=-1",
        "a/b;q=1.001",
        "a/b;q=0.1234",
        "a/b;q=x",
        "a/b;q=0.1;q=0.2",
        'a/b;x="unclosed',
        'a/b;x="a\\"b"',
        "a/b;x",
        "a/b;=x",
        "a/b;",
        'multipart/related; type="application/dicom"; type="application/dicom+xml"',
        ", ".join(["a/b"] * 33),
    ],
)
def test_an_accept_that_is_no_list_of_ranges_is_refused(accept):
    assert refused(RETRIEVE, headers=[("Accept", accept)]) is Reason.MALFORMED_REQUEST


def chosen(target: str, accept: str) -> tuple[str, bool, str | None]:
    request = accepted(target, headers=[("Accept", accept)])
    return request.media_type, request.bare, request.transfer_syntax


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (DICOM, (False, "1.2.840.10008.1.2.1")),
        ("application/dicom", (True, "1.2.840.10008.1.2.1")),
        ("application/dicom; transfer-syntax=*", (True, "*")),
        ("application/dicom;transfer-syntax=1.2.840.10008.1.2.5", (True, "1.2.840.10008.1.2.5")),
        ("application/dicom, " + DICOM, (False, "1.2.840.10008.1.2.1")),
        (DICOM + ";q=0.5, application/dicom", (True, "1.2.840.10008.1.2.1")),
        ("application/*", (True, "1.2.840.10008.1.2.1")),
        ("*/*; transfer-syntax=*", (False, "*")),
    ],
)
def test_one_instance_may_come_by_itself(accept, expected):
    assert chosen(INSTANCE_PATH, accept) == ("application/dicom", *expected)


FRAMES = f"{INSTANCE_PATH}/frames/1,2"
FRAME = f"{INSTANCE_PATH}/frames/2"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", ("application/octet-stream", False, None)),
        ('multipart/related; type="*/*"', ("application/octet-stream", False, None)),
        ("multipart/related", ("application/octet-stream", False, None)),
        ("multipart/related; transfer-syntax=*", ("application/octet-stream", False, "*")),
        # dicomweb-client, OHIF
        ('multipart/related; type="application/octet-stream"', ("application/octet-stream", False, None)),
        (
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
            ("application/octet-stream", False, "*"),
        ),
        (
            'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50, '
            'multipart/related; type="image/x-jls"; transfer-syntax=1.2.840.10008.1.2.4.80',
            ("image/jpeg", False, "1.2.840.10008.1.2.4.50"),
        ),
        (
            'multipart/related; type="image/jls";q=0.5;transfer-syntax=1.2.840.10008.1.2.4.80, '
            'multipart/related; type="image/jls";transfer-syntax=1.2.840.10008.1.2.4.81',
            ("image/jls", False, "1.2.840.10008.1.2.4.81"),
        ),
        ('multipart/related; type="image/x-jls"', ("image/jls", False, None)),
        ('multipart/related; type="image/x-dicom-rle"', ("image/dicom-rle", False, None)),
        ('multipart/related; type="image/jhc"', ("image/jphc", False, None)),
        ('multipart/related; type="video/mpeg2"', ("video/mpeg", False, None)),
        ("multipart/related; type=video/mp4", ("video/mp4", False, None)),
        ('multipart/related; type="image/jp2";q=0.9, */*;q=0.1', ("image/jp2", False, None)),
    ],
)
def test_the_type_of_frames(accept, expected):
    assert chosen(FRAMES, accept) == chosen(FRAME, accept) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/octet-stream", ("application/octet-stream", True, None)),
        ("image/jls; transfer-syntax=1.2.840.10008.1.2.4.80", ("image/jls", True, "1.2.840.10008.1.2.4.80")),
        ("image/*", ("image/jpeg", True, None)),
        ("image/jpx", ("image/jpx", True, None)),
    ],
)
def test_one_frame_may_come_by_itself(accept, expected):
    assert chosen(FRAME, accept) == expected
    assert refused(FRAMES, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE


@pytest.mark.parametrize("accept", [DICOM, "application/dicom", "image/gif", 'multipart/related; type="image/*"'])
def test_frames_come_in_no_other_type(accept):
    for target in (FRAMES, FRAME):
        assert refused(target, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE


BULK = f"{INSTANCE_PATH}/bulk/7fe00010"


@pytest.mark.parametrize(
    ("accept", "bare"),
    [
        ("*/*", False),
        ("multipart/related", False),
        ('multipart/related; type="application/octet-stream"', False),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', False),
        ("multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", False),
        ("application/octet-stream", True),
        ("application/*", True),
    ],
)
def test_bulk_data_is_bytes(accept, bare):
    assert chosen(BULK, accept) == ("application/octet-stream", bare, None)
    archive = ("Accept", 'multipart/related; type="application/octet-stream"')
    assert headers_of(accepted(BULK, headers=[("Accept", accept)]))[0] == archive


@pytest.mark.parametrize(
    "accept",
    ["image/jpeg", 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.5', DICOM],
)
def test_bulk_data_comes_in_no_other_type(accept):
    assert refused(BULK, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE


def boundary(content_type: str) -> str | None:
    headers = [("Content-Type", content_type), ("Content-Length", "9")]
    return accepted("/dicom-web/studies", method="POST", headers=headers).boundary


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"', BOUNDARY),  # dicomweb-client
        ("multipart/related; boundary=abc; type=application/dicom", "abc"),
        ('Multipart/Related;Type="Application/DICOM";Boundary=AbC', "AbC"),
        ('multipart/related; type=application/dicom; boundary="a\'()+_,-./:=?b"', "a'()+_,-./:=?b"),
        ("multipart/related; type=application/dicom; boundary=" + "x" * 70, "x" * 70),
    ],
)
def test_the_type_of_a_store(content_type, expected):
    assert boundary(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/dicom",
        "multipart/form-data; boundary=a",
        "multipart/mixed; type=application/dicom; boundary=a",
        "multipart/related; boundary=a",
        "multipart/related; type=application/dicom",
        'multipart/related; type="application/dicom+json"; boundary=a',
        'multipart/related; type="application/dicom+xml"; boundary=a',
        "multipart/related; type=application/dicom; boundary=a; boundary=b",
        "multipart/related; type=application/dicom; boundary=a; Boundary=a",
        "multipart/related; type=application/dicom; type=text/html; boundary=a",
        "multipart/related; type=application/dicom; boundary=a; start=x",
        "multipart/related; type=application/dicom; boundary*=utf-8''a",
        "multipart/related; type=application/dicom; boundary*0=a; boundary*1=b",
        'multipart/related; type=application/dicom; boundary=""',
        'multipart/related; type=application/dicom; boundary="a b"',
        'multipart/related; type=application/dicom; boundary="a\\"b"',
        "multipart/related; type=application/dicom; boundary=" + "x" * 71,
        "multipart/related; type=application/dicom; boundary=a!",
        "multipart/related; type=application/dicom; boundary=a, multipart/related; boundary=b",
        "multipart/related; type=application/dicom; boundary=a b",
        "multipart/related, type=application/dicom, boundary=a",
    ],
)
def test_any_other_type_of_a_store_is_refused(content_type):
    headers = [("Content-Type", content_type), ("Content-Length", "9")]
    assert refused("/dicom-web/studies", method="POST", headers=headers) is Reason.UNSUPPORTED_MEDIA_TYPE


def test_a_store_without_a_type_is_refused():
    headers = [("Content-Length", "9")]
    assert refused("/dicom-web/studies", method="POST", headers=headers) is Reason.UNSUPPORTED_MEDIA_TYPE
