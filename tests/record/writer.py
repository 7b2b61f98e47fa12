"""A process that writes records in a loop and says which are durable. It is killed in the middle of that."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from proxy.model import Kind
from proxy.record import Spool
from tests.record.building import CHAIN_ID, CONTRACT, body


async def main(folder: Path) -> None:
    spool = Spool(folder, chain_id=CHAIN_ID, contract=CONTRACT, batch=64, limit=10_000)

    async def write() -> None:
        while True:
            place = await spool.record(Kind.DECISION, body(spool.waiting))
            sys.stdout.write(f"{place.index} {place.leaf.hex()}\n")
            sys.stdout.flush()

    await asyncio.gather(*(write() for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
