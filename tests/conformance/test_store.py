"""Stores (PS3.18 10.5), part by part: what is allowed arrives byte for byte, what is not never leaves."""

from __future__ import annotations

import hashlib
import io
import re
import time

import pydicom
import pytest
import requests

from deploy.dev import dataset
from deploy.dev.answers import Answer, dicomweb, session
from proxy.model import Kind
from proxy.record.reader import current_reader
from tests.conformance.files import BOUNDARY, PART_HEAD, File, body, content_type, file
from tests.conformance.judge import Judge
from tests.conformance.wire import Reply, request
from tests.simulators.relay import Seen

pytestmark = pytest.mark.real

STUDIES = "/dicom-web/studies"
FAILED, REFERENCED, REASON = "00081198", "00081199", "00081197"
NOT_AUTHORIZED = 0x0124
LOOKUP = re.compile(
    r"/dicom-web/(?:studies/[0-9.]+/series\?includefield=[0-9,]+|series\?0020000E=[0-9.]+|instances\?00080018=[0-9.]+)&limit=[0-9]+",
    re.ASCII,
)
"""What a study is, and where a series and an instance are."""


def store(judge: Judge, *files: File, who: str = "radiologist", path: str = STUDIES) -> Reply:
    return judge.caller.ask(request("POST", path, content_type(), body=body(*(each.data for each in files))), who)


def instances(reply: Reply, sequence: str) -> list[str]:
    return [item["00081155"]["Value"][0] for item in reply.json.get(sequence, {}).get("Value", [])]


def held(judge: Judge, stored: File) -> bytes | None:
    """The file as the archive keeps it, by its own interface."""
    root = judge.stack.dev.archive_url.removesuffix("/dicom-web")
    auth = judge.stack.dev.archive_auth
    found = requests.post(f"{root}/tools/lookup", data=stored.instance, auth=auth, timeout=30).json()
    if not found:
        return None
    (entry,) = [each for each in found if each["Type"] == "Instance"]
    return requests.get(f"{root}/instances/{entry['ID']}/file", auth=auth, timeout=30).content


def stores_seen(judge: Judge, before: int) -> list[Seen]:
    """The stores that reached the archive; beside them it is only asked what the studies they go to are."""
    seen = judge.stack.relay.settled(before)
    for each in seen:
        if each.method != "POST":
            assert each.method == "GET"
            assert LOOKUP.fullmatch(each.target), each.target
    return [each for each in seen if each.method == "POST"]


def same(left: bytes | None, right: bytes) -> bool:
    return left is not None and hashlib.sha256(left).digest() == hashlib.sha256(right).digest()


def test_stored_bytes_are_the_bytes_sent(judge: Judge) -> None:
    before = judge.stack.relay.count
    files = [file("store-a"), file("store-b", institution=dataset.SOUTH), file("store-c", institution=None)]
    reply = store(judge, *files)
    assert reply.status == 200
    assert sorted(instances(reply, REFERENCED)) == sorted(each.instance for each in files)
    assert FAILED not in reply.json
    judge.is_silent(reply)
    assert all(same(held(judge, each), each.data) for each in files)
    (seen,) = stores_seen(judge, before)
    assert (seen.method, seen.target) == ("POST", STUDIES)
    assert seen.names == {
        "host",
        "accept",
        "accept-encoding",
        "forwarded",
        "authorization",
        "content-type",
        "transfer-encoding",
        "connection",
    }
    assert seen.value("connection") == "close"
    boundary = (seen.value("content-type") or "").rpartition("boundary=")[2]
    assert seen.value("content-type") == f'multipart/related; type="application/dicom"; boundary={boundary}'
    assert BOUNDARY not in boundary
    assert bytes(seen.body) == body(*(each.data for each in files), boundary=boundary)


