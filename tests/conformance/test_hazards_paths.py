"""Paths that the archive reads otherwise than they look."""

from __future__ import annotations

import pytest

from deploy.dev import dataset
from tests.conformance.judge import Judge
from tests.conformance.wire import request

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("untouched")]

STUDY = dataset.study("ct-small").uid
SERIES = dataset.study("ct-small").series[0].uid

INVALID_PATHS = (
    "/dicom-web/studies/%2e%2e/%2e%2e/patients",
    "/dicom-web/studies/%2E%2E/%2E%2E/patients",
    "/dicom-web/studies/%252e%252e/%252e%252e/patients",
    "/dicom-web/studies/../../patients",
    "/dicom-web/../patients",
    "/dicom-web/studies/..%2f..%2fpatients",
    "/dicom-web/studies/..",
    "/dicom-web/./studies",
    "/dicom-web/studies/.",
    r"/dicom-web/studies\..\..\patients",
    "/dicom-web/studies%5c..%5c..%5cpatients",
    "//dicom-web/studies",
    "/dicom-web//studies",
    f"/dicom-web/studies//{STUDY}",
    f"/dicom-web/studies/{STUDY}//metadata",
    "/dicom-web/studies/",
    f"/dicom-web/studies/{STUDY}/",
    f"/dicom-web/studies/{STUDY}%00/rendered",
    f"/dicom-web/studies/{STUDY}%00",
    "/dicom-web/studies%00/../../patients",
    f"/dicom-web/studies/{STUDY}%2fmetadata",
    f"/dicom-web/studies/{STUDY};a=b",
    "/dicom-web/studies;jsessionid=1",
    f"/dicom-web/studies/{STUDY}%3b",
    f"/dicom-web/studies/{STUDY}#fragment",
    "/dicom-web/studies#/../patients",
    f"/dicom-web/studies/{STUDY}%23",
    f"/dicom-web/studies/%31{STUDY[1:]}",
    "/%64icom-web/studies",
    f"/dicom-web/studies/{STUDY}%20",
    f"/dicom-web/studies/{STUDY}%0d%0aX:1",
    f"/dicom-web/studies/{STUDY}+",
    f"/dicom-web/studies/{STUDY}*",
    "https://127.0.0.1/dicom-web/studies",
    "http://127.0.0.1:8042/dicom-web/studies",
    "http://127.0.0.1:8042/patients",
)

NO_TARGETS = (r"\dicom-web\studies", "dicom-web/studies", "*", "?limit=1", "#", "%2fdicom-web/studies")

INVALID_UIDS = (
    f"{STUDY}.",
    f"{STUDY}..",
    f".{STUDY}",
    "1..2",
    "1.02.3",
    "01.2",
    "1.2.x",
    "1.2.-3",
    "1.2,1.3",
    "1" * 65,
    "1." + "2" * 63,
    "...",
)


@pytest.mark.parametrize("path", INVALID_PATHS)
def test_path_that_is_not_plain_is_refused(judge: Judge, path: str) -> None:
    judge.refused(request("GET", path), 400, "invalid-path")


@pytest.mark.parametrize("target", NO_TARGETS)
def test_target_that_is_no_path_is_refused(judge: Judge, target: str) -> None:
    judge.refused(request("GET", target), 400, "malformed-request")


@pytest.mark.parametrize("uid", INVALID_UIDS)
@pytest.mark.parametrize("tail", ["", "/metadata", "/series"])
def test_uid_that_is_not_one_is_refused(judge: Judge, uid: str, tail: str) -> None:
    code = "invalid-path" if uid.startswith("..") else "invalid-uid"
    judge.refused(request("GET", f"/dicom-web/studies/{uid}{tail}"), 400, code)


@pytest.mark.parametrize("place", ["series", "instances"])
def test_uid_further_down_that_is_not_one_is_refused(judge: Judge, place: str) -> None:
    path = f"/dicom-web/studies/{STUDY}/series/"
    path += f"{SERIES}." if place == "series" else f"{SERIES}/instances/{STUDY}."
    judge.refused(request("GET", path), 400, "invalid-uid")
    judge.refused(request("GET", f"{path}/metadata"), 400, "invalid-uid")


def test_path_with_bytes_beyond_ascii_is_refused(judge: Judge) -> None:
    for tail in ("\xe9", "\xc2\xa0", "\xef\xbc\x8e\xef\xbc\x8e"):
        reply = judge.caller.ask(request("GET", f"/dicom-web/studies/{tail}"))
        assert reply.status == 400
        assert reply.reasons[0] in ("invalid-path", "malformed-request")
        assert not judge.decision(reply)["verdict"]["allow"]


def test_target_of_10000_characters_is_refused(judge: Judge) -> None:
    judge.refused(request("GET", "/dicom-web/studies/" + "1" * 8000), 400, "invalid-path")
    judge.refused(request("GET", "/dicom-web/studies/" + "1" * 10_000), 400, "malformed-request")


def test_record_of_a_refused_path_shows_what_was_tried_without_control_bytes(judge: Judge) -> None:
    decision = judge.refused(request("GET", "/dicom-web/studies/%2e%2e/\x80patients"), 400)
    target = decision["input"]["request"]["target"]
    assert target.isascii()
    assert target.isprintable()
