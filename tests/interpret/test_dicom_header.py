"""Headers of stored parts: what policy is told is what every reader of the object would find."""

from __future__ import annotations

import logging
import struct
import time
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from proxy.interpret.dicom_header import PartUnreadableError, read_part_header
from proxy.interpret.elements import IncompleteError
from proxy.model import PartHeader

from .building import BIG_ENDIAN, CT_IMAGE, EXPLICIT, IMPLICIT, INSTANCE, SERIES, STUDY, dicom


def header(data: bytes) -> PartHeader:
    return read_part_header(data, complete=True, declared_syntax=None).header


def unreadable(data: bytes) -> None:
    with pytest.raises(PartUnreadableError) as caught:
        header(data)
    assert "Doe" not in str(caught.value)
    assert (caught.value.code, caught.value.status) == ("part-unreadable", 400)


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in (b"SQ", b"UN", b"OB", b"OW", b"UT")
    return head + (struct.pack("<HL", 0, length) if long else struct.pack("<H", length)) + value


def spliced(at: int, *inserted: bytes, source: bytes | None = None) -> bytes:
    """An explicit little-endian file with bytes inserted before the element ``at``."""
    data = dicom() if source is None else source
    where = data.index(struct.pack("<HH", at >> 16, at & 0xFFFF), 132 + 12)
    return data[:where] + b"".join(inserted) + data[where:]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_the_header_in_each_encoding(syntax):
    assert header(dicom(syntax)) == PartHeader(
        sop_class=CT_IMAGE,
        instance=INSTANCE,
        study=STUDY,
        series=SERIES,
        transfer_syntax=syntax,
        patient_id="P1",
        accession_number="A1",
        modality="CT",
        institution="North Hospital",
        department="Radiology",
        study_date="20200131",
    )


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "JPEG2000.dcm",
        "MR_small_RLE.dcm",
        "liver_1frame.dcm",
    ],
)
def test_real_files_read_as_pydicom_reads_them(name):
    path = get_testdata_file(name)
    assert path is not None
    with open(path, "rb") as file:
        data = file.read()
    expected = dcmread(BytesIO(data), stop_before_pixels=True)
    found = header(data)
    assert (found.study, found.series, found.instance) == (
        expected.StudyInstanceUID,
        expected.SeriesInstanceUID,
        expected.SOPInstanceUID,
    )
    assert found.transfer_syntax == expected.file_meta.TransferSyntaxUID
    assert found.patient_id == (expected.get("PatientID") or "")
    assert found.institution == (expected.get("InstitutionName") or "")
    assert found.department == (expected.get("InstitutionalDepartmentName") or "")
    assert found.modality == (expected.get("Modality") or "")


def test_every_cut_of_a_header_is_incomplete_or_unreadable_and_never_another_header():
    whole = dicom()
    expected = header(whole)
    incomplete = 0
    series_end = whole.index(b"\x20\x00\x0e\x00UI") + 8 + len(SERIES) + 1
    for size in range(len(whole)):
        try:
            found = read_part_header(whole[:size], complete=False, declared_syntax=None).header
        except IncompleteError:
            incomplete += 1
            if size != series_end:
                unreadable(whole[:size])
        else:
            assert found == expected
    assert 300 < incomplete < len(whole) - 100


def test_attributes_that_may_be_absent_are_empty():
    found = header(dicom(PatientID=None, InstitutionName=None, Modality=None, AccessionNumber="", StudyDate=None))
    assert (found.patient_id, found.institution, found.modality, found.study_date) == ("", "", "", "")


def test_a_data_set_that_ends_with_the_series():
    assert header(dicom(InstanceNumber=None, PixelData=None)).series == SERIES


@pytest.mark.parametrize("name", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_identities_are_required(name):
    data = dicom()
    tag = {"SOPClassUID": 0x00080016, "SOPInstanceUID": 0x00080018, "StudyInstanceUID": 0x0020000D}.get(
        name, 0x0020000E
    )
    where = data.index(struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, b"UI"), 132 + 12)
    length = struct.unpack_from("<H", data, where + 6)[0]
    unreadable(data[:where] + data[where + 8 + length :])


