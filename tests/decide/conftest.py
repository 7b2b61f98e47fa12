import gc
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "policies"


class Counting:
    """An ``Observer`` that remembers."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, dict[str, str]]] = []

    def count(self, name: str, labels: Mapping[str, str] | None = None, amount: int = 1) -> None:
        self.counted += [(name, dict(labels or {}))] * amount

    def seconds(self, room: str, elapsed: float) -> None:
        pass

    def reloads(self, result: str) -> int:
        return self.counted.count(("policy_reload", {"result": result}))


@pytest.fixture
def observer() -> Counting:
    return Counting()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "policies"))


@pytest.fixture(scope="package", autouse=True)
def _engines_end_with_this_room() -> Iterator[None]:
    """An engine may only be dropped on its own thread; a caught exception can keep one for another thread to find."""
    yield
    gc.collect()
