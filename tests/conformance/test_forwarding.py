"""What the archive is sent for an allowed request: the canonical one, whatever spelling the client chose."""

from __future__ import annotations

import base64
import json

import pytest

from deploy.dev import dataset
from tests.conformance.comparing import bulk_links, links
from tests.conformance.files import body, content_type, file
from tests.conformance.judge import Judge
from tests.conformance.wire import HOST, request
from tests.simulators.relay import Seen

pytestmark = pytest.mark.real

ENTRY = dataset.study("ct-small")
STUDY = f"/dicom-web/studies/{ENTRY.uid}"
SERIES = f"{STUDY}/series/{ENTRY.series[0].uid}"
INSTANCE = f"{SERIES}/instances/{ENTRY.series[0].instances[0].uid}"
JSON = "application/dicom+json"
EXPLICIT = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'

HOSTILE = (
    "User-Agent: Client/1.0",
    "Cookie: session=1",
    "Authorization: Bearer client-token",
    "Purpose-Of-Use: TREAT",
    "Forwarded: for=10.0.0.1;host=evil.example;proto=http",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 10.0.0.1",
    "Via: 1.1 evil",
    "Referer: https://evil.example/",
    "Accept-Encoding: gzip, br",
    "Accept-Language: de",
    "Accept-Charset: utf-16",
    "Range: bytes=0-9",
    "If-None-Match: *",
    "If-Modified-Since: Sun, 22 Nov 2099 00:00:00 GMT",
    "TE: trailers",
    "X-Our-Header: ours",
    "Connection: keep-alive, X-Our-Header, Forwarded",
)

# One row more than is shown tells whether there are more.
SEARCHES = {
    "": "?limit=1001",
    "?": "?limit=1001",
    "?limit=2": "?limit=3",
    "?offset=1&limit=2": "?limit=3&offset=1",
    "?limit=99999": "?limit=1001",
    "?PatientID=NH-1001": "?00100020=NH-1001&limit=1001",
    "?00100020=NH-1001": "?00100020=NH-1001&limit=1001",
    "?PatientID=NH%2d1001": "?00100020=NH-1001&limit=1001",
    "?PatientID=%4e%48-1001": "?00100020=NH-1001&limit=1001",
    "?PatientName=a+b": "?00100010=a?b&limit=1001",
    "?PatientName=a%2Bb": "?00100010=a?b&limit=1001",
    "?PatientName=M%C3%BCller": "?00100010=M*ller&limit=1001",
    "?PatientName=a%26limit%3D5": "?00100010=a?limit?5&limit=1001",
    "?PatientName=a%23b%3Fc": "?00100010=a?b?c&limit=1001",
    "?StudyDate=20240101-20240131": "?00080020=20240101-20240131&limit=1001",
    "?ModalitiesInStudy=MR,CT": "?00080061=CT,MR&limit=1001",
    "?StudyInstanceUID=1.3,1.2,1.3": "?0020000D=1.2,1.3&limit=1001",
    "?includefield=StudyDescription&includefield=00100030": "?includefield=00081030,00100030&limit=1001",
    "?includefield=all&includefield=PatientID": "?includefield=all&limit=1001",
    "?fuzzymatching=true&PatientName=w": "?00100010=w&fuzzymatching=true&limit=1001",
    "?fuzzymatching=false": "?limit=1001",
    "?PatientName=": "?includefield=00100010&limit=1001",
}


@pytest.mark.parametrize("query", SEARCHES)
def test_search_is_sent_in_its_canonical_form(judge: Judge, query: str) -> None:
    before = judge.stack.relay.count
    reply = judge.caller.ask(request("GET", f"/dicom-web/studies{query}", *HOSTILE))
    assert reply.status == 200
    assert reply.value("Content-Type") == JSON
    (seen,) = judge.stack.relay.settled(before)
    _is_canonical(judge, seen, "GET", "/dicom-web/studies" + SEARCHES[query], JSON)
    judge.is_silent(reply)


@pytest.mark.parametrize("accept", ["", "Accept: */*", "Accept: application/json", f"Accept: {JSON}, text/xml;q=0.1"])
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/dicom-web/series", "/dicom-web/series?limit=1001"),
        ("/dicom-web/instances?limit=3", "/dicom-web/instances?limit=4"),
        (f"{STUDY}/series", f"{STUDY}/series?limit=1001"),
        (f"{STUDY}/instances", f"{STUDY}/instances?limit=1001"),
        (f"{SERIES}/instances", f"{SERIES}/instances?limit=1001"),
        (f"{STUDY}/metadata", f"{STUDY}/metadata"),
        (f"{SERIES}/metadata", f"{SERIES}/metadata"),
        (f"{INSTANCE}/metadata", f"{INSTANCE}/metadata"),
    ],
)
def test_json_is_asked_for_whatever_was_accepted(judge: Judge, path: str, target: str, accept: str) -> None:
    before = judge.stack.relay.count
    reply = judge.caller.ask(request("GET", path, *HOSTILE, *([accept] if accept else [])))
    assert reply.status == 200
    assert reply.value("Content-Type") == JSON
    judge.is_silent(reply)
    _is_canonical(judge, _last(judge, before), "GET", target, JSON)
    found = list(links(reply.json))
    assert found or path.endswith("metadata")
    public = f"{judge.stack.dev.url}/dicom-web/"
    assert [link for link in found if not link.startswith(public)] == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1", "", "127.0.0.1:8042"])
