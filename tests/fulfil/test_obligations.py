from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.fulfil import Fulfilling
from proxy.model import Action, DicomRequest, Obligation, Reason, Rendering, Representation
from tests.fulfil.building import PUBLIC, mask, obligation, read, search

unmet = Fulfilling(PUBLIC).unmet

METADATA = read(Action.METADATA, Representation.JSON)
XML = read(Action.METADATA, Representation.XML)
FILES = read(Action.RETRIEVE, Representation.DICOM)
FRAMES = read(Action.RETRIEVE, Representation.PIXELS, frames=(1,))
IMAGE = read(Action.RENDER, Representation.IMAGE)
STORE = read(Action.STORE, Representation.JSON, instance=None, series=None)
ALL = [
    search(),
    METADATA,
    XML,
    FILES,
    FRAMES,
    IMAGE,
    STORE,
    read(Action.BULKDATA, Representation.BULK, bulk=("00420011",)),
]


def bulk(*path: str) -> DicomRequest:
    return read(Action.BULKDATA, Representation.BULK, bulk=path)


@pytest.mark.parametrize("request_", ALL)
def test_what_asks_nothing_of_the_answer_is_met(request_: DicomRequest) -> None:
    assert unmet(request_, ()) is None
    assert unmet(request_, [obligation("filter_rows"), obligation("hide"), obligation("limit", bytes=5)]) is None


@pytest.mark.parametrize("request_", ALL)
def test_seal_is_not_yet(request_: DicomRequest) -> None:
    assert unmet(request_, [obligation("seal")]) is Reason.NOT_YET


@pytest.mark.parametrize("kinds", [["juggle"], ["filter_rows", "juggle"], ["seal", ""], ["SEAL"]])
def test_unknown_obligation_denies(kinds: list[str]) -> None:
    for request in ALL:
        assert unmet(request, [obligation(kind) for kind in kinds]) is Reason.OBLIGATION_UNKNOWN


@given(st.text(max_size=12))
def test_no_obligation_of_unknown_type_is_ever_forgotten(kind: str) -> None:
    known = {"filter_rows", "hide", "limit"}
    assert (unmet(search(), [obligation(kind)]) is None) == (kind in known)


@pytest.mark.parametrize(
    ("body", "met"),
    [
        ({"attribute": "00100020", "values": ["A"]}, True),
        ({"attribute": "0020000D", "values": ["1.2", "not a uid"]}, True),
        ({"attribute": "00080060", "values": ["CT"]}, False),
        ({"attribute": "00100020", "values": []}, False),
        ({"attribute": "00100020", "values": "A"}, False),
        ({"attribute": "00100020", "values": [1]}, False),
        ({"attribute": "00100020", "values": [""]}, False),
        ({"attribute": ["00100020"], "values": ["A"]}, False),
        ({}, False),
    ],
)
def test_match_is_met_on_what_can_be_enforced(body: dict[str, Any], met: bool) -> None:
    assert unmet(search(), [obligation("match", **body)]) is (None if met else Reason.OBLIGATION_UNKNOWN)


@pytest.mark.parametrize("request_", ALL[1:])
def test_match_on_anything_but_a_search_denies(request_: DicomRequest) -> None:
    wanted = obligation("match", attribute="00100020", values=["A"])
    assert unmet(request_, [wanted]) is Reason.OBLIGATION_UNKNOWN


@pytest.mark.parametrize(
    "malformed",
    [
        obligation("mask"),
        mask(),
        mask("NoSuchKeyword"),
        mask(""),
        mask("VR:QQ"),
        mask("VR:"),
        mask("group:9"),
        mask("0010001"),
        mask("PatientName", "privat"),
        mask("PatientName", blank=["Patient Name"]),
        obligation("mask", attributes="PatientName"),
        obligation("mask", attributes=[16]),
    ],
)
def test_mask_that_names_nothing_known_denies(malformed: Obligation) -> None:
    for request in (METADATA, STORE):
        assert unmet(request, [mask("PatientName"), malformed]) is Reason.OBLIGATION_UNKNOWN


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (search(), None),
        (METADATA, None),
        (XML, None),
        (FILES, Reason.MASK_NOT_POSSIBLE),
        (FRAMES, None),
        (IMAGE, None),
        (STORE, None),
        (read(Action.RETRIEVE, Representation.BULK), Reason.MASK_NOT_POSSIBLE),
        (read(Action.BULKDATA, Representation.BULK), Reason.MASK_NOT_POSSIBLE),
    ],
)
def test_mask_is_met_where_it_can_be(request_: DicomRequest, reason: Reason | None) -> None:
    assert unmet(request_, [mask("PatientName")]) is reason
    assert unmet(request_, [obligation("mask", blank=["PatientName"])]) is reason


