"""The JavaScript client of the field, method by method: through the proxy it gets what the archive itself gives it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.dev import dataset
from tests.conformance.comparing import bulk_links, same, sha256
from tests.conformance.files import file
from tests.conformance.javascript import Call, JavaScript
from tests.stack import RelayedStack

pytestmark = pytest.mark.real

STUDY = dataset.study("mr-brain")
SERIES = STUDY.series[0]
INSTANCE = SERIES.instances[0]
OF_STUDY = {"studyInstanceUID": STUDY.uid}
OF_SERIES = {**OF_STUDY, "seriesInstanceUID": SERIES.uid}
MANY = {"limit": "100"}


def instance(name: str, place: int = 0) -> dict[str, Any]:
    study = dataset.study(name)
    (series, *_) = study.series
    return {
        "studyInstanceUID": study.uid,
        "seriesInstanceUID": series.uid,
        "sopInstanceUID": series.instances[place].uid,
    }


def types(*names: str) -> dict[str, Any]:
    """``type`` or ``type syntax``."""
    pairs = [name.partition(" ") for name in names]
    syntaxes = [{"transferSyntaxUID": syntax} if syntax else {} for _, _, syntax in pairs]
    return {"mediaTypes": [{"mediaType": each[0], **syntax} for each, syntax in zip(pairs, syntaxes, strict=True)]}


ONE = instance("mr-brain")
COLOUR, LOOP, DOSE = instance("us-colour"), instance("us-loop"), instance("dose")
RLE, JP2, JLS = (instance("mr-syntaxes", place) for place in (2, 3, 4))
NO_PIXELS, LINKED = instance("report"), instance("mr-overlay")


@dataclass(frozen=True, slots=True)
class Both:
    through: JavaScript
    direct: JavaScript

    def run(self, method: str, *options: dict[str, Any], **more: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Results in pairs, ours first, one for each set of options."""
        calls: list[Call] = [{"method": method, "options": each, **more} for each in options]
        return list(zip(self.through.run(calls), self.direct.run(calls), strict=True))


@pytest.fixture(scope="module")
def both(stack: RelayedStack) -> Both:
    dev = stack.dev
    cert, key = dev.client("radiologist")
    assert dev.archive_auth is not None
    basic = base64.b64encode(":".join(dev.archive_auth).encode()).decode()
    return Both(
        through=JavaScript(dev.url, tls={"cert": cert, "key": key, "ca": dev.ca}),
        direct=JavaScript(dev.archive_url.removesuffix("/dicom-web"), headers={"Authorization": f"Basic {basic}"}),
    )


def equal(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """The same bytes, of the same number of parts."""
    for ours, theirs in pairs:
        assert "value" in theirs, theirs
        assert ours == theirs
        assert "sha256" in str(ours)


def fail(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """What the archive cannot do fails here too, and with a status of ours."""
    for ours, theirs in pairs:
        assert "failed" in theirs, theirs
        assert ours.get("failed") in (400, 404, 406, 502), ours


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("searchForStudies", {}),
        ("searchForStudies", {"queryParams": MANY}),
        ("searchForStudies", {"queryParams": {"PatientID": "NH-1001", "includefield": "00081030"}}),
        ("searchForStudies", {"queryParams": {"ModalitiesInStudy": "MR", **MANY}}),
        ("searchForStudies", {"queryParams": {"StudyDate": "20240101-20240301", "limit": 2, "offset": 1}}),
        ("searchForSeries", {"queryParams": MANY}),
        ("searchForSeries", {**OF_STUDY, "queryParams": {"Modality": "MR"}}),
        ("searchForInstances", {"queryParams": MANY}),
        ("searchForInstances", OF_STUDY),
        ("searchForInstances", {**OF_SERIES, "queryParams": {"includefield": "all"}}),
        ("retrieveStudyMetadata", OF_STUDY),
        ("retrieveSeriesMetadata", OF_SERIES),
        ("retrieveInstanceMetadata", ONE),
        ("retrieveInstanceMetadata", LINKED),
    ],
)
def test_attributes(stack: RelayedStack, both: Both, method: str, options: dict[str, Any]) -> None:
    ((ours, theirs),) = both.run(method, options)
    assert theirs["value"]
    same(stack, ours["value"], theirs["value"])


def test_objects(both: Both) -> None:
    """The library has no way to ask for objects as stored: a type that is named is refused by itself."""
    equal(both.run("retrieveStudy", OF_STUDY))
    equal(both.run("retrieveSeries", OF_SERIES))
    equal(both.run("retrieveInstance", ONE, RLE, JLS, NO_PIXELS))
    fail(both.run("retrieveInstance", JP2))


def test_frames(both: Both) -> None:
    equal(
        both.run(
            "retrieveInstanceFrames",
            {**ONE, "frameNumbers": [1]},
            {**LOOP, "frameNumbers": [1, 2, 30]},
            {**DOSE, "frameNumbers": [15, 3]},
            {**ONE, "frameNumbers": [1], **types("application/octet-stream")},
            {**COLOUR, "frameNumbers": [1], **types("image/jpeg 1.2.840.10008.1.2.4.70")},
            {**JLS, "frameNumbers": [1], **types("image/x-jls")},
            {**RLE, "frameNumbers": [1], **types("image/x-dicom-rle")},
            {**JP2, "frameNumbers": [1], **types("image/jp2 1.2.840.10008.1.2.4.90")},
        )
    )
    # The archive fills its JPEG-LS up with a byte of chance.
    jls = {**COLOUR, "frameNumbers": [1], **types("image/jls 1.2.840.10008.1.2.4.80")}
    ((ours, theirs),) = both.run("retrieveInstanceFrames", jls)
    assert [part["bytes"] for part in ours["value"]] == [part["bytes"] for part in theirs["value"]]
    fail(
        both.run(
            "retrieveInstanceFrames",
            {**ONE, "frameNumbers": [1], **types("image/jp2")},
            {**JP2, "frameNumbers": [1]},
            {**NO_PIXELS, "frameNumbers": [1]},
            {**ONE, "frameNumbers": [7]},
        )
    )