@pytest.mark.parametrize(
    "source",
    [
        dicom(meta={"MediaStorageSOPInstanceUID": "1.2.3"}),
        dicom(meta={"MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}),
        dicom(PatientID="A\\B"),
        dicom(InstitutionName=["North Hospital", "South Hospital"]),
        dicom(Modality=["CT", "MR"]),
    ],
    ids=["instance", "class", "patient", "institution", "modality"],
)
def test_two_answers_to_one_question_are_refused(source):
    unreadable(source)


def test_a_second_element_or_one_out_of_order_is_refused():
    again = element(0x00100020, b"LO", b"P2")
    unreadable(spliced(0x0020000D, again))
    unreadable(spliced(0x00080060, again))
    unreadable(spliced(0x0020000D, element(0x00080080, b"LO", b"South Hospital")))
    unreadable(spliced(0x00080016, element(0x00020010, b"UI", b"1.2.840.10008.1.2.2\0")))


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.113619.5.2", "1.2.3", "1.2.840.10008.5.1.4.1.1.2"],
)
def test_deflated_private_and_unknown_transfer_syntaxes_are_refused(syntax):
    data = dicom()
    value = (EXPLICIT + "\0").encode()
    replaced = syntax.encode() + b"\0" * (len(syntax) % 2)
    where = data.index(value)
    data = data[: where - 2] + struct.pack("<H", len(replaced)) + replaced + data[where + len(value) :]
    length = struct.unpack_from("<L", data, 140)[0] + len(replaced) - len(value)
    unreadable(data[:140] + struct.pack("<L", length) + data[144:])


def test_meta_information_has_the_length_it_announces():
    data = dicom()
    length = struct.unpack_from("<L", data, 140)[0]
    for wrong in (0, length - 2, length + 2, length + 8, 0xFFFFFFFF):
        unreadable(data[:140] + struct.pack("<L", wrong) + data[144:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 300,
        dicom()[128:],
        b"\x00" + dicom(),
        dicom()[:132] + dicom()[144:],
        dicom().replace(STUDY.encode() + b"\0", b"1.2.840.01"),
        dicom().replace(STUDY.encode() + b"\0", b"1.2.840.1."),
        dicom().replace(STUDY.encode() + b"\0", b"../../../x"),
        dicom().replace(b"20200131", b"2020-1-1"),
        dicom().replace(b"LO\x0e\x00North", b"??\x0e\x00North"),
        dicom(InstitutionName="North\x00\x01Hospit"),
        dicom(PatientID="P" * 65),
        dicom(PatientID="P" * 600),
    ],
    ids=range(13),
)
def test_what_is_not_a_dicom_object_is_refused(data):
    unreadable(data)


def test_an_implicit_data_set_that_looks_explicit_is_refused():
    implicit, explicit = dicom(IMPLICIT), dicom(EXPLICIT)
    meta_end = 144 + struct.unpack_from("<L", implicit, 140)[0]
    data_set = 144 + struct.unpack_from("<L", explicit, 140)[0]
    unreadable(implicit[:meta_end] + explicit[data_set:])
    meta_of_explicit = explicit[:data_set]
    unreadable(meta_of_explicit + implicit[meta_end:])


ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def nested(depth: int, tag: int = 0x00081140) -> bytes:
    inside = element(0x00080016, b"UI", b"1.2\0")
    for _ in range(depth):
        inside = element(tag, b"SQ", ITEM + inside + ITEM_END + SEQUENCE_END, 0xFFFFFFFF)
    return inside


def test_sequences_are_skipped_with_what_they_hold():
    hidden = element(0x00100020, b"LO", b"HIDDEN")
    sequence = element(0x00081140, b"SQ", ITEM + hidden + ITEM_END + SEQUENCE_END, 0xFFFFFFFF)
    assert header(spliced(0x00100010, sequence)) == header(dicom())
    assert header(spliced(0x00100010, nested(8))) == header(dicom())
    assert header(spliced(0x00100010, element(0x00081140, b"SQ", b""))) == header(dicom())


def test_an_unknown_vr_of_undefined_length_is_implicit_inside():
    inner = struct.pack("<HHL", 0x0010, 0x0020, 2) + b"XX"
    sequence = element(0x00091001, b"UN", ITEM + inner + ITEM_END + SEQUENCE_END, 0xFFFFFFFF)
    data = spliced(0x00100010, element(0x00090010, b"LO", b"MAKER "), sequence)
    assert header(data) == header(dicom())
    assert dcmread(BytesIO(data)).PatientID == "P1"


@pytest.mark.parametrize(
    "inserted",
    [
        nested(9),
        nested(2000),
        element(0x00081140, b"SQ", ITEM * 5000, 0xFFFFFFFF),
        element(0x00081140, b"SQ", element(0x00080016, b"UI", b"1.2\0"), 0xFFFFFFFF),
        element(0x00081140, b"SQ", ITEM + SEQUENCE_END, 0xFFFFFFFF),
        element(0x00081140, b"SQ", ITEM_END + SEQUENCE_END, 0xFFFFFFFF),
        element(0x00081140, b"SQ", ITEM[:6], 0xFFFFFFFF),
        element(0x00081140, b"SQ", b"", 0x7FFFFFFF),
        element(0x00081150, b"UT", b"", 0xFFFFFFFF),
        element(0x00081140, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE0DD, 4) + b"abcd", 0xFFFFFFFF),
    ],
    ids=range(10),
)
def test_sequences_that_do_not_nest_are_refused(inserted):
    unreadable(spliced(0x00100010, inserted))


