"""Chain and IPFS go away under load: clients notice nothing; then all is anchored once, and opened by its auditor."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from tests.anchor.evidence.conftest import ipfs
from tests.journey import ledger
from tests.journey.conftest import FULL
from tests.journey.load import load
from tests.journey.watching import metric, until
from tests.laws import check_laws
from tests.stack import GENEROUS

OUTAGE_S = 600 if FULL else 6
UNDISTURBED_S = 60 if FULL else 2
PER_SECOND = 200 if FULL else 50
MAY_GROW_BYTES = 32 * 2**20
AFTER_WARMING = 0.1
"""Part of the outage after which caches and pools of a process are full."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[DevStack]:
    ipfs()
    overrides: dict[str, dict[str, object]] = {"limits": dict(GENEROUS), "ledger": {"canary_s": 1}}
    with DevStack(tmp_path / "stack", ports=Ports.free(), overrides=overrides, with_kubo=True) as running:
        yield running
        check_laws(running, chain=False, outcomes=False)  # the canary goes on: the test asks the verifier itself


def test_no_request_fails_while_chain_and_ipfs_are_away(stack: DevStack) -> None:
    with load(stack, clients=8, per_second=PER_SECOND) as seen:
        time.sleep(UNDISTURBED_S)
        away = len(seen.answers)
        stack.stop_part("chain")
        stack.stop_part("kubo")
        until(lambda: "anchor" in _degraded(stack))
        assert requests.get(f"{stack.admin_url}/readyz", timeout=10).status_code == 200, "it serves all the same"
        time.sleep(OUTAGE_S * AFTER_WARMING)
        with _memory(stack, "proxy", "anchor") as grown:
            time.sleep(OUTAGE_S * (1 - AFTER_WARMING))
        waited = metric(stack, "canary_waiting_seconds")
        back = len(seen.answers)
        stack.restart("chain")
        stack.restart("kubo")
        began = time.monotonic()
        time.sleep(1)
    before, meanwhile = seen.elapsed_ms[:away], seen.elapsed_ms[away:back]
    print(
        f"{OUTAGE_S} s without chain and IPFS: {len(meanwhile)} answers meanwhile, {seen.unanswered} unanswered, "
        f"{seen.statuses()}; undisturbed {_latency(before)}, meanwhile {_latency(meanwhile)}"
    )
    assert meanwhile
    assert seen.unanswered == 0
    assert set(seen.statuses()) <= {200, 403}
    ledger.settle(stack, timeout_s=2 * OUTAGE_S + 60)
    print(f"drained and final in {time.monotonic() - began:.0f} s; grown {_mebibytes(grown)}")
    ledger.settle(stack, timeout_s=2 * OUTAGE_S + 60, figure="published")
    print(f"all evidence named in {time.monotonic() - began:.0f} s")
    assert waited >= OUTAGE_S * (1 - AFTER_WARMING), "the canary tells how long the chain is away"
    until(lambda: _degraded(stack) == [])
    until(lambda: metric(stack, "canary_seconds", stage="published") > 0)
    assert all(growth < MAY_GROW_BYTES for growth in grown.values()), _mebibytes(grown)
    report = ledger.verified(stack, seen.answers)
    assert report["clean"], report["findings"]
    opened = ledger.verified(stack, (), "--key", str(stack.layout.auditor_key))
    assert opened["clean"], opened["findings"]
    assert opened["records"] >= len(seen.answers)
    assert not ledger.missing(stack, seen.answers)


def _degraded(stack: DevStack) -> list[str]:
    degraded: list[str] = requests.get(f"{stack.admin_url}/healthz", timeout=10).json()["degraded"]
    return degraded


@contextmanager
def _memory(stack: DevStack, *names: str) -> Iterator[dict[str, int]]:
    """How far each part's processes grew above what they were, at most, in bytes; filled when left."""
    grown = dict.fromkeys(names, 0)
    begun = {name: _resident(stack, name) for name in names}
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(0.5):
            for name in names:
                grown[name] = max(grown[name], _resident(stack, name) - begun[name])

    watching = threading.Thread(target=watch, name="memory")
    watching.start()
    try:
        yield grown
    finally:
        stopping.set()
        watching.join()


def _resident(stack: DevStack, name: str) -> int:
    parent = psutil.Process(stack.part(name).pid)
    return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True)))


def _mebibytes(grown: dict[str, int]) -> str:
    return ", ".join(f"{name} {growth / 2**20:+.1f} MiB" for name, growth in grown.items())


def _latency(elapsed_ms: Sequence[float]) -> str:
    p99 = statistics.quantiles(elapsed_ms, n=100)[98]
    return f"median {statistics.median(elapsed_ms):.1f} ms, p99 {p99:.1f} ms"
