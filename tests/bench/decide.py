"""What a decision costs with the shipped policies: ``python tests/bench/decide.py [count [policies]]``.

One thread, input built once, so the figure is the engine's with input in and verdict out. Microseconds of this thread's
processor time, which other programs on the machine disturb least.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from proxy.decide import EmbeddedEngine, read_policies
from proxy.decide.example import MOMENT, example_input
from proxy.model import Action, JsonObject, Level, ResourceContext, Row, StudyUid

POLICIES = Path(__file__).parents[2] / "policies"


def measure(label: str, run: Callable[[], object], count: int) -> None:
    for _ in range(100):
        run()
    took = []
    for _ in range(count):
        started = time.thread_time_ns()
        run()
        took.append((time.thread_time_ns() - started) / 1000)
    took.sort()
    print(f"{label:40} median {statistics.median(took):8.1f} us   p99 {took[int(count * 0.99)]:8.1f} us")


def asked(name: str, action: Action, rows: list[Row] | None = None) -> JsonObject:
    """A decision is asked without rows, as the journey asks."""
    whole = example_input(f"urn:dicomward:device:{name}", action)
    resource: JsonObject = {**whole["resource"], "institutions": ["North Hospital"]}  # type: ignore[dict-item]
    return {**whole, "resource": resource, "rows": [row.to_wire() for row in rows or ()]}


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
                study_date="20260101",
            ),
        )
        for number in range(100)
    ]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    engine = EmbeddedEngine(read_policies(Path(sys.argv[2]) if len(sys.argv) > 2 else POLICIES))
    for name in ("radiologist", "technologist", "researcher"):
        for action in (Action.SEARCH, Action.METADATA, Action.RETRIEVE):
            question = asked(name, action)
            verdict = "allow" if engine.decide_now(question).allow else "deny"
            label = f"decision: {name}, {action} ({verdict})"
            measure(label, lambda question=question: engine.decide_now(question), count)  # type: ignore[misc]
    measure("decision: empty input (deny)", lambda: engine.decide_now({}), count)
    for name in ("radiologist", "technologist", "researcher"):
        question = asked(name, Action.SEARCH, hundred_rows())
        seen = len(engine.visible_now(question))
        label = f"visible: {name}, {seen} of 100 rows"
        measure(label, lambda question=question: engine.visible_now(question), count // 10)  # type: ignore[misc]
    measure("build_input", lambda: example_input("urn:dicomward:device:radiologist", Action.RETRIEVE), count)


if __name__ == "__main__":
    main()
