from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from pydicom.datadict import keyword_for_tag

from proxy.errors import ArchiveError
from proxy.fulfil.dicom_xml import native
from tests.fulfil.building import dataset, datasets, element

NS = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
COMPONENTS = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"]


def parsed(row: dict[str, Any]) -> ElementTree.Element:
    root = ElementTree.fromstring(native(row))
    assert root.tag == f"{NS}NativeDicomModel"
    assert root.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
    return root


def legal(text: str) -> str:
    """What XML 1.0 2.2 can hold of a text."""
    kept = (
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "\ufffd"
        for c in text
    )
    return "".join(kept)


def values_of(attribute: ElementTree.Element) -> list[Any]:
    found: list[Any] = []
    for child in attribute:
        assert child.tag in {f"{NS}Value", f"{NS}PersonName", f"{NS}Item"}
        number = int(child.get("number", "0"))
        found += [None] * (number - 1 - len(found))
        if child.tag == f"{NS}Item":
            found.append(tree(child))
        elif child.tag == f"{NS}PersonName":
            found.append({group.tag.removeprefix(NS): name_of(group) for group in child})
        else:
            found.append(child.text or "")
    return found


def name_of(group: ElementTree.Element) -> list[str]:
    return [group.findtext(NS + component) or "" for component in COMPONENTS]


def tree(parent: ElementTree.Element) -> dict[str, Any]:
    return {each.attrib["tag"]: (each.attrib["vr"], values_of(each)) for each in parent}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        tag: (each["vr"], trimmed([value(item) for item in each.get("Value", [])]))
        for tag, each in row.items()
        if not tag.endswith("0000")
    }


def trimmed(values: list[Any]) -> list[Any]:
    while values and values[-1] is None:
        values.pop()
    return values


def value(item: Any) -> Any:
    if item is None:
        return None
    if isinstance(item, str):
        return legal(item)
    if not isinstance(item, dict):
        return repr(item)
    if item.keys() <= {"Alphabetic", "Ideographic", "Phonetic"} and item:
        return {group: (list(map(legal, text.split("^", 4))) + [""] * 4)[:5] for group, text in item.items() if text}
    return plain(item)


@given(datasets)
def test_xml_says_what_the_json_said(row: dict[str, Any]) -> None:
    assert tree(parsed(row)) == plain(row)


def test_example_of_the_standard() -> None:
    row = dataset(
        _00100010=element("PN", {"Alphabetic": "Wang^XiaoDong^^Dr^MD", "Ideographic": "王^小東"}),
        _00081110=element("SQ", {"00081150": element("UI", "1.2.840")}, {}),
        _00280030=element("DS", 0.5, 2),
        _7FE00010={"vr": "OW", "BulkDataURI": "https://pacs.example/bulk?a&b"},
        _00420011={"vr": "OB", "InlineBinary": "AAEC"},
        _00100020={"vr": "LO"},
    )
    text = native(row).decode()
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns=')
    for wanted in (
        '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1"><Alphabetic>'
        "<FamilyName>Wang</FamilyName><GivenName>XiaoDong</GivenName><NamePrefix>Dr</NamePrefix>"
        "<NameSuffix>MD</NameSuffix></Alphabetic><Ideographic><FamilyName>王</FamilyName><GivenName>小東</GivenName>"
        "</Ideographic></PersonName></DicomAttribute>",
        '<Item number="1"><DicomAttribute tag="00081150" vr="UI" keyword="ReferencedSOPClassUID">'
        '<Value number="1">1.2.840</Value></DicomAttribute></Item><Item number="2"></Item>',
        '<Value number="1">0.5</Value><Value number="2">2</Value>',
        '<BulkData uri="https://pacs.example/bulk?a&amp;b"/>',
        "<InlineBinary>AAEC</InlineBinary>",
        '<DicomAttribute tag="00100020" vr="LO" keyword="PatientID"/>',
    ):
        assert wanted in text
    for attribute in parsed(row):
        assert attribute.get("keyword") == keyword_for_tag(int(attribute.attrib["tag"], 16))


def test_private_attributes_name_the_creator_of_their_own_dataset() -> None:
    inner = {"00090010": element("LO", 'IN "NER" & <CO>\n'), "00091001": element("LO", "a")}
    row = {
        "00090010": element("LO", "OUTER"),
        "00091001": element("LO", "b"),
        "00091101": element("LO", "nobody's"),
        "00091002": element("SQ", inner),
    }
    root = parsed(row)
    found = {(each.get("tag"), each.get("privateCreator")) for each in root.iter(f"{NS}DicomAttribute")}
    assert found == {
        ("00090010", None),
        ("00091001", "OUTER"),
        ("00091101", None),
        ("00091002", "OUTER"),
        ("00091001", 'IN "NER" & <CO>\n'),
    }


@pytest.mark.parametrize("text", ["</Value><x>", "]]>", "a\r\nb\rc\td", "&amp;<!--", "\x00\x1b$B\ufffe\ud800", "😀"])
def test_no_text_of_an_object_breaks_out_of_its_value(text: str) -> None:
    (attribute,) = parsed({"00104000": element("LT", text)})
    assert [child.text for child in attribute] == [legal(text)]


def test_group_lengths_are_left_out() -> None:
    assert len(parsed({"00080000": element("UL", 12)})) == 0


@pytest.mark.parametrize("bad", [True, ["a"], {"a": "b"}])
def test_value_without_a_form_in_xml_is_an_error(bad: Any) -> None:
    with pytest.raises(ArchiveError):
        native({"00104000": element("LT", bad)})
