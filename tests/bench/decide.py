"""What a decision costs with the shipped policies: ``python tests/bench/decide.py [count]``.

One thread, input built once, so the figure is the engine's with input in and verdict out. Microseconds of this thread's
processor time, which other programs on the machine disturb least.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from proxy.decide import EmbeddedEngine, read_policies
from proxy.decide.example import example_input
from proxy.model import Action

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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    engine = EmbeddedEngine(read_policies(POLICIES))
    for name in ("radiologist", "technologist", "researcher"):
        for action in (Action.SEARCH, Action.METADATA, Action.RETRIEVE):
            asked = example_input(f"urn:dicomward:device:{name}", action)
            measure(f"decision: {name}, {action}", lambda asked=asked: engine.decide_now(asked), count)  # type: ignore[misc]
    measure("decision: empty input", lambda: engine.decide_now({}), count)
    rows = example_input("urn:dicomward:device:technologist", Action.SEARCH)
    rows["rows"] = rows["rows"] * 10  # type: ignore[operator]
    measure("visible: technologist, 100 rows", lambda: engine.visible_now(rows), count // 10)
    whole = example_input
    measure("build_input", lambda: whole("urn:dicomward:device:radiologist", Action.RETRIEVE), count)


if __name__ == "__main__":
    main()