def test_heads_of_parts_are_ours(judge: Judge) -> None:
    kept = file("store-heads")
    head = PART_HEAD + b"; transfer-syntax=1.2.840.10008.1.2.1\r\nContent-ID: <evil>\r\nContent-Location: /patients"
    before = judge.stack.relay.count
    reply = judge.caller.ask(request("POST", STUDIES, content_type(), body=body(kept.data, head=head)))
    assert reply.status == 200
    (seen,) = stores_seen(judge, before)
    boundary = (seen.value("content-type") or "").rpartition("boundary=")[2]
    assert bytes(seen.body) == body(kept.data, boundary=boundary)


def test_client_of_the_field_stores(judge: Judge) -> None:
    kept = file("store-client")
    answers: list[Answer] = []
    dev = judge.stack.dev
    with session("technologist", dev.client("technologist"), dev.ca, answers) as made:
        report = dicomweb(f"{dev.url}/dicom-web", made).store_instances([pydicom.dcmread(io.BytesIO(kept.data))])
    assert report.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == kept.instance
    assert "FailedSOPSequence" not in report
    assert answers[-1].status == 200
    stored = held(judge, kept)
    assert stored is not None
    assert pydicom.dcmread(io.BytesIO(stored)) == pydicom.dcmread(io.BytesIO(kept.data))


def test_technologist_stores_for_the_own_institution(judge: Judge) -> None:
    kept = file("store-own")
    reply = store(judge, kept, who="technologist")
    assert reply.status == 200
    assert reply.json["00081190"]["Value"] == [f"{judge.stack.dev.url}/dicom-web/studies/{kept.study}"]
    assert same(held(judge, kept), kept.data)


@pytest.mark.parametrize("institution", [dataset.SOUTH, "", None, dataset.NORTH.upper(), f"{dataset.NORTH} Annexe"])
def test_part_of_another_institution_is_refused_and_stays_here(judge: Judge, institution: str | None) -> None:
    name = f"store-other-{institution}"
    own, other = file(f"{name}-own"), file(name, institution=institution)
    before = judge.stack.relay.count
    reply = store(judge, other, own, who="technologist")
    assert reply.status == 202
    assert instances(reply, REFERENCED) == [own.instance]
    assert instances(reply, FAILED) == [other.instance]
    assert reply.json[FAILED]["Value"][0][REASON]["Value"] == [NOT_AUTHORIZED]
    assert same(held(judge, own), own.data)
    assert held(judge, other) is None
    (seen,) = stores_seen(judge, before)
    assert other.instance.encode() not in seen.body
    refused, allowed = judge.parts(reply)
    assert refused["verdict"]["reasons"] == ["institution-not-granted"]
    assert allowed["verdict"]["allow"]


def test_part_that_names_the_study_of_another_institution_is_refused(judge: Judge) -> None:
    """It says it is of the own institution; the study it goes to is not, or would belong to two from then on."""
    first = file("store-theirs", institution=dataset.SOUTH)
    assert store(judge, first).status == 200
    intruder = file("store-intruder", study="store-theirs")
    assert intruder.study == first.study
    before = judge.stack.relay.count
    reply = store(judge, intruder, who="technologist")
    assert reply.status == 409
    assert instances(reply, FAILED) == [intruder.instance]
    assert stores_seen(judge, before) == []
    assert held(judge, intruder) is None
    (refused,) = judge.parts(reply)
    assert refused["verdict"]["reasons"] == ["institution-not-granted"]
    assert judge.caller.get(f"{STUDIES}/{first.study}/metadata").status == 200


