from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.fulfil import Fulfilling
from proxy.model import Action, DicomRequest, Obligation, Representation
from proxy.ports import Recoder
from tests.fulfil.building import (
    ARCHIVE,
    INSTANCE,
    PUBLIC,
    SERIES,
    STUDY,
    Answer,
    cut,
    dataset,
    element,
    mask,
    read,
)

JSON = read(Action.METADATA, Representation.JSON)
SERIES_JSON = read(Action.METADATA, Representation.JSON, instance=None)
SERIES_XML = read(Action.METADATA, Representation.XML, instance=None)
OURS = f"{PUBLIC}/dicom-web/studies/{STUDY}/series/{SERIES}/instances"


def recoder(request: DicomRequest, *obligations: Obligation, answer: Answer | None = None) -> Recoder:
    return Fulfilling(PUBLIC).recoder(request, obligations, answer or Answer())


def recoded(made: Recoder, rows: Any, sizes: list[int] | None = None) -> bytes:
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return b"".join(piece for chunk in cut(body, sizes or []) for piece in made.feed(chunk)) + made.end()


def shown(row: dict[str, Any], *obligations: Obligation) -> dict[str, Any]:
    (found,) = json.loads(recoded(recoder(JSON, *obligations), [row]))
    return dict(found)


@given(st.lists(st.integers(1, 200), max_size=4), st.integers(1, 4))
def test_metadata_is_masked_and_linked_however_it_arrives(sizes: list[int], count: int) -> None:
    rows = [
        dataset(
            f"{INSTANCE}.{number}",
            _00100010=element("PN", {"Alphabetic": "DOE^JANE"}),
            _00181041=element("FD", 0.1, 2.5),
            _00091002={"vr": "OB", "BulkDataURI": f"{ARCHIVE}/studies/9/series/9/instances/9/bulk/00091002"},
        )
        for number in range(count)
    ]
    made = recoder(SERIES_JSON, mask("PatientName"))
    found = json.loads(recoded(made, rows, sizes))
    assert made.content_type == "application/dicom+json"
    assert made.length is None
    assert found == [
        dataset(
            f"{INSTANCE}.{number}",
            _00181041=element("FD", 0.1, 2.5),
            _00091002={"vr": "OB", "BulkDataURI": f"{OURS}/{INSTANCE}.{number}/bulk/00091002"},
        )
        for number in range(count)
    ]


def test_xml_is_written_from_what_was_masked() -> None:
    rows = [dataset(f"{INSTANCE}.{n}", _00100010=element("PN", {"Alphabetic": "DOE^JANE"})) for n in range(3)]
    made = recoder(SERIES_XML, mask("VR:PN"))
    body = recoded(made, rows)
    found = re.fullmatch(
        r'multipart/related; type="application/dicom\+xml"; boundary=([0-9a-f]{32})', made.content_type
    )
    assert found is not None
    assert b"DOE" not in body
    *parts, end = (b"\r\n" + body).split(f"\r\n--{found[1]}".encode())[1:]
    assert end == b"--\r\n"
    for number, part in enumerate(parts):
        head, document = part.split(b"\r\n\r\n", 1)
        assert head.decode().split("\r\n")[1:] == [
            "Content-Type: application/dicom+xml",
            f"Content-Length: {len(document)}",
        ]
        assert f"{INSTANCE}.{number}" in {value.text for value in ElementTree.fromstring(document).iter()}
    assert len(parts) == 3


def test_boundary_is_new_for_each_answer() -> None:
    assert recoder(SERIES_XML).content_type != recoder(SERIES_XML).content_type


def test_empty_list_is_one_in_json_and_has_no_form_in_xml() -> None:
    assert recoded(recoder(JSON), []) == b"[]"
    with pytest.raises(ArchiveError):
        recoded(recoder(SERIES_XML), [])


@pytest.mark.parametrize(
    "foreign",
    [
        dataset(_0020000D=element("UI", "6.6.6")),
        dataset(_0020000E=element("UI", "6.6.6")),
        dataset("6.6.6"),
        dataset(_0020000D=element("UI", STUDY, "6.6.6")),
        dataset(_0020000D=element("UI")),
        dataset(_0020000D=STUDY),
        {},
    ],
)
def test_dataset_of_another_object_never_leaves(foreign: dict[str, Any]) -> None:
    for request in (JSON, read(Action.METADATA, Representation.XML)):
        made = recoder(request)
        with pytest.raises(ArchiveError):
            made.feed(json.dumps([foreign]).encode())


def test_series_may_hold_any_instance_of_its_own() -> None:
    rows = [dataset("6.6.6"), dataset("7.7.7")]
    assert json.loads(recoded(recoder(SERIES_JSON), rows)) == rows


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        (f"{ARCHIVE}/studies/9/series/9/instances/9/bulk/7fe00010", "7fe00010"),
        (f"{ARCHIVE}/studies/9/series/9/instances/9/bulk/7FE00010", "7fe00010"),
        (f"{ARCHIVE}/studies/9/series/9/instances/9/bulkdata/54000100/1/54001010", "54000100/1/54001010"),
        ("../../bulk/54000100/12/54001010", "54000100/12/54001010"),
        (f"{ARCHIVE}/bulk/00091001/bulk/00091002", "00091002"),
        (f"{ARCHIVE}/studies/9/bulk/", None),
        (f"{ARCHIVE}/studies/9/bulk/7fe00010?x=1", None),
        (f"{ARCHIVE}/studies/9/bulk/7fe00010/", None),
        (f"{ARCHIVE}/studies/9/bulk/54000100/0/54001010", None),
        (f"{ARCHIVE}/studies/9/bulk/54000100/1", None),
        (f"{ARCHIVE}/studies/9/bulk/../../7fe00010", None),
        (f"{ARCHIVE}/studies/9/bulk/7fe00010\n", None),
        (f"{ARCHIVE}/instances/9/content/7fe00010", None),
        ("file:///etc/passwd", None),
        (7, None),
        (None, None),
    ],
)
def test_bulk_data_is_linked_under_our_address_or_not_at_all(uri: Any, path: str | None) -> None:
    linked = {"vr": "OW", "BulkDataURI": uri}
    found = shown(dataset(_7FE00010=linked, _54000100=element("SQ", {"54001010": linked})))
    wanted = {"vr": "OW"} if path is None else {"vr": "OW", "BulkDataURI": f"{OURS}/{INSTANCE}/bulk/{path}"}
    assert found["7FE00010"] == wanted
    assert found["54000100"]["Value"][0]["54001010"] == wanted


