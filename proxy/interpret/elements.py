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
MAX_ELEMENTS: Final = 20_000

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


class Walker:
    """Walks one buffer from ``position``. Counts what it reads, so that no input costs more than the limits."""

    def __init__(self, buffer: bytes | bytearray, position: int, encoding: Encoding) -> None:
        self._buffer = buffer
        self.position = position
        self._encoding = encoding
        order = ">" if encoding.big else "<"
        self._head = Struct(f"{order}HH")
        self._short = Struct(f"{order}H")
        self._long = Struct(f"{order}L")
        self._read = 0
        self._last = -1

    def next(self) -> Element:
        """The next element of the top level; the position stays before it. Pass it to :meth:`skip` to go on.

        :raises IncompleteError: the buffer ends before the element's header does
        :raises StructureError: the tag does not ascend, or the header is not one
        """
        element = self._element(self.position, self._encoding.explicit)
        if element.tag <= self._last:
            raise StructureError("tags ascend, and none comes twice")
        return element

    def skip(self, element: Element) -> int:
        """Move behind the element, all of which must be there; gives where its value ends.

        :raises IncompleteError: the buffer ends before the element does
        :raises StructureError: its items are not nested as PS3.5 7.5 says, or too deep
        """
        if element.length == UNDEFINED:
            self.position = self._skip_undefined(element)
        else:
            self.position = element.value + element.length
            if self.position > len(self._buffer):
                raise IncompleteError(self.position)
        self._last = element.tag
        return self.position

    def _element(self, at: int, explicit: bool) -> Element:
        self._read += 1
        if self._read > MAX_ELEMENTS:
            raise StructureError("too many elements before the series UID")
        buffer = self._buffer
        if at + 8 > len(buffer):
            raise IncompleteError(at + 8)
        group, number = self._head.unpack_from(buffer, at)
        tag = group << 16 | number
        if group == 0xFFFE or not explicit:
            return Element(tag, b"", at + 8, self._long.unpack_from(buffer, at + 4)[0])
        vr = bytes(buffer[at + 4 : at + 6])
        if vr not in _VRS:
            raise StructureError("a value representation is not one of PS3.5 6.2")
        if vr not in _LONG_VRS:
            return Element(tag, vr, at + 8, self._short.unpack_from(buffer, at + 6)[0])
        if at + 12 > len(buffer):
            raise IncompleteError(at + 12)
        length = self._long.unpack_from(buffer, at + 8)[0]
        if length == UNDEFINED and vr not in _NESTING_VRS:
            raise StructureError("this value representation has a defined length")
        return Element(tag, vr, at + 12, length)

    def _skip_undefined(self, outer: Element) -> int:
        """Where an element of undefined length ends: its items, and theirs, on a stack of our own."""
        position = outer.value
        # One entry for each open level: does it hold items (or elements), and is it explicit? PS3.5 6.2.2: inside
        # an UN of undefined length everything is implicit.
        stack = [(True, self._encoding.explicit and outer.vr != b"UN")]
        while stack:
            holds_items, explicit = stack[-1]
            inner = self._element(position, explicit)
            position = inner.value
            if inner.tag == (_SEQUENCE_END if holds_items else _ITEM_END):
                if inner.length != 0:
                    raise StructureError("a delimiter has no length")
                stack.pop()
            elif holds_items != (inner.tag == _ITEM) or inner.tag in (_ITEM_END, _SEQUENCE_END):
                raise StructureError("items and elements alternate")
            elif inner.length != UNDEFINED:
                position += inner.length
                if position > len(self._buffer):
                    raise IncompleteError(position)
            elif len(stack) == MAX_DEPTH:
                raise StructureError("sequences are nested too deep")
            else:
                stack.append((not holds_items, explicit and inner.vr != b"UN"))
        return position
