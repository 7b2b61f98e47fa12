"""How many recorded decisions are asked again in a second: ``python -m tests.bench.replay [count [policies]]``.

A spool is written, nine of ten decisions in it allowed, and read back as ``dicomward policy replay`` does. Processor
time of the one thread; the best of five, since other programs on the machine only ever add to it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.authoring import Period, Replay, bodies, loaded, read_source
from proxy.record.reader import current_reader
from tests.authoring.recording import POLICIES, judged, mixture, write_spool


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    candidate = loaded(read_source(Path(sys.argv[2]) if len(sys.argv) > 2 else POLICIES).policies)
    begin = datetime.now(UTC) - timedelta(days=7)
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        asyncio.run(write_spool(spool, judged(candidate, mixture(count, begin, timedelta(seconds=1)))))
        reader = current_reader(spool)
        for label, ask in (("replay", candidate.engine.decide_now), ("reading alone", None)):
            best = 0.0
            for _ in range(5):
                done = Replay()
                begun = time.thread_time_ns()
                for body in bodies(reader, Period(since=begin)):
                    if ask is not None:
                        done.add(body, ask)
                best = max(best, count / ((time.thread_time_ns() - begun) / 1e9))
            allowed = done.changes["allow->allow"]
            said = f", {allowed / count:.0%} allowed, {done.different} differ" if ask is not None else ""
            print(f"{label:14} {best:9.0f} decisions/s ({1e6 / best:.1f} us each){said}")
        reader.close()


if __name__ == "__main__":
    main()
