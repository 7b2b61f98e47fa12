"""Routes and paths: what is served, what is refused, and that nothing the archive would resolve gets through."""

from __future__ import annotations

import pytest

from proxy.interpret import interpret
from proxy.interpret.grammar import LATER, ROUTES
from proxy.model import Action, Arrival, DicomRequest, Level, Reason, Refusal, Representation

from .building import AT, INSTANCE, PEER, SERIES, STORE_HEADERS, STUDY, accepted, refused

FILLED = {"study": STUDY, "series": SERIES, "instance": INSTANCE, "frames": "1,2", "rest": "7fe00010/1"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.template}")
def test_every_route_of_the_table_is_read(route):
    headers = STORE_HEADERS if route.method == "POST" else ()
    request = accepted(f"/dicom-web/{route.template.format(**FILLED)}", method=route.method, headers=headers)
    assert (request.action, request.level, request.method) == (route.action, route.level, route.method)
    assert request.study == (STUDY if "{study}" in route.template else None)
    assert request.series == (SERIES if "{series}" in route.template else None)
    assert request.instance == (INSTANCE if "{instance}" in route.template else None)
    expected = Representation.DICOM if route.action is Action.RETRIEVE else Representation.JSON
    assert request.representation is expected


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


@pytest.mark.parametrize("template", LATER)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_resources_to_come_are_told_apart_from_unknown_ones(template, method):
    assert refused(f"/dicom-web/{template.format(**FILLED)}", method=method) is Reason.NOT_YET


def test_wado_uri_is_to_come():
    assert refused(f"/wado?requestType=WADO&objectUID={INSTANCE}") is Reason.NOT_YET
    assert refused("/wado", method="DELETE") is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_are_never_forwarded(method):
    assert refused("/dicom-web/studies", method=method) is Reason.NOT_YET


@pytest.mark.parametrize(
    "method", ["DELETE", "PUT", "PATCH", "TRACE", "CONNECT", "get", "GET ", "", "PROPFIND", "MOVE"]
)
def test_other_methods_are_refused(method):
    assert refused(f"/dicom-web/studies/{STUDY}", method=method) is Reason.METHOD_NOT_ALLOWED


def test_posting_to_an_instance_is_refused():
    target = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
    assert refused(target, method="POST", headers=STORE_HEADERS) is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/system",
        "/patients",
        "/tools/execute-script",
        "/instances/0123/file",
        "/changes",
        "/dicom-web",
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
        f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/instances/{INSTANCE}",
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
@pytest.mark.parametrize("path", [f"studies/{STUDY}", f"studies/{STUDY}/metadata"])
def test_only_a_search_has_a_query(path, query):
    assert refused(f"/dicom-web/{path}{query}") is Reason.INVALID_QUERY


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