def test_links_never_follow_the_host_of_the_client(judge: Judge, host: str) -> None:
    raw = request("GET", f"{STUDY}/series", *HOSTILE).replace(HOST, f"Host: {host}\r\n".encode())
    reply = judge.caller.ask(raw)
    found = list(links(reply.json))
    assert found
    assert all(link.startswith(f"{judge.stack.dev.url}/dicom-web/") for link in found)


def test_bulk_data_links_are_ours(judge: Judge) -> None:
    reply = judge.caller.get(f"{INSTANCE}/metadata")
    found = bulk_links(reply.json)
    assert found
    assert all(link.startswith(f"{judge.stack.dev.url}{INSTANCE}/bulk/") for link in found)


@pytest.mark.parametrize(
    ("accept", "asked"),
    [
        ("", EXPLICIT),
        ("Accept: */*", EXPLICIT),
        ('Accept: multipart/related; type="application/dicom"', EXPLICIT),
        ("Accept: multipart/related; type=application/dicom; transfer-syntax=*", AS_STORED),
        ('Accept: multipart/related; type="application/dicom"; transfer-syntax=*', AS_STORED),
        ('Accept: image/jpeg, MULTIPART/related; TYPE="application/dicom"; transfer-syntax="*"; q=0.1', AS_STORED),
    ],
)
@pytest.mark.parametrize("path", [STUDY, SERIES, INSTANCE])
def test_dicom_is_asked_for_whatever_was_accepted(judge: Judge, path: str, accept: str, asked: str) -> None:
    before = judge.stack.relay.count
    reply = judge.caller.ask(request("GET", path, *HOSTILE, *([accept] if accept else [])))
    assert reply.status == 200
    assert len(reply.parts) == ENTRY.count
    judge.is_silent(reply)
    _is_canonical(judge, _last(judge, before), "GET", path, asked)


OCTETS = 'multipart/related; type="application/octet-stream"'
URIS = f"requestType=WADO&studyUID={ENTRY.uid}&seriesUID={ENTRY.series[0].uid}&objectUID="
URIS += ENTRY.series[0].instances[0].uid
XML = 'multipart/related; type="application/dicom+xml"'
FORMS = [
    ("GET", f"{STUDY}/metadata", XML, f"{STUDY}/metadata", JSON),
    ("GET", "/dicom-web/studies?limit=2", XML, "/dicom-web/studies?limit=3", JSON),
    ("HEAD", f"{STUDY}/metadata", "", f"{STUDY}/metadata", JSON),
    ("HEAD", "/dicom-web/studies?limit=2", "", "/dicom-web/studies?limit=3", JSON),
    ("HEAD", INSTANCE, "", INSTANCE, EXPLICIT),
    ("GET", INSTANCE, "application/dicom; transfer-syntax=*", INSTANCE, AS_STORED),
    ("GET", INSTANCE, "application/dicom", INSTANCE, EXPLICIT),
    ("GET", f"{INSTANCE}/frames/1", "", f"{INSTANCE}/frames/1", OCTETS),
    ("GET", f"{INSTANCE}/frames/1", "application/octet-stream", f"{INSTANCE}/frames/1", OCTETS),
    ("GET", f"{INSTANCE}/frames/1", "image/jpeg", f"{INSTANCE}/frames/1", 'multipart/related; type="image/jpeg"'),
    ("GET", f"{INSTANCE}/bulk/7FE00010", "", f"{INSTANCE}/bulk/7fe00010", OCTETS),
    ("GET", f"{INSTANCE}/bulk/7fe00010", "application/octet-stream", f"{INSTANCE}/bulk/7fe00010", OCTETS),
    ("GET", f"{INSTANCE}/rendered", "", f"{INSTANCE}/rendered", "image/jpeg"),
    ("GET", f"{INSTANCE}/rendered", "image/png", f"{INSTANCE}/rendered", "image/png"),
    (
        "GET",
        f"{INSTANCE}/rendered?window=100.50,20,linear&viewport=64%2C64&quality=90",
        "",
        f"{INSTANCE}/rendered?quality=90&viewport=64,64&window=100.5,20,linear",
        "image/jpeg",
    ),
    ("GET", f"{STUDY}/thumbnail", "", f"{STUDY}/rendered?viewport=128,128", "image/jpeg"),
    ("GET", f"{SERIES}/thumbnail", "image/png", f"{SERIES}/rendered?viewport=128,128", "image/png"),
    ("GET", f"{INSTANCE}/thumbnail?viewport=32,32", "", f"{INSTANCE}/rendered?viewport=32,32", "image/jpeg"),
    ("GET", f"{INSTANCE}/frames/1/thumbnail", "", f"{INSTANCE}/frames/1/rendered?viewport=128,128", "image/jpeg"),
    ("GET", f"/wado?{URIS}", "", f"{INSTANCE}/rendered", "image/jpeg"),
    ("GET", f"/wado?{URIS}&contentType=application/dicom", "", INSTANCE, AS_STORED),
    ("GET", f"/wado?{URIS}&rows=32&columns=64", "", f"{INSTANCE}/rendered?viewport=64,32", "image/jpeg"),
    ("GET", f"/wado?{URIS}&frameNumber=1", "image/png", f"{INSTANCE}/frames/1/rendered", "image/png"),
]


