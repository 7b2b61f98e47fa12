"""The structure of a DICOM data set (PS3.5 7), read strictly and without recursion.

Lenient readers guess: pydicom switches between implicit and explicit VR, ends in silence where the bytes do and
keeps the last of two equal elements; DCMTK keeps the first. So only the structure is read here: tags that ascend,
lengths that fit, VRs that exist; what cannot be read in one way is refused. Values are decoded elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

UNDEFINED: Final = 0xFFFFFFFF
MAX_DEPTH: Final = 16
MAX_HEADER_ELEMENTS: Final = 20_000
"""Up to the series UID, which is read at once."""
MAX_ELEMENTS: Final = 1_000_000
"""In the rest, nested ones counted: enhanced multi-frame objects have hundreds of thousands."""

_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD

_VRS: Final = frozenset(vr.value.encode("ascii") for vr in STANDARD_VR)
_LONG_VRS: Final = frozenset(vr.value.encode("ascii") for vr in EXPLICIT_VR_LENGTH_32)
_NESTING_VRS: Final = frozenset({b"SQ", b"UN", b"OB", b"OW"})


class IncompleteError(Exception):
    """More bytes are needed; ``needed`` is the least length of the buffer with which it is worth trying again."""

    def __init__(self, needed: int) -> None:
        super().__init__()
        self.needed = needed


class StructureError(Exception):
    """The bytes are not a data set that every reader reads alike. The message names the rule only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One of the three encodings of PS3.5 A.1 to A.3."""

    explicit: bool
    big: bool


class Element(NamedTuple):
    """Header of one data element: a tuple, because a hostile header makes thousands of them."""

    tag: int
    vr: bytes
    """Empty in implicit VR."""
    value: int
    """Offset of the value."""
    length: int
    """``UNDEFINED`` where delimiters end it."""


class Nesting:
    """Open levels inside one element of undefined length: a stack of our own, so that depth costs no recursion.

    One entry for each level: does it hold items (or elements), and is it explicit? PS3.5 6.2.2: inside an UN of
    undefined length everything is implicit.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[bool, bool]] = []

    def __bool__(self) -> bool:
        return bool(self._levels)

    @property
    def explicit(self) -> bool:
        return self._levels[-1][1]

    def open(self, outer: Element, explicit: bool) -> None:
        self._levels.append((True, explicit and outer.vr != b"UN"))

    def step(self, inner: Element) -> int:
        """Take the next header inside; gives how many bytes of value to pass over.

        :raises StructureError: items and elements do not alternate, or are nested too deep
        """
        holds_items, explicit = self._levels[-1]
        if inner.tag == (_SEQUENCE_END if holds_items else _ITEM_END):
            if inner.length != 0:
                raise StructureError("a delimiter has no length")
            self._levels.pop()
            return 0
        if holds_items != (inner.tag == _ITEM) or inner.tag in (_ITEM_END, _SEQUENCE_END):
            raise StructureError("items and elements alternate")
        if inner.length != UNDEFINED:
            return inner.length
        if len(self._levels) == MAX_DEPTH:
            raise StructureError("sequences are nested too deep")
        self._levels.append((not holds_items, explicit and inner.vr != b"UN"))
        return 0


class Headers:
    """Reads element headers in one byte order, and counts them, so that no input costs more than ``limit``."""

    def __init__(self, encoding: Encoding, limit: int) -> None:
        order = ">" if encoding.big else "<"
        self._tag = Struct(f"{order}HH").unpack_from
        self._short = Struct(f"{order}H").unpack_from
        self._long = Struct(f"{order}L").unpack_from
        self._left = limit

    def read(self, buffer: bytes | bytearray, at: int, explicit: bool) -> Element:
        """:raises IncompleteError: the buffer ends before the header does
        :raises StructureError: the header is not one, or is one too many
        """
        if at + 8 > len(buffer):
            raise IncompleteError(at + 8)
        group, number = self._tag(buffer, at)
        tag = group << 16 | number
        vr = b"" if group == 0xFFFE or not explicit else bytes(buffer[at + 4 : at + 6])
        long = vr in _LONG_VRS
        if long and at + 12 > len(buffer):
            raise IncompleteError(at + 12)
        self._left -= 1
        if self._left < 0:
            raise StructureError("too many elements")
        if not vr:
            return Element(tag, vr, at + 8, self._long(buffer, at + 4)[0])
        if vr not in _VRS:
            raise StructureError("a value representation is not one of PS3.5 6.2")
        if not long:
            return Element(tag, vr, at + 8, self._short(buffer, at + 6)[0])
        length = self._long(buffer, at + 8)[0]
        if length == UNDEFINED and vr not in _NESTING_VRS:
            raise StructureError("this value representation has a defined length")
        return Element(tag, vr, at + 12, length)


