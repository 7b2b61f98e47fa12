"""Walks ``docs/ledger.md`` exactly: its commands run, in order, and what it shows is looked for in what they say.

The only things put in: where the auditor's and the site's folders are, and which contract on which node.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from proxy.anchor.evidence import write_keys
from proxy.anchor.findings import INFORMATIONAL, FindingKind
from proxy.anchor.meanings import MEANINGS
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, new_ledger
from tests.anchor.published import published
from tests.anchor.test_commands import run
from tests.anchor.test_receipts import receipt_for

pytestmark = pytest.mark.real

PAGE: Final = Path(__file__).parents[2] / "docs/ledger.md"
_BLOCK: Final = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW: Final = re.compile(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", re.MULTILINE)
CONFIGURATION: Final = """
site = "test"
listen = {{ certificate = "cert.pem", key = "key.pem", public_url = "https://localhost:8443" }}
posture = {{ store = "posture.db" }}
archive = {{ url = "http://127.0.0.1:1/dicom-web" }}
policy = {{ directory = "policies", store = "kept" }}
record = {{ directory = "spool" }}
[identify]
authorities = [{{ name = "ca", certificate = "ca.pem", crls = ["crl.pem"] }}]
[ledger]
chain_id = {chain_id}
contract = "{contract}"
rpc_urls = ["{rpc}"]
writer_key_file = "writer.key"
status_file = "status.json"
"""


@dataclass(frozen=True)
class Places:
    replaced: dict[str, str]

    def of(self, command: str) -> list[str]:
        for said, real in self.replaced.items():
            command = command.replace(said, real)
        return shlex.split(command)


@pytest.fixture(scope="module")
def places(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    site, audit = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("audit")
    ledger = new_ledger(chain)
    made = published(ledger, site)
    (site / "policies").mkdir()
    for name in ("cert.pem", "key.pem", "ca.pem", "crl.pem", "writer.key"):
        (site / name).touch(mode=0o600)
    configuration = CONFIGURATION.format(chain_id=CHAIN_ID, contract=ledger.client.contract, rpc=chain.url)
    (site / "dicomward.toml").write_text(configuration)
    shutil.copytree(made.evidence, audit / "evidence")
    write_keys(audit, "auditor", made.key)
    (audit / "receipt").write_text(receipt_for(made.spool, 6) + "\n")
    yield Places(
        {
            "/audit/": f"{audit}/",
            "/etc/dicomward/": f"{site}/",
            "http://node.example:8545": chain.url,
            "http://other-node.example:8545": chain.url.replace("127.0.0.1", "localhost"),
            "0x00000000000000000000000000000000000000aa": ledger.client.contract,
        }
    )
    ledger.close()


def test_the_page_does_what_it_says(places: Places) -> None:
    said, commands = "", 0
    for kind, text in _BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "text":
            for line in text.splitlines():
                assert line in said, (line, said)
            continue
        said = ""
        for line in text.splitlines():
            program, *arguments = places.of(line)
            assert program == "dicomward"
            said += run(*arguments)
            commands += 1
    assert commands >= 10


def test_the_page_names_every_finding_and_what_to_do_about_it() -> None:
    rows = {code: (means, do) for code, means, do in _ROW.findall(PAGE.read_text("utf-8")) if code in set(FindingKind)}
    assert rows == {kind.value: (each.means, each.do) for kind, each in MEANINGS.items()}


def test_the_page_tells_faults_from_what_is_for_information() -> None:
    faults, _, notes = PAGE.read_text("utf-8").partition("For information, and no fault:")
    assert all(f"| `{kind.value}` |" in (notes if kind in INFORMATIONAL else faults) for kind in FindingKind)
