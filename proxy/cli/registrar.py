"""``dicomward registrar``: the office that admits origins to the ledger. Its key is never on a site's host.

Every command works without anything of a site: over a node of the registrar's own. What the contract refuses is told
in its words before anything is sent.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from eth_typing import ChecksumAddress
from web3 import Web3

from proxy.anchor import ChainClient, ChainSender, load_account
from proxy.anchor.chain_values import OriginState
from proxy.cli.ledger_parts import (
    ChainIdOption,
    ConfigOption,
    ContractOption,
    DirOption,
    JsonOption,
    ledger_of,
    notices,
    printable,
    say,
    spools,
    word,
)
from proxy.cli.ledger_parts import console as out
from proxy.config import load_site, site_path
from proxy.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True)

KeyOption = Annotated[
    Path | None, typer.Option("--registrar-key", help="File with the private key, hexadecimal or a keystore.")
]
PasswordOption = Annotated[
    Path | None, typer.Option("--registrar-password", help="File with the password of an encrypted key.")
]
NodeOption = Annotated[str | None, typer.Option("--rpc", help="Address of a node, where no configuration is given.")]
OriginArgument = Annotated[str, typer.Argument(help="Origin, 64 hexadecimal digits.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Office:
    """The registrar at one contract."""

    client: ChainClient
    sender: ChainSender

    def call(self, function: str, *arguments: object) -> int:
        """Block in which the call stands.

        :raises ChainError: the contract refuses it, or it is not in a block in time
        """
        self.sender.estimate(function, *arguments)
        return int(self.sender.execute(function, *arguments)["blockNumber"])


def _office(
    stack: ExitStack,
    key: Path | None,
    password: Path | None,
    dir: Path | None,
    config: Path | None,
    rpc: str | None,
    chain_id: int | None,
    contract: str | None,
) -> _Office:
    if key is None and dir is None:
        raise ConfigurationError("--registrar-key is needed")
    account = load_account(key or (dir or Path()) / "keys" / "registrar.key", password)
    client = ledger_of(config, dir, [rpc] if rpc else None, chain_id, contract).client(stack)
    return _Office(client=client, sender=ChainSender(client, account))


@app.command("deploy")
def deploy(
    rpc: Annotated[str, typer.Option(help="Address of a node.")],
    chain_id: Annotated[int, typer.Option(help="Chain id.")],
    registrar_key: Annotated[Path, typer.Option(help="File with the private key, hexadecimal or a keystore.")],
    password: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy the contract, with the key's account as registrar."""
    with ExitStack() as stack:
        client = ChainClient(rpc_urls=[rpc], chain_id=chain_id, contract="0x" + "00" * 20)
        stack.callback(client.close)
        sender = ChainSender(client, load_account(registrar_key, password))
        receipt = sender.deploy()
    say(as_json, {"contract": receipt["contractAddress"], "registrar": sender.address, "chain_id": chain_id})