def test_part_that_gives_a_study_another_patient_is_refused(judge: Judge) -> None:
    """The archive would then list one study under two patients, and nobody could say whose it is."""
    first = file("store-patient")
    assert store(judge, first).status == 200
    for studies in (first.study, dataset.uid_for("conformance", "store-patient-new")):
        changed = pydicom.dcmread(io.BytesIO(file("store-patient-2", study="store-patient").data))
        changed.StudyInstanceUID, changed.PatientID = studies, "somebody else"
        buffer = io.BytesIO()
        changed.save_as(buffer, enforce_file_format=True)
        before = judge.stack.relay.count
        parts = [buffer.getvalue()]
        if studies != first.study:
            changed.PatientID = "and another"
            changed.SOPInstanceUID = changed.file_meta.MediaStorageSOPInstanceUID = dataset.uid_for("conformance", "p3")
            again = io.BytesIO()
            changed.save_as(again, enforce_file_format=True)
            parts.append(again.getvalue())
        reply = judge.caller.ask(request("POST", STUDIES, content_type(), body=body(*parts)))
        assert reply.status == (409 if studies == first.study else 202)
        assert judge.parts(reply)[-1]["verdict"]["reasons"] == ["study-mismatch"]
        assert len(stores_seen(judge, before)) == len(parts) - 1


def test_store_of_nothing_but_refused_parts_is_never_forwarded(judge: Judge) -> None:
    others = [file(f"store-none-{number}", institution=dataset.SOUTH) for number in range(3)]
    before = judge.stack.relay.count
    reply = store(judge, *others, who="technologist")
    assert reply.status == 409
    assert instances(reply, FAILED) == [each.instance for each in others]
    assert REFERENCED not in reply.json
    assert judge.stack.relay.count == before
    assert len(judge.parts(reply)) == 3


def test_part_of_another_study_than_the_path_names_is_refused(judge: Judge) -> None:
    """The archive alone would answer 409 and keep the matching one; which one that is, is ours to say."""
    own, other = file("store-study"), file("store-study-other")
    before = judge.stack.relay.count
    reply = store(judge, own, other, path=f"{STUDIES}/{own.study}")
    assert reply.status == 202
    assert instances(reply, REFERENCED) == [own.instance]
    assert instances(reply, FAILED) == [other.instance]
    assert same(held(judge, own), own.data)
    assert held(judge, other) is None
    (seen,) = stores_seen(judge, before)
    assert seen.target == f"{STUDIES}/{own.study}"
    assert [part["verdict"]["reasons"] for part in judge.parts(reply)] == [[], ["study-mismatch"]]
    alone = store(judge, other, path=f"{STUDIES}/{own.study}")
    assert alone.status == 409
    assert held(judge, other) is None


def _posts(judge: Judge, before: int) -> list[Seen]:
    return [seen for seen in judge.stack.relay.since(before) if seen.method == "POST"]


def test_part_is_durable_before_its_bytes_go_on(judge: Judge) -> None:
    """The client stops within the second part: the first has its record, and the archive the first's bytes only."""
    first, second = file("store-order-1", pixels=2**19), file("store-order-2", pixels=2**19)
    whole = body(first.data, second.data)
    cut = whole.index(second.data) - len(PART_HEAD) - len(BOUNDARY) - 12
    before = judge.stack.relay.count
    with judge.caller.connected() as wire:
        wire.send(request("POST", STUDIES, content_type(), f"Content-Length: {len(whole)}") + whole[:cut])
        deadline = time.monotonic() + 10
        while not (found := _posts(judge, before)) or found[0].length < len(first.data) - 200:
            assert time.monotonic() < deadline, "the first part did not go on"
            time.sleep(0.01)
        records = _parts_of(judge, first)
        assert len(records) == 1
        assert _parts_of(judge, second) == []
        wire.send(whole[cut:])
        reply = wire.read()
    assert reply.status == 200
    assert [part["part"] for part in judge.parts(reply)] == [0, 1]
    assert judge.parts(reply)[0]["uids"]["instance"] == first.instance
    assert same(held(judge, second), second.data)


