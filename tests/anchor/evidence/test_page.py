"""Walks ``docs/evidence.md``: its commands are run, in order, on what an anchor's worker made. And the refusals."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from proxy.anchor.evidence import EvidencePublisher, FolderStore, PublisherSettings, load_auditor, open_store
from proxy.anchor.evidence import publisher as publishing
from proxy.cli import evidence as commands
from proxy.config import load_site
from proxy.record.reader import OriginReader
from tests.anchor.conftest import CHAIN_ID, Ledger, cycle_until
from tests.anchor.evidence.conftest import ROOT
from tests.anchor.spools import SpoolFile
from tests.anchor.test_commands import run

pytestmark = pytest.mark.real
PAGE = ROOT / "docs/evidence.md"
SITE = """
site = "test"
listen = { certificate = "cert.pem", key = "cert.pem", public_url = "https://localhost:8443" }
posture = { store = "posture.db" }
archive = { url = "http://127.0.0.1:1/dicom-web" }
policy = { directory = "spool", store = "kept" }
record = { directory = "spool" }
[identify]
authorities = [{ name = "ca", certificate = "cert.pem", crls = ["crl.pem"] }]
[ledger]
rpc_urls = ["RPC"]
contract = "CONTRACT"
writer_key_file = "writer.key"
confirmations = 0
status_file = "status.json"
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@dataclass
class Site:
    folder: Path
    ledger: Ledger
    spool: SpoolFile

    @property
    def config(self) -> tuple[str, str]:
        return "--config", "dicomward.toml"

    def cids(self) -> list[str]:
        return FolderStore(self.folder / "evidence").cids()

    def publish(self) -> None:
        """As the anchor's process does, until everything is named."""
        section = load_site(self.folder / "dicomward.toml").evidence
        assert section is not None
        publisher = EvidencePublisher(
            reader=partial(OriginReader, self.spool.folder),
            store=lambda: open_store(section),
            auditors=[load_auditor(path) for path in section.auditors],
            settings=PublisherSettings(max_records=5, max_wait_s=0.0),
        )
        reader = self.spool.reader()
        count = reader.count()
        reader.close()
        try:
            worker = self.ledger.worker(self.spool.folder, publisher=publisher)
            cycle_until(worker, lambda status: status.published == count)
        finally:
            publisher.close()