@app.command("origins")
def origins(
    config: ConfigOption = None,
    dir: DirOption = None,
    rpc: NodeOption = None,
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every origin that was opened, and who holds the office. Needs no key."""
    with ExitStack() as stack:
        client = ledger_of(config, dir, [rpc] if rpc else None, chain_id, contract).client(stack)
        block = client.block_number()
        office = {"registrar": client.registrar(block), "candidate": client.candidate(block)}
        found = {origin: client.origin(origin, block) for origin in client.origins(block)}
    states = {origin: state for origin, state in found.items() if state is not None}
    if as_json:
        listed = [{"origin": origin.hex(), **_wire(state)} for origin, state in states.items()]
        typer.echo(json.dumps({"block": block, **office, "origins": listed}, indent=2))
        return
    out.print(f"registrar  {office['registrar']}")
    if office["candidate"] is not None:
        out.print(f"candidate  {office['candidate']}")
    for origin, state in states.items():
        out.print(f"\norigin     {origin.hex()}")
        out.print(f"  {_standing(state)}: {state.count:,} leaves, {state.published:,} of them with evidence")
        out.print(f"  writer   {state.writer}")
        if state.predecessor is not None:
            out.print(f"  succeeds {state.predecessor.hex()} after {state.agreed:,} agreed leaves")


@app.command("open-origin")
def open_origin(
    config: ConfigOption = None,
    dir: DirOption = None,
    key: KeyOption = None,
    password: PasswordOption = None,
    rpc: NodeOption = None,
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    origin: Annotated[str | None, typer.Option(help="Origin; of a dev stack its spool's own.")] = None,
    writer: Annotated[str | None, typer.Option(help="Address of the writer; of a dev stack its own.")] = None,
    receipt_key: Annotated[str | None, typer.Option(help="Receipt key; of a dev stack its spool's own.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Admit a site's origin. The anchor's log and status name all three values: compare them over another way."""
    with ExitStack() as stack:
        if origin is None or writer is None or receipt_key is None:
            if dir is None:
                raise ConfigurationError("--origin, --writer and --receipt-key are needed: the anchor's log names them")
            site = load_site(site_path(config, dir))
            newest = list(spools(stack, site).values())[-1]
            origin, receipt_key = origin or newest.origin.hex(), receipt_key or newest.receipt_key.hex()
            ledger = site.ledger
            writer = writer or load_account(ledger.writer_key_file, ledger.writer_key_password_file).address
        named = address(writer)
        office = _office(stack, key, password, dir, config, rpc, chain_id, contract)
        block = office.call("open_origin", word(origin), named, word(receipt_key))
    say(as_json, {"origin": origin, "writer": named, "block": block})


@app.command("close-origin")
def close_origin(
    origin: OriginArgument,
    config: ConfigOption = None,
    dir: DirOption = None,
    key: KeyOption = None,
    password: PasswordOption = None,
    rpc: NodeOption = None,
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Close an origin for good: of a site that ends. Nothing can be anchored to it afterwards."""
    with ExitStack() as stack:
        office = _office(stack, key, password, dir, config, rpc, chain_id, contract)
        state = _known(office.client, word(origin))
        _sure(yes, f"Close origin {origin} for good, after {state.count} leaves?")
        block = office.call("close_origin", word(origin))
    say(as_json, {"origin": origin, "leaves": state.count, "block": block})


@app.command("rotate-writer")
def rotate_writer(
    origin: OriginArgument,
    writer: Annotated[str, typer.Option(help="Address of the new writer.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    key: KeyOption = None,
    password: PasswordOption = None,
    rpc: NodeOption = None,
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an origin to another writer: as planned, or because its key may be known to others."""
    named = address(writer)
    with ExitStack() as stack:
        office = _office(stack, key, password, dir, config, rpc, chain_id, contract)
        before = _known(office.client, word(origin)).writer
        block = office.call("rotate_writer", word(origin), named)
    say(as_json, {"origin": origin, "writer": named, "before": before, "block": block})


@app.command("propose")
def propose(
    candidate: Annotated[str, typer.Argument(help="Address of who is to hold the office.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    key: KeyOption = None,
    password: PasswordOption = None,
    rpc: NodeOption = None,
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand the office over, first step. It stays where it is until the candidate accepts."""
    named = address(candidate)
    with ExitStack() as stack:
        office = _office(stack, key, password, dir, config, rpc, chain_id, contract)
        block = office.call("propose_registrar", named)
    say(as_json, {"candidate": named, "block": block})


@app.command("accept")
def accept(
    config: ConfigOption = None,
    dir: DirOption = None,
    key: KeyOption = None,
    password: PasswordOption = None,
    rpc: NodeOption = None,
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the office over, with the candidate's key. Auditors note the new registrar in their trust files."""
    with ExitStack() as stack:
        office = _office(stack, key, password, dir, config, rpc, chain_id, contract)
        block = office.call("accept_registrar")
    say(as_json, {"registrar": office.sender.address, "block": block})


def address(text: str) -> ChecksumAddress:
    """:raises ConfigurationError: it is none, or its checksum (EIP-55) does not hold"""
    if not Web3.is_address(text):
        raise ConfigurationError(f"{printable(text)[:80]} is not an address")
    return Web3.to_checksum_address(text)


def _known(client: ChainClient, origin: bytes) -> OriginState:
    state = client.origin(origin)
    if state is None:
        raise ConfigurationError(f"the contract has no origin {origin.hex()}")
    return state


def _sure(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question, err=True):
        notices.print("Nothing was sent.")
        raise typer.Exit(1)


def _standing(state: OriginState) -> str:
    if state.successor is not None:
        return "succeeded"
    return "closed" if state.closed else "open"


def _wire(state: OriginState) -> dict[str, str | int | None]:
    return {
        "standing": _standing(state),
        "writer": state.writer,
        "receipt_key": state.receipt_key.hex(),
        "leaves": state.count,
        "published": state.published,
        "predecessor": None if state.predecessor is None else state.predecessor.hex(),
        "agreed": state.agreed,
        "successor": None if state.successor is None else state.successor.hex(),
        "opened": state.opened,
    }
