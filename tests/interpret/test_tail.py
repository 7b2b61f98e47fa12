"""The rest of a data set: nothing that decides may come behind what was judged."""

from __future__ import annotations

import struct

import pytest

from proxy.interpret.dicom_header import PartUnreadableError

from .building import BIG_ENDIAN, EXPLICIT, IMPLICIT, body, dicom, parts, read
from .test_dicom_header import ITEM, ITEM_END, SEQUENCE_END, element, nested

BARE = dicom(PatientID=None, InstitutionName=None)
ENCAPSULATED_HEAD = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)


def fragment(data: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(data)) + data


@pytest.mark.parametrize("slice_bytes", [None, 1, 7, 100])
@pytest.mark.parametrize(
    "late",
    [element(0x00100020, b"LO", b"P9"), element(0x00080080, b"LO", b"South Hospital"), element(0x7FE00010, b"OW", b"")],
)
def test_an_attribute_behind_the_pixels_is_refused_before_it_is_passed_on(late, slice_bytes):
    with pytest.raises(PartUnreadableError):
        read(body(BARE + late), slice_bytes=slice_bytes)


def test_an_attribute_out_of_order_is_refused():
    where = BARE.index(b"\x20\x00\x13\x00IS")
    end = where + 8 + 2
    with pytest.raises(PartUnreadableError):
        read(body(BARE[:end] + element(0x00100020, b"LO", b"P9") + BARE[end:]))


@pytest.mark.parametrize("slice_bytes", [None, 1, 5, 11, 64])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_every_encoding_is_walked_in_any_slices(syntax, slice_bytes):
    data = dicom(syntax)
    assert parts(read(body(data), slice_bytes=slice_bytes))[0][1] == data


@pytest.mark.parametrize("slice_bytes", [None, 1, 13])
def test_sequences_and_encapsulated_pixels_are_walked(slice_bytes):
    sequence = nested(5, 0x00400275)
    private = element(0x00410010, b"LO", b"MAKER ") + element(
        0x00411001, b"UN", ITEM + ITEM_END + SEQUENCE_END, 0xFFFFFFFF
    )
    pixels = ENCAPSULATED_HEAD + fragment(b"") + fragment(b"\xff\xd8" * 50) + fragment(SEQUENCE_END) + SEQUENCE_END
    data = dicom(PixelData=None) + sequence + private + pixels + element(0xFFFCFFFC, b"OB", bytes(20))
    assert parts(read(body(data), slice_bytes=slice_bytes))[0][1] == data


@pytest.mark.parametrize(
    "rest",
    [
        b"\x00",
        bytes(8),
        element(0x7FE00010, b"OW", b"ab", 100),
        ENCAPSULATED_HEAD + fragment(b"ab"),
        ENCAPSULATED_HEAD + element(0x00100020, b"LO", b"P9") + SEQUENCE_END,
        SEQUENCE_END,
        ITEM_END,
        fragment(b"ab"),
        nested(9, 0x00400275),
        element(0x00400275, b"SQ", ITEM * 30, 0xFFFFFFFF),
        element(0x00400275, b"XX", b"ab"),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("slice_bytes", [None, 1, 30])
def test_a_rest_that_does_not_end_where_the_part_does_is_refused(rest, slice_bytes):
    with pytest.raises(PartUnreadableError):
        read(body(dicom(PixelData=None) + rest), slice_bytes=slice_bytes)
