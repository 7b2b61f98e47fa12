"""Headers: nothing that another reader could take for one that counts."""

from __future__ import annotations

import pytest

from proxy.model import Reason

from .building import STORE_HEADERS, STORE_TYPE, STUDY, accepted, refused

TARGET = f"/dicom-web/studies/{STUDY}"


def store(*headers: tuple[str, str]):
    return accepted("/dicom-web/studies", method="POST", headers=headers)


def store_refused(*headers: tuple[str, str]) -> Reason:
    return refused("/dicom-web/studies", method="POST", headers=headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-HTTP-Method-Override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X_HTTP_Method_Override", "DELETE"),
        ("Purpose_Of_Use", "TREAT"),
        ("purpose.of.use", "TREAT"),
        ("Decision_Id", "0"),
        ("Seal.Nonce", "0"),
        ("Content_Length", "0"),
        ("Transfer_Encoding", "chunked"),
        ("X_Forwarded_Host", "archive"),
        ("Upgrade", "websocket"),
        ("Upgrade", "h2c"),
        ("Connection", "Purpose-Of-Use"),
        ("Connection", "keep-alive, purpose-of-use"),
        ("Connection", "Decision-Id"),
        ("Connection", "Seal-Nonce,close"),
        ("Connection", "Authorization"),
        ("Connection", "Content-Length"),
        ("Connection", "Host"),
        ("Connection", "Upgrade"),
        ("X-Original-URL", "/patients"),
    ],
)
def test_headers_that_imitate_override_or_drop_are_refused(name, value):
    assert refused(TARGET, headers=[(name, value)]) is Reason.FORBIDDEN_HEADER


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "other")],
        [("Purpose-Of-Use", "TREAT"), ("purpose-of-use", "RESEARCH")],
        [("Content-Length", "0"), ("Content-Length", "0")],
        [("Expect", "100-continue"), ("Expect", "100-continue")],
        [("Authorization", "a"), ("Authorization", "b")],
        [("Content-Type", "a/b"), ("content-type", "c/d")],
    ],
)
def test_a_header_with_one_value_sent_twice_is_refused(headers):
    assert refused(TARGET, headers=headers) is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize("value", ["", "treat", "TREAT ALL", "TREAT,RESEARCH", "T" * 17, "TR\u00c9AT", "TREAT\x00"])
def test_a_purpose_that_is_no_code_is_refused(value):
    assert refused(TARGET, headers=[("Purpose-Of-Use", value)]) is Reason.MALFORMED_REQUEST


def test_purpose_and_its_source():
    request = accepted(TARGET, headers=[("purpose-of-use", " TREAT ")])
    assert (request.purpose, request.purpose_source) == ("TREAT", "header")
    assert accepted(TARGET).purpose_source is None


@pytest.mark.parametrize("headers", [[("Content-Length", "5")], [("Transfer-Encoding", "chunked")]])
def test_a_body_where_none_belongs_is_refused(headers):
    assert refused(TARGET, headers=headers) is Reason.UNEXPECTED_BODY


def test_an_empty_body_is_none():
    assert accepted(TARGET, headers=[("Content-Length", "0")]).bytes is None


@pytest.mark.parametrize("value", ["-1", "+1", "1,1", "0x10", "1 2", "01", "1.5", "\u00b9", "9" * 17, ""])
def test_a_length_that_is_no_number_is_refused(value):
    assert store_refused(("Content-Type", STORE_TYPE), ("Content-Length", value)) is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "value", ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;a=b", ""]
)
def test_other_transfer_codings_are_refused(value):
    assert store_refused(("Content-Type", STORE_TYPE), ("Transfer-Encoding", value)) is Reason.MALFORMED_REQUEST


def test_length_and_chunked_exclude_each_other():
    assert store_refused(*STORE_HEADERS, ("Transfer-Encoding", "chunked")) is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x-gzip"])
def test_an_encoded_body_is_refused(coding):
    assert store_refused(*STORE_HEADERS, ("Content-Encoding", coding)) is Reason.UNSUPPORTED_MEDIA_TYPE
    assert store(*STORE_HEADERS, ("Content-Encoding", "identity"))


def test_expectations():
    assert store(*STORE_HEADERS, ("Expect", "100-Continue")).expect_continue
    assert not store(*STORE_HEADERS).expect_continue
    assert not accepted(TARGET, headers=[("Expect", "100-continue")]).expect_continue
    assert store_refused(*STORE_HEADERS, ("Expect", "200-ok")) is Reason.MALFORMED_REQUEST


def test_a_store_announces_its_length_or_comes_chunked():
    assert store(*STORE_HEADERS).bytes == 1000
    assert store(("Content-Type", STORE_TYPE), ("Transfer-Encoding", "chunked")).bytes is None
    assert store_refused(("Content-Type", STORE_TYPE)) is Reason.MULTIPART_MALFORMED
    assert store_refused(("Content-Type", STORE_TYPE), ("Content-Length", "0")) is Reason.MULTIPART_MALFORMED


def test_a_value_with_a_control_or_without_end_is_refused():
    for value in ("a\x00b", "a\nb", "\u00e9", "a" * 3000):
        assert refused(TARGET, headers=[("Accept", value)]) is Reason.MALFORMED_REQUEST


def test_headers_that_nobody_reads_are_ignored():
    headers = [("X-Custom_Thing", "1"), ("Range", "bytes=0-"), ("Forwarded", "for=x"), ("User-Agent", "\u00e9")]
    assert accepted(TARGET, headers=headers) == accepted(TARGET)
