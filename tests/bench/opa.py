"""What a decision costs by an OPA server, and beside it by the embedded engine: ``python -m tests.bench.opa [count]``.

The same questions by the proxy's own two engines, with the policies and data of a large site (``decide.py``: 10,000
consents, 1,000 subjects). The OPA server is real, on loopback without TLS, its bundle fetched from our own admin port.
First one question at a time: ``own`` is processor time of this thread, ``elapsed`` what a request waits, ``server``
processor time of OPA, which is told in steps of 10 ms and therefore as a mean. Then as many at once as a busy proxy
asks: what both processes can do together, which on few cores is less than one of them could alone.

Other programs inflate it all: the first line is what reading 2 kB of input took (18 us on an idle machine).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import orjson
import psutil
import regorus

from proxy.decide import Embedded
from proxy.decide.example import MOMENT
from proxy.decide.prepared import prepare
from proxy.model import Action, JsonObject
from tests.bench.decide import asked, hundred_rows, site
from tests.bench.decide import measure as processor_time
from tests.simulators.opa import real_opa

AT_ONCE: Final = 16
WARM_UP: Final = 100
Ask = Callable[[JsonObject], Awaitable[object]]


async def measure(label: str, ask: Ask, question: JsonObject, count: int, server: psutil.Process | None = None) -> None:
    for _ in range(min(WARM_UP, count)):
        await ask(question)
    own: list[float] = []
    elapsed: list[float] = []
    before = _seconds(server)
    for _ in range(count):
        started, began = time.thread_time_ns(), time.perf_counter_ns()
        await ask(question)
        own.append((time.thread_time_ns() - started) / 1000)
        elapsed.append((time.perf_counter_ns() - began) / 1000)
    served = (_seconds(server) - before) / count * 1e6
    line = f"{label:49} own {_shown(own)}   elapsed {_shown(elapsed)}"
    print(line if server is None else f"{line}   server {served:6.0f} us")


def _shown(microseconds: list[float]) -> str:
    ordered = sorted(microseconds)
    return f"median {statistics.median(ordered):6.0f} p99 {ordered[int(len(ordered) * 0.99)]:6.0f} us"


def _seconds(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


async def at_once(label: str, ask: Ask, questions: Sequence[JsonObject], count: int) -> None:
    left = iter(range(count))

    async def client() -> None:
        for number in left:
            await ask(questions[number % len(questions)])

    started, began = time.thread_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    own, elapsed = time.thread_time() - started, time.perf_counter() - began
    print(f"{label}, {AT_ONCE} at once: {count / elapsed:.0f} decisions/s, own {own / count * 1e6:.0f} us each")


QUESTIONS: Final[dict[str, JsonObject]] = {
    "radiologist, retrieve": asked("radiologist", Action.RETRIEVE),
    "technologist, metadata": asked("technologist", Action.METADATA),
    "pc7 of 1,000, retrieve": asked("pc7", Action.RETRIEVE),
    "researcher, patient who forbids (deny)": asked("researcher", Action.METADATA, patient_id="P4"),
    "unknown device (deny)": asked("nobody", Action.RETRIEVE),
}


async def run(folder: Path, count: int) -> None:
    text, other = orjson.dumps(next(iter(QUESTIONS.values()))).decode(), regorus.Engine()
    processor_time(f"reading {len(text)} bytes of input", lambda: other.set_input_json(text), count)
    prepared = prepare(site(), MOMENT)
    print(f"{len(prepared.data) / 1e6:.1f} MB of data")
    embedded, rows = Embedded(), asked("technologist", Action.SEARCH, hundred_rows())
    await embedded.load(prepared)
    async with real_opa(folder, connections=AT_ONCE) as (engine, server):
        started = time.perf_counter()
        await engine.load(prepared)
        print(f"the server answers by the policies {time.perf_counter() - started:.2f} s after they were offered")
        process = psutil.Process(server.pid)
        for label, question in QUESTIONS.items():
            assert await engine.decide(question) == await embedded.decide(question)
            await measure(f"embedded: {label}", embedded.decide, question, count)
            await measure(f"server:   {label}", engine.decide, question, count, process)
        seen = await engine.visible(rows)
        assert seen == await embedded.visible(rows)
        label = f"visible, {len(seen)} of 100 rows"
        await measure(f"embedded: {label}", embedded.visible, rows, count // 10)
        await measure(f"server:   {label}", engine.visible, rows, count // 10, process)
        await at_once("embedded", embedded.decide, list(QUESTIONS.values()), count)
        await at_once("server", engine.decide, list(QUESTIONS.values()), count)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), count))


if __name__ == "__main__":
    main()
