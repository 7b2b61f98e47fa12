"""Reads the Native DICOM Model (PS3.19 A.1) and DICOM JSON (PS3.18 F) into one form, so that they can be compared."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any, Final

from pydicom.datadict import keyword_for_tag

NAMESPACE: Final = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")

Plain = dict[str, tuple[str, Any]]
"""Tag -> VR and content: items, ``{number: value}``, or a link."""


def from_json(dataset: dict[str, Any]) -> Plain:
    return {tag: (element["vr"], _json_content(element)) for tag, element in dataset.items() if tag[4:] != "0000"}


def _json_content(element: dict[str, Any]) -> Any:
    for name in ("BulkDataURI", "InlineBinary"):
        if name in element:
            return name, element[name]
    values = element.get("Value", [])
    if element["vr"] == "SQ":
        return [from_json(item or {}) for item in values]
    read = {number: _json_value(value) for number, value in enumerate(values, 1)}
    return {number: value for number, value in read.items() if value not in ("", {}, None)}


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {group: text.rstrip("^") for group, text in value.items() if text.rstrip("^")}
    return value if value is None else _text(str(value))


def from_xml(document: bytes) -> Plain:
    root = ElementTree.fromstring(document)
    assert root.tag == f"{NAMESPACE}NativeDicomModel"
    return _attributes(root)


def _attributes(parent: ElementTree.Element) -> Plain:
    found: Plain = {}
    for child in parent:
        assert child.tag == f"{NAMESPACE}DicomAttribute"
        tag = child.attrib["tag"]
        assert re.fullmatch("[0-9A-F]{8}", tag)
        assert tag not in found
        assert child.get("keyword", "") == keyword_for_tag(int(tag, 16))
        found[tag] = (child.attrib["vr"], _xml_content(child))
    return found


def _xml_content(attribute: ElementTree.Element) -> Any:
    numbered: dict[int, Any] = {}
    items: list[Plain] = []
    for child in attribute:
        match child.tag.removeprefix(NAMESPACE):
            case "BulkData":
                return "BulkDataURI", child.attrib["uri"]
            case "InlineBinary":
                return "InlineBinary", child.text or ""
            case "Item":
                items.append(_attributes(child))
                assert child.attrib["number"] == str(len(items))
            case "Value":
                numbered[int(child.attrib["number"])] = _text(child.text or "")
            case "PersonName":
                numbered[int(child.attrib["number"])] = _name(child)
            case other:
                raise AssertionError(other)
    if attribute.attrib["vr"] == "SQ":
        return items
    return {number: value for number, value in numbered.items() if value not in ("", {})}


def _name(person: ElementTree.Element) -> dict[str, str]:
    groups = {}
    for group in GROUPS:
        element = person.find(f"{NAMESPACE}{group}")
        if element is not None:
            parts = [element.findtext(f"{NAMESPACE}{name}") or "" for name in COMPONENTS]
            groups[group] = "^".join(parts).rstrip("^")
    return {group: text for group, text in groups.items() if text}


def _text(text: str) -> str:
    """Numbers in one spelling: JSON has them as numbers, XML as text."""
    try:
        return repr(float(text)) if re.fullmatch(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?", text.strip()) else text
    except ValueError:
        return text
