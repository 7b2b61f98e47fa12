"""A role whose answers are masked: nowhere does the patient show, in no representation, at no depth, by no question."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from deploy.dev import dataset
from deploy.dev.layout import ROOT, Ports
from deploy.dev.stack import DevStack
from tests.conformance.comparing import bulk_links
from tests.conformance.conftest import caller_of
from tests.conformance.judge import Judge
from tests.conformance.rows import LEVELS, MANY, XML, datasets, path, search
from tests.conformance.seen import check_seen
from tests.conformance.wire import Reply, request
from tests.laws import check_laws
from tests.simulators.relay import Relay
from tests.stack import GENEROUS, RelayedStack

pytestmark = pytest.mark.real

ROLES = json.loads((ROOT / "policies" / "data" / "roles.json").read_text())["roles"]
(OBLIGATION,) = ROLES["researcher"]["obligations"]["*"]
MASKED = frozenset(tag for tag in OBLIGATION["attributes"] if re.fullmatch("[0-9A-F]{8}", tag))
"""Beside them all names of persons and all private attributes."""
STUDIES = dataset.catalogue(large=False)
PATIENTS = re.compile(rb"Winter|Sommer|\b(?:NH|SC)-[12][0-9]{3}\b")
KEYWORDS = ("PatientName", "PatientID", "AccessionNumber", "PatientBirthDate", "ReferringPhysicianName", "StudyID")
ENTRY = dataset.study("ct-small")
UIDS = (ENTRY.uid, ENTRY.series[0].uid, ENTRY.series[0].instances[0].uid)


def shows_nothing(reply: Reply) -> None:
    assert reply.status in (200, 204), (reply.status, reply.reasons)
    assert PATIENTS.search(reply.head + reply.body) is None
    if reply.value("Content-Type") == "application/dicom+json":
        for each in datasets(reply.json):
            assert MASKED.isdisjoint(tag.upper() for tag in each)
            assert not [tag for tag in each if int(tag[:4], 16) % 2], "a private attribute"
            assert "PN" not in {element["vr"] for element in each.values()}
    else:
        assert set(re.findall(rb'tag="([0-9A-Fa-f]{8})"', reply.body)).isdisjoint(tag.encode() for tag in MASKED)


def test_patients_would_be_seen() -> None:
    """The judge above knows what it looks for."""
    names = [entry.patient_name for entry in STUDIES] + [entry.patient_id for entry in STUDIES]
    assert all(PATIENTS.search(name.encode()) for name in names)
    assert {"00100010", "00100020", "00080050"} <= MASKED


@pytest.mark.parametrize("accept", ["Accept: application/dicom+json", XML])
@pytest.mark.parametrize("entry", STUDIES, ids=lambda entry: entry.name)
def test_metadata_shows_no_patient(judge: Judge, entry: dataset.DevStudy, accept: str) -> None:
    series = entry.series[0]
    with judge.caller.connected("researcher") as wire:
        for named in ((entry.uid,), (entry.uid, series.uid), (entry.uid, series.uid, series.instances[0].uid)):
            wire.send(request("GET", f"{path(named)}/metadata", accept))
            shows_nothing(wire.read())


@pytest.mark.parametrize("accept", ["Accept: application/dicom+json", XML])
@pytest.mark.parametrize("level", LEVELS)
def test_search_shows_no_patient(judge: Judge, level: str, accept: str) -> None:
    with judge.caller.connected("researcher") as wire:
        for query in ("", "&includefield=all", "&includefield=StudyDescription"):
            shows_nothing(search(wire, f"/{level}?limit={MANY}{query}", accept).reply)
        for entry in STUDIES[:4]:
            shows_nothing(search(wire, f"/studies/{entry.uid}/series?includefield=all", accept).reply)
            shows_nothing(search(wire, f"/studies/{entry.uid}/instances?includefield=all", accept).reply)


def test_the_rest_is_what_everybody_sees(judge: Judge) -> None:
    """Masking takes away, and changes nothing else."""
    for entry in STUDIES:
        target = f"{path((entry.uid,))}/metadata"
        ours, theirs = judge.caller.get(target, who="researcher"), judge.caller.get(target)
        assert json.loads(json.dumps(ours.json)) == _without(theirs.json), entry.name


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(each) for each in value]
    if isinstance(value, dict):
        return {key: _without(each) for key, each in value.items() if not _is_masked(key, each)}
    return value


def _is_masked(key: str, element: Any) -> bool:
    if re.fullmatch("[0-9A-F]{8}", key) is None:
        return False
    known = dictionary_VR(key) if dictionary_has_tag(key) else ""
    person = "PN" in (element["vr"], known) or (element["vr"] == "UN" and not known)
    age = key == "00101010" and "00100030" in MASKED
    return key in MASKED or int(key[:4], 16) % 2 == 1 or person or age


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_what_is_masked_cannot_be_asked_for(judge: Judge, keyword: str) -> None:
    """Whether a match finds something is an answer too."""
    value = {"PatientBirthDate": "19700101"}.get(keyword, "x*")
    queries = [f"{keyword}={value}"]
    if keyword != "PatientBirthDate":
        queries.append(f"{keyword}=*")
    for query in (*queries, f"includefield={keyword}", f"includefield=all&includefield={keyword},StudyDate"):
        targets = ["/studies", "/series", "/instances"]
        if query.startswith("includefield"):
            targets.append(f"/studies/{ENTRY.uid}/series")
        for target in targets:
            raw = request("GET", f"/dicom-web{target}?{query}")
            if "all" in query:
                # ``all`` takes the place of the others, and what is masked is left out of it.
                shows_nothing(judge.caller.ask(raw, "researcher"))
            else:
                judge.refused(raw, 403, "query-not-permitted", who="researcher")


def test_tags_are_no_way_around_keywords(judge: Judge) -> None:
    for query in ("00100020=NH-1001", "00100020=*", "0010001*", "includefield=00100010"):
        reply = judge.caller.ask(request("GET", f"/dicom-web/studies?{query}"), "researcher")
        assert reply.status in (400, 403)
        assert reply.reasons in (["query-not-permitted"], ["invalid-query"])


@pytest.mark.parametrize(
    "tail",
    ["", "/frames/1", "/rendered", "/thumbnail", "/frames/1/rendered", "/bulk/7fe00010", "/bulk/00100010"],
)
def test_objects_and_pixels_are_denied(judge: Judge, tail: str) -> None:
    judge.caller.get(f"{path(UIDS)}/metadata", who="researcher")  # what the study is, is known from here on
    judge.refused(request("GET", f"{path(UIDS)}{tail}"), 403, "action-not-permitted", who="researcher")


def test_uri_service_is_no_way_around(judge: Judge) -> None:
    judge.caller.get(f"{path(UIDS)}/metadata", who="researcher")
    query = "requestType=WADO&studyUID={}&seriesUID={}&objectUID={}".format(*UIDS)
    for kind in ("application/dicom", "image/jpeg"):
        raw = request("GET", f"/wado?{query}&contentType={kind}")
        judge.refused(raw, 403, "action-not-permitted", who="researcher")


# ------------------------------------------------------------------------------------------ other masks


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A site whose researchers may have bulk data and pixels, with more masked, and technologists no pixels."""
    policies = tmp_path_factory.mktemp("policies") / "policies"
    shutil.copytree(ROOT / "policies", policies)
    roles = policies / "data" / "roles.json"
    content = json.loads(roles.read_text())
    content["roles"]["researcher"]["actions"] = ["search", "metadata", "retrieve", "render", "bulkdata"]
    mask = content["roles"]["researcher"]["obligations"]["*"][0]
    mask["attributes"] += ["00431029", "00281201", "OverlayData", "WaveformSequence", "Modality"]
    content["roles"]["technologist"]["actions"] = ["search", "metadata", "retrieve", "render", "bulkdata"]
    content["roles"]["technologist"]["obligations"] = {"*": [{"type": "mask", "attributes": ["PixelData"]}]}
    roles.write_text(json.dumps(content))
    ports = Ports.free()
    with Relay(ports.archive) as relay:
        overrides: dict[str, Any] = {"limits": dict(GENEROUS), "archive": {"url": f"{relay.url}/dicom-web"}}
        directory = tmp_path_factory.mktemp("lenient")
        with DevStack(directory, ports=ports, policies=policies, overrides=overrides) as dev:
            stack = RelayedStack(dev, relay)
            yield Judge(stack, caller_of(stack))
            check_laws(dev)
            check_seen(stack)


