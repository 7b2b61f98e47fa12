"""Walks ``docs/policy-guide.md`` exactly: its files are written, its commands run, its outputs looked for, in order.

The only things put in: where the site's folder is, and that the commands are those of this checkout.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.authoring import Supposed, loaded, read_source
from proxy.decide import Kept
from proxy.decide.policies import unpack_verified, verification_key
from proxy.model import JsonObject, Trust, Verdict
from tests.authoring.recording import POLICIES, STUDY, asked, body, judged, mixture, write_spool

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = ROOT / "docs/policy-guide.md"
SITE: Final = "/etc/dicomward"
_BLOCK: Final = re.compile(r"(?:^File `(?P<file>[^`]+)`:\n\n)?^```(?P<kind>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
NIGHTS: Final = 7
CONFIGURATION: Final = """
site = "test"
listen = { certificate = "cert.pem", key = "key.pem", public_url = "https://localhost:8443" }
posture = { store = "posture.db" }
archive = { url = "http://127.0.0.1:1/dicom-web" }
policy = { directory = "policies", store = "policy-store" }
record = { directory = "spool" }
[identify]
authorities = [{ name = "ca", certificate = "ca.pem", crls = ["crl.pem"] }]
[ledger]
chain_id = 1
contract = "0x0000000000000000000000000000000000000000"
rpc_urls = ["http://127.0.0.1:1"]
writer_key_file = "writer.key"
status_file = "status.json"
"""


@dataclass(frozen=True)
class Block:
    file: str | None
    kind: str
    text: str


def blocks() -> list[Block]:
    return [Block(each["file"], each["kind"], each["text"]) for each in _BLOCK.finditer(GUIDE.read_text())]


def week() -> Iterator[JsonObject]:
    """Some hundred decisions of an ordinary week, and each night one of the kind that the rule is about."""
    begin = datetime.now(UTC) - timedelta(days=NIGHTS) + timedelta(hours=1)
    # By day, since what the rule refuses is counted exactly below.
    noon = begin.replace(hour=12, minute=0)
    noon += timedelta(days=noon < begin)
    yield from mixture(300, noon, timedelta(seconds=1))
    for night in range(NIGHTS):
        at = (begin + timedelta(days=night)).replace(hour=23, minute=30)
        if begin < at < datetime.now(UTC):
            supposed = Supposed(
                at=at,
                name="radiologist",
                institutions=("North Hospital",),
                departments=("Psychiatry",),
                trust=Trust.REPORTED,
            )
            yield asked(STUDY, supposed)
            yield asked("/dicom-web/studies?PatientID=P1", supposed)


@pytest.fixture
async def site(tmp_path: Path) -> Path:
    """What stands below /etc/dicomward: configuration, policies, a week of records and the kept sets."""
    folder = tmp_path / "etc"
    folder.mkdir()
    shutil.copytree(POLICIES, folder / "policies")
    for name in ("cert.pem", "key.pem", "ca.pem", "crl.pem", "writer.key"):
        (folder / name).touch(mode=0o600)
    (folder / "dicomward.toml").write_text(CONFIGURATION)
    in_force = loaded(read_source(POLICIES).policies)
    now = datetime.now(UTC)
    kept = Kept(folder / "policy-store")
    kept.keep(in_force.prepared.policies)
    kept.came_into_force(in_force.prepared.digest, now, now)
    records = [*judged(in_force, week()), body(None, Verdict.denied("unknown-route"), now)]
    await write_spool(folder / "spool", sorted(records, key=lambda each: str(each["time"])))
    return folder


def run(command: str, site: Path, work: Path) -> subprocess.CompletedProcess[str]:
    words = [word.replace(SITE, str(site)) for word in shlex.split(command)]
    path = os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".tools/bin"), os.environ["PATH"]])
    return subprocess.run(
        words, capture_output=True, text=True, cwd=work, env={**os.environ, "PATH": path}, timeout=120, check=False
    )


def test_the_guide_does_what_it_says(site: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (work / "signing.pem").write_bytes(private)
    said, ran = "", []
    for block in blocks():
        if block.file is not None:
            assert block.kind == "rego", block
            path = work / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind.startswith("sh"):
            expected = int(block.kind.partition("status=")[2] or 0)
            said = ""
            for command in block.text.splitlines():
                done = run(command, site, work)
                assert done.returncode == expected, (command, done.returncode, done.stdout, done.stderr)
                said += done.stdout
                ran.append((command, done.stdout))
        else:
            assert block.kind == "text", block
            for line in block.text.splitlines():
                assert line in said, (line, said)
    _rule_is_in_force(site)
    _tests_ran_on_both_engines(ran)
    _replay_counted_every_night(ran)
    bundle = (work / "dicomward.tar.gz").read_bytes()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = unpack_verified(bundle, [verification_key(public)])
    assert signed.serial == 8
    assert signed.policies.digest == read_source(site / "policies").policies.digest


def _rule_is_in_force(site: Path) -> None:
    """By the very folder that the guide put there: refused at night, and the row as well."""
    engine = loaded(read_source(site / "policies").policies).engine
    night = datetime(2026, 11, 22, 23, tzinfo=UTC)
    psychiatry = Supposed(at=night, name="radiologist", departments=("Psychiatry",), trust=Trust.REPORTED)
    assert engine.decide_now(asked(STUDY, psychiatry)).reasons == ("psychiatry-at-night",)
    assert engine.decide_now(asked(f"{STUDY}/metadata", psychiatry)).reasons == ("psychiatry-at-night",)


def _tests_ran_on_both_engines(ran: list[tuple[str, str]]) -> None:
    (told,) = [said for command, said in ran if command.startswith("dicomward policy test")]
    assert "on the embedded engine and OPA" in told
    assert re.search(r"psychiatry_at_night\.rego +100 %", told), told
    assert re.search(r"site/site\.rego +100 %", told), told


def _replay_counted_every_night(ran: list[tuple[str, str]]) -> None:
    nights = sum(1 for each in week() if "T23:30" in str(each["time"])) // 2
    assert nights >= NIGHTS - 1
    (told,) = [said for command, said in ran if "replay --policies" in command]
    assert re.search(rf"^ +{nights}  allow->deny$", told, re.MULTILINE), told
    assert re.search(r"^ +0  deny->allow$", told, re.MULTILINE), told
    (audited,) = [said for command, said in ran if "--recorded" in command]
    assert re.search(r"^clean: \d{3} decisions by 1 sets of policies, 0 differ; not by policy: 1$", audited, re.M)


def test_every_block_of_the_guide_is_one_that_is_walked() -> None:
    kinds = [block.kind.partition(" ")[0] for block in blocks()]
    assert kinds.count("rego") == 4
    assert set(kinds) == {"rego", "sh", "text"}
    assert GUIDE.read_text().count("```") == 2 * len(kinds)
