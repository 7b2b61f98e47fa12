"""Every hazard, in several spellings, on every route there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.corpus import Attack, Corpus
from tests.conformance.judge import Judge
from tests.conformance.requests_of_routes import (
    BULK,
    FRAMES,
    GETS,
    IMAGES,
    INSTANCE,
    LEGAL,
    METHODS,
    OTHER,
    POSTS,
    SEARCHES,
    UIDS,
    WADO,
    WADO_QUERY,
    Legal,
    missing,
    other_types,
)
from tests.conformance.wire import HOST, request

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("untouched")]

on_every_route = pytest.mark.parametrize("legal", LEGAL, ids=str)
on_every_read = pytest.mark.parametrize("legal", GETS, ids=str)


@pytest.fixture(scope="module")
def corpus(judge: Judge) -> Iterator[Corpus]:
    made = Corpus(judge)
    yield made
    made.close()


def test_every_route_is_tried() -> None:
    assert missing() == set()


# ------------------------------------------------------------------------------------------ paths


@on_every_route
def test_path_that_is_not_plain(corpus: Corpus, legal: Legal) -> None:
    head, _, last = legal.path.rpartition("/")
    bent = [
        f"{head}/%2e%2e/{last}",
        f"{head}/%2E%2e/%2e%2E/patients",
        f"{head}/%252e%252e/{last}",
        f"{head}/../{last}",
        f"{head}/./{last}",
        f"{legal.path}/..",
        f"{legal.path}/.",
        f"{legal.path}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/system",
        f"{legal.path}/../../../../../../../../system",
        f"{head}\\{last}",
        f"/x{legal.path.replace('/', chr(92))}",
        f"{head}%5c{last}",
        f"{head}%2f{last}",
        f"{head}%2F{last}",
        f"/{legal.path}",
        f"{head}//{last}",
        f"{legal.path}//",
        f"{legal.path}/",
        f"{legal.path}%00",
        f"{legal.path}%00.json",
        f"{legal.path}%00/../../../patients",
        f"{legal.path};x=y",
        f"{legal.path};jsessionid=1",
        f"{head};x=y/{last}",
        f"{legal.path}%3Bx=y",
        f"{legal.path}#fragment",
        f"{legal.path}#/../../../patients",
        f"{legal.path}%23",
        f"{legal.path}%20",
        f"{legal.path}%0d%0aX-A:%20b",
        f"{legal.path}+",
        f"{legal.path}*",
        f"{legal.path}:80",
        f"{legal.path}%3Flimit=1",
        f"{head}/%{ord(last[0]):02x}{last[1:]}",
        f"http://127.0.0.1{legal.path}",
        f"https://127.0.0.1:8042{legal.path}",
        f"HTTP://evil.example{legal.path}",
    ]
    # What is no path at all is refused by the parser, and elsewhere.
    plain = [path for path in bent if path.startswith("/") or "://" in path]
    corpus.refuses((legal.raw(path=path), 400, "invalid-path") for path in plain)


@on_every_route
def test_segment_with_a_dot_at_its_end_or_in_another_case(corpus: Corpus, legal: Legal) -> None:
    def attacks() -> Iterator[Attack]:
        segments = legal.segments
        for place, segment in enumerate(segments):
            named, dotted = segments.copy(), segments.copy()
            dotted[place] += "."
            if segment in UIDS:
                yield legal.raw(path="/" + "/".join(dotted)), 400, "invalid-uid"
            elif segment in ("1", "7fe00010"):
                yield legal.raw(path="/" + "/".join(dotted)), 400, "invalid-path"
            else:
                for named[place] in (f"{segment}.", segment.upper(), segment.capitalize()):
                    yield legal.raw(path="/" + "/".join(named)), 404, "unknown-route"

    corpus.refuses(attacks())


@pytest.mark.parametrize("legal", [legal for legal in LEGAL if UIDS[0] in legal.path], ids=str)
def test_uid_that_is_none(corpus: Corpus, legal: Legal) -> None:
    wrong = ["1..2", "1.02.3", "01.2", "1.2.x", "1.2.-3", "1.2,1.3", "1" * 65, "1." + "2" * 63, "0x1.2", "1.2~1"]
    held = [uid for uid in UIDS if uid in legal.path]
    paths = [legal.path.replace(uid, each) for uid in held for each in [*wrong, f"{uid}.", f".{uid}"]]
    corpus.refuses((legal.raw(path=path), 400, "invalid-uid") for path in paths)


# ------------------------------------------------------------------------------------------ methods


@on_every_route
def test_method_that_the_resource_does_not_have(corpus: Corpus, legal: Legal) -> None:
    methods = {"DELETE", "PUT", "PATCH", "POST", "TRACE", "PROPFIND", "MKCOL", "MOVE", "LOCK", "SEARCH"}
    names = sorted(methods - METHODS[legal.path])
    corpus.refuses((legal.raw(method=name), 405, "method-not-allowed") for name in names)


@on_every_route
def test_header_that_changes_method_target_or_protocol(corpus: Corpus, legal: Legal) -> None:
    names = (
        "X-HTTP-Method-Override: DELETE",
        "x-http-method-override: delete",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: PUT",
        "X-Method: DELETE",
        "X_HTTP_Method_Override: DELETE",
        "X.HTTP.Method: DELETE",
        "X-Original-URL: /patients",
        "X-Rewrite-URL: /patients",
        "Upgrade: h2c",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Connection: Upgrade, HTTP2-Settings",
        "Connection: Authorization",
        "Connection: close, Purpose-Of-Use",
        "Connection: accept",
        "Purpose_Of_Use: TREAT",
        "Purpose.Of.Use: TREAT",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "X_Forwarded_For: 10.0.0.1",
        "Seal_Nonce: x",
        "Decision_Id: x",
    )
    corpus.refuses((legal.raw(name), 400, "forbidden-header") for name in names)


@on_every_route
def test_method_in_the_query(corpus: Corpus, legal: Legal) -> None:
    names = ("_method=delete", "_method=DELETE", "_method=put", "_Method=delete", "%5fmethod=delete", "_method=")
    corpus.refuses((legal.with_query(name), 400, "invalid-query") for name in names)


# ------------------------------------------------------------------------------------------ headers and bodies


@on_every_route
def test_header_that_can_be_read_in_two_ways(corpus: Corpus, legal: Legal) -> None:
    names = (
        "Host: evil.example",
        "Purpose-Of-Use: treat",
        "Purpose-Of-Use: TREAT, HRESCH",
        "Purpose-Of-Use: TREAT\r\nPurpose-Of-Use: HRESCH",
        "Authorization: a\r\nAuthorization: b",
        "Accept: application",
        "Accept: */json",
        "Accept: application/dicom; q=2",
        "Accept: application/dicom+json,,",
        'Accept: multipart/related; type="application/dicom"; type="application/dicom+xml"',
        f"Accept: {'a/b,' * 40}a/b",
        "Accept: */*\x01",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Expect: 200-ok",
        "X-A: a\r\n b",
        "X-A : b",
    )
    corpus.refuses((legal.raw(name), 400, "malformed-request") for name in names)


@on_every_read
def test_body_where_none_belongs(corpus: Corpus, legal: Legal) -> None:
    target = f"{legal.path}?{legal.query}".rstrip("?")
    lines = f"GET {target} HTTP/1.1\r\n".encode() + HOST
    head = lines.replace(b"GET", b"HEAD")
    bodies = (b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    corpus.refuses((lines + each, 400, "unexpected-body") for each in bodies)
    typed = b'Content-Type: multipart/related; type="application/dicom"; boundary=x\r\n'
    corpus.refuses([(lines + typed + bodies[0], 400, "unexpected-body")])
    reply = corpus.judge.caller.ask(head + bodies[0], bodiless=True)
    corpus.judge.is_refusal(reply, 400, since=corpus.judge.stack.relay.count, bodiless=True)


@pytest.mark.parametrize("legal", POSTS, ids=str)
def test_body_of_another_kind(corpus: Corpus, legal: Legal) -> None:
    types = ("application/dicom", "application/json", "text/plain", 'multipart/related; type="image/jpeg"; boundary=x')
    corpus.refuses(
        (request("POST", legal.path, f"Content-Type: {kind}", body=b"x"), 415, "unsupported-media-type")
        for kind in types
    )
    corpus.refuses((legal.raw(f"Content-Encoding: {name}"), 415, "unsupported-media-type") for name in ("gzip", "br"))
    corpus.refuses([(request("POST", legal.path, *legal.fields), 400, "multipart-malformed")])


@on_every_route
def test_type_that_the_resource_does_not_come_in(corpus: Corpus, legal: Legal) -> None:
    if legal is WADO:
        names = ("text/html", "application/pdf", "image/gif", "application/dicom%2Bjson", "video/mp4", "text/*")
        corpus.refuses((legal.with_query(f"contentType={name}"), 406, "not-acceptable") for name in names)
        corpus.refuses((legal.raw(f"Accept: {name}"), 406, "not-acceptable") for name in ("image/gif", "image/jp2"))
        return
    corpus.refuses((legal.raw(f"Accept: {name}"), 406, "not-acceptable") for name in other_types(legal))


# ------------------------------------------------------------------------------------------ queries


@on_every_route
def test_parameter_that_nobody_knows(corpus: Corpus, legal: Legal) -> None:
    names = [
        "x=y",
        "access_token=x",
        "accept=application/dicom%2Bxml",
        "format=xml",
        "transfer-syntax=*",
        "level=patient",
        "StudyInstanceUID[]=1.2.3",
        "limit",
        "=x",
        "&",
        "%",
        "a=%zz",
        "a=%00",
        "a=;b",
        "a=b;c=d",
        "a=\\",
    ]
    if legal.kind != SEARCHES:
        names += ["limit=1", "offset=0", "includefield=all", f"StudyInstanceUID={UIDS[0]}", "fuzzymatching=true"]
    if legal.kind != IMAGES:
        names += ["viewport=64,64", "quality=90", "window=1,2,linear"]
    if legal is not WADO:
        names += ["requestType=WADO", "contentType=application/dicom", "anonymize=yes", f"objectUID={UIDS[2]}"]
    corpus.refuses((legal.with_query(name), 400, "invalid-query") for name in names)


@pytest.mark.parametrize("legal", [legal for legal in LEGAL if legal.kind not in (SEARCHES, IMAGES)], ids=str)
def test_empty_query_where_none_belongs(corpus: Corpus, legal: Legal) -> None:
    corpus.refuses([(legal.raw(path=f"{legal.path}?", query=""), 400, "invalid-query")])


@pytest.mark.parametrize("legal", [legal for legal in LEGAL if legal.kind == SEARCHES], ids=str)
def test_parameter_twice_or_under_two_names(corpus: Corpus, legal: Legal) -> None:
    mine, other = UIDS[0], OTHER.uid
    names = (
        f"StudyInstanceUID={mine}&StudyInstanceUID={other}",
        f"StudyInstanceUID={mine}&0020000D={other}",
        f"0020000d={mine}&0020000D={mine}",
        f"SeriesInstanceUID={mine}&0020000E={other}",
        "PatientID=NH-1001&00100020=SC-2001",
        "Modality=CT&00080060=MR",
        "limit=1&limit=1000",
        "offset=0&offset=0",
        "fuzzymatching=false&fuzzymatching=true",
        "limit=0",
        "limit=-1",
        "limit=1e3",
        "offset=-1",
        "offset=100000",
        r"PatientID=a\b",
        "PatientID=a%5Cb",
        "PatientID=a,b",
        "PatientID=%00",
        "PatientID=%2541",
        "includefield=PixelData",
        "includefield=7FE00010",
        "includefield=00020010",
        "orderby=PatientID",
        "00100010.00080100=x",
    )
    corpus.refuses((legal.with_query(name), 400, "invalid-query") for name in names)


@pytest.mark.parametrize("legal", [legal for legal in LEGAL if legal.kind == IMAGES], ids=str)
def test_rendering_that_cannot_be_done(corpus: Corpus, legal: Legal) -> None:
    names = (
        "viewport=0,0",
        "viewport=0,64",
        "viewport=-1,64",
        "viewport=64",
        "viewport=64,64,1",
        "viewport=64,64,0,0,0,0",
        "viewport=64,64,-1,0,5,5",
        "viewport=,",
        "viewport=1e2,64",
        "viewport=064,64",
        "viewport=4097,64",
        "viewport=99999999999,1",
        "viewport=64%2C0",
        "viewport=64,64&viewport=64,64",
        "viewport=64;64",
        "Viewport=64,64",
        "window=100,200",
        "window=100",
        "window=100,0,linear",
        "window=100,-5,linear",
        "window=a,b,linear",
        "window=1,2,LINEAR",
        "window=1,2,cubic",
        "window=1e9,2,linear",
        "window=1,2,linear,3",
        "window=nan,inf,linear",
        "quality=0",
        "quality=101",
        "quality=-1",
        "quality=01",
        "quality=1.5",
        "quality=",
        "quality=90&quality=90",
        "annotation=all",
        "annotation=patient,patient",
        "iccprofile=maybe",
        "rows=64&columns=64",
    )
    corpus.refuses((legal.with_query(name), 400, "invalid-query") for name in names)


# ------------------------------------------------------------------------------------------ what stands behind UIDs

FRAME_LISTS = (
    "0",
    "00",
    "01",
    "-1",
    "1,1",
    "1,,2",
    "1,",
    ",1",
    "1-3",
    "1.5",
    "all",
    "1,2,x",
    "100000000",
    "9" * 30,
    ",".join(map(str, range(1, 1002))),
)


def test_frames_that_are_none(corpus: Corpus) -> None:
    base = f"{INSTANCE}/frames"
    corpus.refuses((FRAMES.raw(path=f"{base}/{each}"), 400, "invalid-path") for each in FRAME_LISTS)
    for tail in ("rendered", "thumbnail"):
        lists = (*FRAME_LISTS, "1,2")
        corpus.refuses((FRAMES.raw(path=f"{base}/{each}/{tail}"), 400, "invalid-path") for each in lists)
    corpus.refuses((FRAMES.raw(path=f"{INSTANCE}/{each}"), 404, "unknown-route") for each in ("frames", "frame/1"))
    corpus.refuses((FRAMES.raw(path=f"{base}/1/{each}"), 404, "unknown-route") for each in ("metadata", "1", "bulk"))


def test_place_of_bulk_data_that_is_none(corpus: Corpus) -> None:
    base = f"{INSTANCE}/bulk"
    places = (
        "7fe0001",
        "7fe000100",
        "7fe00010/1",
        "7fe00010/0/7fe00010",
        "54000100/01/54001010",
        "54000100/-1/54001010",
        "54000100/1",
        "54000100/54001010",
        "54000100/1/1",
        "1/54000100",
        "54000100//54001010",
        "54000100/../7fe00010",
        "54000100/%2e%2e/7fe00010",
        "..",
        "../metadata",
        "7fe00010/../../../../patients",
        "zzzzzzzz",
        "PixelData",
        "7fe0,0010",
        "(7fe0,0010)",
        "00000010",
        "00020010",
        "fffee000",
        "ffff0010",
        "7fe00010.",
        "7fe00010/",
        "54000100/1/" * 17 + "54001010",
        "54000100/999999999/54001010",
        "",
    )
    corpus.refuses((BULK.raw(path=f"{base}/{place}"), 400, "invalid-path") for place in places)
    others = (base, f"{INSTANCE}/bulkdata/7fe00010", f"{INSTANCE}/pixeldata", f"{INSTANCE}/Bulk/7fe00010")
    corpus.refuses((BULK.raw(path=path), 404, "unknown-route") for path in others)


# ------------------------------------------------------------------------------------------ the URI service


def _uris() -> Iterator[Attack]:
    study, series, instance = (
        f"{name}UID={uid}" for name, uid in zip(("study", "series", "object"), UIDS, strict=True)
    )
    whole = WADO_QUERY
    queries = [
        "",
        "requestType=WADO",
        f"requestType=WADO&{instance}",
        f"requestType=WADO&{study}&{instance}",
        f"requestType=WADO&{series}&{instance}",
        f"requestType=WADO&{study}&{series}",
        f"{study}&{series}&{instance}",
        f"{whole}&requestType=WADO",
        f"{whole}&{study}",
        f"{whole}&studyUID={OTHER.uid}",
        f"{whole}&objectUID={OTHER.series[0].instances[0].uid}",
        f"{whole}&contentType=application/dicom&contentType=image/jpeg",
        whole.replace("=WADO", "=wado"),
        whole.replace("=WADO", "="),
        whole.replace("=WADO", "=XDSQuery"),
        whole.replace("studyUID", "studyuid"),
        whole.replace("objectUID", "OBJECTUID"),
        whole.replace("requestType", "RequestType"),
        whole.replace("objectUID", "SOPInstanceUID"),
        whole.replace("studyUID", "StudyInstanceUID"),
        f"{whole}&studyuid={OTHER.uid}",
        f"{whole}&anonymize=yes",
        f"{whole}&anonymize=",
        f"{whole}&charset=utf-16",
        f"{whole}&contentType=jpeg",
        f"{whole}&contentType=",
        f"{whole}&contentType=application/dicom&frameNumber=1",
        f"{whole}&contentType=application/dicom&rows=64&columns=64",
        f"{whole}&contentType=application/dicom&transferSyntax=x",
        f"{whole}&contentType=application/dicom&transferSyntax=1.2.",
        f"{whole}&frameNumber=0",
        f"{whole}&frameNumber=1,2",
        f"{whole}&frameNumber=-1",
        f"{whole}&rows=64",
        f"{whole}&columns=64",
        f"{whole}&rows=0&columns=0",
        f"{whole}&rows=-1&columns=64",
        f"{whole}&windowCenter=100",
        f"{whole}&windowCenter=100&windowWidth=0",
        f"{whole}&windowCenter=a&windowWidth=b",
        f"{whole}&imageQuality=0",
        f"{whole}&imageQuality=101",
        f"{whole}&region=0,0,1,1",
        f"{whole}&annotation=patient",
        f"{whole}&presentationUID=1.2.3",
        f"{whole}&imageURI=http://127.0.0.1:8042/system",
        f"{whole}%00",
        whole.replace("&", ";"),
        whole.replace("=", "%3D"),
        whole.replace("studyUID", "study%55ID"),
    ]
    yield from ((WADO.raw(query=query), 400, "invalid-query") for query in queries)
    yield WADO.raw(path="/wado?", query=""), 400, "invalid-query"
    for name, uid in zip(("studyUID", "seriesUID", "objectUID"), UIDS, strict=True):
        for wrong in ("1.2.", "1..2", "1.02", "1.2.x", "%2e%2e", "*", "1.2,1.3", "..%2f..%2fpatients", "1" * 65, ""):
            yield WADO.raw(query=whole.replace(f"{name}={uid}", f"{name}={wrong}")), 400, "invalid-uid"
    for path in ("/dicom-web/wado", "/wado/studies", "/dicom-web", "/wado-uri", "/Wado"):
        if path != "/dicom-web":
            yield WADO.raw(path=path), 404, "unknown-route"


def test_uri_service_that_is_asked_in_another_way(corpus: Corpus) -> None:
    corpus.refuses(_uris())


# ------------------------------------------------------------------------------------------ the root


def test_root_takes_nothing(corpus: Corpus) -> None:
    def attacks() -> Iterator[Attack]:
        for root in ("/", "/dicom-web", "/dicom-web/"):
            for method in ("POST", "DELETE", "PUT", "PROPFIND"):
                yield request(method, root), 405, "method-not-allowed"
            for query in ("limit=1", "_method=delete", ""):
                yield request("GET", f"{root}?{query}"), 400, "invalid-query"
            yield request("GET", root, "X-HTTP-Method-Override: DELETE"), 400, "forbidden-header"
            yield request("GET", root, body=b"body"), 400, "unexpected-body"

    corpus.refuses(attacks())