@pytest.mark.parametrize(
    "selector", ["PixelData", "7FE00010", "7fe00008", "DoubleFloatPixelData", "group:7FE0", "VR:OW"]
)
def test_masked_pixels_are_not_shown(selector: str) -> None:
    for request in (FRAMES, IMAGE):
        assert unmet(request, [mask(selector)]) is Reason.MASK_NOT_POSSIBLE
    assert unmet(METADATA, [mask(selector)]) is None


def test_masked_image_is_rendered_without_annotations_only() -> None:
    def rendered(**parameters: str) -> DicomRequest:
        return read(Action.RENDER, Representation.IMAGE, rendering=Rendering(parameters=tuple(parameters.items())))

    assert unmet(rendered(quality="90"), [mask("PatientName")]) is None
    assert unmet(rendered(annotation="patient"), [mask("PatientName")]) is Reason.MASK_NOT_POSSIBLE
    assert unmet(rendered(annotation="patient"), []) is None


@pytest.mark.parametrize(
    ("path", "masked", "possible"),
    [
        (("00420011",), ["PatientName"], True),
        (("00420011",), ["EncapsulatedDocument"], False),
        (("00420011",), ["VR:OB"], False),
        (("00420011",), ["group:0042"], False),
        (("54000100", "1", "54001010"), ["PatientName"], True),
        (("54000100", "1", "54001010"), ["54000100"], False),
        (("54000100", "1", "54001010"), ["VR:SQ"], False),
        (("54000100",), ["PatientName"], False),
        (("00091010",), ["PatientName"], False),
        (("00091010", "1", "00420011"), ["PatientName"], False),
        (("00420099",), ["PatientName"], False),
        (("60003000",), ["PatientName"], True),
        (("6000300a",), ["PatientName"], False),
        (("7fe00010",), ["PatientName"], True),
        (("7fe00010",), ["PixelData"], False),
    ],
)
def test_bulk_data_is_given_unless_its_path_may_hold_what_is_masked(
    path: tuple[str, ...], masked: list[str], possible: bool
) -> None:
    assert unmet(bulk(*path), [mask(*masked)]) is (None if possible else Reason.MASK_NOT_POSSIBLE)
    assert unmet(bulk(*path), [obligation("mask", blank=masked)]) is (None if possible else Reason.MASK_NOT_POSSIBLE)
    assert unmet(bulk(*path), []) is None


@pytest.mark.parametrize("uid", ["StudyInstanceUID", "0020000E", "SOPInstanceUID", "VR:UI", "group:0008", "group:0020"])
def test_what_names_the_object_cannot_be_masked(uid: str) -> None:
    for request in (search(), METADATA, XML):
        assert unmet(request, [mask(uid)]) is Reason.MASK_NOT_POSSIBLE
        assert unmet(request, [obligation("mask", blank=[uid])]) is Reason.MASK_NOT_POSSIBLE


@pytest.mark.parametrize(
    ("selector", "tag"),
    [
        ("PatientName", "00100010"),
        ("00100010", "00100010"),
        ("VR:PN", "00100010"),
        ("VR:PN", "00080090"),
        ("group:0010", "00100020"),
        ("Modality", "00080061"),
        ("00080060", "00080061"),
        ("SOPClassUID", "00080062"),
        ("PatientBirthDate", "00101010"),
        ("VR:DA", "00101010"),
        ("private", "00091001"),
        ("group:0009", "00091001"),
        ("VR:PN", "00091001"),
        ("VR:PN", "00100099"),
        ("OverlayData", "60023000"),
    ],
)
def test_search_that_asks_after_a_masked_attribute_is_refused(selector: str, tag: str) -> None:
    for obligations in ([mask(selector)], [mask("RequestAttributesSequence"), obligation("mask", blank=[selector])]):
        assert unmet(search(match={tag: "A"}), obligations) is Reason.QUERY_NOT_PERMITTED
        assert unmet(search(include=("00081030", tag)), obligations) is Reason.QUERY_NOT_PERMITTED


def test_search_on_other_attributes_goes_on() -> None:
    researcher = [mask("VR:PN", "PatientBirthDate", "PatientID", "private")]
    assert unmet(search(match={"00080060": "CT", "0020000D": "1.2"}, include=("all",)), researcher) is None
