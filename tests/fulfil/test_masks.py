from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR

from proxy.errors import ArchiveError
from proxy.fulfil.masks import Mask, mask_of
from tests.fulfil.building import datasets, element, mask, obligation

NAME = element("PN", {"Alphabetic": "DOE^JANE"})


def made(*attributes: str, blank: tuple[str, ...] = ()) -> Mask:
    found = mask_of([mask(*attributes, blank=blank)])
    assert found is not None
    return found


def test_no_mask_is_none() -> None:
    assert mask_of([]) is None
    assert mask_of([obligation("hide")]) is None


def test_equal_obligations_are_compiled_once() -> None:
    assert made("PatientName", "private") is made("PatientName", "private")


def test_masked_attributes_are_removed_or_blanked_at_every_depth() -> None:
    item = {"00100010": NAME, "00080060": element("CS", "CT"), "00100020": element("LO", "P1")}
    row = copy.deepcopy(item) | {"00400275": element("SQ", copy.deepcopy(item) | {"00400275": element("SQ", item)})}
    made("PatientName", blank=("PatientID",)).apply(row)
    inner = {"00080060": element("CS", "CT"), "00100020": {"vr": "LO"}}
    assert row == inner | {"00400275": element("SQ", inner | {"00400275": element("SQ", inner)})}


def test_blank_keeps_nothing_of_any_value() -> None:
    row = {
        "00420011": {"vr": "OB", "BulkDataURI": "http://archive/secret"},
        "00091001": {"vr": "UN", "InlineBinary": "c2VjcmV0"},
        "00400275": element("SQ", {"00100010": NAME}),
    }
    made("PatientID", blank=("VR:OB", "VR:SQ", "private")).apply(row)
    assert row == {"00420011": {"vr": "OB"}, "00091001": {"vr": "UN"}, "00400275": {"vr": "SQ"}}


def test_two_masks_add_up_and_removal_wins() -> None:
    both = mask_of([mask("PatientName", blank=["PatientID"]), mask("PatientID", blank=["PatientName", "PatientSex"])])
    assert both is not None
    row = {"00100010": NAME, "00100020": element("LO", "P1"), "00100040": element("CS", "F")}
    both.apply(row)
    assert row == {"00100040": {"vr": "CS"}}


@pytest.mark.parametrize(
    ("selector", "hidden", "shown"),
    [
        ("PatientName", ["00100010"], ["00100020"]),
        ("0010001a", ["0010001A"], ["00100010"]),
        ("VR:PN", ["00100010", "00080090", "00091001", "00100099"], ["00100020", "00080060"]),
        ("group:0009", ["00090010", "00091001"], ["00190010", "00100010"]),
        ("group:60fe", ["60FE3000"], ["60003000"]),
        ("private", ["00090010", "00191001", "000B0010"], ["00100010", "00080060", "000A0010"]),
        ("OverlayData", ["60003000", "601E3000"], ["60003010"]),
        ("Modality", ["00080060", "00080061"], ["00080062"]),
        ("SOPClassUID", ["00080016", "00080062"], ["00080018"]),
        ("PatientBirthDate", ["00100030", "00101010"], ["00100032"]),
    ],
)
def test_selector_hides_what_it_names_and_no_more(selector: str, hidden: list[str], shown: list[str]) -> None:
    for found in (made(selector), made("PatientWeight", blank=(selector,))):
        assert all(found.hides(tag) and found.hides(tag.lower()) for tag in hidden)
        assert not any(found.hides(tag) for tag in shown)


def test_representation_is_the_elements_own_and_the_dictionarys_where_the_archive_knew_none() -> None:
    row = {"00091001": NAME, "00080090": element("UN", "DOE"), "00080060": element("CS", "CT")}
    made("VR:PN").apply(row)
    assert row == {"00080060": element("CS", "CT")}


@pytest.mark.parametrize(
    "row",
    [
        {"PatientName": NAME},
        {"0010001": NAME},
        {"0010000a": NAME},
        {"00100010": "DOE"},
        {"00100010": None},
        {"00100010": {"Value": ["DOE"]}},
        {"00100010": {"vr": ["PN"]}},
        {"00100010": {"vr": "P"}},
        {"00100010": {"vr": "pn"}},
        {"00081110": {"vr": "SQ", "Value": {"00100010": NAME}}},
        {"00081110": {"vr": "SQ", "Value": ["DOE"]}},
        {"00081110": {"vr": "SQ", "Value": [{"PatientName": NAME}]}},
    ],
)
def test_what_is_not_dicom_json_is_an_error_and_not_passed_by(row: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError):
        made("PatientID").apply(row)


SELECTORS = ["PatientName", "00100030", "Modality", "VR:PN", "VR:FD", "VR:SQ", "group:0008", "group:60AB", "private"]
_SOURCES = {"00080061": ("00080060", "CS"), "00101010": ("00100030", "DA"), "00080062": ("00080016", "UI")}


def picked(selector: str, tag: str, vr: str) -> bool:
    """The same rule, said another way."""
    if selector.startswith("VR:"):
        named = _dictionary(tag)
        own = selector[3:] in (vr, *named.split(" or ")) or (vr == "UN" and not named)
    elif selector.startswith("group:"):
        own = tag.startswith(selector[6:])
    elif selector == "private":
        own = int(tag[:4], 16) % 2 == 1
    else:
        own = tag == {"PatientName": "00100010", "Modality": "00080060"}.get(selector, selector)
    return own or (tag in _SOURCES and picked(selector, *_SOURCES[tag]))


def _dictionary(tag: str) -> str:
    try:
        return str(dictionary_VR(int(tag, 16)))
    except KeyError:
        return ""


def expected(row: dict[str, Any], remove: list[str], blank: list[str]) -> dict[str, Any]:
    out = {}
    for tag, each in row.items():
        if any(picked(selector, tag, each["vr"]) for selector in remove):
            continue
        if any(picked(selector, tag, each["vr"]) for selector in blank):
            out[tag] = {"vr": each["vr"]}
        elif each["vr"] == "SQ":
            out[tag] = {"vr": "SQ", "Value": [expected(item, remove, blank) for item in each["Value"]]}
        else:
            out[tag] = each
    return out


@given(datasets, st.lists(st.sampled_from(SELECTORS), max_size=3), st.lists(st.sampled_from(SELECTORS), max_size=2))
def test_mask_leaves_nothing_masked_at_any_depth_and_all_else_untouched(
    row: dict[str, Any], remove: list[str], blank: list[str]
) -> None:
    wanted = expected(copy.deepcopy(row), remove, blank)
    made(*remove, "PatientWeight", blank=tuple(blank)).apply(row)
    assert row == wanted


@pytest.mark.parametrize(("tag", "vr"), [("00100010", "LO"), ("00100010", "UN"), ("00091002", "UN")])
def test_mask_by_representation_holds_whatever_the_file_calls_it(tag: str, vr: str) -> None:
    row = {tag: {"vr": vr, "Value": ["Secret^Name"]}}
    made("VR:PN").apply(row)
    assert row == {}
