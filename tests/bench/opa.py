"""What a decision costs by an OPA server, and beside it by the embedded engine: ``python -m tests.bench.opa [count]``.

The same inputs, by the proxy's own two engines; the OPA server is real and on loopback. First one question at a time:
microseconds of the proxy's processor time, and elapsed. Then as many at once as a busy proxy asks: what both processes
can do together, which on few cores is less than one of them could alone.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from proxy.decide import Embedded, read_policies
from proxy.decide.engine import Engine
from proxy.decide.example import MOMENT, example_input
from proxy.decide.prepared import prepare
from proxy.model import Action, JsonObject
from tests.policies.rego import POLICIES
from tests.simulators.opa import real_opa

AT_ONCE: Final = 16
WARM_UP: Final = 50


def asked(name: str, action: Action) -> JsonObject:
    """A decision is asked without rows, as the journey asks."""
    whole = example_input(f"urn:dicomward:device:{name}", action)
    resource: JsonObject = {**whole["resource"], "institutions": ["North Hospital"]}  # type: ignore[dict-item]
    return {**whole, "resource": resource, "rows": []}


async def measure(label: str, engine: Engine, question: JsonObject, count: int) -> None:
    for _ in range(WARM_UP):
        verdict = await engine.decide(question)
    own, elapsed = [], []
    for _ in range(count):
        started, began = time.thread_time_ns(), time.perf_counter_ns()
        await engine.decide(question)
        own.append((time.thread_time_ns() - started) / 1000)
        elapsed.append((time.perf_counter_ns() - began) / 1000)
    outcome = "allow" if verdict.allow else "deny"
    print(f"{label + ' (' + outcome + ')':46} own time {shown(own)}   elapsed {shown(elapsed)}")


def shown(microseconds: Sequence[float]) -> str:
    ordered = sorted(microseconds)
    return f"median {statistics.median(ordered):7.0f} us  p99 {ordered[int(len(ordered) * 0.99)]:7.0f} us"


async def throughput(label: str, engine: Engine, question: JsonObject, count: int) -> None:
    waiting = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with waiting:
            await engine.decide(question)

    started, began = time.thread_time_ns(), time.perf_counter_ns()
    await asyncio.gather(*(one() for _ in range(count)))
    own, elapsed = (time.thread_time_ns() - started) / 1e9, (time.perf_counter_ns() - began) / 1e9
    print(
        f"{label + f', {AT_ONCE} at once':46} {count / elapsed:7.0f} decisions/s, own time {own / count * 1e6:.0f} us each"
    )


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    prepared, embedded = prepare(read_policies(POLICIES), MOMENT), Embedded()
    await embedded.load(prepared)
    with tempfile.TemporaryDirectory() as folder:
        async with real_opa(Path(folder), connections=AT_ONCE) as (server, _):
            await server.load(prepared)
            for name, action in (
                ("radiologist", Action.RETRIEVE),
                ("radiologist", Action.SEARCH),
                ("researcher", Action.METADATA),
                ("researcher", Action.RETRIEVE),
            ):
                question = asked(name, action)
                for kind, engine in (("embedded", embedded), ("OPA server", server)):
                    await measure(f"{kind}: {name}, {action}", engine, question, count)
            question = asked("radiologist", Action.RETRIEVE)
            await throughput("embedded", embedded, question, count)
            await throughput("OPA server", server, question, count)


if __name__ == "__main__":
    asyncio.run(main())
