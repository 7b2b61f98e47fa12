"""One stack for the suite: real archive, real chain, real processes that are killed for real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from tests.laws import check_laws
from tests.stack import GENEROUS

FULL = os.environ.get("DICOMWARD_FULL") == "1"
"""The long form, by ``make test-full``; the short form is what every run does."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[DevStack]:
    with DevStack(tmp_path / "stack", ports=Ports.free(), overrides={"limits": dict(GENEROUS)}) as running:
        yield running
        # Chain and outcomes are the tests' own: here proxies were killed and spools put back.
        check_laws(running, chain=False, outcomes=False)
