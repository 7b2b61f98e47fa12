"""What recording costs: ``python -m tests.bench.record``. CPU microseconds of the process a request.

A request is a decision that is waited for, its receipt, and an outcome that is not. At one connection every request
pays for an fsync of its own; at 64 a commit serves many.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from proxy import commitment, records
from proxy.decide.example import example_input
from proxy.model import Action, DecisionId, JsonObject, Kind, OutcomeStatus
from proxy.record import Spool

REQUESTS = 4000
NOW = datetime.now(UTC)


def decision() -> JsonObject:
    identity = records.new_decision_id(NOW)
    asked = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)
    return {"v": 1, "kind": "decision", "id": identity, "time": "2026-01-01T00:00:00.000Z", "input": asked}


async def serve(spool: Spool, number: int, body: JsonObject) -> None:
    identity = str(body["id"])
    for _ in range(number):
        durable = await spool.record(Kind.DECISION, body)
        spool.receipt(identity, durable, NOW)
        outcome = records.outcome(DecisionId(identity), OutcomeStatus.COMPLETE, 200, 1024, "0" * 64, NOW)
        spool.record_later(Kind.OUTCOME, outcome)


async def measure() -> None:
    body = decision()
    print(f"a decision record has {len(commitment.canonical(body))} bytes")
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool", chain_id=1, contract=bytes(20), batch=256, limit=20_000)
        for connections in (1, 8, 64):
            begun, cpu = time.monotonic(), time.process_time()
            await asyncio.gather(*(serve(spool, REQUESTS // connections, body) for _ in range(connections)))
            await spool.drain()
            used, took = time.process_time() - cpu, time.monotonic() - begun
            print(
                f"{connections:3} connections: {used / REQUESTS * 1e6:6.0f} us CPU a request, {REQUESTS / took:7.0f}/s"
            )
        await spool.close()
    cpu = time.process_time()
    for _ in range(2000):
        commitment.encode(body)
    print(f"encoding a decision: {(time.process_time() - cpu) / 2000 * 1e6:.1f} us")


if __name__ == "__main__":
    uvloop.run(measure())