def test_bulk_data_of_a_dataset_without_a_name_is_not_linked() -> None:
    row = dataset(_7FE00010={"vr": "OW", "BulkDataURI": f"{ARCHIVE}/bulk/7fe00010"})
    row["00080018"] = element("UI", "1.02")
    (found,) = json.loads(recoded(recoder(SERIES_JSON), [row]))
    assert found["7FE00010"] == {"vr": "OW"}


def test_retrieve_link_is_ours_and_nested_ones_are_data() -> None:
    link = element("UR", f"{ARCHIVE}/studies/9")
    found = shown(dataset(_00081190=link, _00081199=element("SQ", {"00081190": link})))
    assert found["00081190"] == element("UR", f"{OURS}/{INSTANCE}")
    assert found["00081199"]["Value"][0]["00081190"] == link


def test_members_that_the_standard_does_not_know_are_dropped() -> None:
    odd = {"vr": "LO", "Value": ["x"], "url": f"{ARCHIVE}/x"}
    assert shown(dataset(_00080080=odd))["00080080"] == element("LO", "x")
    assert shown(dataset(_00080080={"vr": "LO", "url": "x"}))["00080080"] == element("LO")


@pytest.mark.parametrize(
    "odd",
    [
        {"00080080": "text"},
        {"00080080": {"Value": ["x"]}},
        {"00080080": {"vr": "LO", "Value": "x"}},
        {"00080080": {"vr": "LO", "Value": [{"00100010": element("PN", "DOE")}]}},
        {"00080080": {"vr": "UN", "Value": [[{"00100010": element("PN", "DOE")}]]}},
        {"00080080": {"vr": "PN", "Value": [{"00100010": "DOE"}]}},
        {"00080080": {"vr": "PN", "Value": [{"Alphabetic": {"00100010": "DOE"}}]}},
        {"00080080": {"vr": "OB", "InlineBinary": {"00100010": "DOE"}}},
        {"00080080": {"vr": "SQ", "Value": ["x"]}},
        {"00080080": {"vr": ["LO"]}},
        {"InstitutionName": element("LO", "x")},
        {"0008008g": element("LO", "x")},
        {"0008103e": element("LO", "x")},
        {"00181041": {"vr": "FD", "Value": [1e999]}},
    ],
)
def test_metadata_that_is_not_dicom_json_is_an_error(odd: dict[str, Any]) -> None:
    for obligations in ([], [mask("PatientName")]):
        for request in (JSON, read(Action.METADATA, Representation.XML)):
            body = json.dumps([dataset() | odd]).replace("Infinity", "1e999").encode()
            for sizes in ([], [50]):
                with pytest.raises(ArchiveError):
                    recoded(recoder(request, *obligations), body, sizes)


@pytest.mark.parametrize("bad", ['"\\ud800"', "1" + "0" * 40])
def test_value_that_json_cannot_carry_is_an_error_or_its_equal(bad: str) -> None:
    body = json.dumps([dataset(_00280010=element("US", "@"))]).replace('"@"', bad).encode()
    for sizes in ([], [50]):
        try:
            (found,) = json.loads(recoded(recoder(JSON), body, sizes))
        except ArchiveError:
            continue
        assert found["00280010"]["Value"] == [float(bad)]


def test_metadata_that_ends_early_is_an_error() -> None:
    body = json.dumps([dataset(), dataset()]).encode()
    for end in range(0, len(body), 7):
        with pytest.raises(ArchiveError):
            recoded(recoder(JSON), body[:end])


def test_dataset_nested_beyond_reason_is_an_error() -> None:
    body = json.dumps([dataset(_00081110="@")]).encode()
    depth = 300
    nested = b'{"vr":"SQ","Value":[{"00081110":' * depth + b'{"vr":"SQ"}' + b"}]}" * depth
    with pytest.raises(ArchiveError):
        recoded(recoder(JSON, mask("PatientName")), body.replace(b'"@"', nested * 1), [9999])


@pytest.mark.parametrize("content_type", ["", "application/dicom+xml", "text/html", "multipart/related"])
def test_answer_of_another_type_is_an_error(content_type: str) -> None:
    with pytest.raises(ArchiveError):
        recoder(JSON, answer=Answer(content_type))


def test_image_passes_as_it_is() -> None:
    request = read(Action.RENDER, Representation.IMAGE)
    made = recoder(request, answer=Answer("image/png", length=6))
    chunk = b"abc"
    assert made.feed(chunk)[0] is chunk
    assert list(made.feed(b"")) == []
    assert made.feed(b"def") == (b"def",)
    assert (made.end(), made.content_type, made.length) == (b"", "image/png", 6)
    short = recoder(request, answer=Answer("image/png", length=6))
    short.feed(chunk)
    with pytest.raises(ArchiveError):
        short.end()
    with pytest.raises(ArchiveError):
        recoder(request, answer=Answer(""))
