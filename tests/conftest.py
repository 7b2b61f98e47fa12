"""Settings of every suite."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: speed is shown by benches, never by tests.
settings.register_profile("dicomward", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dicomward")


LONGEST = (
    "tests/conformance/",
    "tests/authoring/test_guide.py",
    "tests/journey/",
    "tests/deploy/test_dev_commands.py",
    "tests/anchor/test_contract_machine.py",
    "tests/anchor/",
    "tests/policies/",
)
"""What takes long is begun first, so that no worker is left alone with it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.nodeid
        return next((number for number, name in enumerate(LONGEST) if path.startswith(name)), len(LONGEST))

    items.sort(key=place)  # stable: within a file the order stays


def pytest_runtest_setup(item: pytest.Item) -> None:
    """As in a worker: libraries for Ethereum lift the limit so far that deep JSON would overflow the stack."""
    sys.setrecursionlimit(1000)
