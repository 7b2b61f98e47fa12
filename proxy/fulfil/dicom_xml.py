"""Native DICOM Model (PS3.19 A.1) written from DICOM JSON. Pure.

Written by us from what was filtered: nothing here could be sure of hiding an attribute in XML that an archive wrote.
Example::

    <NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">
    <DicomAttribute tag="00080060" vr="CS" keyword="Modality"><Value number="1">CT</Value></DicomAttribute>
    </NativeDicomModel>

Characters that XML 1.0 cannot hold become U+FFFD. Group lengths are left out, as A.1.1 demands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from pydicom.datadict import keyword_for_tag

from proxy.errors import ArchiveError
from proxy.fulfil.elements import PERSON_NAME_GROUPS, is_private, items_of, malformed
from proxy.ports import Dataset

MEDIA_TYPE: Final = "application/dicom+xml"
_NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_OPENING: Final = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">'
)
_CLOSING: Final = "</NativeDicomModel>"
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_ILLEGAL: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
# Carriage returns, and white space in attributes, would not come out of a parser as they went in (XML 1.0 2.11, 3.3.3).
_SPECIAL: Final = re.compile(f'[&<>"\r\n\t{_ILLEGAL}]')
_IN_TEXT: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", "\n": "\n", "\t": "\t", '"': '"'}
_IN_ATTRIBUTE: Final = _IN_TEXT | {"\n": "&#10;", "\t": "&#9;", '"': "&quot;"}


def native(dataset: Dataset) -> bytes:
    """One document.

    :raises ArchiveError: a value has no form in XML
    """
    out = [_OPENING]
    _write_dataset(dataset, out.append)
    out.append(_CLOSING)
    return "".join(out).encode("utf-8")


def _write_dataset(dataset: Dataset, write: Callable[[str], None]) -> None:
    for tag, element in dataset.items():
        if tag[4:] == "0000":
            continue
        write(_head(tag, element["vr"]))
        if is_private(tag):
            creator = _creator(dataset, tag)
            if creator:
                write(f' privateCreator="{_escaped(creator, _IN_ATTRIBUTE)}"')
        if len(element) == 1:
            write("/>")
            continue
        write(">")
        _write_content(element, write)
        write("</DicomAttribute>")


def _write_content(element: dict[str, Any], write: Callable[[str], None]) -> None:
    if "BulkDataURI" in element:
        write(f'<BulkData uri="{_escaped(element["BulkDataURI"], _IN_ATTRIBUTE)}"/>')
    elif "InlineBinary" in element:
        write(f"<InlineBinary>{_escaped(element['InlineBinary'], _IN_TEXT)}</InlineBinary>")
    elif element["vr"] == "SQ":
        for number, item in enumerate(items_of(element), 1):
            write(f'<Item number="{number}">')
            _write_dataset(item, write)
            write("</Item>")
    else:
        write_one = _write_name if element["vr"] == "PN" else _write_value
        for number, value in enumerate(element.get("Value") or (), 1):
            if value is not None:
                write_one(number, value, write)


def _write_value(number: int, value: Any, write: Callable[[str], None]) -> None:
    kind = type(value)
    if kind is str:
        text = _escaped(value, _IN_TEXT)
    elif kind is int or kind is float:
        text = repr(value)
    else:
        raise malformed()
    write(f'<Value number="{number}">{text}</Value>')


def _write_name(number: int, value: Any, write: Callable[[str], None]) -> None:
    groups = {"Alphabetic": value} if type(value) is str else value
    write(f'<PersonName number="{number}">')
    for group in PERSON_NAME_GROUPS:
        text = groups.get(group)
        if not text:
            continue
        write(f"<{group}>")
        # Carets beyond the fifth component are not legal; what stands behind them is not lost.
        for name, component in zip(_COMPONENTS, text.split("^", 4), strict=False):
            if component:
                write(f"<{name}>{_escaped(component, _IN_TEXT)}</{name}>")
        write(f"</{group}>")
    write("</PersonName>")


def _creator(dataset: Dataset, tag: str) -> str | None:
    """The private creator that reserved an element's block, as this dataset says (PS3.5 7.8.1)."""
    block = tag[4:6]
    if block < "10":
        return None
    values = dataset.get(f"{tag[:4]}00{block}", {}).get("Value")
    return values[0] if values and type(values[0]) is str else None


@lru_cache(maxsize=8192)
def _head(tag: str, vr: str) -> str:
    keyword = keyword_for_tag(int(tag, 16))
    return f'<DicomAttribute tag="{tag}" vr="{vr}"' + (f' keyword="{keyword}"' if keyword else "")


def _escaped(text: str, table: dict[str, str]) -> str:
    if not isinstance(text, str):
        raise ArchiveError("a value of the archive's answer has no form in XML")
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: table.get(found[0], "\ufffd"), text)
