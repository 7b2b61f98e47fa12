"""What a decision costs with the shipped policies and a site's data: ``python tests/bench/decide.py [count]``.

10,000 consents, of every fourth patient in the rows, and 1,000 subjects. One thread, input built once, so the figure is
the engine's with input in and verdict out. Microseconds of this thread's processor time, which other programs on the
machine still inflate: the tenth percentile is what it costs undisturbed, and the first line what reading 2 kB of input
took meanwhile (19 us on an idle machine).
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import regorus

from proxy.decide import EmbeddedEngine, PolicySet, read_policies
from proxy.decide.example import MOMENT, example_input
from proxy.decide.prepared import from_bytes, prepare
from proxy.model import Action, JsonObject, Level, ResourceContext, Row, StudyUid

POLICIES = Path(__file__).parents[2] / "policies"
CONSENTS, SUBJECTS = 10_000, 1_000


def measure(label: str, run: Callable[[], object], count: int) -> None:
    for _ in range(min(count, 100)):
        run()
    took = []
    for _ in range(count):
        started = time.thread_time_ns()
        run()
        took.append((time.thread_time_ns() - started) / 1000)
    took.sort()
    shares = (("p10", took[count // 10]), ("median", statistics.median(took)), ("p99", took[int(count * 0.99)]))
    print(f"{label:55}", "   ".join(f"{name} {value:8.1f} us" for name, value in shares))


def consent(number: int) -> JsonObject:
    return {
        "resourceType": "Consent",
        "id": f"consent-{number}",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
        "patient": {"identifier": {"value": f"P{number * 4}"}},
        "dateTime": "2025-11-22",
        "provision": {
            "type": "deny",
            "period": {"start": "2025-11-22", "end": "2030-11-22"},
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}],
        },
    }


def site() -> PolicySet:
    """The shipped policies with the data of a large site."""
    files = dict(read_policies(POLICIES).files)
    consents: Any = orjson.loads(files["data/consents.json"])
    consents["consents"] = [consent(number) for number in range(CONSENTS)]
    files["data/consents.json"] = orjson.dumps(consents)
    subjects: Any = orjson.loads(files["data/subjects.json"])
    for number in range(SUBJECTS):
        subjects["subjects"][f"urn:dicomward:device:pc{number}"] = {
            "roles": ["technologist" if number % 2 else "radiologist"],
            "institutions": ["North Hospital", f"Clinic {number}"],
        }
    files["data/subjects.json"] = orjson.dumps(subjects)
    return PolicySet(files=files)


def asked(name: str, action: Action, rows: list[Row] | None = None, **changes: Any) -> JsonObject:
    """A decision is asked without rows, as the journey asks."""
    whole: Any = example_input(f"urn:dicomward:device:{name}", action)
    resource = {**whole["resource"], "institutions": ["North Hospital"], "departments": ["Radiology"], **changes}
    return {**whole, "resource": resource, "rows": [row.to_wire() for row in rows or ()]}


def part(name: str) -> JsonObject:
    whole: Any = asked(name, Action.STORE)
    return {**whole, "request": {**whole["request"], "instance": "1.2.3.4"}}


def hundred_rows() -> list[Row]:
    """Studies of a hundred patients: no two have the same attributes."""
    return [
        Row(
            level=Level.STUDY,
            study=StudyUid(f"1.2.826.0.1.3680043.8.498.{number}"),
            series=None,
            resource=ResourceContext(
                known=True,
                as_of=MOMENT,
                patient_id=f"P{number}",
                accession_number=f"A{number}",
                modalities=("CT", "SR") if number % 3 else ("MR",),
                institutions=("North Hospital",) if number % 4 else ("North Hospital", "South Clinic"),
                departments=("Radiology",),
                study_date="20260101",
            ),
        )
        for number in range(100)
    ]


def loading(policies: PolicySet) -> EmbeddedEngine:
    started = time.thread_time()
    prepared = prepare(policies, MOMENT)
    done = time.thread_time()
    print(f"prepare: {1000 * (done - started):.0f} ms; {len(prepared.data) / 1e6:.1f} MB of data")
    content = prepared.to_bytes()
    for _ in range(3):
        started = time.thread_time()
        again = from_bytes(content, policies)
        read = time.thread_time()
        engine = EmbeddedEngine(again)
        done = time.thread_time()
        print(f"read what was prepared: {1000 * (read - started):.1f} ms; engine: {1000 * (done - read):.1f} ms")
    return engine


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    engine = loading(site())
    text, other = orjson.dumps(asked("radiologist", Action.RETRIEVE)).decode(), regorus.Engine()
    measure(f"reading {len(text)} bytes of input", lambda: other.set_input_json(text), count)
    questions = [
        (f"{name}, {action}", asked(name, action))
        for name in ("radiologist", "technologist", "researcher", "pc7")
        for action in (Action.SEARCH, Action.METADATA, Action.RETRIEVE, Action.STORE)
    ]
    questions += [("radiologist, part of a store", part("radiologist")), ("pc7, part of a store", part("pc7"))]
    questions += [
        ("radiologist, patient with consent", asked("radiologist", Action.METADATA, patient_id="P4")),
        ("researcher, patient who forbids", asked("researcher", Action.METADATA, patient_id="P4")),
        ("technologist, other institution", asked("technologist", Action.RETRIEVE, institutions=["South Clinic"])),
        ("unknown device", asked("nobody", Action.RETRIEVE)),
        ("empty input", {}),
    ]
    for label, question in questions:
        verdict = engine.decide_now(question)
        told = "allow" if verdict.allow else "deny"
        measure(f"decision: {label} ({told})", lambda question=question: engine.decide_now(question), count)  # type: ignore[misc]
    for name in ("radiologist", "technologist", "researcher"):
        question = asked(name, Action.SEARCH, hundred_rows())
        label = f"visible: {name}, {len(engine.visible_now(question))} of 100 rows"
        measure(label, lambda question=question: engine.visible_now(question), count // 10)  # type: ignore[misc]


if __name__ == "__main__":
    main()
