"""The Python client of the field does all it offers: through the proxy it sees what it would see at the archive."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from deploy.dev import dataset
from deploy.dev.answers import Answer, dicomweb, session
from tests.conformance.comparing import ARCHIVE, bulk_links, paths, same, sha256
from tests.conformance.files import File, file
from tests.conformance.wire import Caller
from tests.stack import RelayedStack

pytestmark = pytest.mark.real

STUDY = dataset.study("mr-brain")
SERIES = STUDY.series[0]
INSTANCE = SERIES.instances[0]
AS_STORED = (("application/dicom", "*"),)
EXPLICIT = (("application/dicom", "1.2.840.10008.1.2.1"),)
MANY = 100
LINKED = [("ct-small", 0), ("us-colour", 0), ("ecg", 0), ("mr-overlay", 0), ("us-palette", 0), ("mr-syntaxes", 0)]

Both = tuple[DICOMwebClient, DICOMwebClient]
"""Through the proxy, and directly."""


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


@pytest.fixture
def both(through: DICOMwebClient, direct: DICOMwebClient) -> Both:
    return through, direct


def uids(name: str, place: int = 0) -> tuple[str, str, str]:
    return list(paths(dataset.study(name)))[place]


def written(found: Any) -> list[bytes]:
    """What the client made of objects, as files again, in an order of their own."""
    made = []
    for each in [found] if isinstance(found, pydicom.Dataset) else found:
        buffer = io.BytesIO()
        each.save_as(buffer, enforce_file_format=True)
        made.append(buffer.getvalue())
    return sorted(made)


def equal(both: Both, method: str, *arguments: Any, read: Callable[[Any], Any] = list, **more: Any) -> Any:
    """Whatever the method gives on either side, made comparable by ``read``. Returns ours."""
    ours, theirs = (read(getattr(client, method)(*arguments, **more)) for client in both)
    assert ours == theirs
    assert ours
    return ours


def fails(both: Both, method: str, *arguments: Any, read: Callable[[Any], Any] = list, **more: Any) -> None:
    """The archive cannot do it, so it fails here too, with a status of ours."""
    through, direct = both
    with pytest.raises(requests.HTTPError):
        read(getattr(direct, method)(*arguments, **more))
    with pytest.raises(requests.HTTPError) as failed:
        read(getattr(through, method)(*arguments, **more))
    assert failed.value.response.status_code in (404, 406, 502)


def digests(parts: Any) -> list[str]:
    return [sha256(part) for part in parts]


# ------------------------------------------------------------------------------------------ search


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
        {"PatientID": "SC-2001", "StudyDate": "20240101-20241231"},
    ],
)
def test_search_for_studies(stack: RelayedStack, both: Both, filters: dict[str, str]) -> None:
    ours, theirs = (client.search_for_studies(search_filters=filters, limit=MANY) for client in both)
    same(stack, ours, theirs)
    assert bool(ours) == (filters.get("PatientID") != "nobody")


@pytest.mark.parametrize(
    ("query", "same_as"),
    [
        ("PatientName=Winter*", "PatientName=Winter*"),
        ("PatientName=Winter%2A", "PatientName=Winter*"),
        ("PatientName=Winter^NH-1001", "PatientID=NH-1001"),
        ("PatientName=Winter%5ENH-1001", "PatientID=NH-1001"),
        ("AccessionNumber=A00?1", "AccessionNumber=A00?1"),
        ("StudyDescription=Dev%20study%20ct-head", "StudyDescription=Dev?study?ct-head"),
        ("StudyDescription=Dev+study+ct-head", "StudyDescription=Dev?study?ct-head"),
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


@pytest.mark.parametrize(
    "page",
    [
        {"limit": 3},
        {"limit": 3, "offset": 3},
        {"limit": 1, "offset": 1000},
        {"limit": MANY, "fields": ["StudyDescription", "00080080"]},
        {"limit": MANY, "fuzzymatching": True, "search_filters": {"PatientID": "NH-1001"}},
        {"limit": MANY, "fuzzymatching": False, "search_filters": {"PatientID": "NH-1001"}},
        {"limit": MANY, "fields": ["all"]},
    ],
)
def test_search_with_fields_pages_and_fuzzy_matching(stack: RelayedStack, both: Both, page: dict[str, Any]) -> None:
    ours, theirs = (client.search_for_studies(**page) for client in both)
    same(stack, ours, theirs)


def test_search_gets_what_remains_page_by_page(stack: RelayedStack, both: Both) -> None:
    through, direct = both
    everything = direct.search_for_studies(limit=MANY)
    same(stack, through.search_for_studies(get_remaining=True), everything)
    same(stack, through.search_for_studies(limit=4, get_remaining=True), everything)
    same(stack, through.search_for_studies(limit=4, offset=5, get_remaining=True), everything[5:])
    of_study = direct.search_for_instances(STUDY.uid, limit=MANY)
    same(stack, through.search_for_instances(STUDY.uid, limit=2, get_remaining=True), of_study)


@pytest.mark.parametrize("filters", [{}, {"Modality": "MR"}, {"SeriesInstanceUID": SERIES.uid}])
@pytest.mark.parametrize("study", [None, STUDY.uid])
def test_search_for_series(stack: RelayedStack, both: Both, filters: dict[str, str], study: str | None) -> None:
    ours, theirs = (client.search_for_series(study, search_filters=filters, limit=MANY) for client in both)
    assert ours
    same(stack, ours, theirs)


@pytest.mark.parametrize(("study", "series"), [(None, None), (STUDY.uid, None), (STUDY.uid, SERIES.uid)])
@pytest.mark.parametrize("more", [{}, {"fields": ["Rows", "Columns"]}, {"search_filters": {"InstanceNumber": "1"}}])
def test_search_for_instances(
    stack: RelayedStack, both: Both, study: str | None, series: str | None, more: dict[str, Any]
) -> None:
    ours, theirs = (client.search_for_instances(study, series, limit=MANY, **more) for client in both)
    assert ours
    same(stack, ours, theirs)


# ------------------------------------------------------------------------------------------ metadata and objects


@pytest.mark.parametrize("entry", dataset.catalogue(large=False), ids=lambda entry: entry.name)
def test_metadata_of_every_study(stack: RelayedStack, both: Both, entry: dataset.DevStudy) -> None:
    ours, theirs = (client.retrieve_study_metadata(entry.uid) for client in both)
    assert len(ours) == entry.count
    same(stack, ours, theirs)


def test_metadata_of_series_and_instances(stack: RelayedStack, both: Both) -> None:
    ours, theirs = (client.retrieve_series_metadata(STUDY.uid, SERIES.uid) for client in both)
    same(stack, ours, theirs)
    ours, theirs = (client.retrieve_instance_metadata(STUDY.uid, SERIES.uid, INSTANCE.uid) for client in both)
    same(stack, [ours], [theirs])


@pytest.mark.parametrize("media_types", [None, EXPLICIT, AS_STORED])
def test_objects(both: Both, media_types: Any) -> None:
    kinds = {"media_types": media_types, "read": written}
    for name in ("retrieve_study", "iter_study"):
        assert len(equal(both, name, STUDY.uid, **kinds)) == STUDY.count
    for name in ("retrieve_series", "iter_series"):
        equal(both, name, STUDY.uid, SERIES.uid, **kinds)
    equal(both, "retrieve_instance", STUDY.uid, SERIES.uid, INSTANCE.uid, **kinds)


@pytest.mark.parametrize("entry", dataset.catalogue(large=False), ids=lambda entry: entry.name)
def test_objects_of_every_study_as_stored(both: Both, entry: dataset.DevStudy) -> None:
    ours = equal(both, "iter_study", entry.uid, media_types=AS_STORED, read=written)
    assert len(ours) == entry.count


def test_object_that_the_archive_cannot_convert_fails(both: Both) -> None:
    fails(both, "retrieve_instance", *uids("mr-syntaxes", 3), media_types=EXPLICIT, read=written)
    equal(both, "retrieve_instance", *uids("mr-syntaxes", 4), media_types=EXPLICIT, read=written)


# ------------------------------------------------------------------------------------------ pixels


OCTETS = ("application/octet-stream",)
FRAMES: list[tuple[str, int, list[int], Any]] = [
    ("mr-brain", 0, [1], OCTETS),
    ("us-loop", 0, [1], OCTETS),
    ("us-loop", 0, [30, 1, 2], OCTETS),
    ("dose", 0, list(range(1, 16)), ("application/octet-stream",)),
    ("ct-small", 0, [1], (("application/octet-stream", "1.2.840.10008.1.2.1"),)),
    ("ct-small", 0, [1], ("image/jpeg",)),
    ("us-colour", 0, [1], (("image/jpeg", "1.2.840.10008.1.2.4.70"),)),
    ("mr-syntaxes", 2, [1], ("image/dicom-rle",)),
    ("mr-syntaxes", 2, [1], (("image/x-dicom-rle", "1.2.840.10008.1.2.5"),)),
    ("mr-syntaxes", 3, [1], ("image/jp2",)),
    ("mr-syntaxes", 4, [1], (("image/jls", "1.2.840.10008.1.2.4.80"),)),
    ("mr-syntaxes", 3, [1], (("image/jp2", "1.2.840.10008.1.2.4.90"),)),
]


@pytest.mark.parametrize(("name", "place", "frames", "kinds"), FRAMES)
@pytest.mark.parametrize("method", ["retrieve_instance_frames", "iter_instance_frames"])
def test_frames(both: Both, method: str, name: str, place: int, frames: list[int], kinds: Any) -> None:
    ours = equal(both, method, *uids(name, place), frames, media_types=kinds, read=digests)
    assert len(ours) == len(frames)


@pytest.mark.parametrize(
    ("name", "place", "kinds"),
    [
        ("ct-small", 0, ("image/jp2",)),
        ("mr-syntaxes", 3, ("application/octet-stream",)),
        ("report", 0, ("application/octet-stream",)),
        ("ecg", 0, ("image/jpeg",)),
    ],
)
def test_frames_that_the_archive_cannot_give_fail(both: Both, name: str, place: int, kinds: Any) -> None:
    fails(both, "retrieve_instance_frames", *uids(name, place), [1], media_types=kinds)


def test_frames_as_the_client_asks_by_default_are_the_standards_default(both: Both) -> None:
    """It asks for parts of any type, ``type="*/*"``, which this archive does not know and we do."""
    through, direct = both
    asked = (*uids("ct-small"), [1])
    expected = direct.retrieve_instance_frames(*asked, media_types=("application/octet-stream",))
    assert digests(through.retrieve_instance_frames(*asked)) == digests(expected)


def test_frame_that_is_not_there_fails(both: Both) -> None:
    fails(both, "retrieve_instance_frames", *uids("mr-brain"), [2])
    fails(both, "retrieve_instance_frames_rendered", *uids("mr-brain"), [2], media_types=("image/png",))


PICTURES: list[tuple[Any, Any]] = [
    (None, None),
    (("image/jpeg",), None),
    (("image/png",), None),
    (("image/jpeg",), {"quality": 40}),
    (("image/jpeg", "image/png"), None),
]


@pytest.mark.parametrize(("kinds", "params"), PICTURES)
@pytest.mark.parametrize("name", ["us-colour", "us-loop", "mr-brain", "nuclear"])
def test_rendered(both: Both, name: str, kinds: Any, params: Any) -> None:
    more = {"media_types": kinds, "params": params, "read": sha256}
    study, series, instance = uids(name)
    equal(both, "retrieve_instance_rendered", study, series, instance, **more)
    equal(both, "retrieve_instance_frames_rendered", study, series, instance, [1], **more)
    # A resource above the instance is one image of its series; which one is the archive's to say.
    equal(both, "retrieve_series_rendered", study, series, **more)


@pytest.mark.parametrize("query", ["viewport=64,64", "window=100,200,linear", "quality=30&viewport=32,32"])
def test_rendered_as_wished(stack: RelayedStack, through: DICOMwebClient, query: str) -> None:
    """The client escapes commas, which this archive does not undo: it is asked by hand."""
    study, series, instance = uids("mr-brain")
    held = stack.archived(f"/studies/{study}/series/{series}/instances/{instance}/rendered?{query}", "image/jpeg")
    assert held.status_code == 200
    params = dict(pair.split("=") for pair in query.split("&"))
    kinds = ("image/jpeg",)
    ours = through.retrieve_instance_rendered(study, series, instance, media_types=kinds, params=params)
    assert sha256(ours) == sha256(held.content)
    ours = through.retrieve_instance_frames_rendered(study, series, instance, [1], media_types=kinds, params=params)
    assert sha256(ours) == sha256(held.content)


def test_image_of_what_has_none_fails(both: Both) -> None:
    for name, place in (("report", 0), ("mr-syntaxes", 3), ("dose", 0)):
        fails(both, "retrieve_instance_rendered", *uids(name, place), media_types=("image/jpeg",), read=sha256)
    through, _ = both
    for kinds in (("text/html",), ("video/mp4",), ("application/pdf",)):
        with pytest.raises(requests.HTTPError, match="406"):
            through.retrieve_instance_rendered(*uids("report"), media_types=kinds)


# ------------------------------------------------------------------------------------------ bulk data


@pytest.mark.parametrize(("name", "place"), LINKED)
def test_bulk_data_of_every_link(stack: RelayedStack, both: Both, name: str, place: int) -> None:
    through, direct = both
    mine, other = (bulk_links(client.retrieve_instance_metadata(*uids(name, place))) for client in both)
    assert mine
    public = f"{stack.dev.url}/dicom-web/"
    assert mine == [ARCHIVE.sub(public, link) for link in other]
    assert all(link.startswith(public) for link in mine)
    for link, theirs in zip(mine, other, strict=True):
        address = ARCHIVE.sub(f"{stack.dev.archive_url}/", theirs)
        held = digests(direct.retrieve_bulkdata(address, media_types=OCTETS))
        assert digests(through.retrieve_bulkdata(link, media_types=OCTETS)) == held
        assert digests(through.iter_bulkdata(link, media_types=OCTETS)) == held


def test_bulk_data_that_is_not_there_fails(stack: RelayedStack, through: DICOMwebClient) -> None:
    study, series, instance = uids("mr-brain")
    link = f"{stack.dev.url}/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulk/54000100/1/54001010"
    with pytest.raises(requests.HTTPError, match="404"):
        through.retrieve_bulkdata(link, media_types=OCTETS)


# ------------------------------------------------------------------------------------------ store


def _loaded(stored: File) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(stored.data))


def _succeeded(report: pydicom.Dataset, *stored: File) -> None:
    found = [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence]
    assert sorted(found) == sorted(each.instance for each in stored)
    assert "FailedSOPSequence" not in report


def test_store(both: Both) -> None:
    first, second = file("python-1"), file("python-2")
    third = file("python-3", study="python-1")
    through, direct = both
    _succeeded(through.store_instances([_loaded(first), _loaded(second)]), first, second)
    _succeeded(through.store_instances([_loaded(third)], study_instance_uid=third.study), third)
    for stored, count in ((first, 2), (second, 1)):
        held = written(direct.retrieve_study(stored.study, media_types=AS_STORED))
        assert len(held) == count
        assert written(_loaded(stored))[0] in held
        equal(both, "retrieve_study", stored.study, media_types=AS_STORED, read=written)


def test_store_of_another_study_than_named_fails(through: DICOMwebClient) -> None:
    stored = file("python-4")
    with pytest.raises(requests.HTTPError, match="409"):
        through.store_instances([_loaded(stored)], study_instance_uid=dataset.uid_for("conformance", "elsewhere"))


# ------------------------------------------------------------------------------------------ what there is not


def test_nothing_is_deleted(stack: RelayedStack, through: DICOMwebClient) -> None:
    for call in (
        lambda: through.delete_study(STUDY.uid),
        lambda: through.delete_series(STUDY.uid, SERIES.uid),
        lambda: through.delete_instance(STUDY.uid, SERIES.uid, INSTANCE.uid),
    ):
        with pytest.raises(requests.HTTPError, match="405"):
            call()
    assert stack.archived(f"/studies/{STUDY.uid}/series").status_code == 200


def test_denial_is_an_error_that_the_client_shows(stack: RelayedStack) -> None:
    answers: list[Answer] = []
    dev = stack.dev
    with (
        session("rooted", dev.client("rooted"), dev.ca, answers) as made,
        pytest.raises(requests.HTTPError, match="403"),
    ):
        dicomweb(f"{dev.url}/dicom-web", made).search_for_studies()
    assert "posture-disk-unencrypted" in answers[-1].reasons()
