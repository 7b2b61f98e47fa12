"""Accept and Content-Type, with the very header values that dicomweb-client and others send."""

from __future__ import annotations

import pytest

from proxy.interpret import headers_of
from proxy.model import Reason

from .building import BOUNDARY, SERIES, STUDY, accepted, refused

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
        'multipart/related; type="application/dicom+xml", application/dicom+json;q=0.5',
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
        "text/html",
        "application/dicom+json;q=0",
        "application/dicom+json;q=0.0, */*",
        "application/*;q=0, text/plain, */*",
        DICOM,
    ],
)
def test_no_other_representation_of_metadata_exists(accept):
    for target in (SEARCH, METADATA):
        assert refused(target, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE


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
