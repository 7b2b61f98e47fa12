"""A whole stack whose evidence goes to a Kubo of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from proxy.anchor.evidence import FolderStore
from tests.anchor.evidence.conftest import ipfs
from tests.anchor.test_commands import run

WITHIN_S = 60.0


@pytest.mark.real
def test_stack_keeps_its_evidence_on_kubo_and_stops_it(tmp_path: Path) -> None:
    ipfs()
    with DevStack(tmp_path / "stack", ports=Ports.free(), with_kubo=True) as stack:
        pid = stack.part("kubo").pid
        layout = stack.layout
        deadline = time.monotonic() + WITHIN_S
        while not (layout.evidence / "keys").is_dir() or not FolderStore(layout.evidence).cids():
            assert time.monotonic() < deadline, layout.anchor_status.read_text()
            time.sleep(0.2)
        while json.loads(layout.anchor_status.read_text())["published"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert not any((layout.evidence / "content").iterdir())
        site = ("--dir", str(layout.directory))
        fetched = json.loads(run("evidence", "fetch", *site, "--to", str(tmp_path / "audit"), "--json"))
        assert fetched["failures"] == []
        assert fetched["fetched"] >= 1
        assert any((tmp_path / "audit/content").iterdir())
        run("ledger", "init-trust", *site)
        report = json.loads(run("ledger", "verify", *site, "--key", str(layout.auditor_key), "--json"))
        assert report["clean"] is True
    assert pid is not None
    assert not psutil.pid_exists(pid)
