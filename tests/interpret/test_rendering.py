"""Rendering parameters: one way to write each, and nothing that an archive reads in its own way."""

from __future__ import annotations

import pytest

from proxy.interpret import headers_of, target_of
from proxy.model import Reason, Rendering

from .building import INSTANCE_PATH, STUDY, accepted, refused

RENDERED = f"{INSTANCE_PATH}/rendered"
THUMBNAIL = f"/dicom-web/studies/{STUDY}/thumbnail"


def parameters(query: str) -> dict[str, str]:
    rendering = accepted(f"{RENDERED}?{query}").rendering
    assert rendering is not None
    return dict(rendering.parameters)


def test_parameters_have_one_order_and_one_escape():
    first = accepted(f"{RENDERED}?window=40,400,linear&viewport=512%2C512&annotation=technique,patient&quality=90")
    second = accepted(f"{RENDERED}?quality=90&annotation=patient%2Ctechnique&viewport=512,512&window=40.0,400,linear")
    assert first == second
    assert first.rendering == Rendering(
        parameters=(
            ("annotation", "patient,technique"),
            ("quality", "90"),
            ("viewport", "512,512"),
            ("window", "40,400,linear"),
        )
    )
    assert (
        target_of(first) == f"{RENDERED}?annotation=patient,technique&quality=90&viewport=512,512&window=40,400,linear"
    )


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("viewport=1,4096", "1,4096"),
        ("viewport=512,512,0,0,65535,1", "512,512,0,0,65535,1"),
        ("viewport=,,10,20,30,40", ",,10,20,30,40"),
        ("window=-600,1500,linear", "-600,1500,linear"),
        ("window=40.50,0.1,linear-exact", "40.5,0.1,linear-exact"),
        ("window=-0.0,1,sigmoid", "0,1,sigmoid"),
        ("window=1234567890123456,1,sigmoid", "1234567890123456,1,sigmoid"),
        ("quality=1", "1"),
        ("quality=100", "100"),
        ("annotation=patient", "patient"),
        ("iccprofile=srgb", "srgb"),
        ("iccprofile=no", "no"),
    ],
)
def test_values_at_their_limits(query, canonical):
    assert parameters(query) == {query.partition("=")[0]: canonical}


@pytest.mark.parametrize(
    "query",
    [
        "viewport=0,0",
        "viewport=0,10",
        "viewport=10,0",
        "viewport=4097,10",
        "viewport=-1,10",
        "viewport=10",
        "viewport=10,",
        "viewport=,10",
        "viewport=,",
        "viewport=10,10,0,0",
        "viewport=10,,0,0,1,1",
        "viewport=10,10,0,0,0,1",
        "viewport=10,10,0,0,1,0",
        "viewport=10,10,0,0,65536,1",
        "viewport=10,10,,,1,1",
        "viewport=10,10,-1,0,1,1",
        "viewport=1.5,2",
        "viewport=010,10",
        "viewport=+10,10",
        "viewport=10,10,0,0,1,1,1",
        "viewport=",
        "viewport",
        "window=40,400",
        "window=40,400,",
        "window=40,400,LINEAR",
        "window=40,400,cubic",
        "window=40,0,linear",
        "window=40,0.0,linear",
        "window=40,-1,linear",
        "window=1e2,400,linear",
        "window=%2B40,400,linear",
        "window=+40,400,linear",
        "window=.5,400,linear",
        "window=5.,400,linear",
        "window=040,400,linear",
        "window=12345678901234567,1,linear",
        "window=nan,1,linear",
        "window=40,inf,linear",
        "window=40,400,linear,1",
        "quality=0",
        "quality=101",
        "quality=050",
        "quality=9.5",
        "quality=",
        "annotation=",
        "annotation=patient,patient",
        "annotation=Patient",
        "annotation=all",
        "iccprofile=SRGB",
        "iccprofile=",
        "viewport=1,1&viewport=1,1",
        "quality=1&quality=2",
        "accept=image/png",
        "charset=utf-8",
        "_method=delete",
        "Viewport=1,1",
        "frame=1",
        "&",
        "quality=1&",
    ],
)
def test_another_parameter_or_value_is_refused(query):
    assert refused(f"{RENDERED}?{query}") is Reason.INVALID_QUERY


def test_a_thumbnail_takes_a_size_and_nothing_else():
    small = accepted(f"{THUMBNAIL}?viewport=64,48")
    assert small.rendering == Rendering(thumbnail=True, parameters=(("viewport", "64,48"),))
    for query in ("viewport=64,48,0,0,1,1", "quality=50", "window=1,2,linear", "viewport=0,0", "iccprofile=no"):
        assert refused(f"{THUMBNAIL}?{query}") is Reason.INVALID_QUERY


def test_the_archive_renders_a_thumbnail():
    assert target_of(accepted(THUMBNAIL)) == f"/dicom-web/studies/{STUDY}/rendered?viewport=128,128"
    assert target_of(accepted(f"{THUMBNAIL}?viewport=9,8")) == f"/dicom-web/studies/{STUDY}/rendered?viewport=9,8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/png, image/jpeg", "image/jpeg"),
        ("image/png, image/jpeg;q=0.9", "image/png"),
        ("image/jpeg;q=0, image/*", "image/png"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "image/jpeg"),  # a browser's img
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/png"),  # Firefox
    ],
)
def test_an_image_is_jpeg_or_png(accept, expected):
    for target in (RENDERED, THUMBNAIL):
        request = accepted(target, headers=[("Accept", accept)])
        assert (request.media_type, headers_of(request)[0]) == (expected, ("Accept", expected))


@pytest.mark.parametrize(
    "accept",
    ["image/gif", "application/dicom", 'multipart/related; type="image/jpeg"', "image/jpeg;x=1", "video/mp4", "text/*"],
)
def test_an_image_of_another_kind_is_not_acceptable(accept):
    for target in (RENDERED, THUMBNAIL):
        assert refused(target, headers=[("Accept", accept)]) is Reason.NOT_ACCEPTABLE