def test_a_bomb_of_items_costs_little():
    bomb = element(0x00081140, b"SQ", (ITEM + ITEM_END) * 60_000 + SEQUENCE_END, 0xFFFFFFFF)
    started = time.process_time()
    unreadable(spliced(0x00100010, bomb))
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("character_set", "raw", "expected"),
    [
        ("ISO_IR 100", "Universität".encode("latin-1"), "Universität"),
        ("ISO_IR 192", "Krankenhaus Köln".encode(), "Krankenhaus Köln"),
        ("GB18030", "医院".encode("gb18030"), "医院"),
        ("ISO_IR 144", "Больница".encode("iso8859_5"), "Больница"),
        (None, "Universität".encode("latin-1"), "Universität"),
    ],
)
def test_institutions_are_read_in_their_character_set(character_set, raw, expected):
    source = dicom(InstitutionName=None, InstitutionalDepartmentName=None)
    raw += b" " * (len(raw) % 2)
    if character_set is not None:
        encoded = character_set.encode() + b" " * (len(character_set) % 2)
        source = spliced(0x00080016, element(0x00080005, b"CS", encoded), source=source)
    assert header(spliced(0x00100010, element(0x00080080, b"LO", raw), source=source)).institution == expected


@pytest.mark.parametrize(
    ("character_set", "raw"),
    [
        ("ISO_IR 999 ", b"x "),
        ("ISO_IR 192", b"\xff\xfe"),
        ("ISO_IR 192\\ISO 2022 IR 87", b"x "),
        ("ISO_IR 100", b"\x1b$Bab "),
        ("\\ISO 2022 IR 87", b"\x1b-Fab"),
        ("\\ISO 2022 IR 87", b"\x1b"),
        ("ISO_IR 100", b"a\x85"),
        ("utf-8 ", b"x "),
    ],
)
def test_text_that_does_not_decode_is_refused_without_a_word_of_it_in_the_log(character_set, raw, caplog):
    encoded = character_set.encode() + b" " * (len(character_set) % 2)
    source = spliced(
        0x00080016,
        element(0x00080005, b"CS", encoded),
        source=dicom(InstitutionName=None, InstitutionalDepartmentName=None),
    )
    with caplog.at_level(logging.DEBUG):
        unreadable(spliced(0x00100010, element(0x00080080, b"LO", raw + b" " * (len(raw) % 2)), source=source))
    assert not caplog.records


@pytest.mark.parametrize("tag", [0x00100020, 0x00080080, 0x00080050])
@pytest.mark.parametrize(
    ("sets", "raw"),
    [
        (b"ISO 2022 IR 6\\ISO 2022 IR 100 ", b"\x1b(BNH-100"),
        (b"\\ISO 2022 IR 87 ", b"\x1b$B" + "病院".encode("iso2022_jp")[3:-3] + b"\x1b(B"),
        (None, b"NH-1\x1b-A1"),
    ],
)
def test_identity_that_switches_its_character_set_is_refused(tag, sets, raw):
    """Orthanc takes the escape for text: another patient or institution would be stored than was judged."""
    keyword = {0x00100020: "PatientID", 0x00080080: "InstitutionName", 0x00080050: "AccessionNumber"}[tag]
    source = dicom(**{keyword: None})
    if sets is not None:
        source = spliced(0x00080016, element(0x00080005, b"CS", sets + b" " * (len(sets) % 2)), source=source)
    behind = {0x00100020: 0x0020000D, 0x00080080: 0x00100010, 0x00080050: 0x00080060}[tag]
    raw += b" " * (len(raw) % 2)
    with pytest.raises(PartUnreadableError):
        header(spliced(behind, element(tag, b"LO", raw), source=source))
