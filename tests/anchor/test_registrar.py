"""The registrar's commands, as its office runs them: over a node of its own, with nothing of a site's."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account

from proxy.anchor.chain_client import ChainClient, TransactionRefusedError
from proxy.anchor.chain_sender import ChainSender
from proxy.anchor.keys import load_account, new_keystore
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID
from tests.anchor.test_commands import key_file, run

pytestmark = pytest.mark.real

ORIGIN = "a1" * 32
RECEIPT_KEY = "b2" * 32


@dataclass
class Office:
    """A registrar with an encrypted key, and a contract of its own."""

    chain: Anvil
    key: Path
    password: Path
    contract: str
    address: str

    @property
    def ledger(self) -> tuple[str, ...]:
        return "--rpc", self.chain.url, "--chain-id", str(CHAIN_ID), "--contract", self.contract

    @property
    def signed(self) -> tuple[str, ...]:
        return *self.ledger, "--registrar-key", str(self.key), "--registrar-password", str(self.password), "--json"

    def open(self, origin: str, writer: str) -> None:
        run("registrar", "open-origin", *self.signed, *_origin(origin, writer))

    def origins(self) -> dict[str, dict[str, object]]:
        said = json.loads(run("registrar", "origins", *self.ledger, "--json"))
        return {one["origin"]: one for one in said["origins"]}


def _origin(origin: str, writer: str) -> tuple[str, ...]:
    return "--origin", origin, "--writer", writer, "--receipt-key", RECEIPT_KEY


@pytest.fixture(scope="module")
def office(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("office")
    password, key = folder / "password", folder / "registrar.json"
    password.write_text("a long password")
    password.chmod(0o600)
    chain.fund(new_keystore(key, password))
    node = ("--rpc", chain.url, "--chain-id", str(CHAIN_ID))
    signed = ("--registrar-key", str(key), "--registrar-password", str(password))
    deployed = json.loads(run("registrar", "deploy", *node, *signed, "--json"))
    return Office(chain, key, password, deployed["contract"], deployed["registrar"])


def writer_of(office: Office, tmp_path: Path) -> ChainSender:
    account = load_account(Path(key_file(tmp_path / secrets.token_hex(4), office.chain)))
    client = ChainClient(rpc_urls=[office.chain.url], chain_id=CHAIN_ID, contract=office.contract)
    return ChainSender(client, account)


def test_an_origin_is_opened_and_shown_to_who_has_no_key(office: Office, tmp_path: Path) -> None:
    writer, origin = writer_of(office, tmp_path), secrets.token_hex(32)
    office.open(origin, writer.address)
    shown = office.origins()[origin]
    assert (shown["standing"], shown["writer"], shown["receipt_key"]) == ("open", writer.address, RECEIPT_KEY)
    text = run("registrar", "origins", *office.ledger)
    assert office.address in text
    assert f"origin     {origin}\n  open: 0 leaves" in text


def test_an_origin_is_not_opened_twice_and_the_contract_says_why(office: Office, tmp_path: Path) -> None:
    writer, origin = writer_of(office, tmp_path), secrets.token_hex(32)
    office.open(origin, writer.address)
    said = run("registrar", "open-origin", *office.signed, *_origin(origin, writer.address), status=1)
    assert "origin exists" in said


def test_after_the_writer_was_rotated_the_one_before_can_do_nothing(office: Office, tmp_path: Path) -> None:
    before, after, origin = writer_of(office, tmp_path), writer_of(office, tmp_path), secrets.token_hex(32)
    office.open(origin, before.address)
    said = json.loads(run("registrar", "rotate-writer", origin, *office.signed, "--writer", after.address.lower()))
    assert (said["writer"], said["before"]) == (after.address, before.address)
    with pytest.raises(TransactionRefusedError, match="not the writer"):
        before.estimate("anchor", bytes.fromhex(origin), 0, bytes(32), [bytes(32)])
    with pytest.raises(TransactionRefusedError, match="previous head"):
        after.estimate("anchor", bytes.fromhex(origin), 0, bytes(32), [bytes(32)])


def test_an_origin_is_closed_for_good_by_who_is_sure(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, origin = writer_of(office, tmp_path), secrets.token_hex(32)
    office.open(origin, writer.address)
    monkeypatch.setattr("typer.confirm", lambda question, err: False)
    assert "Nothing was sent." in run("registrar", "close-origin", origin, *office.signed, status=1)
    assert office.origins()[origin]["standing"] == "open"
    run("registrar", "close-origin", origin, *office.signed, "--yes")
    assert office.origins()[origin]["standing"] == "closed"
    assert "closed" in run("registrar", "close-origin", origin, *office.signed, "--yes", status=1)
    with pytest.raises(TransactionRefusedError, match="closed"):
        writer.estimate("anchor", bytes.fromhex(origin), 0, bytes(32), [bytes(32)])


def test_the_office_is_handed_over_in_two_steps(chain: Anvil, tmp_path: Path) -> None:
    old, new = key_file(tmp_path / "old", chain), key_file(tmp_path / "new", chain)
    address = Account.from_key(Path(new).read_text()).address
    node = ("--rpc", chain.url, "--chain-id", str(CHAIN_ID))
    contract = json.loads(run("registrar", "deploy", *node, "--registrar-key", old, "--json"))["contract"]
    ledger = (*node, "--contract", contract)
    assert "not the candidate" in run("registrar", "accept", *ledger, "--registrar-key", new, status=1)
    run("registrar", "propose", address, *ledger, "--registrar-key", old)
    assert json.loads(run("registrar", "origins", *ledger, "--json"))["candidate"] == address
    run("registrar", "accept", *ledger, "--registrar-key", new)
    held = json.loads(run("registrar", "origins", *ledger, "--json"))
    assert (held["registrar"], held["candidate"]) == (address, None)
    refused = run("registrar", "open-origin", *ledger, "--registrar-key", old, *_origin(ORIGIN, address), status=1)
    assert "not the registrar" in refused


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (("--origin", "12"), "64 hexadecimal digits"),
        (("--writer", "0x12"), "not an address"),
        (("--receipt-key", "zz" * 32), "64 hexadecimal digits"),
        (("--contract", "nonsense"), "--contract is not an address"),
        (("--registrar-password", "/dev/null"), "can be read by others"),
    ],
)
def test_what_is_spoilt_is_named_and_nothing_is_sent(office: Office, spoilt: tuple[str, str], said: str) -> None:
    """Options given twice: the last one counts."""
    before = office.origins()
    origin = _origin(secrets.token_hex(32), office.address)
    assert said in run("registrar", "open-origin", *office.signed, *origin, *spoilt, status=2)
    assert office.origins() == before


def test_without_a_ledger_or_a_key_it_says_which_options_are_needed(office: Office) -> None:
    assert "which ledger" in run("registrar", "origins", status=2)
    assert "--registrar-key is needed" in run("registrar", "accept", *office.ledger, status=2)
    assert "no origin" in run(
        "registrar", "rotate-writer", ORIGIN, *office.signed, "--writer", office.address, status=2
    )
    assert "receipt-key are needed" in run("registrar", "open-origin", *office.signed, "--origin", ORIGIN, status=2)
