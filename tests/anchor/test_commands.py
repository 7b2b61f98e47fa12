"""The commands as an auditor, a registrar and a service manager run them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from web3 import Web3

from proxy.__main__ import main
from proxy.anchor.evidence import write_keys
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, new_ledger
from tests.anchor.lying import LyingNode
from tests.anchor.published import Published, published
from tests.anchor.spools import TIME, SpoolFile, identity
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
        "registrar", "deploy", "--rpc", chain.url, "--chain-id", "31337", "--registrar-key", registrar, "--json"
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
    run("registrar", "open-origin", *made.site)
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
    deploy = ("registrar", "deploy", "--rpc", "http://127.0.0.1:9", "--chain-id", "1", "--registrar-key", str(key))
    os.chmod(key, 0o644)
    assert "can be read by others" in run(*deploy, status=2)
    os.chmod(key, 0o600)
    text = run(*deploy, status=2)
    assert "not a hexadecimal private key" in text
    assert "not a key" not in text


# ------------------------------------------------------------------------- with nothing of the site's


@dataclass
class Auditor:
    """What an auditor has: a trust file, a key, a copy of the evidence, the address of a node."""

    trust: str
    rpc: str
    key: str
    evidence: str

    @property
    def chain(self) -> tuple[str, ...]:
        return "--trust", self.trust, "--rpc", self.rpc, "--finality", "0"

    @property
    def all(self) -> tuple[str, ...]:
        return *self.chain, "--evidence", self.evidence, "--key", self.key


@pytest.fixture(scope="module")
def auditor(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Auditor, Published]]:
    folder = tmp_path_factory.mktemp("auditor")
    ledger = new_ledger(chain)
    made = published(ledger, folder)
    key, _ = write_keys(folder, "auditor", made.key)
    trust = folder / "trust.json"
    run(
        *("ledger", "init-trust", "--rpc", chain.url, "--chain-id", str(CHAIN_ID)),
        *("--contract", ledger.client.contract, "--trust", str(trust)),
    )
    yield Auditor(str(trust), chain.url, str(key), str(made.evidence)), made
    ledger.close()


def test_verify_from_evidence_needs_nothing_of_the_site(auditor: tuple[Auditor, Published]) -> None:
    text = run("ledger", "verify", *auditor[0].all)
    assert text.strip().splitlines()[-1].startswith("clean: 60 records against 60 leaves of 1 origins")
    report = json.loads(run("ledger", "verify", *auditor[0].all, "--json"))
    assert (report["source"], report["clean"], report["findings"]) == ("evidence", True, [])


def test_verify_from_evidence_remembers_and_reads_it_again_when_told(
    auditor: tuple[Auditor, Published], tmp_path: Path
) -> None:
    mine, _ = auditor
    trust = tmp_path / "trust.json"
    trust.write_text(Path(mine.trust).read_text())
    mine = replace(mine, trust=str(trust))
    run("ledger", "verify", *mine.all, "--remember")
    assert "0 records against 60 leaves of 1 origins, 60 of them verified before" in run("ledger", "verify", *mine.all)
    assert "clean: 60 records" in run("ledger", "verify", *mine.all, "--full")


def test_trust_file_stays_as_it_is_after_a_failed_verification(
    auditor: tuple[Auditor, Published], tmp_path: Path
) -> None:
    mine, made = auditor
    trust, evidence = tmp_path / "trust.json", tmp_path / "evidence"
    trust.write_text(Path(mine.trust).read_text())
    shutil.copytree(made.evidence, evidence)
    (evidence / "content" / made.publications[0].cid).unlink()
    before = trust.read_bytes()
    text = run("ledger", "verify", *replace(mine, trust=str(trust), evidence=str(evidence)).all, "--remember", status=1)
    assert "evidence-missing: Evidence of records 0 to 15" in text
    assert "evidence-missing means: content or keys of a published bundle are not there." in text
    assert trust.read_bytes() == before


def test_nodes_that_differ_are_named_by_number(auditor: tuple[Auditor, Published]) -> None:
    mine, made = auditor
    with LyingNode(mine.rpc, made.own.state.head.hex(), "ab" * 32) as node:
        assert "nodes-differ: Node 1" in run("ledger", "verify", *mine.all, "--rpc", node.url, status=1)
        assert node.lies > 0
        alone = replace(mine, rpc=node.url)
        assert "chain-inconsistent" in run("ledger", "verify", *alone.all, status=1)


def test_node_that_exchanges_a_leaf_or_hides_an_origin_contradicts_itself(auditor: tuple[Auditor, Published]) -> None:
    mine, made = auditor
    leaf = next(iter(made.own.batches())).leaf(6)
    receipt = receipt_for(made.spool, 6)
    with LyingNode(mine.rpc, leaf.hex(), "cd" * 32) as node:
        alone = replace(mine, rpc=node.url)
        assert "evidence-contradicts-chain" in run("ledger", "verify", *alone.all, status=1)
        assert "receipt contradicted" in run("ledger", "check-receipt", receipt, *alone.chain, status=1)
        assert "chain-inconsistent" in run("ledger", "check-receipt", receipt, *alone.chain, status=1)
    opened = Web3.keccak(text="Opened(bytes32,address,bytes32,bytes32,uint256,bytes32)").hex()
    with LyingNode(mine.rpc, opened, "00" * 32, asked=True) as node:
        text = run("ledger", "verify", *replace(mine, rpc=node.url).all, status=1)
        assert "is in the contract's views and not its events" in text


def test_receipt_is_checked_by_its_holder_alone(auditor: tuple[Auditor, Published], tmp_path: Path) -> None:
    mine, made = auditor
    receipt = receipt_for(made.spool, 6)
    told = json.loads(run("ledger", "check-receipt", receipt, identity(3), *mine.chain, "--json"))
    assert (told["standing"], told["good"], told["final"]) == ("anchored", True, True)
    file = tmp_path / "receipt"
    file.write_text(receipt + "\n")
    assert "receipt anchored" in run("ledger", "check-receipt", str(file), *mine.chain)
    assert "for another decision" in run("ledger", "check-receipt", receipt, identity(4), *mine.chain, status=1)
    assert "receipt invalid" in run("ledger", "check-receipt", receipt[:-6] + "AAAAAA", *mine.chain, status=1)
    waiting = receipt_for(made.spool, 65)
    assert "not-anchored-yet" in run("ledger", "check-receipt", waiting, *mine.chain, status=1)


def test_receipt_over_a_chain_that_is_not_the_trusted_one_proves_nothing(
    auditor: tuple[Auditor, Published], tmp_path: Path
) -> None:
    mine, made = auditor
    trust = tmp_path / "trust.json"
    known = json.loads(Path(mine.trust).read_text())
    trust.write_text(json.dumps(known | {"genesis": "0x" + "11" * 32, "origins": {}}))
    receipt = receipt_for(made.spool, 6)
    text = run("ledger", "check-receipt", receipt, *replace(mine, trust=str(trust)).chain, status=1)
    assert "genesis-changed" in text
    assert "unknown-origin" in text


def test_report_from_evidence_and_from_the_spool_say_the_same(auditor: tuple[Auditor, Published], stack: Stack) -> None:
    ours = json.loads(run("ledger", "report", "--study", "1.2.3", *auditor[0].all, "--format", "json"))
    assert len(ours["accesses"]) == 30
    assert all(each["intact"] and each["final"] for each in ours["accesses"])
    theirs = json.loads(run("ledger", "report", "--study", "1.2.3", *stack.site, "--format", "json"))
    assert len(theirs["accesses"]) == 10
    told = run("ledger", "report", "--study", "1.2.3", *auditor[0].all, "--rpc", auditor[0].rpc, "--format", "csv")
    assert told.count("\n") == 31
    text = run("ledger", "report", "--study", "1.2.3", *stack.site)
    assert "10 accesses" in text
    assert "urn:dicomward:device:radiologist" in text


def test_report_with_a_bundle_missing_is_not_the_whole_answer(
    auditor: tuple[Auditor, Published], tmp_path: Path
) -> None:
    mine, made = auditor
    evidence = tmp_path / "evidence"
    shutil.copytree(made.evidence, evidence)
    (evidence / "content" / made.publications[0].cid).unlink()
    told = run("ledger", "report", "--study", "1.2.3", *replace(mine, evidence=str(evidence)).all, status=1)
    assert "NOTE  Evidence of records 0 to 15" in told
    assert "22 accesses" in told


def test_report_is_written_for_its_owner_alone_and_replaces_nothing(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    command = (
        "ledger",
        "report",
        "--period",
        "2025-11-22..2025-11-22",
        *stack.site,
        "--format",
        "html",
        "--out",
        str(out),
    )
    run(*command)
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_text().count("<tr") == 11
    assert "cannot be written" in run(*command, status=2)
    assert "0 accesses" in run("ledger", "report", "--period", "2020-01-01..2020-02-01", *stack.site)


def test_report_over_a_changed_record_says_so_and_ends_with_one(stack: Stack) -> None:
    stack.spool.change_record(2)
    try:
        text = run("ledger", "report", "--study", "1.2.3", *stack.site, status=1)
        assert "1 records do not give the leaves that were anchored" in text
        assert "CHANGED" in text
    finally:
        changed = """CAST(replace(CAST(body AS TEXT), '"v":2', '"v":1') AS BLOB)"""
        stack.spool.sql(lambda db: db.execute(f"UPDATE record SET body = {changed} WHERE idx = 2"))


def test_tail_shows_records_as_they_are(stack: Stack) -> None:
    text = run("ledger", "tail", *stack.site, "--lines", "2", "--stop-after", "2")
    decided, ended = text.strip().splitlines()
    assert "final" in decided
    assert f"{identity(9)} allowed urn:dicomward:device:radiologist retrieve 1.2.3" in decided
    assert f"{identity(9)} complete 200 1000" in ended
    lines = run("ledger", "tail", *stack.site, "-n", "3", "--stop-after", "3", "--json").strip().splitlines()
    assert [json.loads(line)["index"] for line in lines] == [17, 18, 19]


def test_tail_follows_and_ends_cleanly(stack: Stack) -> None:
    command = [sys.executable, "-m", "proxy", "ledger", "tail", *stack.site, "-n", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line, deadline = "", time.monotonic() + 20
        try:
            while not line and time.monotonic() < deadline:
                # It shows what comes after it began, and nobody knows when that was.
                stack.spool.write([{"v": 1, "kind": "event", "event": "again", "time": TIME}])
                ready, _, _ = select.select([process.stdout], [], [], 0.5)
                line = process.stdout.readline() if ready else ""
            assert json.loads(line)["record"]["event"] == "again"
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


def test_wrong_use_of_evidence_and_reports_ends_with_two(auditor: tuple[Auditor, Published], stack: Stack) -> None:
    mine, _ = auditor
    assert "--key is needed" in run("ledger", "verify", *mine.chain, "--evidence", mine.evidence, status=2)
    assert "--config, or --evidence" in run("ledger", "verify", *mine.chain, status=2)
    assert "--evidence is needed" in run("ledger", "verify", *mine.chain, "--key", mine.key, status=2)
    assert "is needed" in run("ledger", "report", *stack.site, status=2)
    assert "FROM..TO" in run("ledger", "report", "--period", "yesterday", *stack.site, status=2)
    assert "--finality" in run("ledger", "verify", *stack.site, "--finality", "soon", status=2)
