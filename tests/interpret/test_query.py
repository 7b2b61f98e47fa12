"""Queries of searches: one meaning each, canonical order, and no second reading behind it."""

from __future__ import annotations

import pytest

from proxy.interpret import target_of
from proxy.model import Query, Reason

from .building import INSTANCE, SERIES, STUDY, accepted, refused


def query(text: str, path: str = "studies") -> Query:
    return accepted(f"/dicom-web/{path}?{text}").query


def test_keyword_and_tag_in_either_case_are_the_same_key():
    expected = (("0020000D", STUDY),)
    for key in ("StudyInstanceUID", "0020000D", "0020000d"):
        assert query(f"{key}={STUDY}").match == expected


def test_a_query_has_one_order():
    first = query("limit=5&PatientName=A*&includefield=00081030,Modality&00080020=20200101-20201231&offset=10")
    second = query(
        "00080020=20200101-20201231&offset=10&includefield=00080060&PatientName=A*&limit=5&includefield=00081030"
    )
    assert first == second
    assert first == Query(
        match=(("00080020", "20200101-20201231"), ("00100010", "A*")),
        include=("00080060", "00081030"),
        limit=5,
        offset=10,
    )


def test_the_archive_gets_tags_and_wildcards_for_what_it_might_not_decode():
    request = accepted("/dicom-web/studies?PatientName=M%C3%BCller%5EJ+A%2BB&fuzzymatching=true&offset=0")
    assert request.query.match == (("00100010", "Müller^J A+B"),)
    assert target_of(request) == "/dicom-web/studies?00100010=M*ller^J?A?B&fuzzymatching=true"


def test_an_empty_value_matches_all_and_asks_for_its_attribute():
    assert query("PatientName=&PatientID=1") == query("includefield=PatientName&PatientID=1")
    assert refused("/dicom-web/studies?PatientName=&PatientName=X") is Reason.INVALID_QUERY


def test_what_is_gathered_from_a_study_is_matched_on_study_level_only():
    assert query("ModalitiesInStudy=MR").match == (("00080061", "MR"),)
    for path in ("series", "instances", f"studies/{STUDY}/series"):
        assert refused(f"/dicom-web/{path}?ModalitiesInStudy=MR") is Reason.INVALID_QUERY


def test_a_plus_is_a_space_as_form_encoders_write_it():
    assert query("PatientName=Doe+Jane") == query("PatientName=Doe%20Jane")
    assert query("PatientName=Doe%2BJane").match == (("00100010", "Doe+Jane"),)


def test_lists_are_sorted_and_each_item_once():
    assert query("StudyInstanceUID=1.3,1.2%2C1.3").match == (("0020000D", "1.2,1.3"),)
    assert query("ModalitiesInStudy=MR,CT").match == (("00080061", "CT,MR"),)


@pytest.mark.parametrize("path", ["studies", "series", "instances", f"studies/{STUDY}/series"])
def test_private_attributes_are_included_by_tag_and_not_matched(path):
    assert refused(f"/dicom-web/{path}?0009100a=A*") is Reason.INVALID_QUERY
    assert query("includefield=0009100a,00081030,0009100A", path).include == ("00081030", "0009100A")


def test_all_stands_for_every_field():
    assert query("includefield=all,00081030").include == ("all",)


def test_an_empty_query_is_none():
    assert accepted("/dicom-web/studies?") == accepted("/dicom-web/studies")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("studies", "Modality=CT"),
        ("studies", "SOPInstanceUID=1.2"),
        ("series", "SOPInstanceUID=1.2"),
        (f"studies/{STUDY}/series", "StudyInstanceUID=1.2"),
        (f"studies/{STUDY}/series", "0020000D=1.2"),
        (f"studies/{STUDY}/series", "PatientID=P1"),
        (f"studies/{STUDY}/instances", "StudyInstanceUID=1.2"),
        (f"studies/{STUDY}/series/{SERIES}/instances", "SeriesInstanceUID=1.2"),
        (f"studies/{STUDY}/series/{SERIES}/instances", "Modality=CT"),
    ],
)
def test_an_attribute_of_another_level_or_fixed_by_the_path_is_refused(path, key):
    assert refused(f"/dicom-web/{path}?{key}") is Reason.INVALID_QUERY


def test_each_level_has_its_attributes():
    assert query("Modality=CT&PatientID=P1", "series").match == (("00080060", "CT"), ("00100020", "P1"))
    assert query(f"SOPInstanceUID={INSTANCE}", "instances").match
    assert query("Modality=CT&InstanceNumber=3", f"studies/{STUDY}/instances").match
    assert query("InstanceNumber=3", f"studies/{STUDY}/series/{SERIES}/instances").match


