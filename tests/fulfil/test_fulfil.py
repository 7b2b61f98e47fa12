from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.fulfil import StoreReports, rows_of, unmet
from proxy.model import InstanceUid, Obligation, PartHeader, Reason, SeriesUid, StudyUid

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)


def obligation(kind: str) -> Obligation:
    return Obligation(type=kind, body={"type": kind})


# ----------------------------------------------------------------------------------------- obligations


def test_no_obligation_is_met() -> None:
    assert unmet(()) is None


@pytest.mark.parametrize("kind", ["seal", "filter_rows", "match", "mask", "hide", "limit"])
def test_obligation_of_the_contract_that_is_not_built_denies(kind: str) -> None:
    assert unmet([obligation(kind)]) is Reason.NOT_YET


@pytest.mark.parametrize("kinds", [["juggle"], ["mask", "juggle"], [""], ["SEAL"]])
def test_unknown_obligation_denies(kinds: list[str]) -> None:
    assert unmet([obligation(kind) for kind in kinds]) is Reason.OBLIGATION_UNKNOWN


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_no_obligation_at_all_is_ever_forgotten(kinds: list[str]) -> None:
    assert unmet([obligation(kind) for kind in kinds]) is not None


# ------------------------------------------------------------------------------------------------ rows


def element(*values: Any) -> dict[str, Any]:
    return {"vr": "UI", "Value": list(values)}


def test_rows_show_study_series_and_instance_as_far_as_they_have_them() -> None:
    rows = [
        {"0020000D": element("1.1")},
        {"0020000D": element("1.1"), "0020000E": element("1.2"), "00100010": {"vr": "PN"}},
        {"00080018": element("1.3"), "0020000E": element("1.2"), "0020000D": element("1.1")},
    ]
    assert rows_of(json.dumps(rows).encode()) == [["1.1"], ["1.1", "1.2"], ["1.1", "1.2", "1.3"]]
    assert rows_of(b"[]") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"{}",
        b"[{}]",
        b"[null]",
        b'["1.1"]',
        b'[{"0020000D": "1.1"}]',
        b'[{"0020000D": {"vr": "UI"}}]',
        b'[{"0020000D": {"vr": "UI", "Value": []}}]',
        b'[{"0020000D": {"vr": "UI", "Value": ["1.1", "1.2"]}}]',
        b'[{"0020000D": {"vr": "UI", "Value": [11]}}]',
        b'[{"0020000E": {"vr": "UI", "Value": ["1.2"]}}]',
        b'[{"0020000D": {"vr": "UI"}, "0020000E": {"vr": "UI", "Value": ["1.2"]}}]',
        b'[{"0020000D": {"Value": ["1.1", "1.5"]}, "0020000E": {"Value": ["1.2"]}}]',
        b'[{"0020000D": {"Value": ["1.1"]}}, {}]',
        b"[" * 5000,
        b'[{"0020000D": {"Value": ["\\ud800"]}}]',
    ],
)
def test_row_that_does_not_say_what_it_shows_is_an_error(body: bytes) -> None:
    with pytest.raises(ArchiveError):
        rows_of(body)


@given(st.binary(max_size=60) | json_values.map(orjson.dumps))
def test_whatever_the_archive_says_is_rows_or_an_archive_error(body: bytes) -> None:
    try:
        rows = rows_of(body)
    except ArchiveError:
        return
    assert all(row and all(isinstance(uid, str) for uid in row) for row in rows)


# -------------------------------------------------------------------------------------- store reports

reports = StoreReports("https://pacs.example:8443")


def part(number: int, study: str = "1.2.3") -> PartHeader:
    return PartHeader(
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        instance=InstanceUid(f"9.{number}"),
        study=StudyUid(study),
        series=SeriesUid(f"{study}.4"),
        transfer_syntax="1.2.840.10008.1.2.1",
        patient_id="PATIENT-1",
        accession_number="A1",
        modality="CT",
        institution="North",
        study_date="20200131",
    )


def archived(*instances: str, **more: Any) -> bytes:
    items = [{"00081155": element(each), "00081150": element("1.2"), **more} for each in instances]
    return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()


