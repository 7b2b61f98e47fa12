"""The real process killed at any moment, and replies that never come: every leaf once, none missing, all final."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.anchor.conftest import CHAIN_ID, Ledger, anchor_all, cycle_until
from tests.anchor.lossy import LossyProxy
from tests.anchor.spools import SpoolFile
from tests.anchor.test_worker import chain_leaves, spool_leaves

pytestmark = pytest.mark.real

FULL = os.environ.get("DICOMWARD_FULL") == "1"
CRASHES = 50 if FULL else 4
LOSSES = 100 if FULL else 10


def site(ledger: Ledger, folder: Path) -> Path:
    for name in ("cert.pem", "key.pem", "ca.pem", "crl.pem", "writer.key"):
        (folder / name).touch(mode=0o600)
    (folder / "policies").mkdir()
    (folder / "writer.key").write_text(ledger.account.key.hex())
    path = folder / "dicomward.toml"
    path.write_text(
        f"""
        site = "test"
        listen = {{ certificate = "cert.pem", key = "key.pem", public_url = "https://localhost:8443" }}
        posture = {{ store = "posture.db" }}
        archive = {{ url = "http://127.0.0.1:1/dicom-web" }}
        policy = {{ directory = "policies", store = "kept" }}
        record = {{ directory = "spool" }}
        [identify]
        authorities = [{{ name = "ca", certificate = "ca.pem", crls = ["crl.pem"] }}]
        [ledger]
        chain_id = {CHAIN_ID}
        contract = "{ledger.client.contract}"
        rpc_urls = ["{ledger.anvil.url}"]
        writer_key_file = "writer.key"
        max_wait_s = 0.05
        batch_size = 8
        resend_s = 2
        status_file = "status.json"
        """
    )
    return path


def wait_for_status(folder: Path, after: float, timeout_s: float = 30) -> dict[str, object]:
    """The first status that a process begun at ``after`` wrote."""
    deadline = time.monotonic() + timeout_s
    path = folder / "status.json"
    while not path.exists() or path.stat().st_mtime < after:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    read: dict[str, object] = json.loads(path.read_text())
    return read


def test_process_killed_between_sign_send_and_confirm_loses_and_repeats_nothing(
    ledger: Ledger, spool: SpoolFile, tmp_path: Path
) -> None:
    config, moments = site(ledger, tmp_path), random.Random(6)
    command = [sys.executable, "-m", "proxy", "anchor", "--config", str(config)]
    for _ in range(CRASHES):
        spool.fill(20)
        began = time.time()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for_status(tmp_path, began)
            time.sleep(moments.uniform(0, 0.6))
        finally:
            process.kill()
            process.wait(10)
    status = anchor_all(ledger.worker(spool.folder), 40)
    assert status.final == status.local == CRASHES * 40
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)


def test_many_lost_replies_to_what_was_sent(ledger: Ledger, spool: SpoolFile) -> None:
    with LossyProxy(ledger.anvil.url) as lossy:
        worker = ledger.worker(spool.folder, ledger.connect(lossy.url, timeout_s=2), batch_size=4, max_wait_s=0)
        lossy.drop("eth_sendRawTransaction", every=2)
        while lossy.dropped < LOSSES:
            spool.fill(8)
            before = lossy.dropped
            cycle_until(worker, lambda s, before=before: lossy.dropped > before or s.final == s.local)  # type: ignore[misc]
        lossy.drop("eth_sendRawTransaction", every=0)
        status = anchor_all(worker, 40)
    assert status.final == status.local
    assert chain_leaves(ledger.client, spool.origin) == spool_leaves(spool)
