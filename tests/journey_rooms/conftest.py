from __future__ import annotations

import pytest

from tests.journey_rooms.simulators import World


@pytest.fixture
def world() -> World:
    return World()
