from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.fulfil import Fulfilling
from proxy.model import DicomRequest, Level, Obligation, Representation, SeriesUid, StudyContext
from tests.fulfil.building import (
    ARCHIVE,
    INSTANCE,
    PUBLIC,
    SERIES,
    STUDY,
    dataset,
    element,
    mask,
    search,
    study_context,
)

ROWS = Fulfilling(PUBLIC).rows
ALL_SEEN = frozenset({SeriesUid("1.2.3.1"), SeriesUid("1.2.3.2")})
CT_ONLY = frozenset({SeriesUid("1.2.3.1")})
CONTEXT = study_context(s1=("CT", 10), s2=("MR", 20))


def shown(
    row: dict[str, Any],
    *obligations: Obligation,
    request: DicomRequest | None = None,
    study: StudyContext | None = None,
    seen: frozenset[SeriesUid] = frozenset(),
) -> dict[str, Any]:
    rows = ROWS(request or search(), obligations)
    (read,) = rows.read(json.dumps([row]).encode())
    rows.show(read, study, seen)
    (found,) = json.loads(rows.answer())
    return dict(found)


def counted(**more: Any) -> dict[str, Any]:
    return dataset(
        _00080061=element("CS", "CT", "MR"),
        _00080062=element("UI", "1.2.840"),
        _00201200=element("IS", 9),
        _00201202=element("IS", 99),
        _00201204=element("IS", 999),
        _00201206=element("IS", 2),
        _00201208=element("IS", 30),
        **more,
    )


@pytest.mark.parametrize(
    ("level", "uids", "place"),
    [
        (Level.STUDY, [STUDY], (STUDY, None)),
        (Level.SERIES, [STUDY, SERIES], (STUDY, SERIES)),
        (Level.INSTANCE, [STUDY, SERIES, INSTANCE], (STUDY, SERIES)),
    ],
)
def test_row_says_what_it_is(level: Level, uids: list[str], place: tuple[str, str | None]) -> None:
    rows = ROWS(search(level), ())
    (row,) = rows.read(json.dumps([dataset()]).encode())
    assert rows.uids(row) == uids
    assert rows.place(row) == place


@pytest.mark.parametrize(
    "row",
    [
        None,
        1,
        "1.2.3",
        [],
        {},
        dataset(_0020000D=element("UI")),
        dataset(_0020000D=element("UI", 12)),
        dataset(_0020000D=element("UI", None)),
        dataset(_0020000D=element("UI", "1.2", "1.3")),
        dataset(_0020000D={"vr": "UI", "Value": "1"}),
        dataset(_0020000D="1.2.3"),
        dataset(_0020000E=element("UI")),
    ],
)
def test_row_that_does_not_name_its_object_is_an_error(row: Any) -> None:
    with pytest.raises(ArchiveError):
        ROWS(search(Level.INSTANCE), ()).read(json.dumps([dataset(), row]).encode())


@pytest.mark.parametrize(
    "page",
    [b"", b"null", b"{}", b"[", b"<html>", b"[" * 5000, b'[{"a": NaN}]', b'[{"0020000D": {"Value": ["\\ud800"]}}]'],
)
def test_page_that_is_no_list_of_rows_is_an_error(page: bytes) -> None:
    with pytest.raises(ArchiveError):
        ROWS(search(), ()).read(page)


@given(st.binary(max_size=60))
def test_whatever_the_archive_says_is_rows_or_an_archive_error(page: bytes) -> None:
    try:
        rows = ROWS(search(), ()).read(page)
    except ArchiveError:
        return
    assert rows == []


def test_row_of_another_object_than_the_paths_is_an_error() -> None:
    page = json.dumps([dataset()]).encode()
    paths: list[tuple[Level, dict[str, Any]]] = [
        (Level.SERIES, {"study": "6.6.6"}),
        (Level.INSTANCE, {"study": STUDY, "series": "6.6.6"}),
        (Level.INSTANCE, {"study": "6.6.6", "series": SERIES}),
    ]
    for level, path in paths:
        with pytest.raises(ArchiveError):
            ROWS(search(level, **path), ()).read(page)
    assert ROWS(search(Level.INSTANCE, study=STUDY, series=SERIES), ()).read(page) == [dataset()]


def test_unfiltered_row_keeps_the_archives_counts() -> None:
    assert shown(counted()) == counted()


def test_row_of_a_study_seen_whole_keeps_its_counts_but_tells_no_other_studies() -> None:
    found = shown(counted(_00080060=element("CS", "CT")), study=CONTEXT, seen=ALL_SEEN)
    wanted = counted(_00080060=element("CS", "CT"))
    for tag in ("00201200", "00201202", "00201204"):
        del wanted[tag]
    assert found == wanted


def test_row_of_a_study_seen_in_part_tells_of_that_part_only() -> None:
    hidden = {
        "_00080060": element("CS", "MR"),
        "_0008103E": element("LO", "SECRET"),
        "_00091001": element("LO", "SECRET"),
    }
    patient = {"_00100010": element("PN", {"Alphabetic": "DOE"}), "_00081030": element("LO", "Thorax")}
    found = shown(counted(**hidden, **patient, _00081190=element("UR", ARCHIVE)), study=CONTEXT, seen=CT_ONLY)
    assert found == {
        "0020000D": element("UI", STUDY),
        "00080061": element("CS", "CT"),
        "00201206": element("IS", 1),
        "00201208": element("IS", 10),
        "00100010": element("PN", {"Alphabetic": "DOE"}),
        "00081030": element("LO", "Thorax"),
        "00081190": element("UR", f"{PUBLIC}/dicom-web/studies/{STUDY}"),
    }


