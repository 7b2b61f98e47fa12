from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.posture import PostureStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "posture.db"


@pytest.fixture
def store(path: Path) -> Iterator[PostureStore]:
    made = PostureStore(path)
    yield made
    made.close()
