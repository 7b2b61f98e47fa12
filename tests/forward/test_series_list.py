from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.forward.series_list import holders_of, places_of, read_page, studies_of
from proxy.model import InstanceUid, SeriesUid, StudyContext, StudyUid
from tests.forward.archive import row, series_rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STUDY = StudyUid("1.2.3")


def read(body: bytes, *asked: str) -> StudyContext:
    return studies_of(read_page(body), [StudyUid(uid) for uid in asked] or [STUDY], NOW)[STUDY]


def test_study_and_series_are_what_their_rows_say() -> None:
    found = read(series_rows(row("1.4", "CT", "South", t00201209=7), row("1.5", "MR", "North")))
    whole = found.resource
    assert (whole.patient_id, whole.accession_number, whole.study_date) == ("P1", "A1", "20200131")
    assert (whole.modalities, whole.institutions, whole.as_of) == (("CT", "MR"), ("North", "South"), NOW)
    first, second = found.series[SeriesUid("1.4")], found.series[SeriesUid("1.5")]
    assert (first.resource.modalities, first.resource.institutions, first.instances) == (("CT",), ("South",), 7)
    assert (second.resource.modalities, second.resource.patient_id, second.instances) == (("MR",), "P1", None)


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), ("12", 12), (-1, None), (True, None), (1.5, None), ("", None), ("1e9", None), ("٣", None), ([1, 2], None)],
)
def test_count_that_is_no_count_is_not_known(value: Any, count: int | None) -> None:
    assert read(series_rows(row("1.4", t00201209=value))).series[SeriesUid("1.4")].instances == count


def test_attribute_of_a_study_on_which_its_series_disagree_is_not_known() -> None:
    found = read(series_rows(row("1.4"), row("1.5", t00080050="A2", t00080020="20210101"))).resource
    assert (found.known, found.accession_number, found.study_date) == (True, None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"{}",
        b"[1]",
        b"[" * 5000,
        series_rows(row("1.4"), row("1.5", t0020000D="9.9.9")),
        series_rows(row("1.4") | {"0020000D": []}),
        series_rows(row("1.4", t0020000D=["1.2.3", "9.9"])),
        b'[{"0020000D": "1.2.3"}]',
    ],
)
def test_list_of_series_that_cannot_be_trusted_is_an_error(body: bytes) -> None:
    with pytest.raises(ArchiveError):
        read(body)


@pytest.mark.parametrize(
    "rows",
    [
        [row("1.4"), row("1.5", t00100020="P2")],
        [row("1.4"), row("1.5", t00100020="")],
        [row("1.4", t00080080=["North", "South"])],
        [row("1.4", t00080060=[7])],
        [row("1.4"), row("1.4", "MR")],
        [row("1.4"), row("1.4", institution="South")],
        [row("")],
    ],
)
def test_study_that_contradicts_itself_is_unknown_and_spoils_no_other(rows: list[Any]) -> None:
    other = row("7.4", t0020000D="7.7")
    found = studies_of(read_page(series_rows(*rows, other)), [STUDY, StudyUid("7.7")], NOW)
    assert (found[STUDY].resource.known, found[STUDY].contradictory, dict(found[STUDY].series)) == (False, True, {})
    assert found[StudyUid("7.7")].resource.known


def test_labels_are_gathered_from_series() -> None:
    found = read(series_rows(row("1.4", t00403001="VIP"), row("1.5", t00403001=["STAFF", "VIP"]), row("1.6")))
    assert found.resource.labels == ("STAFF", "VIP")
    assert [found.series[SeriesUid(uid)].resource.labels for uid in ("1.4", "1.6")] == [("VIP",), ()]


def test_study_that_was_not_asked_for_is_an_error_whatever_else_is_there() -> None:
    with pytest.raises(ArchiveError):
        read(series_rows(row("1.4"), row("1.5", t0020000D="9.9")), "1.2.3", "9.8")


def test_holders_are_the_studies_of_the_rows() -> None:
    rows = read_page(series_rows(row("9.9"), row("9.9", t0020000D="1.2.4")))
    assert holders_of(rows, SeriesUid("9.9")) == {"1.2.3", "1.2.4"}


@pytest.mark.parametrize("other", [row("9.8"), row("9.9", t0020000D=""), row("")])
def test_holders_of_what_was_not_asked_for_are_an_error(other: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError):
        holders_of(read_page(series_rows(row("9.9"), other)), SeriesUid("9.9"))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["1.2.3", "P1", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.fixed_dictionaries({"Value": inner}),
    max_leaves=5,
)
rows = st.lists(
    st.dictionaries(st.sampled_from(["0020000D", "0020000E", "00100020", "00080060", "00201209"]), values), max_size=3
)


@given(rows | values)
def test_whatever_the_archive_says_is_a_study_or_an_archive_error(body: Any) -> None:
    try:
        found = read(orjson.dumps(body))
    except ArchiveError:
        return
    assert found.resource.known is bool(found.series)


def test_places_of_an_instance_are_those_that_rows_name() -> None:
    rows = [row("1.4", t00080018="5.5"), row("1.9", t00080018="5.5", t0020000D="7.7")]
    found = places_of(read_page(series_rows(*rows)), InstanceUid("5.5"))
    assert found == {(STUDY, SeriesUid("1.4")), (StudyUid("7.7"), SeriesUid("1.9"))}
    for wrong in (row("1.4", t00080018="5.6"), row("", t00080018="5.5"), row("1.4")):
        with pytest.raises(ArchiveError):
            places_of(read_page(series_rows(wrong)), InstanceUid("5.5"))
