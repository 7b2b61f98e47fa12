from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.record.building import stored
from tests.record.disk import Disk, build

FULL = os.environ.get("DICOMWARD_FULL") == "1"
SEEDS = range(40) if FULL else range(4)
MIB = 2**20


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def disk(library: Path, tmp_path: Path) -> Disk:
    return Disk(library, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_fsync_that_fails_loses_nothing_acknowledged_and_counts_nothing_twice(disk: Disk, seed: int) -> None:
    told = disk.run("sync", seed)
    assert "could not be made durable" in told["log"] or "was made good" in told["log"]
    rows = stored(disk.folder)
    assert told["twice"] == 0
    assert told["count"] == len(rows)
    assert told["refused"] - told["refused_before"] <= 1, "one request may find the file still closed"
    assert {str(row.index): row.leaf.hex() for row in rows}.items() >= told["acknowledged"].items()
    kinds = Counter(row.kind for row in rows)
    assert {kind: number for kind, number in told["records"].items() if number} == kinds
    assert kinds["outcome"] + told["lost"] == told["given"]["outcome"]
    suppressed = sum(json.loads(row.body)["count"] for row in rows if row.kind == "suppressed")
    assert suppressed == told["suppressed"]


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_of_power_after_fsync_had_failed_loses_nothing_acknowledged_since(disk: Disk, seed: int) -> None:
    told = disk.run("sync", seed + 1000)
    rows = stored(disk.after_power_loss())
    assert {str(row.index): row.leaf.hex() for row in rows}.items() >= told["acknowledged"].items()


def test_full_disk_refuses_what_is_new_and_records_what_was_begun(disk: Disk) -> None:
    told = disk.run("full", 72 * MIB, 32 * MIB)
    rows = stored(disk.folder)
    assert told["healthy_when_full"] == [False, False]
    assert told["refused_while_full"] == 200, "each new decision while the disk was full"
    assert told["outcomes_refused"] == 0
    assert told["lost"] == 0
    assert told["refused_later"] == 0, "service resumes without a restart"
    assert told["reserve"] == 32 * MIB
    assert "the disk of the spool is full" in told["log"]
    assert "service resumes" in told["log"]
    acknowledged = told["acknowledged"]
    assert {str(row.index): row.leaf.hex() for row in rows}.items() >= acknowledged.items()
    assert len(rows) == len(acknowledged) + 1, "and the outcome that nobody waited for"


def test_disk_that_is_full_at_start_refuses_until_there_is_space(disk: Disk) -> None:
    told = disk.run("full_at_start", 2 * MIB, 4 * MIB)
    assert told["ready"] is False
    assert told["refused"] == 1
    assert told["healthy"] is True
    assert len(told["acknowledged"]) == 1