@pytest.mark.parametrize(("method", "target", "accept", "sent", "asked"), FORMS)
def test_every_form_is_asked_of_the_archive_in_the_one_it_has(
    judge: Judge, method: str, target: str, accept: str, sent: str, asked: str
) -> None:
    """Neither HEAD nor XML, thumbnails, single parts or its own ``/wado``."""
    before = judge.stack.relay.count
    raw = request(method, target, *HOSTILE, *([f"Accept: {accept}"] if accept else []))
    reply = judge.caller.ask(raw, bodiless=method == "HEAD")
    assert reply.status == 200
    judge.is_silent(reply)
    _is_canonical(judge, _last(judge, before), "GET", sent, asked)


def test_generous_spelling_of_a_request_line_reaches_nobody(judge: Judge) -> None:
    """The parser forgives a second space; the archive never sees it."""
    before = judge.stack.relay.count
    reply = judge.caller.ask(b"GET  /dicom-web/studies?limit=1 HTTP/1.1\r\n" + HOST + b"\r\n")
    assert reply.status == 200
    (seen,) = judge.stack.relay.settled(before)
    _is_canonical(judge, seen, "GET", "/dicom-web/studies?limit=2", JSON)


def test_several_requests_of_one_connection_are_several_decisions(judge: Judge) -> None:
    before = judge.stack.relay.count
    with judge.caller.connected() as wire:
        wire.send(request("GET", "/dicom-web/studies?limit=1") + request("GET", "/system"))
        wire.send(request("GET", "/dicom-web/studies?limit=2"))
        replies = [wire.read() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 404, 200]
    assert len({reply.decision for reply in replies}) == 3
    assert [seen.target for seen in judge.stack.relay.settled(before)] == [
        "/dicom-web/studies?limit=2",
        "/dicom-web/studies?limit=3",
    ]


def test_context_is_asked_for_in_canonical_form_too(judge: Judge) -> None:
    fresh = file("forwarding-context")
    stored = request("POST", "/dicom-web/studies", content_type(), body=body(fresh.data))
    assert judge.caller.ask(stored).status == 200  # and what was known of its study is forgotten
    before = judge.stack.relay.count
    assert judge.caller.get(f"/dicom-web/studies/{fresh.study}/metadata", *HOSTILE).status == 200
    lookup, metadata = judge.stack.relay.settled(before)
    fields = "00080020,00080050,00080060,00080080,00081040,00100020,00201209,00403001&limit=2000"
    _is_canonical(judge, lookup, "GET", f"/dicom-web/studies/{fresh.study}/series?includefield={fields}", JSON)
    _is_canonical(judge, metadata, "GET", f"/dicom-web/studies/{fresh.study}/metadata", JSON)


def _last(judge: Judge, before: int) -> Seen:
    """What was forwarded; a look-up of context may stand before it."""
    seen = judge.stack.relay.settled(before)
    assert 1 <= len(seen) <= 2
    assert all("/series?includefield=" in each.target for each in seen[:-1])
    return seen[-1]


def _is_canonical(judge: Judge, seen: Seen, method: str, target: str, accept: str) -> None:
    dev = judge.stack.dev
    assert dev.archive_auth is not None
    ours = base64.b64encode(":".join(dev.archive_auth).encode()).decode()
    assert (seen.method, seen.target, seen.length) == (method, target, 0)
    assert dict(seen.fields) == {
        "Host": f"127.0.0.1:{judge.stack.relay.port}",
        "Accept": accept,
        "Accept-Encoding": "identity",
        "Forwarded": f"host=127.0.0.1:{dev.ports.proxy};proto=https",
        "Authorization": f"Basic {ours}",
    }
    assert len(seen.fields) == 5


def test_every_link_is_found_by_the_judge_itself() -> None:
    inner = {"00081190": {"vr": "UR", "Value": ["a"]}, "7FE00010": {"vr": "OW", "BulkDataURI": "b"}}
    assert list(links(json.loads(json.dumps([{"00081199": {"vr": "SQ", "Value": [inner]}}])))) == ["a", "b"]
