from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.fulfil import StoreReports
from proxy.model import InstanceUid, PartHeader, Reason, SeriesUid, StudyUid

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)


def element(*values: Any) -> dict[str, Any]:
    return {"vr": "UI", "Value": list(values)}


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
        department="",
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
    got, body = reports(
        archive, [part(n) for n in accepted], [(part(n), Reason.INSTITUTION_NOT_GRANTED) for n in refused]
    )
    items = json.loads(body)["00081198"]["Value"]
    assert got == status
    assert [(item["00081155"]["Value"][0], item["00081197"]["Value"][0]) for item in items] == failures


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_failure(reason: Reason) -> None:
    _, body = reports(None, [], [(part(1), reason)])
    (item,) = json.loads(body)["00081198"]["Value"]
    codes = {Reason.STUDY_MISMATCH: 0xA900, Reason.POLICY_UNAVAILABLE: 0xA700}
    assert item["00081197"] == {"vr": "US", "Value": [codes.get(reason, 0x0124)]}
    assert reason.value.encode() not in body


def test_instance_that_was_not_sent_is_not_reported_as_stored() -> None:
    status, body = reports(archived("9.1", "7.7.7"), [part(1)], [])
    assert status == 200
    assert b"7.7.7" not in body


def test_refused_part_is_never_reported_as_stored() -> None:
    """An archive that has the instance already, or lies, does not overrule a refusal."""
    _, body = reports(archived("9.1", "9.2"), [part(1)], [(part(2), Reason.INSTITUTION_NOT_GRANTED)])
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
