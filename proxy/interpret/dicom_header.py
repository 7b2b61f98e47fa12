"""What a stored part says of itself: preamble, file meta information, and the data set up to (0020,000E).

PS3.10 7.1. The structure is read by :mod:`~proxy.interpret.elements`, text by the data set's own character sets.
Never logs: what stands here is patient data, and errors name rules only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.errors import BodyError
from proxy.interpret.elements import Encoding, IncompleteError, StructureError, Tail, Walker
from proxy.interpret.text import TextError, character_sets, decoded
from proxy.interpret.uid import EXPLICIT_BIG, IMPLICIT_LITTLE, STORABLE_SYNTAXES, is_uid
from proxy.model import InstanceUid, PartHeader, SeriesUid, StudyUid

PREAMBLE_BYTES: Final = 128
MIN_HEADER_BYTES: Final = PREAMBLE_BYTES + 4 + 12

_META_LENGTH: Final = 0x00020000
_META_CLASS: Final = 0x00020002
_META_INSTANCE: Final = 0x00020003
_META_SYNTAX: Final = 0x00020010

_CHARACTER_SET: Final = 0x00080005
_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_STUDY_DATE: Final = 0x00080020
_ACCESSION: Final = 0x00080050
_MODALITY: Final = 0x00080060
_INSTITUTION: Final = 0x00080080
_DEPARTMENT: Final = 0x00081040
_PATIENT_ID: Final = 0x00100020
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E

_WANTED: Final = frozenset(
    {
        _CHARACTER_SET,
        _SOP_CLASS,
        _SOP_INSTANCE,
        _STUDY_DATE,
        _ACCESSION,
        _MODALITY,
        _INSTITUTION,
        _DEPARTMENT,
        _PATIENT_ID,
        _STUDY,
        _SERIES,
    }
)
_MAX_VALUE_BYTES: Final = 512
"""Longest encoded value that is looked at: 64 characters of any character set, with escapes."""

_EXPLICIT_META: Final = Encoding(explicit=True, big=False)
_DATE: Final = re.compile(r"(?:[0-9]{8})?")
_CODE: Final = re.compile(r"[A-Z0-9_ ]{0,16}")

Values = dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Read:
    """A header, where the part goes on behind what was read for it, and who walks that rest."""

    header: PartHeader
    position: int
    tail: Tail


class PartUnreadableError(BodyError):
    """A part is not a DICOM object that every reader reads alike, or its header is larger than the site reads."""

    code = "part-unreadable"
    public = "A part of the body is not a readable DICOM object."


def read_part_header(buffer: bytes | bytearray, *, complete: bool, declared_syntax: str | None) -> Read:
    """Read the header that ``buffer`` begins with. ``complete``: the part ends where the buffer does.

    :raises IncompleteError: not ``complete``, and more bytes are needed
    :raises PartUnreadableError: it breaks a rule, or is ``complete`` and ends too early
    """
    try:
        return _read(buffer, complete, declared_syntax)
    except IncompleteError:
        if not complete:
            raise
        raise PartUnreadableError("the part ends within its header") from None
    except StructureError as error:
        raise PartUnreadableError(str(error)) from None
    except TextError as error:
        raise PartUnreadableError(str(error)) from None


def _read(buffer: bytes | bytearray, complete: bool, declared_syntax: str | None) -> Read:
    if len(buffer) < MIN_HEADER_BYTES:
        raise IncompleteError(MIN_HEADER_BYTES)
    if buffer[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        raise StructureError("a part begins with 128 bytes and DICM")
    meta, start = _read_meta(buffer)
    syntax = _uid(meta, _META_SYNTAX)
    if syntax not in STORABLE_SYNTAXES:
        raise StructureError("the transfer syntax is not one in which parts are stored here")
    if declared_syntax is not None and declared_syntax != syntax:
        raise StructureError("the part's Content-Type names another transfer syntax than its meta information")
    encoding = Encoding(explicit=syntax != IMPLICIT_LITTLE, big=syntax == EXPLICIT_BIG)
    walker = Walker(buffer, start, encoding)
    values = _read_data_set(buffer, walker, encoding, complete)
    sets = character_sets(values.get(_CHARACTER_SET, b""))
    header = PartHeader(
        sop_class=_uid(values, _SOP_CLASS),
        instance=InstanceUid(_uid(values, _SOP_INSTANCE)),
        study=StudyUid(_uid(values, _STUDY)),
        series=SeriesUid(_uid(values, _SERIES)),
        transfer_syntax=syntax,
        patient_id=decoded(values.get(_PATIENT_ID, b""), sets),
        accession_number=decoded(values.get(_ACCESSION, b""), sets),
        modality=_plain(values, _MODALITY, _CODE),
        institution=decoded(values.get(_INSTITUTION, b""), sets),
        department=decoded(values.get(_DEPARTMENT, b""), sets),
        study_date=_plain(values, _STUDY_DATE, _DATE),
    )
    if header.sop_class != _uid(meta, _META_CLASS) or header.instance != _uid(meta, _META_INSTANCE):
        raise StructureError("meta information and data set name the same object")
    return Read(header, walker.position, Tail(encoding, walker.last))


def _read_meta(buffer: bytes | bytearray) -> tuple[Values, int]:
    """Group 2, whose announced length must be its length: some readers go by the one, some by the other."""
    walker = Walker(buffer, PREAMBLE_BYTES + 4, _EXPLICIT_META)
    first = walker.next()
    if first.tag != _META_LENGTH or first.vr != b"UL" or first.length != 4:
        raise StructureError("meta information begins with its length")
    start = walker.skip(first)
    end = start + int.from_bytes(buffer[first.value : start], "little")
    if end > len(buffer):
        raise IncompleteError(end)
    values: Values = {}
    while walker.position < end:
        element = walker.next()
        if element.tag >> 16 != 2:
            raise StructureError("meta information holds group 2 only")
        stop = walker.skip(element)
        if element.tag in (_META_CLASS, _META_INSTANCE, _META_SYNTAX):
            values[element.tag] = _value(buffer, element.value, stop)
    if walker.position != end:
        raise StructureError("meta information has the length it announces")
    return values, end


def _read_data_set(buffer: bytes | bytearray, walker: Walker, encoding: Encoding, complete: bool) -> Values:
    start = walker.position
    if not encoding.explicit and bytes(buffer[start + 4 : start + 6]).isalpha() and len(buffer) > start + 6:
        # A first value of 16 KiB or more could look so; PS3.10 readers that guess would take it for a VR.
        raise StructureError("an implicit data set must not look explicit")
    values: Values = {}
    while not (complete and walker.position == len(buffer)):
        element = walker.next()
        if element.tag < 0x00080000:
            raise StructureError("a data set holds neither commands nor meta information")
        if element.tag > _SERIES:
            break
        stop = walker.skip(element)
        if element.tag in _WANTED:
            values[element.tag] = _value(buffer, element.value, stop)
    return values


def _value(buffer: bytes | bytearray, start: int, stop: int) -> bytes:
    if stop - start > _MAX_VALUE_BYTES:
        raise StructureError("a value that decides is longer than its representation allows")
    return bytes(buffer[start:stop])


def _uid(values: Values, tag: int) -> str:
    raw = values.get(tag)
    if raw is None:
        raise StructureError("class, instance, study, series and transfer syntax are named")
    text = raw.rstrip(b"\0 ").decode("latin-1")
    if not is_uid(text):
        raise StructureError("a UID has digits and dots, no leading zeros, 64 characters")
    return text


def _plain(values: Values, tag: int, rule: re.Pattern[str]) -> str:
    text = values.get(tag, b"").decode("latin-1").strip("\0 ")
    if rule.fullmatch(text) is None:
        raise StructureError("a code or date is not one of its representation")
    return text
