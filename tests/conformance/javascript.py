"""Installs the JavaScript client of the field, and drives it.

What is installed is pinned by ``tests/clients/js/package-lock.json`` and kept in the user's cache, one folder a lock:
a second run, and another checkout, installs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

SOURCE: Final = Path(__file__).resolve().parents[1] / "clients" / "js"
PINNED: Final = ("package.json", "package-lock.json", ".npmrc")
INSTALL_S: Final = 300
RUN_S: Final = 120

Call = dict[str, Any]
"""``method``, ``options`` and more: see ``tests/clients/js/client.js``."""


@cache
def installed() -> Path:
    """The folder of modules.

    :raises RuntimeError: npm is not there, or cannot install them
    """
    lock = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in PINNED)).hexdigest()
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicomward" / "clients"
    home = cached / f"js-{lock[:16]}"
    if not home.is_dir():
        _install(home)
    return home / "node_modules"


def _install(home: Path) -> None:
    if shutil.which("npm") is None:
        raise RuntimeError("The JavaScript client is installed by npm, and there is none: install Node 20 with npm.")
    home.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=home.parent))
    try:
        for name in PINNED:
            shutil.copy(SOURCE / name, work)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise RuntimeError(f"npm could not install the JavaScript client: {done.stderr.strip()[-500:]}")
        try:
            work.rename(home)
        except OSError:
            if not home.is_dir():  # else another run was quicker: the same lock, the same files
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class JavaScript:
    """dicomweb-client in Node, in front of one server."""

    url: str
    """Without path."""
    tls: dict[str, str] | None = None
    """Paths of ``cert``, ``key`` and ``ca``."""
    headers: dict[str, str] = field(default_factory=dict)

    def run(self, calls: list[Call]) -> list[dict[str, Any]]:
        """One result a call: ``value``, or ``failed`` with the status."""
        job = {"url": self.url, "tls": self.tls, "headers": self.headers, "calls": calls}
        done = subprocess.run(
            ["node", str(SOURCE / "client.js")],
            input=json.dumps(job),
            env={**os.environ, "NODE_PATH": str(installed())},
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        results: list[dict[str, Any]] = json.loads(done.stdout)
        assert len(results) == len(calls)
        return results
