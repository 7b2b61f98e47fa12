"""The disk of the spool fills up under load: nothing is answered unrecorded, and service goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import requests

from deploy.dev.answers import Answer, session
from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from tests.journey import ledger
from tests.journey.conftest import FULL
from tests.journey.load import load
from tests.journey.watching import metric, until
from tests.laws import check_laws
from tests.record.disk import build
from tests.stack import GENEROUS

MIB = 2**20
RESERVE = 32 * MIB
SPACE = 14 * MIB
"""What the spool finds beside its reserve."""


class Disk(Protocol):
    """The disk on which the folder of the spool lies."""

    folder: Path

    def fill(self) -> None:
        """Leave no more than :data:`SPACE`."""
        ...

    def free(self) -> None: ...


class Preloaded:
    """A library before libc tells each writer to the folder how much space there is."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "stack" / "spool"
        self._fault = folder / "fault"
        platter = folder / "platter"
        platter.mkdir()
        patch.setenv("LD_PRELOAD", str(build(folder)))
        patch.setenv("DISK_FOLDER", str(self.folder))
        patch.setenv("DISK_PLATTER", str(platter))
        patch.setenv("DISK_FAULT", str(self._fault))

    def fill(self) -> None:
        used = sum(path.stat().st_size for path in self.folder.iterdir())
        self._fault.write_text(f"s {used + SPACE}")

    def free(self) -> None:
        self._fault.unlink()


class Mounted:
    """A file system of its own, where one may be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "stack" / "spool"
        self.folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=700", "tmpfs", self.folder], check=True)

    def fill(self) -> None:
        status = os.statvfs(self.folder)
        with (self.folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - SPACE)

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)


@pytest.fixture(params=["preloaded", "mounted"] if FULL else ["preloaded"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    if request.param == "preloaded":
        yield Preloaded(tmp_path, monkeypatch)
        return
    mounted = Mounted(tmp_path)
    try:
        yield mounted
    finally:
        mounted.unmount()


@pytest.fixture
def stack(disk: Disk, tmp_path: Path) -> Iterator[DevStack]:
    overrides: dict[str, dict[str, Any]] = {"limits": dict(GENEROUS), "record": {"reserve": RESERVE}}
    with DevStack(tmp_path / "stack", ports=Ports.free(), overrides=overrides) as running:
        yield running
        check_laws(running, outcomes=False)


def test_full_disk_is_told_of_and_service_resumes_by_itself(stack: DevStack, disk: Disk) -> None:
    disk.fill()
    with load(stack) as seen:
        until(lambda: any(answer.status == 503 for answer in seen.answers))
        until(lambda: not _ready(stack)["spool"])
        # On a real disk, what SQLite gives back may let a few more be recorded, and so be answered.
        until(lambda: sum(answer.status == 503 for answer in seen.answers) > 100)
        disk.free()
        until(lambda: seen.answers[-1].status != 503)
        resumed = len(seen.answers)
        until(lambda: len(seen.answers) > resumed + 50)
    assert {answer.status for answer in seen.answers} == {200, 403, 503}
    assert {answer.status for answer in seen.answers[resumed:]} <= {200, 403}
    assert seen.unanswered == 0
    assert _ready(stack)["spool"]
    refused = [answer for answer in seen.answers if answer.status == 503]
    recorded = [answer for answer in seen.answers if answer.status != 503]
    assert all(answer.decision is None and answer.receipt is None for answer in refused)
    assert metric(stack, "suppressed_total", reason="record-not-durable") == len(refused)
    with session("radiologist", stack.client("radiologist"), stack.ca, []) as client:
        assert client.get(f"{stack.url}/dicom-web/studies?limit=1", timeout=10).status_code == 200
    _settled(stack, recorded)


def _settled(stack: DevStack, recorded: list[Answer]) -> None:
    """Each that was answered stands on the chain."""
    ledger.settle(stack)
    report = ledger.verified(stack, recorded)
    assert report["clean"], report["findings"]
    assert not ledger.missing(stack, recorded)


def _ready(stack: DevStack) -> dict[str, bool]:
    ready: dict[str, bool] = requests.get(f"{stack.admin_url}/readyz", timeout=10).json()
    return ready