class Walker:
    """Walks one buffer that grows, from ``position``: for headers, whose values are wanted."""

    def __init__(self, buffer: bytes | bytearray, position: int, encoding: Encoding) -> None:
        self._buffer = buffer
        self.position = position
        self._explicit = encoding.explicit
        self._headers = Headers(encoding, MAX_HEADER_ELEMENTS)
        self.last = -1
        """Tag of the last element that was skipped."""

    def next(self) -> Element:
        """The next element of the top level; the position stays before it. Pass it to :meth:`skip` to go on.

        :raises IncompleteError: the buffer ends before the element's header does
        :raises StructureError: the tag does not ascend, or the header is not one
        """
        element = self._headers.read(self._buffer, self.position, self._explicit)
        _check_top(element, self.last)
        return element

    def skip(self, element: Element) -> int:
        """Move behind the element, all of which must be there; gives where its value ends.

        :raises IncompleteError: the buffer ends before the element does
        :raises StructureError: its items are not nested as PS3.5 7.5 says, or too deep
        """
        position = element.value
        if element.length == UNDEFINED:
            nesting = Nesting()
            nesting.open(element, self._explicit)
            while nesting:
                inner = self._headers.read(self._buffer, position, nesting.explicit)
                position = inner.value + nesting.step(inner)
        else:
            position += element.length
        if position > len(self._buffer):
            raise IncompleteError(position)
        self.position, self.last = position, element.tag
        return position


class Tail:
    """Walks the rest of a data set as it streams by: its structure only, nothing of it is kept.

    Without this, a header could leave an attribute out and bring it behind the pixel data, where the archive finds it
    (measured: Orthanc files the object under that patient and institution).
    """

    def __init__(self, encoding: Encoding, last: int) -> None:
        self._explicit = encoding.explicit
        self._headers = Headers(encoding, MAX_ELEMENTS)
        self._last = last
        self._nesting = Nesting()
        self._pass = 0
        """Bytes of value still to come."""
        self._held = b""
        """A header that the last slice cut; then no bytes are to be passed."""

    def feed(self, data: bytes) -> None:
        """:raises StructureError: tags do not ascend, or items do not nest"""
        if self._pass >= len(data):
            self._pass -= len(data)
            return
        if self._held:
            data, self._held = self._held + data, b""
        position, nesting = self._pass, self._nesting
        try:
            while position < len(data):
                if nesting:
                    element = self._headers.read(data, position, nesting.explicit)
                    position = element.value + nesting.step(element)
                    continue
                element = self._headers.read(data, position, self._explicit)
                _check_top(element, self._last)
                self._last, position = element.tag, element.value
                if element.length == UNDEFINED:
                    nesting.open(element, self._explicit)
                else:
                    position += element.length
        except IncompleteError:
            self._held, position = data[position:], len(data)
        self._pass = position - len(data)

    def end(self) -> None:
        """:raises StructureError: the data set ends within an element"""
        if self._pass or self._held or self._nesting:
            raise StructureError("a part ends where an element does")


def _check_top(element: Element, last: int) -> None:
    if element.tag <= last:
        raise StructureError("tags ascend, and none comes twice")
    if element.tag >> 16 == 0xFFFE:
        raise StructureError("items stand in sequences only")
