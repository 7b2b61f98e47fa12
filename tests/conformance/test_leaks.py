"""Whatever an archive says of itself stays here: in heads and bodies, in errors, links and the heads of parts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.dev import dataset
from proxy.model import Action
from tests.conformance.comparing import bulk_links, links
from tests.conformance.files import File, body, content_type, file
from tests.conformance.judge import Judge
from tests.conformance.requests_of_routes import (
    BULK,
    FRAMES,
    INSTANCE,
    LEGAL,
    POSTS,
    SEARCHES,
    STUDY,
    UIDS,
    WADO,
    Legal,
)
from tests.conformance.rows import MANY, XML, path, search
from tests.conformance.wire import Reply, request

pytestmark = pytest.mark.real

on_every_route = pytest.mark.parametrize("legal", LEGAL, ids=str)

URL = re.compile(rb"https?://[^\s\"'<>\\]+")
NAMESPACE = b"http://dicom.nema.org/PS3.19/models/NativeDICOM"
AS_STORED = 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*'
HEADERS = {
    "Server",
    "Set-Cookie",
    "Location",
    "Content-Location",
    "Link",
    "Refresh",
    "Via",
    "X-Powered-By",
    "WWW-Authenticate",
    "Alt-Svc",
    "Access-Control-Allow-Origin",
    "X-Orthanc-Version",
    "ETag",
    "Content-Disposition",
}
"""What the archive below says of itself."""


class Talkative:
    """Answers of an archive that names its address wherever it can."""

    def __init__(self, judge: Judge) -> None:
        self.port = judge.stack.dev.ports.archive
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"

    def answer(self, status: str, kind: str, content: bytes) -> bytes:
        fields = [f"{name}: {self._value(name)}" for name in sorted(HEADERS)]
        fields += [f"Content-Type: {kind}"] if kind else []
        head = "\r\n".join([f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(content)}", "", ""])
        return head.encode() + content

    def _value(self, name: str) -> str:
        return {
            "Server": "Orthanc 1.10.1",
            "Set-Cookie": "orthanc=1; Path=/",
            "WWW-Authenticate": 'Basic realm="Orthanc Secure Area"',
            "Access-Control-Allow-Origin": "*",
            "X-Powered-By": "Mongoose civetweb",
        }.get(name, f"{self.url}/studies; orthanc")

    def problem(self, status: str, kind: str = "application/json") -> bytes:
        talk = {"Message": f"Orthanc at {self.url} failed", "Uri": f"{self.url}/patients", "OrthancStatus": 9}
        return self.answer(status, kind, json.dumps(talk).encode())

    def dataset(self, depth: int) -> dict[str, Any]:
        """Of the object that ``depth`` UIDs name, with the links that archives write; others are its own data."""
        bulk = {"vr": "OW", "BulkDataURI": f"{self.url}{INSTANCE[10:]}/bulk/7fe00010"}
        nested = {"vr": "OW", "BulkDataURI": f"{self.url}{INSTANCE[10:]}/bulk/00880200/1/00281201"}
        named = dict(zip(("0020000D", "0020000E", "00080018"), UIDS[:depth], strict=False))
        return {
            **{tag: {"vr": "UI", "Value": [uid]} for tag, uid in named.items()},
            "00081190": {"vr": "UR", "Value": [f"{self.url}/studies/{UIDS[0]}"]},
            "00880200": {"vr": "SQ", "Value": [{"00281201": nested}]},
            "7FE00010": bulk,
        }

    def parts(self, kind: str, content: bytes) -> bytes:
        head = (
            f"--b\r\nContent-Type: {kind}\r\nContent-Location: {self.url}/instances/1/file\r\nX-Orthanc: {self.url}\r\n"
        )
        whole = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content + b"\r\n--b--\r\n"
        return self.answer("200 OK", f'multipart/related; type="{kind}"; boundary=b', whole)

    def well_formed(self, legal: Legal) -> bytes:
        """What the route asks for."""
        if legal.template.endswith(("rendered", "thumbnail")) or legal is WADO:
            return self.answer("200 OK", "image/jpeg", b"\xff\xd8\xff\xe0 picture \xff\xd9")
        if legal in (FRAMES, BULK):
            return self.parts("application/octet-stream", b"pixels")
        if legal in POSTS:
            return self.answer("200 OK", "application/dicom+json", json.dumps(self.report()).encode())
        if legal.kind == SEARCHES or legal.template.endswith("metadata"):
            kinds = {"studies": 1, "series": 2}
            depth = kinds.get(legal.segments[-1], 3) if legal.kind == SEARCHES else 3
            return self.answer("200 OK", "application/dicom+json", json.dumps([self.dataset(depth)]).encode())
        return self.parts("application/dicom", next(iter(dataset.render(dataset.study("us-colour")))))

    def report(self) -> dict[str, Any]:
        return {
            "00081190": {"vr": "UR", "Value": [f"{self.url}/studies/{UIDS[0]}"]},
            "00081199": {"vr": "SQ", "Value": [self.dataset(3)]},
            "00081198": {"vr": "SQ", "Value": []},
            "0008010E": {"vr": "UR", "Value": [f"{self.url}/patients"]},
        }


STORED = file("leaks")


@pytest.fixture(scope="module")
def stored(judge: Judge) -> File:
    """A study to store in, which is known to the archive and so is asked after once."""
    assert judge.caller.ask(_store("/dicom-web/studies")).status == 200
    return STORED


@pytest.fixture(autouse=True)
def _known(judge: Judge, stored: File) -> None:
    """What studies are is known for half a minute; only the request itself meets what the archive says."""
    for study in (UIDS[0], stored.study):
        assert judge.caller.get(f"{path((study,))}/metadata").status == 200


def _store(target: str) -> bytes:
    return request("POST", target, content_type(), body=body(STORED.data))


def _raw(legal: Legal, *fields: str) -> bytes:
    if legal.method == "POST":
        return _store(f"/dicom-web/studies/{STORED.study}" if legal.path == STUDY else legal.path)
    return legal.raw(*fields)


def _accepts(legal: Legal) -> Iterator[tuple[str, ...]]:
    yield ()
    if legal.method == "GET" and legal is not WADO:
        yield from ((f"Accept: {name}",) for name in legal.accepts)


def says_nothing(judge: Judge, reply: Reply) -> None:
    judge.is_silent(reply)
    told = {name.lower() for name, _ in reply.headers} & {name.lower() for name in HEADERS - {"Server"}}
    assert not told, told
    whole = reply.head + reply.body
    for word in (b"orthanc", b"127.0.0.1:%d" % judge.stack.dev.ports.archive, b"X-Orthanc", b"patients"):
        assert word.lower() not in whole.lower(), (word, whole[-400:])
    public = f"{judge.stack.dev.url}/".encode()
    assert [url for url in URL.findall(whole) if not url.startswith((public, NAMESPACE))] == []


STATUSES = (
    "201 Created",
    "206 Partial Content",
    "301 Moved Permanently",
    "302 Found",
    "304 Not Modified",
    "307 Temporary Redirect",
    "400 Bad Request",
    "401 Unauthorized",
    "403 Forbidden",
    "404 Not Found",
    "406 Not Acceptable",
    "410 Gone",
    "429 Too Many Requests",
    "500 Internal Server Error",
    "503 Service Unavailable",
)


@on_every_route
def test_error_of_the_archive_is_told_in_our_words(judge: Judge, legal: Legal) -> None:
    talkative = Talkative(judge)
    for status in STATUSES:
        with judge.stack.relay.answering(talkative.problem(status)):
            reply = judge.caller.ask(_raw(legal))
        assert reply.status in (404, 406, 502), (status, reply.status)
        assert reply.reasons, status
        says_nothing(judge, reply)


@on_every_route
def test_answer_of_another_kind_is_not_passed_on(judge: Judge, legal: Legal) -> None:
    talkative = Talkative(judge)
    for kind in ("text/html", "application/json+orthanc", "application/dicom+xml", "text/plain", "", "multipart/mixed"):
        with judge.stack.relay.answering(talkative.problem("200 OK", kind)):
            reply = judge.caller.ask(_raw(legal))
        assert reply.status == 502, (kind, reply.status)
        says_nothing(judge, reply)


@on_every_route
def test_head_of_a_good_answer_is_ours(judge: Judge, legal: Legal) -> None:
    talkative = Talkative(judge)
    for accept in _accepts(legal):
        canned = talkative.well_formed(legal)
        if accept and "image/" in accept[0]:
            kind = accept[0].split('"')[1] if '"' in accept[0] else accept[0].removeprefix("Accept: ")
            picture = b"\x89PNG\r\n\x1a\n" if kind == "image/png" else b"\xff\xd8\xff\xe0 picture \xff\xd9"
            canned = talkative.parts(kind, picture) if legal is FRAMES else talkative.answer("200 OK", kind, picture)
        with judge.stack.relay.answering(canned):
            reply = judge.caller.ask(_raw(legal, *accept))
        # A report that speaks of other objects than were stored is none.
        assert reply.status == 200 or legal in POSTS, (accept, reply.status, reply.reasons)
        judge.is_silent(reply)
        if "application/dicom" not in (reply.value("Content-Type") or "") or b"+" in reply.head:
            says_nothing(judge, reply)


@on_every_route
def test_own_errors_say_nothing_of_the_archive(judge: Judge, legal: Legal) -> None:
    asked = [
        (legal.raw(path=f"{legal.path}/%2e%2e"), "radiologist"),
        (legal.raw(method="DELETE"), "radiologist"),
        (legal.raw("Upgrade: h2c"), "radiologist"),
        (legal.with_query("x=y"), "radiologist"),
        (legal.raw("Accept: application/x-none"), "radiologist"),
        (legal.raw(), "rooted"),
        (legal.raw(), "stale"),
        (legal.raw(), "revoked"),
    ]
    for uid in UIDS:
        if uid in legal.path:
            asked.append((legal.raw(path=legal.path.replace(uid, "1.2.3")), "radiologist"))
    for raw, who in asked:
        reply = judge.caller.ask(raw, who)
        if reply.status >= 400:
            says_nothing(judge, reply)
    reply = judge.caller.ask(request("OPTIONS", legal.path))
    assert reply.status == 204
    says_nothing(judge, reply)


def test_head_is_the_get_without_a_body(judge: Judge) -> None:
    for legal in LEGAL:
        if legal.method == "GET":
            get = judge.caller.ask(legal.raw())
            head = judge.caller.ask(legal.raw(method="HEAD"), bodiless=True)
            assert (head.status, get.status) == (200, 200), str(legal)
            kinds = [(reply.value("Content-Type") or "").partition("; boundary")[0] for reply in (get, head)]
            assert kinds[0] == kinds[1]
            says_nothing(judge, head)


def test_root_names_the_routes_and_nobody(judge: Judge) -> None:
    for root in ("/", "/dicom-web", "/dicom-web/"):
        reply = judge.caller.get(root)
        assert reply.status == 200
        assert {resource["path"] for resource in reply.json["resources"]} == {legal.template for legal in LEGAL}
        judge.is_silent(reply)
        assert URL.findall(reply.body) == []


# ------------------------------------------------------------------------------------------ links that work


def _answers(judge: Judge) -> Iterator[Reply]:
    """Everything that carries links, of the archive as it is."""
    with judge.caller.connected() as wire:
        for target in ("/studies", "/series", "/instances"):
            yield search(wire, f"{target}?limit={MANY}&includefield=all").reply
        for entry in dataset.catalogue(large=False):
            yield search(wire, f"/studies/{entry.uid}/series").reply
            wire.send(request("GET", f"{path((entry.uid,))}/metadata"))
            yield wire.read()


def test_every_link_is_ours_and_leads_somewhere(judge: Judge) -> None:
    public = f"{judge.stack.dev.url}/dicom-web/studies/"
    found: set[str] = set()
    bulk: set[str] = set()
    for reply in _answers(judge):
        assert reply.status == 200
        found |= set(links(reply.json))
        bulk |= set(bulk_links(reply.json))
        says_nothing_of_the_archive(judge, reply)
    assert len(bulk) > 50
    assert len(found - bulk) > 50
    assert [link for link in found if not link.startswith(public)] == []
    with judge.caller.connected() as wire:
        for link in sorted(found):
            octets = 'Accept: multipart/related; type="application/octet-stream"'
            wire.send(request("GET", link.removeprefix(judge.stack.dev.url), octets if link in bulk else AS_STORED))
            assert wire.read().status == 200, link


def says_nothing_of_the_archive(judge: Judge, reply: Reply) -> None:
    """``says_nothing``, of an answer that holds what people wrote."""
    judge.is_silent(reply)
    assert re.search(rb"127\.0\.0\.1:(?!%d\b)" % judge.stack.dev.ports.proxy, reply.head + reply.body) is None
    assert b"http://127" not in reply.body


def test_links_in_xml_are_those_in_json(judge: Judge) -> None:
    for target in ("/dicom-web/studies", f"{INSTANCE}/metadata"):
        plain, native = judge.caller.get(target), judge.caller.get(target, XML)
        urls = {url.decode() for url in URL.findall(native.body) if not url.startswith(NAMESPACE)}
        assert urls == set(links(plain.json))
        assert urls
        says_nothing_of_the_archive(judge, native)


def test_report_of_a_store_links_to_what_was_stored(judge: Judge) -> None:
    reply = judge.caller.ask(_store("/dicom-web/studies"))
    assert reply.status == 200
    found = set(links(reply.json))
    assert found
    for link in found:
        assert link.startswith(f"{judge.stack.dev.url}/dicom-web/studies/{STORED.study}")
        assert judge.caller.get(link.removeprefix(judge.stack.dev.url), AS_STORED).status == 200


def test_heads_of_parts_name_no_place(judge: Judge) -> None:
    """``Content-Location`` of a part, where there is one, is ours and leads to the part."""
    tried = 0
    for target, accept in ((STUDY, AS_STORED), (INSTANCE, AS_STORED), (f"{INSTANCE}/frames/1", ""), (BULK.path, "")):
        reply = judge.caller.get(target, *([accept] if accept else []))
        assert reply.status == 200
        boundary = (reply.value("Content-Type") or "").rpartition("boundary=")[2].strip('"').encode()
        for piece in (b"\r\n" + reply.body).split(b"\r\n--" + boundary)[1:-1]:
            tried += 1
            head = piece.partition(b"\r\n\r\n")[0]
            assert b"orthanc" not in head.lower()
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b": ")
                if name.lower() == b"content-location":
                    link = value.decode()
                    assert link.startswith(f"{judge.stack.dev.url}/dicom-web/studies/")
                    assert judge.caller.get(link.removeprefix(judge.stack.dev.url)).status == 200
                else:
                    assert URL.search(line) is None
    assert tried >= 4


def test_the_same_action_stands_behind_both_ways_to_an_object(judge: Judge) -> None:
    """WADO-URI and its links are judged like the routes they are spellings of."""
    uri = judge.caller.ask(WADO.with_query("contentType=application/dicom"))
    plain = judge.caller.get(INSTANCE, "Accept: application/dicom; transfer-syntax=*")
    assert uri.body == plain.body
    actions = [judge.decision(reply)["input"]["request"]["action"] for reply in (uri, plain)]
    assert actions == [Action.RETRIEVE, Action.RETRIEVE]
