"""WADO-URI: the same values by another name, and never another meaning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.interpret import target_of
from proxy.model import Action, Reason, Rendering, Representation

from .building import INSTANCE, INSTANCE_PATH, SERIES, STUDY, accepted, refused

UIDS = f"studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"
WADO = f"/wado?requestType=WADO&{UIDS}"
OBJECT = WADO + "&contentType=application/dicom"
ACCEPT_ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def test_an_object_is_the_retrieve_of_an_instance_by_itself():
    expected = accepted(INSTANCE_PATH, headers=[("Accept", ACCEPT_ANY_SYNTAX), ("Purpose-Of-Use", "TREAT")])
    found = accepted(OBJECT, headers=[("Purpose-Of-Use", "TREAT")])
    assert found == replace(expected, bare=True)
    assert target_of(found) == INSTANCE_PATH


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "*"])
def test_the_transfer_syntax_of_an_object(syntax):
    # the very address that dicomweb-client builds
    target = f"{OBJECT}&transferSyntax={syntax}"
    assert accepted(target).transfer_syntax == syntax
    assert accepted(target.replace("application/dicom", "application%2Fdicom")) == accepted(target)


def test_an_image_is_the_rendering_of_an_instance_or_a_frame():
    assert accepted(WADO) == accepted(f"{INSTANCE_PATH}/rendered")
    found = accepted(
        f"{WADO}&frameNumber=3&rows=480&columns=640&windowWidth=400.0&windowCenter=-40&imageQuality=80"
        "&contentType=image/png"
    )
    assert found == accepted(
        f"{INSTANCE_PATH}/frames/3/rendered?viewport=640,480&window=-40,400,linear&quality=80",
        headers=[("Accept", "image/png")],
    )
    assert (found.action, found.representation) == (Action.RENDER, Representation.IMAGE)
    assert target_of(found).startswith(f"{INSTANCE_PATH}/frames/3/rendered?")


def test_order_does_not_matter_and_what_changes_nothing_is_dropped():
    shuffled = (
        f"/wado?charset=UTF-8&objectUID={INSTANCE}&anonymize=no&seriesUID={SERIES}&requestType=WADO&studyUID={STUDY}"
    )
    assert accepted(shuffled) == accepted(WADO)
    assert accepted(WADO).rendering == Rendering()


@pytest.mark.parametrize(
    ("content_type", "accept", "expected"),
    [
        (None, None, "image/jpeg"),
        (None, "*/*", "image/jpeg"),
        (None, "image/png", "image/png"),
        (None, "image/webp,image/*;q=0.5", "image/jpeg"),
        (None, "text/html", "image/jpeg"),
        ("image/png", "image/jpeg", "image/png"),
        ("image/png,image/jpeg", None, "image/png"),
        ("image/gif,image/jpeg,image/png", None, "image/jpeg"),
        ("image/jpeg%3Bq=0.5,image/png", None, "image/png"),
        ("image/*", None, "image/jpeg"),
        ("*/*", None, "image/jpeg"),
        ("text/html,application/dicom,image/jpeg", None, "application/dicom"),
    ],
)
def test_the_type_is_the_first_we_can_give(content_type, accept, expected):
    target = WADO if content_type is None else f"{WADO}&contentType={content_type}"
    assert accepted(target, headers=[] if accept is None else [("Accept", accept)]).media_type == expected


@pytest.mark.parametrize(
    "content_type", ["image/gif", "text/html", "application/dicom%2Bjson", "image/jpeg%3Bq=0", "application/*"]
)
def test_a_type_that_cannot_be_given_is_not_acceptable(content_type):
    assert refused(f"{WADO}&contentType={content_type}") is Reason.NOT_ACCEPTABLE
    assert refused(WADO, headers=[("Accept", "image/gif")]) is Reason.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    "target",
    [
        "/wado",
        "/wado?",
        f"/wado?{UIDS}",
        f"/wado?requestType=wado&{UIDS}",
        f"/wado?requestType=STOW&{UIDS}",
        f"/wado?RequestType=WADO&{UIDS}",
        f"/wado?requestType=WADO&objectUID={INSTANCE}",
        f"/wado?requestType=WADO&studyUID={STUDY}&objectUID={INSTANCE}",
        f"/wado?requestType=WADO&seriesUID={SERIES}&objectUID={INSTANCE}",
        f"/wado?requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}",
        f"{WADO}&objectUID={INSTANCE}",
        f"{WADO}&studyuid={STUDY}",
        f"{WADO}&contentType=",
        f"{WADO}&contentType=image",
        f"{WADO}&contentType=image/png&contentType=image/jpeg",
        f"{WADO}&charset=iso-8859-1",
        f"{WADO}&anonymize=yes",
        f"{WADO}&annotation=patient",
        f"{WADO}&region=0,0,1,1",
        f"{WADO}&presentationUID=1.2",
        f"{WADO}&presentationSeriesUID=1.2",
        f"{WADO}&overlays=yes",
        f"{WADO}&frameNumber=0",
        f"{WADO}&frameNumber=1,2",
        f"{WADO}&frameNumber=",
        f"{WADO}&rows=10",
        f"{WADO}&columns=10",
        f"{WADO}&rows=0&columns=10",
        f"{WADO}&rows=10,1,1,1,1&columns=10",
        f"{WADO}&windowCenter=1",
        f"{WADO}&windowWidth=1",
        f"{WADO}&windowCenter=1&windowWidth=0",
        f"{WADO}&windowCenter=1,2&windowWidth=3",
        f"{WADO}&imageQuality=0",
        f"{WADO}&transferSyntax=1.2.840.10008.1.2.1",
        f"{WADO}&viewport=10,10",
        f"{WADO}&_method=delete",
        f"{WADO}&",
        f"{OBJECT}&transferSyntax=1.2.",
        f"{OBJECT}&transferSyntax=",
        f"{OBJECT}&transferSyntax=1.2&transferSyntax=1.3",
        f"{OBJECT}&frameNumber=1",
        f"{OBJECT}&rows=10&columns=10",
        f"{OBJECT}&imageQuality=50",
    ],
)
def test_another_query_is_refused(target):
    assert refused(target) is Reason.INVALID_QUERY


@pytest.mark.parametrize("name", ["studyUID", "seriesUID", "objectUID"])
@pytest.mark.parametrize("value", ["", "1.2.", "..", "1.2,1.3", "%2e%2e", "1.2%5C1.3", "*"])
def test_a_uid_that_is_not_one_is_refused(name, value):
    original = {"studyUID": STUDY, "seriesUID": SERIES, "objectUID": INSTANCE}[name]
    assert refused(WADO.replace(f"{name}={original}", f"{name}={value}")) is Reason.INVALID_UID


def test_a_broken_accept_is_refused_here_too():
    assert refused(WADO, headers=[("Accept", "image")]) is Reason.MALFORMED_REQUEST
    assert refused(WADO, headers=[("X-HTTP-Method-Override", "DELETE")]) is Reason.FORBIDDEN_HEADER