def _uids(name: str) -> tuple[str, str, str]:
    series = dataset.study(name).series[0]
    return dataset.study(name).uid, series.uid, series.instances[0].uid


def test_files_cannot_be_masked_and_so_are_denied(lenient: Judge) -> None:
    for named in (UIDS[:1], UIDS[:2], UIDS):
        raw = request("GET", path(named))
        reply = lenient.caller.ask(raw, "researcher")
        assert (reply.status, reply.reasons) == (403, ["mask-not-possible"])
    bare = request("GET", path(UIDS), "Accept: application/dicom")
    assert lenient.caller.ask(bare, "researcher").reasons == ["mask-not-possible"]
    query = "requestType=WADO&studyUID={}&seriesUID={}&objectUID={}&contentType=application/dicom".format(*UIDS)
    assert lenient.caller.get(f"/wado?{query}", who="researcher").reasons == ["mask-not-possible"]


def test_pixels_and_pictures_hold_no_attribute(lenient: Judge) -> None:
    for tail in ("/frames/1", "/rendered", "/thumbnail", "/frames/1/rendered"):
        reply = lenient.caller.get(f"{path(UIDS)}{tail}", who="researcher")
        assert reply.status == 200, tail
        assert PATIENTS.search(reply.body) is None
    reply = lenient.caller.get(f"{path(UIDS)}/rendered?annotation=patient", who="researcher")
    assert reply.reasons == ["mask-not-possible"]