def test_instance_of_a_hidden_study_cannot_be_taken_over_by_its_uid(judge: Judge) -> None:
    """The archive would give neither of the two any more."""
    hidden = dataset.study("mr-brain")
    series = hidden.series[0]
    instance = series.instances[0].uid
    at = f"/dicom-web/studies/{hidden.uid}/series/{series.uid}/instances/{instance}"
    before = judge.stack.relay.count
    raw = request("POST", STUDIES, content_type(), body=body(file("store-takeover", instance=instance).data))
    reply = judge.caller.ask(raw, "technologist")
    assert reply.status == 409
    (failed,) = reply.json[FAILED]["Value"]
    assert failed["00081197"]["Value"] == [NOT_AUTHORIZED]
    (part,) = judge.parts(reply)
    assert part["verdict"]["reasons"] == ["study-mismatch"]
    assert stores_seen(judge, before) == []
    assert judge.caller.get(f"{at}/metadata").status == judge.caller.get(f"{at}/rendered").status == 200


def test_researcher_stores_nothing(judge: Judge) -> None:
    kept = file("store-researcher")
    raw = request("POST", STUDIES, content_type(), body=body(kept.data))
    judge.refused(raw, 403, "action-not-permitted", who="researcher")
    assert held(judge, kept) is None


def test_purpose_that_is_not_ones_own_stores_nothing(judge: Judge) -> None:
    kept = file("store-purpose")
    raw = request("POST", STUDIES, content_type(), "Purpose-Of-Use: HRESCH", body=body(kept.data))
    judge.refused(raw, 403, "purpose-not-permitted")
    assert held(judge, kept) is None


def test_continue_is_said_after_the_decision(judge: Judge) -> None:
    kept = file("store-continue")
    sent = body(kept.data)
    head = request("POST", STUDIES, content_type(), "Expect: 100-continue", f"Content-Length: {len(sent)}")
    before = judge.stack.recorded()
    with judge.caller.connected() as wire:
        wire.send(head)
        assert wire.read(interim=True).status == 100
        reader = current_reader(judge.stack.dev.layout.spool)
        kinds = [row.kind for row in reader.rows(before, 100)]
        reader.close()
        assert Kind.DECISION in kinds
        wire.send(sent)
        reply = wire.read(interim=True)
    assert reply.status == 200
    assert same(held(judge, kept), kept.data)


@pytest.mark.parametrize(
    ("who", "kind", "status"),
    [
        ("researcher", content_type(), 403),
        ("revoked", content_type(), 403),
        ("stale", content_type(), 403),
        ("radiologist", "Content-Type: application/dicom", 415),
    ],
)
def test_continue_is_never_said_to_a_denied_store(judge: Judge, who: str, kind: str, status: int) -> None:
    before = judge.stack.relay.count
    with judge.caller.connected(who) as wire:
        wire.send(request("POST", STUDIES, kind, "Expect: 100-continue", "Content-Length: 1000000"))
        reply = wire.read(interim=True)
        assert reply.status == status
        judge.is_refusal(reply, status, since=before)


def test_continue_is_never_said_to_a_store_that_is_too_large(judge: Judge) -> None:
    with judge.caller.connected() as wire:
        wire.send(request("POST", STUDIES, content_type(), "Expect: 100-continue", f"Content-Length: {3 * 2**30}"))
        assert wire.read(interim=True).status == 413


def test_same_instance_again_changes_nothing(judge: Judge) -> None:
    kept = file("store-again")
    assert store(judge, kept).status == 200
    assert store(judge, kept).status == 200
    assert same(held(judge, kept), kept.data)


def test_large_store_passes_within_flat_memory(judge: Judge) -> None:
    files = [file(f"store-large-{number}", study="store-large", pixels=8 * 2**20) for number in range(8)]
    assert store(judge, files[0]).status == 200
    before = judge.stack.memory()
    reply = store(judge, *files)
    assert reply.status == 200
    assert len(instances(reply, REFERENCED)) == 8
    assert judge.stack.memory() - before < 32 * 2**20
    assert all(same(held(judge, each), each.data) for each in files)


def _parts_of(judge: Judge, stored: File) -> list[bytes]:
    reader = current_reader(judge.stack.dev.layout.spool)
    try:
        rows = reader.rows(0, reader.count())
    finally:
        reader.close()
    return [row.body for row in rows if row.kind == Kind.PART and stored.instance.encode() in row.body]