def test_row_of_a_visible_series_keeps_its_own_attributes_beside_hidden_ones() -> None:
    row = counted(_00080060=element("CS", "CT"), _0008103E=element("LO", "Lung"), _00201209=element("IS", 10))
    found = shown(row, request=search(Level.SERIES), study=CONTEXT, seen=CT_ONLY)
    assert {tag: found[tag] for tag in ("00080060", "0008103E", "00201209")} == {
        "00080060": element("CS", "CT"),
        "0008103E": element("LO", "Lung"),
        "00201209": element("IS", 10),
    }
    assert found["00201206"] == element("IS", 1)
    assert "00080062" not in found


def test_count_that_is_not_known_is_left_out_and_none_is_added() -> None:
    unknown = study_context(s1=("CT", None), s2=("MR", 20))
    assert "00201208" not in shown(counted(), study=unknown, seen=CT_ONLY)
    assert shown(dataset(), study=CONTEXT, seen=CT_ONLY) == {"0020000D": element("UI", STUDY)}
    none = shown(counted(), study=CONTEXT, seen=frozenset())
    assert (none["00080061"], none["00201206"], none["00201208"]) == (element("CS"), element("IS", 0), element("IS", 0))


@pytest.mark.parametrize(
    ("level", "link"),
    [
        (Level.STUDY, f"studies/{STUDY}"),
        (Level.SERIES, f"studies/{STUDY}/series/{SERIES}"),
        (Level.INSTANCE, f"studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"),
    ],
)
def test_row_links_to_what_it_is_under_our_address(level: Level, link: str) -> None:
    found = shown(dataset(_00081190=element("UR", f"{ARCHIVE}/studies/9")), request=search(level))
    assert found["00081190"] == element("UR", f"{PUBLIC}/dicom-web/{link}")
    assert "00081190" not in shown(dataset(), request=search(level))


def test_rows_are_masked_after_their_counts_were_made() -> None:
    row = counted(_00100010=element("PN", {"Alphabetic": "DOE"}))
    found = shown(row, mask("PatientName", "Modality", "NumberOfStudyRelatedInstances"), study=CONTEXT, seen=CT_ONLY)
    assert found == {"0020000D": element("UI", STUDY), "00201206": element("IS", 1)}


def test_answer_holds_the_rows_shown_in_order() -> None:
    rows = ROWS(search(), ())
    page = [dataset(_0020000D=element("UI", f"1.{n}")) for n in range(4)]
    for number, row in enumerate(rows.read(json.dumps(page).encode())):
        if number != 2:
            rows.show(row, None, frozenset())
    assert rows.content_type == "application/dicom+json"
    assert json.loads(rows.answer()) == [page[0], page[1], page[3]]
    assert ROWS(search(), ()).answer() == b"[]"


def test_rows_in_xml() -> None:
    rows = ROWS(search(representation=Representation.XML), [mask("PatientName")])
    assert rows.answer() == b""
    page = [dataset(_0020000D=element("UI", f"1.{n}"), _00100010=element("PN", "DOE")) for n in range(2)]
    for row in rows.read(json.dumps(page).encode()):
        rows.show(row, None, frozenset())
    opening, _, boundary = rows.content_type.partition("boundary=")
    assert opening == 'multipart/related; type="application/dicom+xml"; '
    answer = rows.answer()
    assert b"DOE" not in answer
    parts = (b"\r\n" + answer).split(f"\r\n--{boundary}".encode())
    assert parts[-1] == b"--\r\n"
    for number, part in enumerate(parts[1:-1]):
        document = ElementTree.fromstring(part.split(b"\r\n\r\n", 1)[1])
        assert f"1.{number}" in {each.text for each in document.iter()}
    assert len(parts) == 4


def test_row_that_is_not_dicom_json_is_an_error_where_something_is_masked() -> None:
    with pytest.raises(ArchiveError):
        shown(dataset(_00100010="DOE"), mask("PatientID"))
    with pytest.raises(ArchiveError):
        shown(dataset() | {"PatientName": element("PN", "DOE")}, mask("PatientName"))


@pytest.mark.parametrize(
    "row",
    [
        dataset(_0020000D=element("UI", "1.02")),
        dataset(_0020000D=element("UI", "1.2\n")),
        dataset(_0020000D=element("UI", "1." * 40 + "1")),
        dataset(_0020000E=element("UI", "../1")),
        dataset(_00080018=element("UI", "x")),
    ],
)
def test_row_whose_uid_is_none_has_no_name_here_and_spoils_no_page(row: Any) -> None:
    rows = ROWS(search(Level.INSTANCE), ())
    assert [bool(rows.uids(each)) for each in rows.read(json.dumps([dataset(), row]).encode())] == [True, False]


@pytest.mark.parametrize("spelling", ["BulkDataURI", "Bulk\\u0044ataURI", "\\u0042ulkDataURI"])
def test_link_of_a_row_is_ours_however_the_archive_spells_its_member(spelling: str) -> None:
    """A page without masks is not walked; one that could hold a link is."""
    rows = ROWS(search(Level.INSTANCE), ())
    link = f'"7FE00010": {{"vr": "OW", "{spelling}": "http://10.0.0.7:8042/x/bulk/7fe00010"}}'
    page = json.dumps([dataset()])[:-2] + ", " + link + "}]"
    (row,) = rows.read(page.encode())
    rows.show(row, None, frozenset())
    assert b"10.0.0.7" not in rows.answer()
    assert b"/bulk/7fe00010" in rows.answer()
