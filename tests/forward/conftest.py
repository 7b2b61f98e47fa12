from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.forward.archive import SimulatedArchive


@pytest.fixture
async def archive() -> AsyncIterator[SimulatedArchive]:
    simulated = SimulatedArchive()
    await simulated.start()
    yield simulated
    await simulated.stop()
