from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.model import Kind
from proxy.record import Spool
from proxy.record.reader import current_reader
from tests.record.building import body, stored

ROOT = Path(__file__).parents[2]
KILLS = 5


def start_writer(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.record.writer", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


async def test_everything_acknowledged_survives_sigkill(open_spool: Callable[..., Spool], tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    acknowledged: dict[int, str] = {}
    for _ in range(KILLS):
        writer = start_writer(folder)
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(random.uniform(0.02, 0.15))
        writer.kill()
        lines += writer.stdout.readlines()
        writer.stdout.close()
        writer.wait()
        # A line cut short by the kill was not read by anybody as an acknowledgement.
        pairs = [line.split() for line in lines if line.endswith("\n")]
        assert pairs
        acknowledged |= {int(index): leaf for index, leaf in pairs}
        rows = stored(folder)
        assert {index: rows[index].leaf.hex() for index in acknowledged} == acknowledged
    spool = open_spool()
    assert (await spool.record(Kind.DECISION, body(1))).index == len(rows)


async def test_spool_held_by_another_process_is_refused(open_spool: Callable[..., Spool], tmp_path: Path) -> None:
    writer = start_writer(tmp_path / "spool")
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(ConfigurationError, match=r"record\.directory"):
            open_spool()
    finally:
        writer.kill()
        writer.communicate()
    assert open_spool().count > 0


async def test_reader_beside_a_writing_process_sees_whole_and_growing_prefixes(tmp_path: Path) -> None:
    writer = start_writer(tmp_path / "spool")
    try:
        assert writer.stdout is not None
        told = writer.stdout.readline().split()
        reader = current_reader(tmp_path / "spool")
        assert reader.rows(int(told[0]), 1)[0].leaf.hex() == told[1]
        count = 0
        for _ in range(20):
            told = writer.stdout.readline().split()
            assert reader.count() > int(told[0])
            assert reader.count() >= count
            count = reader.count()
            await asyncio.sleep(0)
        reader.close()
    finally:
        writer.kill()
        writer.communicate()
    stored(tmp_path / "spool")
