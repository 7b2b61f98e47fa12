"""Retrieve (PS3.18 10.4): the archive's bytes, to who may have all of what was asked for."""

from __future__ import annotations

import hashlib

import pytest

from deploy.dev import dataset
from deploy.dev.answers import Answer
from tests.conformance.judge import Judge
from tests.conformance.wire import request

pytestmark = pytest.mark.real

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
EXPLICIT = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
SHARED = dataset.study("shared-care")
NORTH, SOUTH = SHARED.series


def path_of(study: str, series: str = "", instance: str = "") -> str:
    path = f"/studies/{study}"
    path += f"/series/{series}" if series else ""
    return path + (f"/instances/{instance}" if instance else "")


def digests(parts: list[bytes]) -> list[str]:
    return sorted(hashlib.sha256(part).hexdigest() for part in parts)


def stored(judge: Judge, path: str, accept: str) -> list[bytes]:
    answer = judge.stack.archived(path, accept)
    assert answer.status_code == 200
    kind = answer.headers["Content-Type"]
    return Answer(who="", status=200, decision=None, receipt=None, content_type=kind, body=answer.content).parts()


def test_every_instance_of_every_study_is_the_archives_byte_for_byte(judge: Judge) -> None:
    with judge.caller.connected() as wire:
        for study in dataset.catalogue(large=False):
            path = path_of(study.uid)
            wire.send(request("GET", f"/dicom-web{path}", f"Accept: {AS_STORED}"))
            reply = wire.read()
            assert reply.status == 200
            assert len(reply.parts) == study.count
            assert digests(reply.parts) == digests(stored(judge, path, AS_STORED)), study.name
    outcome = judge.outcome(reply)
    assert (outcome["status"], outcome["bytes"]) == ("complete", len(reply.body))
    assert outcome["sha256"] == hashlib.sha256(reply.body).hexdigest()


def test_bytes_in_the_archive_are_the_files_that_were_given_to_it(judge: Judge) -> None:
    study = dataset.study("mr-syntaxes")
    reply = judge.caller.get(f"/dicom-web{path_of(study.uid)}", f"Accept: {AS_STORED}")
    assert digests(reply.parts) == digests(list(dataset.render(study)))


def test_single_instances_come_one_by_one(judge: Judge) -> None:
    study = dataset.study("captures")
    files = [digests([data]) for data in dataset.render(study)]
    (series,) = study.series
    for instance, expected in zip(series.instances, files, strict=True):
        path = path_of(study.uid, series.uid, instance.uid)
        reply = judge.caller.get(f"/dicom-web{path}", f"Accept: {AS_STORED}")
        assert digests(reply.parts) == expected


def test_conversion_that_was_asked_for_is_the_archives_too(judge: Judge) -> None:
    series = dataset.study("ct-small").series[0]
    path = path_of(dataset.study("ct-small").uid, series.uid)
    reply = judge.caller.get(f"/dicom-web{path}")
    assert digests(reply.parts) == digests(stored(judge, path, EXPLICIT))


def test_study_of_two_institutions_is_no_study_of_one(judge: Judge) -> None:
    for tail in ("", "/metadata"):
        before = judge.stack.relay.count
        reply = judge.caller.get(f"/dicom-web{path_of(SHARED.uid)}{tail}", who="technologist")
        assert (reply.status, reply.reasons) == (403, ["partial-study"])
        assert not judge.decision(reply)["verdict"]["allow"]
        # The series were asked for, to know whose they are; nothing of the study itself.
        assert [seen for seen in judge.stack.relay.since(before) if "/series?includefield=" not in seen.target] == []
    assert judge.caller.get(f"/dicom-web{path_of(SHARED.uid)}").status == 200


def test_series_of_the_own_institution_is_allowed_and_the_other_is_not(judge: Judge) -> None:
    own = judge.caller.get(f"/dicom-web{path_of(SHARED.uid, NORTH.uid)}", f"Accept: {AS_STORED}", who="technologist")
    assert own.status == 200
    assert digests(own.parts) == digests(list(dataset.render(SHARED))[:1])
    for series in (SOUTH.uid, f"{SOUTH.uid}/instances/{SOUTH.instances[0].uid}", f"{SOUTH.uid}/metadata"):
        other = judge.caller.get(f"/dicom-web{path_of(SHARED.uid)}/series/{series}", who="technologist")
        assert (other.status, other.reasons) == (403, ["institution-not-granted"])


def test_instance_of_the_other_series_does_not_come_under_the_own_ones_name(judge: Judge) -> None:
    """The path says whose it is; an archive that finds an instance by its UID alone would give it away."""
    mixed = path_of(SHARED.uid, NORTH.uid, SOUTH.instances[0].uid)
    for tail in ("", "/metadata"):
        reply = judge.caller.get(f"/dicom-web{mixed}{tail}", who="technologist")
        assert reply.status == 404
        assert SHARED.patient_id.encode() not in reply.body


def test_series_of_another_study_does_not_come_under_this_ones_name(judge: Judge) -> None:
    south = dataset.study("mr-brain")
    mixed = path_of(dataset.study("ct-small").uid, south.series[0].uid)
    for tail in ("", "/metadata", "/instances"):
        reply = judge.caller.get(f"/dicom-web{mixed}{tail}", who="technologist")
        assert reply.status in (403, 404) or (tail == "/instances" and reply.json == [])
        assert south.patient_id.encode() not in reply.body


@pytest.mark.parametrize("tail", ["", "/metadata"])
def test_object_that_is_not_there_is_not_found(judge: Judge, tail: str) -> None:
    for path in (
        "/studies/1.2.3",
        f"{path_of(SHARED.uid)}/series/1.2.3",
        f"{path_of(SHARED.uid)}/series/1.2/instances/1",
    ):
        reply = judge.caller.get(f"/dicom-web{path}{tail}")
        assert (reply.status, reply.reasons) == (404, ["resource-unknown"])
        judge.is_silent(reply)


def test_researcher_gets_no_objects(judge: Judge) -> None:
    study = dataset.study("ct-small")
    before = judge.stack.relay.count
    reply = judge.caller.get(f"/dicom-web{path_of(study.uid)}", who="researcher")
    assert reply.status == 403
    assert "action-not-permitted" in reply.reasons
    asked = [seen.target for seen in judge.stack.relay.since(before)]
    assert [target for target in asked if "/series?includefield=" not in target] == []


def test_search_names_the_rows_it_showed(judge: Judge) -> None:
    reply = judge.caller.get("/dicom-web/studies?PatientID=SC-2001")
    shown = [row["0020000D"]["Value"][0] for row in reply.json]
    assert len(shown) == 2
    rows = judge.decision(reply)["rows"]
    assert [row[0] for row in rows] == shown