def test_all_stored_is_200_with_our_own_links() -> None:
    status, body = reports(archived("9.1", "9.2"), [part(1), part(2)], [])
    report = json.loads(body)
    assert status == 200
    assert report["00081190"]["Value"] == ["https://pacs.example:8443/dicom-web/studies/1.2.3"]
    assert [item["00081190"]["Value"][0] for item in report["00081199"]["Value"]] == [
        f"https://pacs.example:8443/dicom-web/studies/1.2.3/series/1.2.3.4/instances/9.{n}" for n in (1, 2)
    ]
    assert "00081198" not in report


def test_parts_of_two_studies_have_no_link_in_common() -> None:
    _, body = reports(archived("9.1", "9.2"), [part(1), part(2, "5.5")], [])
    assert "00081190" not in json.loads(body)


@pytest.mark.parametrize(
    ("stored", "accepted", "refused", "status", "failures"),
    [
        (["9.1"], [1], [2], 202, [("9.2", 0x0124)]),
        (["9.1"], [1, 2], [], 202, [("9.2", 0x0110)]),
        ([], [1], [], 409, [("9.1", 0x0110)]),
        (None, [], [1], 409, [("9.1", 0x0124)]),
        (["9.1"], [1, 2], [3], 202, [("9.2", 0x0110), ("9.3", 0x0124)]),
    ],
)
def test_status_and_failures_follow_ps318(
    stored: list[str] | None, accepted: list[int], refused: list[int], status: int, failures: list[tuple[str, int]]
) -> None:
    archive = None if stored is None else archived(*stored)
    got, body = reports(archive, [part(n) for n in accepted], [(part(n), "institution-not-granted") for n in refused])
    items = json.loads(body)["00081198"]["Value"]
    assert got == status
    assert [(item["00081155"]["Value"][0], item["00081197"]["Value"][0]) for item in items] == failures


def test_instance_that_was_not_sent_is_not_reported_as_stored() -> None:
    status, body = reports(archived("9.1", "7.7.7"), [part(1)], [])
    assert status == 200
    assert b"7.7.7" not in body


def test_refused_part_is_never_reported_as_stored() -> None:
    """An archive that has the instance already, or lies, does not overrule a refusal."""
    _, body = reports(archived("9.1", "9.2"), [part(1)], [(part(2), "institution-not-granted")])
    report = json.loads(body)
    assert [item["00081155"]["Value"][0] for item in report["00081199"]["Value"]] == ["9.1"]
    assert [item["00081155"]["Value"][0] for item in report["00081198"]["Value"]] == ["9.2"]


def test_nothing_of_a_hostile_report_passes() -> None:
    link = {"vr": "UR", "Value": ["http://internal:8042/dicom-web/studies/1"]}
    hostile = json.loads(archived("9.1", **{"00081190": link, "00081196": element("Orthanc: /var/lib/secret")}))
    hostile |= {"00081190": link, "error": "stack trace with PATIENT-9", "00081198": {"Value": [{"x": "DOE^JANE"}]}}
    status, body = reports(json.dumps(hostile).encode(), [part(1)], [])
    assert status == 200
    for leak in (b"internal", b"secret", b"stack", b"PATIENT", b"DOE"):
        assert leak not in body


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"[]",
        b"null",
        b"7",
        b'{"00081199": null}',
        b'{"00081199": {"Value": null}}',
        b'{"00081199": {"Value": 5}}',
        b'{"00081199": {"Value": [{}]}}',
        b'{"00081199": {"Value": ["9.1"]}}',
        b'{"00081199": {"Value": [{"00081155": {"Value": []}}]}}',
        b'{"00081199": {"Value": [{"00081155": {"Value": [["9.1"]]}}]}}',
    ],
)
def test_report_that_cannot_be_read_is_an_error(report: bytes) -> None:
    with pytest.raises(ArchiveError):
        reports(report, [part(1)], [])


@given(json_values.map(orjson.dumps) | json_values.map(lambda v: orjson.dumps({"00081199": {"Value": v}})))
def test_whatever_the_archive_reports_nothing_is_stored_that_it_does_not_name(report: bytes) -> None:
    try:
        status, body = reports(report, [part(1)], [])
    except ArchiveError:
        return
    assert (status, b"9.1" in report) in ((409, False), (200, True), (409, True))
    assert "9.1" in body.decode()
