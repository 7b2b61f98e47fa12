"""What the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.authoring.small import Command, small


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small(tmp_path / "policies")
