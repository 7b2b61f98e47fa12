"""Settings of every suite."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: speed is shown by benches, never by tests.
settings.register_profile("dicomward", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dicomward")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """As in a worker: libraries for Ethereum lift the limit so far that deep JSON would overflow the stack."""
    sys.setrecursionlimit(1000)
