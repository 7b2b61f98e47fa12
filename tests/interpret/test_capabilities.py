"""OPTIONS and the root: told from the table, to anybody, and nothing read that the answer does not need."""

from __future__ import annotations

import json

import pytest

from proxy.interpret import capabilities
from proxy.interpret.routes import ROUTES
from proxy.model import Capabilities, Reason

from .building import INSTANCE_PATH, STUDY, asked_about, refused
from .test_grammar import filled

READS = ("GET", "HEAD", "OPTIONS")


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
@pytest.mark.parametrize("foreign", [False, True])
def test_options_tells_the_methods_of_every_resource(route, foreign):
    takes_stores = route.path in ("/dicom-web/studies", "/dicom-web/studies/{study}")
    expected = (*READS, "POST") if takes_stores else READS
    assert asked_about(filled(route), foreign=foreign) == Capabilities(methods=expected)


@pytest.mark.parametrize("path", ["/", "/dicom-web", "/dicom-web/"])
@pytest.mark.parametrize("method", READS)
def test_the_root_tells_the_whole_table(path, method):
    found = asked_about(path, method=method)
    assert found == Capabilities(methods=READS, root=True)
    described = json.loads(capabilities(found))
    assert (described["name"], described["standard"]) == ("Dicomward", "DICOM PS3.18")
    resources = {resource["path"]: resource for resource in described["resources"]}
    assert resources.keys() == {route.path for route in ROUTES}
    assert len(resources) == len(described["resources"])
    assert resources["/dicom-web/studies"]["methods"] == ["GET", "HEAD", "OPTIONS", "POST"]
    assert resources["/wado"]["media_types"] == ["image/jpeg", "image/png", "application/dicom"]
    instance = resources["/dicom-web/studies/{study}/series/{series}/instances/{instance}"]
    assert instance["media_types"] == ['multipart/related; type="application/dicom"', "application/dicom"]


def test_a_single_resource_has_no_body():
    assert capabilities(asked_about(INSTANCE_PATH)) == b""


def test_what_does_not_exist_has_no_options():
    assert refused("/system", method="OPTIONS") is Reason.UNKNOWN_ROUTE
    assert refused("/system", method="OPTIONS", foreign=True) is Reason.UNKNOWN_ROUTE
    assert refused("*", method="OPTIONS") is Reason.INVALID_PATH
    assert refused("/dicom-web/studies/1.2.", method="OPTIONS") is Reason.INVALID_UID


@pytest.mark.parametrize("target", ["/", f"/dicom-web/studies/{STUDY}", "/wado"])
def test_headers_are_checked_and_accept_is_not_read(target):
    assert asked_about(target, headers=[("Accept", "text/html")]) == asked_about(target)
    assert asked_about(target, headers=[("Accept", "nonsense")]) == asked_about(target)
    assert refused(target, method="OPTIONS", headers=[("Content-Length", "1")]) is Reason.UNEXPECTED_BODY
    assert refused(target, method="OPTIONS", headers=[("Transfer-Encoding", "chunked")]) is Reason.UNEXPECTED_BODY
    assert refused(target, method="OPTIONS", headers=[("X-Method", "GET")]) is Reason.FORBIDDEN_HEADER


def test_a_browser_asks_for_leave_with_the_address_it_will_use():
    assert asked_about("/dicom-web/studies?limit=101", foreign=True) == asked_about("/dicom-web/studies")


def test_the_root_has_no_query():
    assert refused("/?x=1") is Reason.INVALID_QUERY
    assert refused("/dicom-web/?", method="HEAD") is Reason.INVALID_QUERY