def test_pixels_that_are_masked_are_denied_as_such(lenient: Judge) -> None:
    tails = ("/frames/1", "/rendered", "/thumbnail", "/frames/1/rendered", "/bulk/7fe00010", "/bulk/7FE00010", "")
    for tail in tails:
        reply = lenient.caller.get(f"{path(UIDS)}{tail}", who="technologist")
        assert (reply.status, reply.reasons) == (403, ["mask-not-possible"]), tail
    metadata = lenient.caller.get(f"{path(UIDS)}/metadata", who="technologist")
    assert "7FE00010" not in metadata.json[0]
    assert metadata.json[0]["00100010"]


@pytest.mark.parametrize("tag", ["00431029", "00281201", "00880200/1/00281201", "60003000", "54000100/1/54001010"])
def test_bulk_data_of_what_is_masked_is_denied(lenient: Judge, tag: str) -> None:
    for name in ("ct-small", "us-palette", "mr-overlay", "ecg"):
        for spelling in (tag, tag.upper()):
            reply = lenient.caller.get(f"{path(_uids(name))}/bulk/{spelling}", who="researcher")
            assert (reply.status, reply.reasons) == (403, ["mask-not-possible"]), (name, spelling)


def test_bulk_data_of_what_is_not_masked_is_given_and_linked_to(lenient: Judge) -> None:
    """No link leads to what may not be had, and what may be had is linked to."""
    for name in ("ct-small", "us-palette", "mr-overlay"):
        reply = lenient.caller.get(f"{path(_uids(name))}/metadata", who="researcher")
        shows_nothing(reply)
        for link in bulk_links(reply.json):
            target = link.removeprefix(lenient.stack.dev.url)
            fetched = lenient.caller.get(target, who="researcher")
            known = not _private(target)
            assert fetched.status == (200 if known else 403), target
        assert any(link.endswith("/bulk/7fe00010") for link in bulk_links(reply.json))


def _private(target: str) -> bool:
    """Of the tags in the place of bulk data, one whose meaning nobody knows: it may hold anything."""
    tags = target.rpartition("/bulk/")[2].split("/")[::2]
    return any(int(tag[:4], 16) % 2 for tag in tags)


def test_derived_attribute_is_masked_with_its_source(lenient: Judge) -> None:
    with lenient.caller.connected("researcher") as wire:
        rows = search(wire, f"/studies?limit={MANY}&includefield=all").rows
        assert rows
        assert all("00080061" not in row and "00080060" not in row for row in rows)
        for query in ("ModalitiesInStudy=CT", "includefield=ModalitiesInStudy"):
            wire.send(request("GET", f"/dicom-web/studies?{query}"))
            assert wire.read().reasons == ["query-not-permitted"]
