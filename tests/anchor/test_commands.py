"""The commands as an auditor, a registrar and a service manager run them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.__main__ import main
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID
from tests.anchor.spools import SpoolFile, identity
from tests.anchor.test_receipts import receipt_for

pytestmark = pytest.mark.real


def run(*arguments: str, status: int = 0) -> str:
    """The command in this process: starting one takes seconds."""
    output, code = io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        patch.setattr(sys, "argv", ["dicomward", *arguments])
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    assert code == status, output.getvalue()
    return output.getvalue()


@dataclass
class Stack:
    directory: Path
    spool: SpoolFile

    @property
    def site(self) -> tuple[str, str]:
        return "--dir", str(self.directory)


def key_file(path: Path, chain: Anvil) -> str:
    from eth_account import Account

    key = secrets.token_hex(32)
    path.write_text(key)
    path.chmod(0o600)
    chain.fund(Account.from_key(key).address)
    return str(path)


@pytest.fixture(scope="module")
def stack(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A contract deployed and an origin opened by command, some records, and an anchor process."""
    directory = tmp_path_factory.mktemp("stack")
    for folder in ("keys", "spool", "policies"):
        (directory / folder).mkdir()
    registrar = key_file(directory / "keys" / "registrar.key", chain)
    key_file(directory / "keys" / "writer.key", chain)
    for name in ("cert.pem", "key.pem", "ca.pem", "crl.pem"):
        (directory / name).touch(mode=0o600)
    deployed = run(
        "ledger", "deploy", "--rpc", chain.url, "--chain-id", "31337", "--registrar-key", registrar, "--json"
    )
    contract = json.loads(deployed)["contract"]
    (directory / "dicomward.toml").write_text(
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
        contract = "{contract}"
        rpc_urls = ["{chain.url}"]
        writer_key_file = "keys/writer.key"
        confirmations = 1
        max_wait_s = 0.1
        status_file = "status.json"
        """
    )
    spool = SpoolFile(directory / "spool", CHAIN_ID, bytes.fromhex(contract[2:]))
    spool.fill(10)
    made = Stack(directory, spool)
    run("ledger", "open-origin", *made.site)
    run("ledger", "init-trust", *made.site)
    with (directory / "anchor.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "proxy", "anchor", *made.site], stderr=log, stdout=log)
        try:
            wait_for_final(made, 20)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0, (directory / "anchor.log").read_text()
    assert "1.2.3" not in (directory / "anchor.log").read_text(), "the anchor's log names nothing of a record"


def wait_for_final(stack: Stack, count: int) -> None:
    deadline = time.monotonic() + 20
    status: dict[str, object] = {}
    while status.get("final") != count:
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
        path = stack.directory / "status.json"
        status = json.loads(path.read_text()) if path.exists() else {}
    assert (status["state"], status["lag"], status["origin"]) == ("ok", 0, stack.spool.origin.hex())


def test_verify_of_an_honest_site_ends_with_zero(stack: Stack) -> None:
    text = run("ledger", "verify", *stack.site)
    assert text.strip().splitlines()[-1].startswith("clean: 20 records against 20 leaves of 1 origins")


def test_verify_as_json_with_second_node_and_receipts(stack: Stack, chain: Anvil, tmp_path: Path) -> None:
    receipts = tmp_path / "receipts"
    receipts.write_text(receipt_for(stack.spool, 6) + "\n")
    report = json.loads(run("ledger", "verify", *stack.site, "--json", "--rpc", chain.url, "--receipts", str(receipts)))
    assert report["clean"] is True
    assert [one["standing"] for one in report["receipts"]] == ["anchored"]


def test_verify_remembers_heads_when_told(stack: Stack, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text((stack.directory / "trust.json").read_text())
    run("ledger", "verify", *stack.site, "--trust", str(trust), "--remember")
    assert json.loads(trust.read_text())["origins"][stack.spool.origin.hex()]["count"] == 20
    run("ledger", "verify", *stack.site, "--trust", str(trust))


def test_verify_of_a_rewritten_spool_ends_with_one(stack: Stack) -> None:
    stack.spool.change_record(3)
    try:
        text = run("ledger", "verify", *stack.site, status=1)
        assert "record-changed: Record 3" in text
        assert identity(1) in text
    finally:
        stack.spool.sql(
            lambda db: db.execute(
                """UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '"v":2', '"v":1') AS BLOB) WHERE idx = 3"""
            )
        )


def test_forged_receipt_ends_with_one(stack: Stack, tmp_path: Path) -> None:
    receipts = tmp_path / "receipts"
    receipts.write_text("a.b.c\n")
    assert "receipt invalid" in run("ledger", "verify", *stack.site, "--receipts", str(receipts), status=1)


def test_explain_tells_the_story_of_a_decision(stack: Stack) -> None:
    text = run("ledger", "explain", identity(4), *stack.site)
    for words in (
        "urn:dicomward:device:radiologist",
        "GET retrieve study 1.2.3",
        "allowed",
        "disk_encrypted = True (managed by mdm",
        "cd" * 32,
        "complete: status 200, 1000 bytes left",
        "(final)",
    ):
        assert words in text
    told = json.loads(run("ledger", "explain", identity(4), *stack.site, "--json"))
    assert [one["index"] for one in told["records"]] == [8, 9]
    assert all(one["anchored"] and one["intact"] for one in told["records"])


def test_explain_of_an_unknown_decision_ends_with_one(stack: Stack) -> None:
    assert "No record" in run("ledger", "explain", "ff" * 16, *stack.site, status=1)


def test_wrong_use_ends_with_two(stack: Stack, tmp_path: Path) -> None:
    config = ("--config", str(stack.directory / "dicomward.toml"))
    assert "--trust is needed" in run("ledger", "verify", *config, status=2)
    assert "exists" in run("ledger", "init-trust", *stack.site, status=2)
    assert "64 hexadecimal digits" in run("ledger", "verify", *stack.site, "--accept", "zz", status=2)
    run("ledger", "verify", status=2)
    key = tmp_path / "key"
    key.write_text("not a key")
    deploy = ("ledger", "deploy", "--rpc", "http://127.0.0.1:9", "--chain-id", "1", "--registrar-key", str(key))
    os.chmod(key, 0o644)
    assert "can be read by others" in run(*deploy, status=2)
    os.chmod(key, 0o600)
    text = run(*deploy, status=2)
    assert "not a hexadecimal private key" in text
    assert "not a key" not in text
