from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.record import Spool
from tests.record.building import CHAIN_ID, CONTRACT

Open = Callable[..., Spool]


@pytest.fixture
async def open_spool(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens spools on one folder; what a test leaves open is closed."""
    async with AsyncExitStack() as stack:

        def open_it(**settings: Any) -> Spool:
            values = {"chain_id": CHAIN_ID, "contract": CONTRACT, "batch": 16, "limit": 10_000, **settings}
            spool = Spool(tmp_path / "spool", **values)
            stack.push_async_callback(close, spool)
            return spool

        yield open_it


async def close(spool: Spool) -> None:
    if not spool._closing:
        await spool.close()


@pytest.fixture
async def spool(open_spool: Open) -> Spool:
    return open_spool()
