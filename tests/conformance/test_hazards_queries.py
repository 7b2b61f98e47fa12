"""Parameters that the archive reads otherwise than they look, and negotiation for what a filter would not see."""

from __future__ import annotations

import pytest

from deploy.dev import dataset
from tests.conformance.judge import Judge
from tests.conformance.wire import request

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("untouched")]

ENTRY, OTHER = dataset.study("ct-small"), dataset.study("mr-brain")
STUDY = f"/dicom-web/studies/{ENTRY.uid}"

DUPLICATES = (
    f"StudyInstanceUID={ENTRY.uid}&StudyInstanceUID={OTHER.uid}",
    f"StudyInstanceUID={ENTRY.uid}&0020000D={OTHER.uid}",
    f"0020000D={ENTRY.uid}&0020000d={OTHER.uid}",
    f"0020000d={ENTRY.uid}&StudyInstanceUID={ENTRY.uid}",
    "PatientID=NH-1001&00100020=SC-2001",
    "limit=1&limit=1000",
    "offset=0&offset=0",
    "fuzzymatching=false&fuzzymatching=true",
)
UNKNOWN = (
    "foo=bar",
    "patientid=NH-1001",
    "PATIENTID=NH-1001",
    "PatientID[]=NH-1001",
    "PatientComments=x",
    "00104000=x",
    "00100010.00080100=x",
    "0010,0020=NH-1001",
    "(0010,0020)=NH-1001",
    "q=x",
    "orderby=PatientID",
    "format=xml",
    "accept=application/dicom%2Bxml",
    "contentType=application/dicom",
    "transferSyntax=1.2.840.10008.1.2",
    "access_token=x",
    "=x",
    "PatientID",
    "&",
    "limit=1&",
    "&limit=1",
)
VALUES = (
    r"PatientID=NH-1001\SC-2001",
    "PatientID=NH-1001%5CSC-2001",
    "PatientID=NH%5C-1001",
    "PatientID=NH-1001,SC-2001",
    "PatientName=Winter*,Sommer*",
    "PatientName=Winter%2CSommer",
    "PatientID=NH-1001;SC-2001",
    "PatientID=NH-1001%3BSC-2001",
    "PatientID=NH-1001%00",
    "PatientID=NH%0A1001",
    "PatientID=%ff",
    "PatientID=%c0%af",
    "PatientID=%2541",
    "PatientID=%zz",
    "PatientID=%4",
    "PatientID=%u0041",
    f"PatientID={'x' * 65}",
    "StudyInstanceUID=1.2.3.",
    "StudyInstanceUID=1.02",
    "StudyInstanceUID=*",
    "StudyInstanceUID=1.2.*",
    f"StudyInstanceUID={'1' * 65}",
    "StudyDate=2024",
    "StudyDate=20241301",
    "StudyDate=20240101-20240201-20240301",
    "StudyDate=-",
    "ModalitiesInStudy=ct",
    "limit=0",
    "limit=-1",
    "limit=1e3",
    "limit=00001",
    "limit=100000",
    "limit=%31%",
    "offset=x",
    "fuzzymatching=1",
    "fuzzymatching=TRUE",
    "includefield=PixelData",
    "includefield=7FE00010",
    "includefield=NoSuchKeyword",
    "includefield=00020010",
    "includefield=",
)
OTHER_TYPES = (
    "application/xml",
    "text/xml",
    "text/html",
    "image/jpeg",
    "text/*",
    "application/dicom+json;q=0",
)
NOT_DICOM = (
    "application/dicom",
    "application/zip",
    "application/dicom+json",
    'multipart/related; type="application/octet-stream"',
    'multipart/related; type="image/jpeg"',
    'multipart/related; type="application/dicom+xml"',
    'multipart/related; type="application/dicom"; transfer-syntax=x',
    'multipart/related; type="application/dicom"; q=0',
)
ACCEPT_MALFORMED = (
    "application",
    "application/dicom+json; q=2",
    "application/dicom+json,,",
    'multipart/related; type="application/dicom"; type="application/dicom+xml"',
    "*/json",
)


@pytest.mark.parametrize("query", [*DUPLICATES, *UNKNOWN, *VALUES])
def test_query_that_can_be_read_in_two_ways_is_refused(judge: Judge, query: str) -> None:
    judge.refused(request("GET", f"/dicom-web/studies?{query}"), 400, "invalid-query")


def test_parameter_for_what_the_path_fixes_is_refused(judge: Judge) -> None:
    for path, query in (
        (f"{STUDY}/series", f"StudyInstanceUID={OTHER.uid}"),
        (f"{STUDY}/series", f"0020000D={OTHER.uid}"),
        (f"{STUDY}/instances", "PatientID=SC-2001"),
        (f"{STUDY}/series/{ENTRY.series[0].uid}/instances", f"SeriesInstanceUID={OTHER.series[0].uid}"),
    ):
        judge.refused(request("GET", f"{path}?{query}"), 400, "invalid-query")


@pytest.mark.parametrize("tail", ["", "/metadata"])
@pytest.mark.parametrize("query", ["", "limit=1", "accept=application/dicom%2Bxml", "includefield=all", "level=series"])
def test_query_on_what_is_not_a_search_is_refused(judge: Judge, tail: str, query: str) -> None:
    judge.refused(request("GET", f"{STUDY}{tail}?{query}"), 400, "invalid-query")


def test_query_without_bounds_is_refused(judge: Judge) -> None:
    judge.refused(
        request("GET", "/dicom-web/studies?" + "&".join(["includefield=PatientID"] * 65)), 400, "invalid-query"
    )
    judge.refused(request("GET", "/dicom-web/studies?PatientName=" + "x" * 6100), 400, "invalid-query")
    many = ",".join(f"1.2.{number}" for number in range(101))
    judge.refused(request("GET", f"/dicom-web/studies?StudyInstanceUID={many}"), 400, "invalid-query")


@pytest.mark.parametrize("accept", OTHER_TYPES)
@pytest.mark.parametrize("path", ["/dicom-web/studies", f"{STUDY}/series", f"{STUDY}/metadata"])
def test_representation_that_a_filter_would_not_see_is_refused(judge: Judge, path: str, accept: str) -> None:
    judge.refused(request("GET", path, f"Accept: {accept}"), 406, "not-acceptable")


@pytest.mark.parametrize("accept", NOT_DICOM)
def test_retrieve_of_anything_but_dicom_is_refused(judge: Judge, accept: str) -> None:
    judge.refused(request("GET", STUDY, f"Accept: {accept}"), 406, "not-acceptable")


@pytest.mark.parametrize("accept", ACCEPT_MALFORMED)
def test_accept_that_is_not_one_is_refused(judge: Judge, accept: str) -> None:
    judge.refused(request("GET", STUDY, f"Accept: {accept}"), 400, "malformed-request")
