"""Methods and routes: what shares the archive's port and is not DICOMweb, and ways to say another method."""

from __future__ import annotations

import pytest

from deploy.dev import dataset
from tests.conformance.judge import Judge
from tests.conformance.wire import request

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("untouched")]

ENTRY = dataset.study("ct-small")
STUDY = f"/dicom-web/studies/{ENTRY.uid}"
SERIES = f"{STUDY}/series/{ENTRY.series[0].uid}"
INSTANCE = f"{SERIES}/instances/{ENTRY.series[0].instances[0].uid}"

UNKNOWN = (
    "/system",
    "/statistics",
    "/changes",
    "/exports",
    "/patients",
    "/studies",
    "/series",
    "/instances",
    "/jobs",
    "/modalities",
    "/peers",
    "/plugins",
    "/plugins/dicom-web",
    "/app/explorer.html",
    "/tools/find",
    "/tools/lookup",
    "/tools/execute-script",
    "/tools/reset",
    "/tools/shutdown",
    "/webdav",
    "/dicom-web/servers",
    "/dicom-web/servers/self",
    "/dicom-web/servers/self/get",
    "/dicom-web/servers/self/qido",
    "/dicom-web/servers/self/stow",
    "/dicom-web/servers/self/wado",
    "/dicom-web/servers/self/retrieve",
    "/dicom-web/app/client/index.html",
    "/dicom-web/info",
    "/dicom-web/patients",
    "/dicom-web/workitems",
    "/dicom-web/wado",
    "/wado/studies",
    f"{STUDY}/bulkdata",
    f"{STUDY}/pixeldata",
    f"{INSTANCE}/bulkdata/7fe00010",
    f"{STUDY}/archive",
    f"{STUDY}/dicom",
    f"{INSTANCE}/file",
    f"{INSTANCE}/tags",
    "/DICOM-WEB/studies",
    "/dicom-web/Studies",
    "/.dicomward/v1/decisions",
    "/metrics",
    "/healthz",
    "/readyz",
)
RESOURCES = ("/dicom-web/studies", STUDY, SERIES, INSTANCE, f"{STUDY}/metadata", f"{SERIES}/instances")
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http-method-override", "X-METHOD")
WEBDAV = ("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH")


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_route_that_is_not_listed_does_not_exist(judge: Judge, method: str, path: str) -> None:
    judge.refused(request(method, path), 404, "unknown-route")


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE", *WEBDAV])
def test_method_that_a_resource_does_not_have_is_refused(judge: Judge, method: str, resource: str) -> None:
    judge.refused(request(method, resource), 405, "method-not-allowed")


@pytest.mark.parametrize("resource", RESOURCES)
def test_options_is_answered_here(judge: Judge, resource: str) -> None:
    reply = judge.caller.ask(request("OPTIONS", resource))
    assert reply.status == 204
    methods = set((reply.value("Allow") or "").split(", "))
    assert {"GET", "HEAD", "OPTIONS"} <= methods <= {"GET", "HEAD", "OPTIONS", "POST"}
    judge.is_silent(reply)


@pytest.mark.parametrize("method", ["get", "Get", "FOO", "DELETE%20", "GET,DELETE", "CONNECT"])
def test_method_that_is_none_is_refused(judge: Judge, method: str) -> None:
    before = judge.stack.relay.count
    reply = judge.caller.ask(request(method, STUDY))
    assert reply.reasons[0] in ("malformed-request", "method-not-allowed", "invalid-path")
    judge.is_refusal(reply, 405 if reply.reasons == ["method-not-allowed"] else 400, since=before)


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("value", ["DELETE", "delete", "GET", ""])
def test_method_override_is_refused(judge: Judge, name: str, value: str) -> None:
    judge.refused(request("GET", STUDY, f"{name}: {value}"), 400, "forbidden-header")
    judge.refused(request("GET", "/dicom-web/studies", f"{name}: {value}"), 400, "forbidden-header")


@pytest.mark.parametrize(
    "query", ["_method=delete", "_method=DELETE", "_method=put", "_Method=delete", "%5fmethod=delete"]
)
def test_method_in_the_query_is_refused(judge: Judge, query: str) -> None:
    for path in ("/dicom-web/studies", STUDY, INSTANCE, f"{STUDY}/metadata"):
        judge.refused(request("GET", f"{path}?{query}"), 400, "invalid-query")


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL"])
def test_target_in_a_header_is_refused(judge: Judge, name: str) -> None:
    judge.refused(request("GET", "/dicom-web/studies", f"{name}: /patients"), 400, "forbidden-header")
