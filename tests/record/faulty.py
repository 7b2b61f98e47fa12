"""What a spool does on a disk that fails. Runs inside a process that ``disk.c`` is loaded into, and tells as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from proxy.errors import SpoolError
from proxy.model import Durable, Kind, Reason
from proxy.record import Spool, Suppression
from tests.record.building import CHAIN_ID, CONTRACT, NOW, body

FOLDER = Path(os.environ["DISK_FOLDER"])
FAULT = Path(os.environ["DISK_FAULT"])


def fail(what: str) -> None:
    FAULT.with_suffix(".new").write_text(what)
    FAULT.with_suffix(".new").replace(FAULT)


def heal() -> None:
    FAULT.unlink(missing_ok=True)


class Told:
    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.acknowledged: dict[int, str] = {}
        self.refused = 0
        self.twice = 0

    async def record(self, number: int, kind: Kind = Kind.DECISION, filling: int = 0) -> None:
        try:
            place = await self.spool.record(kind, {**body(number), "filling": "x" * filling})
        except SpoolError:
            self.refused += 1
        else:
            self.take(place)

    def take(self, place: Durable) -> None:
        self.twice += place.index in self.acknowledged
        self.acknowledged[place.index] = place.leaf.hex()

    def tell(self, **more: Any) -> None:
        spool = self.spool
        print(
            json.dumps(
                {
                    "acknowledged": self.acknowledged,
                    "refused": self.refused,
                    "twice": self.twice,
                    "count": spool.count,
                    "records": spool.records,
                    "lost": spool.lost,
                    "healthy": spool.healthy,
                    **more,
                }
            ),
            flush=True,
        )


def opened(reserve: int = 0) -> Spool:
    return Spool(FOLDER, chain_id=CHAIN_ID, contract=CONTRACT, batch=16, limit=10_000, reserve=reserve)


async def sync(seed: int) -> None:
    """fsync fails now and then, of the log, of the database or of both; requests, outcomes and counts go on."""
    chance = random.Random(seed)
    spool = opened()
    told, suppression, given = Told(spool), Suppression(spool, 10, lambda: NOW), Counter[str]()
    for number in range(12):
        await asyncio.gather(*(told.record(number) for _ in range(chance.randrange(1, 40))))
        fail(f"{chance.choice('11*')} {chance.choice(['-wal', '-wal', '.db'])}")
        for _ in range(chance.randrange(1, 4)):
            suppression.suppress(Reason.RATE_LIMITED, NOW)
            suppression.flush()
            spool.record_later(Kind.OUTCOME, body(number))
            given["outcome"] += 1
            await asyncio.gather(*(told.record(number) for _ in range(chance.randrange(1, 40))))
        heal()
    refused = told.refused
    for number in range(3):
        await told.record(number)
    await spool.drain()
    await asyncio.sleep(0)
    suppression.flush()
    await spool.drain()
    told.tell(suppressed=suppression.total["rate-limited"], given=given, refused_before=refused)


async def full(size: int, reserve: int) -> None:
    """The disk fills while streams are under way, then somebody makes space."""
    fail(f"s {size}")
    spool = opened(reserve)
    told, number = Told(spool), 0
    while not told.refused and number < 10_000:
        await asyncio.gather(*(told.record(number + n, filling=20_000) for n in range(16)))
        number += 16
    refused_at, healthy = told.refused, spool.healthy
    outcomes, begun = Told(spool), 200
    for each in range(begun):
        await outcomes.record(each, Kind.OUTCOME)
        await told.record(each)
    spool.record_later(Kind.OUTCOME, body(0))
    await spool.drain()
    ready = spool.healthy
    fail(f"s {4 * size}")
    async with asyncio.timeout(20):
        while not spool.healthy:
            await asyncio.sleep(0.05)
    later = Told(spool)
    await asyncio.gather(*(later.record(n) for n in range(20)))
    merged = {**told.acknowledged, **outcomes.acknowledged, **later.acknowledged}
    told.acknowledged = merged
    told.tell(
        first_refused=refused_at,
        healthy_when_full=[healthy, ready],
        refused_while_full=told.refused - refused_at,
        outcomes_refused=outcomes.refused,
        refused_later=later.refused,
        reserve=(FOLDER / "reserve").stat().st_size,
    )


async def full_at_start(size: int, reserve: int) -> None:
    """A disk that is already full when the spool is opened."""
    fail(f"s {size}")
    spool = opened(reserve)
    told = Told(spool)
    await told.record(1)
    ready = spool.healthy
    fail("s 1000000000")
    async with asyncio.timeout(20):
        while not spool.healthy:
            await asyncio.sleep(0.05)
    await told.record(2)
    told.tell(ready=ready)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    scenarios = {"sync": sync, "full": full, "full_at_start": full_at_start}
    loop = asyncio.new_event_loop()
    loop.run_until_complete(scenarios[sys.argv[1]](*map(int, sys.argv[2:])))
    os._exit(0)
