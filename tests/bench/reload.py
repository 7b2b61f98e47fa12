"""What a swap of policies costs those who are served meanwhile: ``python -m tests.bench.reload [rounds]``.

A ticker of 1 ms runs on the worker's loop; its longest gap is the stall. The data hold 10,000 consents and 1,000
subjects, and each round edits one of them. Printed: per round the gap while a candidate is read, tried and put into
force, and of that the gap while nothing happens; then the medians, and what a round took from edit to force.
"""

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from proxy.decide import Embedded, Kept, Supply, WatchedFolder
from proxy.decide.example import example_input
from proxy.model import Action

ROOT = Path(__file__).parents[2]
CONSENTS = 10_000
SUBJECTS = 1_000
LIMIT_MS = 100


class Nobody:
    """An ``Observer`` that forgets."""

    def count(self, name: str, labels: object = None, amount: int = 1) -> None: ...

    def seconds(self, room: str, elapsed: float) -> None: ...


class Ticker:
    def __init__(self) -> None:
        self.longest_s = 0.0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - last)
            last = now

    def stop(self) -> float:
        """Milliseconds of the longest gap."""
        self._task.cancel()
        return self.longest_s * 1000


def grow(policies: Path) -> None:
    """Consents of as many patients; subjects with the profiles of the shipped ones."""
    consents = policies / "data/consents.json"
    told = json.loads(consents.read_text())
    told["consents"] = [consent(number) for number in range(CONSENTS)]
    consents.write_text(json.dumps(told))
    subjects = policies / "data/subjects.json"
    told = json.loads(subjects.read_text())
    shipped = list(told["subjects"].values())
    told["subjects"] |= {f"bench-{number:04}": shipped[number % len(shipped)] for number in range(SUBJECTS)}
    subjects.write_text(json.dumps(told))


def consent(number: int) -> object:
    system = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"identifier": {"system": "urn:oid:1.2", "value": f"BENCH-{number:05}"}},
        "dateTime": "2026-01-01",
        "provision": {"type": "deny", "purpose": [{"system": system, "code": "HRESCH"}]},
    }


def edit(policies: Path, number: int) -> None:
    path = policies / "data/subjects.json"
    told = json.loads(path.read_text())
    told["subjects"][f"edited-{number}"] = {"roles": [], "institutions": []}
    path.write_text(json.dumps(told))


async def measure(policies: Path, store: Path, rounds: int) -> float:
    supply = Supply(WatchedFolder(policies), Embedded(), Kept(store), Nobody())
    await supply.start()
    question = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)
    gaps, idle, took = [], [], []
    for number in range(rounds):
        edit(policies, number)
        ticker = Ticker()
        await asyncio.sleep(0.5)
        idle.append(ticker.stop())
        ticker, started, before = Ticker(), time.perf_counter(), supply.generation
        await supply.look()
        await supply.look()
        took.append(time.perf_counter() - started)
        gaps.append(ticker.stop())
        assert supply.generation == before + 1, supply.last_error
        await supply.decide(question)
        print(
            f"round {number}: longest gap {gaps[-1]:6.1f} ms (idle {idle[-1]:5.1f} ms), in force after {took[-1]:.2f} s"
        )
    await supply.close()
    stall = statistics.median(gaps)
    print(
        f"stall of the loop: median {stall:.1f} ms, largest {max(gaps):.1f} ms "
        f"(idle {statistics.median(idle):.1f} ms); from edit to force: median {statistics.median(took):.2f} s"
    )
    return stall


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as place:
        policies = Path(shutil.copytree(ROOT / "policies", Path(place) / "policies"))
        grow(policies)
        size = sum(path.stat().st_size for path in (policies / "data").iterdir())
        print(f"{CONSENTS} consents, {SUBJECTS} subjects: {size / 1e6:.1f} MB of data")
        stall = asyncio.run(measure(policies, Path(place) / "kept", rounds))
    if stall >= LIMIT_MS:
        sys.exit(f"the loop stood still for {stall:.0f} ms, {LIMIT_MS} ms or more")


if __name__ == "__main__":
    main()
