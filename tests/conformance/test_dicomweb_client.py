"""The client of the field sees through the proxy what it would see at the archive, under another address."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from deploy.dev import dataset
from deploy.dev.answers import Answer, dicomweb, session
from tests.conformance.wire import Caller
from tests.stack import RelayedStack

pytestmark = pytest.mark.real

STUDY = dataset.study("mr-brain")
SERIES = STUDY.series[0]
INSTANCE = SERIES.instances[0]
AS_STORED = (("application/dicom", "*"),)
MANY = 100
ARCHIVE = re.compile(r"http://127\.0\.0\.1(?::[0-9]+)?/dicom-web/")
"""The client names itself no port in ``Host``, and the archive builds its links from that."""


@pytest.fixture
def through(stack: RelayedStack) -> Iterator[DICOMwebClient]:
    answers: list[Answer] = []
    dev = stack.dev
    with session("radiologist", dev.client("radiologist"), dev.ca, answers) as made:
        yield dicomweb(f"{dev.url}/dicom-web", made)
    assert answers
    assert all(answer.decision and answer.claims()["decision"] == answer.decision for answer in answers)


@pytest.fixture
def direct(stack: RelayedStack) -> Iterator[DICOMwebClient]:
    with requests.Session() as made:
        made.auth, made.trust_env = stack.dev.archive_auth, False
        yield dicomweb(stack.dev.archive_url, made)


def same(stack: RelayedStack, ours: Any, theirs: Any) -> None:
    """Equal, once the archive's address in links is replaced by the proxy's."""
    moved = ARCHIVE.sub(f"{stack.dev.url}/dicom-web/", json.dumps(theirs))
    assert _sorted(ours) == _sorted(json.loads(moved))


def _sorted(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def datasets(found: list[pydicom.Dataset]) -> list[bytes]:
    written = []
    for each in found:
        buffer = io.BytesIO()
        each.save_as(buffer, enforce_file_format=True)
        written.append(buffer.getvalue())
    return sorted(written)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"PatientID": "NH-1001"},
        {"StudyDate": "20240101-20240301"},
        {"ModalitiesInStudy": "MR"},
        {"StudyInstanceUID": STUDY.uid},
        {"AccessionNumber": "A0012"},
        {"PatientID": "nobody"},
    ],
)
def test_search_for_studies(
    stack: RelayedStack, through: DICOMwebClient, direct: DICOMwebClient, filters: dict[str, str]
) -> None:
    ours = through.search_for_studies(search_filters=filters, limit=MANY)
    same(stack, ours, direct.search_for_studies(search_filters=filters, limit=MANY))
    assert bool(ours) == (filters.get("PatientID") != "nobody")


@pytest.mark.parametrize(
    ("query", "same_as"),
    [
        ("PatientName=Winter*", "PatientName=Winter*"),
        ("PatientName=Winter%2A", "PatientName=Winter*"),
        ("PatientName=Winter^NH-1001", "PatientID=NH-1001"),
        ("PatientName=Winter%5ENH-1001", "PatientID=NH-1001"),
        ("AccessionNumber=A00?1", "AccessionNumber=A00?1"),
    ],
)
def test_search_finds_what_the_archive_finds_however_it_is_escaped(
    stack: RelayedStack, caller: Caller, query: str, same_as: str
) -> None:
    """This archive decodes nothing in a query, so what needs no escape must reach it bare."""
    theirs = stack.archived(f"/studies?{same_as}&limit={MANY}")
    assert theirs.json()
    reply = caller.get(f"/dicom-web/studies?{query}&limit={MANY}")
    same(stack, reply.json, theirs.json())


def test_search_with_fields_and_pages(stack: RelayedStack, through: DICOMwebClient, direct: DICOMwebClient) -> None:
    for page in ({"limit": 3}, {"limit": 3, "offset": 3}, {"limit": MANY, "fields": ["StudyDescription", "00080080"]}):
        same(stack, through.search_for_studies(**page), direct.search_for_studies(**page))


@pytest.mark.parametrize("filters", [{}, {"Modality": "MR"}, {"SeriesInstanceUID": SERIES.uid}])
def test_search_for_series(
    stack: RelayedStack, through: DICOMwebClient, direct: DICOMwebClient, filters: dict[str, str]
) -> None:
    for study in (None, STUDY.uid):
        found = through.search_for_series(study, search_filters=filters, limit=MANY)
        assert found
        same(stack, found, direct.search_for_series(study, search_filters=filters, limit=MANY))


def test_search_for_instances(stack: RelayedStack, through: DICOMwebClient, direct: DICOMwebClient) -> None:
    for study, series in ((None, None), (STUDY.uid, None), (STUDY.uid, SERIES.uid)):
        found = through.search_for_instances(study, series, limit=MANY)
        assert found
        same(stack, found, direct.search_for_instances(study, series, limit=MANY))


def test_retrieve_metadata(stack: RelayedStack, through: DICOMwebClient, direct: DICOMwebClient) -> None:
    for name in ("mr-brain", "captures", "report", "ecg", "dose"):
        uid = dataset.study(name).uid
        same(stack, through.retrieve_study_metadata(uid), direct.retrieve_study_metadata(uid))
    uids = STUDY.uid, SERIES.uid
    same(stack, through.retrieve_series_metadata(*uids), direct.retrieve_series_metadata(*uids))
    one = through.retrieve_instance_metadata(*uids, INSTANCE.uid)
    same(stack, [one], [direct.retrieve_instance_metadata(*uids, INSTANCE.uid)])


@pytest.mark.parametrize("media_types", [None, AS_STORED])
def test_retrieve_objects(through: DICOMwebClient, direct: DICOMwebClient, media_types: Any) -> None:
    kinds = {"media_types": media_types}
    ours, theirs = through.retrieve_study(STUDY.uid, **kinds), direct.retrieve_study(STUDY.uid, **kinds)
    assert len(ours) == STUDY.count
    assert datasets(ours) == datasets(theirs)
    uids = STUDY.uid, SERIES.uid
    assert datasets(through.retrieve_series(*uids, **kinds)) == datasets(direct.retrieve_series(*uids, **kinds))
    one = through.retrieve_instance(*uids, INSTANCE.uid, **kinds)
    assert datasets([one]) == datasets([direct.retrieve_instance(*uids, INSTANCE.uid, **kinds)])


def test_denial_is_an_error_that_the_client_shows(stack: RelayedStack) -> None:
    answers: list[Answer] = []
    dev = stack.dev
    with (
        session("rooted", dev.client("rooted"), dev.ca, answers) as made,
        pytest.raises(requests.HTTPError, match="403"),
    ):
        dicomweb(f"{dev.url}/dicom-web", made).search_for_studies()
    assert "posture-disk-unencrypted" in answers[-1].reasons()