@pytest.fixture
def site(ledger: Ledger, spool: SpoolFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("cert.pem", "crl.pem", "writer.key"):
        (tmp_path / name).touch(mode=0o600)
    (tmp_path / "keys").mkdir()
    text = SITE.replace("RPC", ledger.anvil.url).replace("CONTRACT", ledger.client.contract)
    (tmp_path / "dicomward.toml").write_text(f"{text}chain_id = {CHAIN_ID}\n{blocks('toml')[0]}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publishing, "_POLL_S", 0.02)
    spool.fill(6)
    return Site(tmp_path, ledger, spool)


def test_commands_of_the_page_do_what_it_says(site: Site, tmp_path: Path) -> None:
    walked: dict[str, str] = {}
    for line in "".join(blocks("sh")).splitlines():
        if "evidence list" in line and "list" not in walked:
            site.publish()
        last = site.cids()[-1] if (tmp_path / "evidence").exists() and site.cids() else ""
        words = [
            {"CID": last, "http://127.0.0.1:8545": site.ledger.anvil.url}.get(one, one) for one in shlex.split(line)
        ]
        assert words.pop(0) == "dicomward"
        walked[words[1]] = run(*words)
        if words[1] == "fetch":
            assert FolderStore(tmp_path / "audit").cids() == site.cids()
    assert set(walked) == {"new-auditor", "list", "fetch", "init-trust", "verify", "rewrap", "retention", "erase"}
    assert "0 bundles erased" in walked["retention"]
    assert "1 bundles erased" in walked["erase"]
    assert "order 12 of the data protection officer" in walked["list"]
    second = ("--evidence", "audit", "--key", "keys/second.key")
    report = json.loads(
        run("ledger", "verify", "--trust", "trust.json", "--rpc", site.ledger.anvil.url, *second, "--json")
    )
    assert report["clean"] is True


@pytest.fixture
def published(site: Site) -> Site:
    run("evidence", "new-auditor", "auditor", "--out", "keys")
    site.publish()
    return site


def test_erasing_asks_and_does_nothing_without_an_answer(published: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = published.cids()
    asked: list[str] = []

    def no(question: str, **settings: object) -> None:
        asked.append(question)
        raise SystemExit(1)

    monkeypatch.setattr(commands.typer, "confirm", no)
    run("evidence", "erase", *published.config, "--reason", "why", before[0], status=1)
    assert asked == ["Destroy the evidence in 1 bundles for good?"]
    assert published.cids() == before


def test_retention_erases_by_the_chains_time_alone(published: Site) -> None:
    before = published.cids()
    for path in (published.folder / "evidence").rglob("*"):
        os.utime(path, (0, 0))
    told = json.loads(run("evidence", "retention", *published.config, "--older-than", "1", "--yes", "--json"))
    assert told == {"erased": 0, "failures": []}
    assert published.cids() == before
    real = commands.published_before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "published_before", lambda client, moment: real(client, moment + 2 * 86_400))
        told = json.loads(run("evidence", "retention", *published.config, "--older-than", "1", "--yes", "--json"))
    assert told == {"erased": len(before), "failures": []}
    listed = json.loads(run("evidence", "list", *published.config, "--json"))["bundles"]
    assert [one["erased"]["reason"] for one in listed] == ["retention of 1 days"] * len(before)


def test_what_cannot_be_fetched_is_told_and_the_rest_is_fetched(published: Site, tmp_path: Path) -> None:
    spoilt, *others = published.cids()
    (tmp_path / "evidence/content" / spoilt).write_bytes(b"spoilt")
    told = json.loads(run("evidence", "fetch", *published.config, "--to", "audit", "--json", status=1))
    assert [(one["cid"], one["fault"]) for one in told["failures"]] == [(spoilt, "altered")]
    assert FolderStore(tmp_path / "audit").cids() == others


def test_auditors_copy_stays_when_the_site_erases(published: Site, tmp_path: Path) -> None:
    run("evidence", "fetch", *published.config, "--to", "audit")
    cid = published.cids()[0]
    run("evidence", "erase", *published.config, "--reason", "why", "--yes", cid)
    run("evidence", "fetch", *published.config, "--to", "audit")
    copy = FolderStore(tmp_path / "audit")
    assert copy.content(cid)
    assert copy.erasures() == [cid]


def test_bundle_that_is_no_ones_is_not_erased(published: Site) -> None:
    for cid in ("../../etc/passwd", "b" + "a" * 58):
        assert "no bundle of this site" in run(
            "evidence", "erase", *published.config, "--reason", "why", "--yes", cid, status=2
        )


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 201, "\u00fc"])
def test_reason_that_is_not_a_line_is_refused(published: Site, reason: str) -> None:
    cid = published.cids()[0]
    assert "--reason" in run("evidence", "erase", *published.config, "--reason", reason, "--yes", cid, status=2)
    assert cid in published.cids()


@pytest.mark.parametrize("name", ["../auditor", "", ".hidden", "a/b", "x" * 65])
def test_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    assert "a name is" in run("evidence", "new-auditor", name, "--out", str(tmp_path), status=2)
    assert list(tmp_path.iterdir()) == []


def test_new_auditor_replaces_nothing_and_prints_no_private_key(tmp_path: Path) -> None:
    told = json.loads(run("evidence", "new-auditor", "one", "--out", str(tmp_path), "--json"))
    assert told["auditor"] == load_auditor(tmp_path / "one.pub").id
    secret = (tmp_path / "one.key").read_text().split()[1]
    assert "cannot be written" in run("evidence", "new-auditor", "one", "--out", str(tmp_path), status=2)
    assert secret[:20] not in json.dumps(told)


def test_rewrap_by_who_may_not_is_told_and_changes_nothing(published: Site, tmp_path: Path) -> None:
    run("evidence", "new-auditor", "nobody", "--out", "keys")
    before = [(tmp_path / "evidence/keys" / f"{cid}.json").read_bytes() for cid in published.cids()]
    own = ("--key", "keys/nobody.key", "--auditor", "keys/nobody.pub", "--yes", "--json")
    told = json.loads(run("evidence", "rewrap", *published.config, *own, status=1))
    assert {one["fault"] for one in told["failures"]} == {"no-key"}
    assert [(tmp_path / "evidence/keys" / f"{cid}.json").read_bytes() for cid in published.cids()] == before


def test_site_without_the_section_and_two_sources_are_refused(site: Site) -> None:
    path = site.folder / "dicomward.toml"
    path.write_text(path.read_text().split("[evidence]")[0])
    assert "no such section" in run("evidence", "list", *site.config, status=2)
    assert "--evidence DIR, or" in run("evidence", "list", *site.config, "--evidence", ".", status=2)
