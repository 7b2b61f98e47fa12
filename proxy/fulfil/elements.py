"""One element of DICOM JSON (PS3.18 F.2), held to its form. Pure.

Masks and links see attributes only where the standard lets them stand: eight upper-case digits, a value representation,
and datasets in sequences and nowhere else. What has another form is not walked past, it is an error: a name in a place
where nobody looks would be a name that no mask removes.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from proxy.errors import ArchiveError
from proxy.ports import Dataset

TAG: Final = re.compile(r"[0-9A-F]{8}")
VR: Final = re.compile(r"[A-Z]{2}")
PERSON_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")

_GROUPS: Final = frozenset(PERSON_NAME_GROUPS)
_MEMBERS: Final = frozenset({"vr", "Value", "BulkDataURI", "InlineBinary"})
_CONTAINERS: Final = frozenset({dict, list})
FLOATING: Final = frozenset({"DS", "FD", "FL", "OD", "OF"})


Element = dict[str, Any]


def is_name(tag: Any, vr: Any) -> bool:
    """Whether an element may be called this."""
    return type(tag) is str and type(vr) is str and TAG.fullmatch(tag) is not None and VR.fullmatch(vr) is not None


def is_plain(element: Element) -> bool:
    """Whether an element has values and nothing else, and no object or list among them."""
    values = element.get("Value")
    if type(values) is not list or len(element) != 2:
        return False
    if len(values) == 1:
        return type(values[0]) not in _CONTAINERS
    return _CONTAINERS.isdisjoint(map(type, values))


def malformed() -> ArchiveError:
    return ArchiveError("an element of the archive's answer is not DICOM JSON")


def is_private(tag: str) -> bool:
    """Whether a tag is of an odd group (PS3.5 7.8)."""
    return tag[3] in "13579BDFbdf"


def items_of(element: Element) -> list[Dataset]:
    """The items of a sequence; nothing for any other element. Items that are ``null`` are left out.

    :raises ArchiveError: the element has another form than its value representation demands
    """
    values = element.get("Value")
    if values is None:
        return []
    if type(values) is not list:
        raise malformed()
    vr = element["vr"]
    if vr == "SQ":
        if any(type(item) is not dict and item is not None for item in values):
            raise malformed()
        return values if None not in values else [item for item in values if item is not None]
    if vr == "PN":
        if not all(map(_is_person_name, values)):
            raise malformed()
    elif not _CONTAINERS.isdisjoint(map(type, values)):
        raise malformed()
    elif vr in FLOATING and (math.inf in values or -math.inf in values):
        raise malformed()  # a number beyond what a double can hold
    return []


def hold_members(element: Element) -> None:
    """Drop members that the standard does not know.

    :raises ArchiveError: inline binary is not text
    """
    for unknown in element.keys() - _MEMBERS:
        del element[unknown]
    if type(element.get("InlineBinary", "")) is not str:
        raise malformed()


def _is_person_name(value: Any) -> bool:
    if type(value) is dict:
        return bool(value.keys() <= _GROUPS) and all(type(group) is str for group in value.values())
    return value is None or type(value) is str