RENDERED = (("retrieveInstance{}", {}), ("retrieveInstanceFrames{}", {"frameNumbers": [1]}))


@pytest.mark.parametrize(("method", "more"), RENDERED)
def test_rendered_images(stack: RelayedStack, both: Both, method: str, more: dict[str, Any]) -> None:
    name = method.format("Rendered")
    equal(
        both.run(
            name,
            {**COLOUR, **more},
            {**COLOUR, **more, "queryParams": {"quality": 50}},
            {**LOOP, **more, **types("image/jpeg")},
            {**COLOUR, **more, **types("image/png")},
            {**ONE, **more, **types("image/jpeg"), "queryParams": {"quality": 80}},
        )
    )
    fail(both.run(name, {**NO_PIXELS, **more, **types("image/jpeg")}, {**JP2, **more, **types("image/png")}))
    # The library escapes commas, which this archive does not undo: it is asked by hand.
    for query in ("viewport=64,64", "quality=80&viewport=64,64", "window=100,200,linear"):
        options = {**ONE, **more, "queryParams": dict(pair.split("=") for pair in query.split("&"))}
        (ours,) = both.through.run([{"method": name, "options": {**options, **types("image/png")}}])
        held = rendered(stack, ONE, query, "image/png")
        assert ours == {"value": [{"bytes": len(held), "sha256": sha256(held)}]}


def test_any_frame_is_rendered(both: Both) -> None:
    equal(both.run("retrieveInstanceFramesRendered", {**LOOP, "frameNumbers": [30], **types("image/png")}))


@pytest.mark.parametrize(("method", "more"), RENDERED)
def test_thumbnails_are_small_rendered_images(
    stack: RelayedStack, both: Both, method: str, more: dict[str, Any]
) -> None:
    """This archive has none; the proxy makes them of what it has."""
    for kind in ("image/jpeg", "image/png"):
        options = {**COLOUR, **more}
        asked: list[dict[str, Any]] = [{**options, **types(kind)}]
        asked += [options] if kind == "image/jpeg" else []
        held = rendered(stack, COLOUR, "viewport=128,128", kind)
        for ours in both.through.run([{"method": method.format("Thumbnail"), "options": each} for each in asked]):
            assert ours == {"value": [{"bytes": len(held), "sha256": sha256(held)}]}


def rendered(stack: RelayedStack, uids: dict[str, Any], query: str, kind: str) -> bytes:
    path = "/studies/{studyInstanceUID}/series/{seriesInstanceUID}/instances/{sopInstanceUID}".format(**uids)
    answer = stack.archived(f"{path}/rendered?{query}", kind)
    assert answer.status_code == 200
    return answer.content


def test_bulk_data(both: Both) -> None:
    ((ours, theirs),) = both.run("retrieveInstanceMetadata", LINKED)
    mine, other = bulk_links(ours["value"]), bulk_links(theirs["value"])
    assert len(mine) == len(other) > 4
    for more, octets in (({}, {}), ({"singlepart": "bulkdata"}, {}), ({}, types("application/octet-stream"))):
        got = both.through.run([_bulk(link, octets, more) for link in mine])
        held = both.direct.run([_bulk(link, octets, {}) for link in other])
        equal(list(zip(got, held, strict=True)))


def _bulk(link: str, options: dict[str, Any], more: dict[str, Any]) -> Call:
    return {"method": "retrieveBulkData", "options": {"BulkDataURI": link, **options}, **more}


def test_uri_service(both: Both) -> None:
    ((ours, theirs),) = both.run("wado", ONE)
    assert ours == theirs
    assert ours["value"][0] == "application/dicom"
    ((ours, theirs),) = both.run("wado", {**JP2, "transferSyntax": "1.2.840.10008.1.2.4.90"})
    assert ours == theirs
    # Of images too the library names a transfer syntax, and the archive's own /wado calls them PNG.
    (image,) = both.through.run([{"method": "wado", "options": {**COLOUR, "contentType": "image/jpeg"}}])
    assert image["value"][0] == "image/jpeg"


def test_store(stack: RelayedStack, both: Both, tmp_path: Path) -> None:
    first, second = file("javascript-1"), file("javascript-2", study="javascript-1")
    paths = []
    for number, each in enumerate((first, second)):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(each.data)
    calls = [
        {"method": "storeInstances", "options": {"datasets": [str(paths[0])]}},
        {"method": "storeInstances", "options": {"studyInstanceUID": first.study, "datasets": [str(paths[1])]}},
    ]
    for result in both.through.run(calls):
        assert "00081199" in str(result["value"])
        assert "00081198" not in str(result["value"])
    ((ours, theirs),) = both.run("retrieveStudy", {"studyInstanceUID": first.study})
    held = sorted(part["sha256"] for part in theirs["value"])
    assert held == sorted(sha256(each.data) for each in (first, second))
    assert sorted(part["sha256"] for part in ours["value"]) == held


def test_denial_is_the_status_that_the_client_shows(stack: RelayedStack) -> None:
    dev = stack.dev
    cert, key = dev.client("rooted")
    rooted = JavaScript(dev.url, tls={"cert": cert, "key": key, "ca": dev.ca})
    assert rooted.run([{"method": "searchForStudies"}]) == [{"failed": 403}]
