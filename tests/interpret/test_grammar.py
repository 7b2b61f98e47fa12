"""Routes and paths: what is served, what is refused, and that nothing the archive would resolve gets through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.interpret import interpret
from proxy.interpret.routes import ROUTES
from proxy.model import Action, Arrival, DicomRequest, Level, Reason, Refusal, Representation

from .building import AT, INSTANCE, INSTANCE_PATH, PEER, SERIES, STORE_HEADERS, STUDY, accepted, refused

FILLED = {
    "study": STUDY,
    "series": SERIES,
    "instance": INSTANCE,
    "frames": "2,1",
    "frame": "7",
    "attribute": "54000100/1/54001010",
}
WADO = f"?requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"
BY_ACTION = {
    Action.SEARCH: Representation.JSON,
    Action.METADATA: Representation.JSON,
    Action.RETRIEVE: Representation.DICOM,
    Action.RENDER: Representation.IMAGE,
    Action.BULKDATA: Representation.BULK,
    Action.STORE: Representation.JSON,
}


def filled(route):
    return route.path.format(**FILLED) + (WADO if route.path == "/wado" else "")


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_of_the_table_is_read(route):
    headers = STORE_HEADERS if route.method == "POST" else ()
    request = accepted(filled(route), method=route.method, headers=headers)
    assert (request.action, request.level, request.method) == (route.action, route.level, route.method)
    wado = route.path == "/wado"
    assert request.study == (STUDY if "{study}" in route.path or wado else None)
    assert request.series == (SERIES if "{series}" in route.path or wado else None)
    assert request.instance == (INSTANCE if "{instance}" in route.path or wado else None)
    assert request.frames == {"frames": (2, 1), "frame": (7,)}.get(route.tail, ())
    assert request.bulk == (("54000100", "1", "54001010") if route.tail == "attribute" else ())
    assert (request.rendering is not None) is (route.action is Action.RENDER)
    if request.rendering is not None:
        assert request.rendering.thumbnail is route.path.endswith("thumbnail")
    expected = Representation.PIXELS if route.tail == "frames" else BY_ACTION[route.action]
    assert request.representation is expected
    assert (request.media_type, request.bare) == (route.offers.of[0].media_type, False)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.method == "GET"], ids=lambda r: r.path)
def test_head_is_the_same_question_as_get(route):
    get, head = accepted(filled(route)), accepted(filled(route), method="HEAD")
    assert head == replace(get, method="HEAD")
    assert refused(filled(route), method="HEAD", headers=[("Content-Length", "5")]) is Reason.UNEXPECTED_BODY


def test_an_instance_retrieve_with_purpose():
    target = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
    request = accepted(target, headers=[("Purpose-Of-Use", "TREAT"), ("Accept", "*/*")])
    assert request == DicomRequest(
        action=Action.RETRIEVE,
        level=Level.INSTANCE,
        method="GET",
        representation=Representation.DICOM,
        study=STUDY,
        series=SERIES,
        instance=INSTANCE,
        transfer_syntax="1.2.840.10008.1.2.1",
        purpose="TREAT",
        purpose_source="header",
    )


@pytest.mark.parametrize(
    "method", ["DELETE", "PUT", "PATCH", "TRACE", "CONNECT", "get", "GET ", "", "PROPFIND", "MOVE"]
)
def test_other_methods_are_refused(method):
    for path in (
        "/",
        "/wado",
        f"/dicom-web/studies/{STUDY}",
        f"{INSTANCE_PATH}/frames/1",
        f"{INSTANCE_PATH}/bulk/7fe00010",
    ):
        assert refused(path, method=method) is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("path", [INSTANCE_PATH, "/dicom-web/series", "/wado", "/", f"{INSTANCE_PATH}/rendered"])
def test_posting_to_what_is_only_read_is_refused(path):
    assert refused(path, method="POST", headers=STORE_HEADERS) is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    "target",
    [
        "/system",
        "/patients",
        "/tools/execute-script",
        "/instances/0123/file",
        "/changes",
        "/wado/x",
        "/wado.html",
        "/dicom-web/wado",
        "/dicom-web/servers",
        "/dicom-web/servers/other/get",
        "/dicom-web/info",
        "/DICOM-WEB/studies",
        "/dicom-web/Studies",
        f"/dicom-web/series/{SERIES}",
        f"/dicom-web/series/{SERIES}/instances",
        f"/dicom-web/instances/{INSTANCE}",
        f"/dicom-web/studies/{STUDY}/metadata/x",
        f"/dicom-web/studies/{STUDY}/instances/{INSTANCE}",
        f"/dicom-web/studies/{STUDY}/frames/1",
        f"/dicom-web/studies/{STUDY}/bulk/7fe00010",
        f"/dicom-web/studies/{STUDY}/pixeldata",
        f"/dicom-web/studies/{STUDY}/zip",
        f"{INSTANCE_PATH}/instances/{INSTANCE}",
        f"{INSTANCE_PATH}/bulkdata/7fe00010",
        f"{INSTANCE_PATH}/bulk",
        f"{INSTANCE_PATH}/frames",
        f"{INSTANCE_PATH}/frames/1/metadata",
        f"{INSTANCE_PATH}/frames/1/rendered/rendered",
        f"{INSTANCE_PATH}/frames/1/rendered/rendered/x",
        f"{INSTANCE_PATH}/rendered/1",
        f"{INSTANCE_PATH}/file",
        "/.dicomward/v1/none",
        "/webdav/x",
    ],
)
def test_what_is_in_no_table_does_not_exist(target):
    assert refused(target) is Reason.UNKNOWN_ROUTE


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "dicom-web/studies",
        "http://archive/dicom-web/studies",
        "//archive/dicom-web/studies",
        "/dicom-web//studies",
        "/dicom-web/studies/",
        "/wado/",
        "/dicom-web//",
        "/dicom-web/./studies",
        "/dicom-web/../patients",
        "/dicom-web/studies/..",
        "/dicom-web/studies/.../x",
        "/dicom-web/studies/%2e%2e/%2e%2e/patients",
        "/dicom-web/%73tudies",
        "/dicom-web/studies%00/x",
        "/dicom-web/studies%2f1.2",
        "/dicom-web\\studies",
        "/dicom-web/studies\\..\\..\\patients",
        "/dicom-web/studies;a=b",
        "/dicom-web/studies/1.2;x",
        "/dicom-web/studies#x",
        "/dicom-web/studies\x00",
        "/dicom-web/studies\n",
        "/dicom-web/studies\r\nHost: x",
        "/dicom-web/studies\t",
        "/dicom-web/studies ",
        "/dicom-web/studies/1．2",
        "/dicom-web/studies/１.2",
        "/dicom-web/studi\u212aes",
        "/dicom-web/studies/" + "1" * 9000,
    ],
)
def test_a_path_that_two_readers_could_resolve_differently_is_refused(path):
    assert refused(path) is Reason.INVALID_PATH


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.3.",
        ".1.2",
        "1..2",
        "01.2",
        "1.02",
        "1.00",
        "a.b",
        "1.2a",
        "1," * 3,
        "-1",
        "1_0",
        "1" * 65,
        "1." * 32 + "1",
        "~",
    ],
)
def test_a_uid_that_is_not_one_is_refused(uid):
    reasons = {
        refused(f"/dicom-web/studies/{uid}"),
        refused(f"/dicom-web/studies/{STUDY}/series/{uid}/metadata"),
        refused(f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{uid}"),
    }
    assert reasons <= {Reason.INVALID_UID, Reason.INVALID_PATH}
    assert (Reason.INVALID_UID in reasons) or uid == ".1.2"


@pytest.mark.parametrize("uid", ["0", "1", "1.0.2", "2.25.329800735698586629295641978511506172918", "1" * 64])
def test_a_uid_at_its_limits_is_read(uid):
    assert accepted(f"/dicom-web/studies/{uid}").study == uid


@pytest.mark.parametrize(
    "query", ["?", "?_method=delete", "?limit=1", "?accept=application/dicom", "?transferSyntax=*"]
)
@pytest.mark.parametrize("path", ["", "/metadata", "/frames/1", "/bulk/7fe00010"])
def test_only_searches_and_images_have_a_query(path, query):
    assert refused(f"{INSTANCE_PATH}{path}{query}") is Reason.INVALID_QUERY


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", ""])
def test_a_page_of_another_origin_gets_nothing(method):
    for path in ("/", "/wado", "/nothing", "/dicom-web/studies"):
        assert refused(path, method=method, foreign=True) is Reason.ORIGIN_NOT_PERMITTED


def test_a_store_with_a_query_is_refused():
    assert refused("/dicom-web/studies?x=1", method="POST", headers=STORE_HEADERS) is Reason.INVALID_QUERY


def test_a_head_that_the_parser_refused_is_refused():
    broken = Arrival(peer=PEER, method="", target="", headers=(), at=AT, parser_error="bad")
    assert interpret(broken) == Refusal(reason=Reason.MALFORMED_REQUEST, detail="the request head is not HTTP/1.1")


def test_a_refusal_never_repeats_the_input():
    marker = "Zebra1234"
    for target in (f"/{marker}", f"/dicom-web/studies/{marker}", f"/dicom-web/studies?{marker}={marker}"):
        result = interpret(Arrival(peer=PEER, method="GET", target=target, headers=(), at=AT))
        assert isinstance(result, Refusal)
        assert marker not in result.detail