@pytest.mark.parametrize(
    "text",
    [
        "_method=delete",
        "_method=GET",
        "foo=bar",
        "patientid=P1",
        "PATIENTID=P1",
        "PatientID",
        "=P1",
        "&",
        "PatientID=P1&",
        "&PatientID=P1",
        "PatientID=P1&&limit=1",
        "PatientID=P1&PatientID=P1",
        "PatientID=P1&PatientID=P2",
        "PatientID=P1&00100020=P2",
        "0020000D=1.2&0020000d=1.3",
        "StudyInstanceUID=1.2&0020000D=1.3",
        "%50atientID=P1",
        "PatientID%00=P1",
        "0020,000D=1.2",
        "0020000D.00100010=x",
        "00081115.0020000E=1.2",
        "limit=1&limit=2",
        "offset=1&offset=1",
        "fuzzymatching=true&fuzzymatching=false",
        "limit",
        "limit=",
        "limit=0",
        "limit=-1",
        "limit=+1",
        "limit=01",
        "limit=1.0",
        "limit=1e3",
        "limit=100000",
        "limit=%31%30x",
        "limit=\u0661",
        "offset=-1",
        "offset=1000000",
        "Limit=1",
        "fuzzymatching=TRUE",
        "fuzzymatching=1",
        "fuzzymatching",
        "includefield=",
        "includefield=ALL",
        "includefield=NoSuchKeyword",
        "includefield=0008103",
        "includefield=00081030,",
        "includefield=PixelData",
        "includefield=7FE00010",
        "includefield=60003000",
        "accept=application/dicom%2Bjson",
        "charset=utf-8",
        "000900=x",
        "00090000=x",
        "00090005=x",
        "00090100=x",
        "00090FFF=x",
        "00071001=x",
        "FFFF1001=x",
        "00081001=x",
        "00091001=A,B",
        "00091001=",
        "0009100A=x&0009100a=x",
        "includefield=00071001",
        "includefield=00090001",
        "includefield=FFFF1001",
        "includefield=00020010",
        "includefield=00081115.0020000E",
        "orderby=PatientName",
    ],
)
def test_an_unknown_doubled_or_malformed_parameter_is_refused(text):
    assert refused(f"/dicom-web/studies?{text}") is Reason.INVALID_QUERY


@pytest.mark.parametrize(
    "value",
    [
        "A%00B",
        "A%0AB",
        "A%0D%0AX",
        "A%7FB",
        "A%C2%85B",
        "A%E2%80%A8B",
        "A;B",
        "A%3BB",
        "A\\B",
        "A%5CB",
        "A,B",
        "A%2CB",
        "A%",
        "A%4",
        "A%zz",
        "A%u0041",
        "A%2541",
        "%25",
        "%C3",
        "%C0%AF",
        "%ED%A0%80",
        "%FF",
        "A#B",
        'A"B',
        "A<B",
        "A B",
        "A\u00e9",
        "A\x00",
        "A" * 65,
    ],
)
def test_text_that_archives_read_otherwise_is_refused(value):
    assert refused(f"/dicom-web/studies?PatientName={value}") is Reason.INVALID_QUERY


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("StudyInstanceUID", ["1.2", "1.2,1.3"], ["1.2.", "1.*", "1.2,", "1.2\\1.3", "1.2%5C1.3", "1?", "x"]),
        (
            "StudyDate",
            ["20200229", "20200101-", "-20200101", "20200101-20201231"],
            [
                "2020",
                "20210229",
                "20200101-20201231-",
                "-",
                "--",
                "2020*",
                "20200101,20200102",
                "2020-01-01",
                "2020０101",
            ],
        ),
        ("StudyTime", ["10", "1030", "103000.123", "10-11", "-235959"], ["24", "1060", "10:30", "1030*", "-", "1"]),
        ("ModalitiesInStudy", ["CT", "CT,MR", "C*"], ["ct", "CT,", "CT\\MR", "A" * 17]),
        ("PatientSex", ["F"], ["f"]),
        ("PatientID", ["*", "P-1/2", "a=b", "A?"], ["A,B"]),
    ],
)
def test_values_are_checked_by_their_representation(key, good, bad):
    for value in good:
        assert query(f"{key}={value}").match
    for value in bad:
        assert refused(f"/dicom-web/studies?{key}={value}") is Reason.INVALID_QUERY, value


def test_numbers_are_integers():
    assert query("SeriesNumber=-3", "series").match == (("00200011", "-3"),)
    for value in ("+3", "03", "3.0", "*", "99999999999"):
        assert refused(f"/dicom-web/series?SeriesNumber={value}") is Reason.INVALID_QUERY


def test_size_is_bounded():
    many = ",".join(f"1.{number}" for number in range(101))
    assert refused(f"/dicom-web/studies?StudyInstanceUID={many}") is Reason.INVALID_QUERY
    assert refused("/dicom-web/studies?" + "&".join(["includefield=00081030"] * 65)) is Reason.INVALID_QUERY
    assert refused("/dicom-web/studies?PatientName=" + "A" * 7000) is Reason.INVALID_QUERY
