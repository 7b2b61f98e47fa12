"""A disk that fails, under the unmodified spool, which runs in a process of its own with ``disk.c`` loaded into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Disk:
    def __init__(self, library: Path, folder: Path) -> None:
        self.folder = folder / "spool"
        self.platter = folder / "platter"
        self._fault = folder / "fault"
        self._library = library
        self.folder.mkdir(mode=0o700)
        self.platter.mkdir()

    def run(self, scenario: str, *arguments: object) -> Any:
        """What a scenario of :mod:`tests.record.faulty` tells. It ends without closing anything."""
        environment = {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "DISK_FOLDER": str(self.folder),
            "DISK_PLATTER": str(self.platter),
            "DISK_FAULT": str(self._fault),
        }
        command = [sys.executable, "-m", "tests.record.faulty", scenario, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) | {"log": done.stderr}

    def after_power_loss(self) -> Path:
        """The spool as the disk has it. Small files are as they were last written, at their most demanding."""
        for path in self.folder.iterdir():
            if path.suffix in (".key", ".mark") or path.name == "current":
                shutil.copy(path, self.platter / path.name)
        return self.platter


def build(folder: Path) -> Path:
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library
