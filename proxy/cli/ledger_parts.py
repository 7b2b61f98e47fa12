"""What the commands of the ledger have in common: which chain, which records, which trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from web3 import Web3

from proxy.anchor import ChainClient, ChainFacts, Trust, load_trust, reviewed_code_hash, save_trust, trust_as_found
from proxy.anchor.evidence import AuditorKey, EvidenceStore, FolderStore, load_auditor_key, open_store
from proxy.anchor.facts import Finality
from proxy.config import Site, load_site, site_path
from proxy.errors import ConfigurationError
from proxy.ports import SpoolReader
from proxy.record.reader import open_readers

console = Console(markup=False, highlight=False, soft_wrap=True)
notices = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TrustOption = Annotated[Path | None, typer.Option("--trust", help="The auditor's trust file.")]
RpcOption = Annotated[
    list[str] | None,
    typer.Option("--rpc", help="A node, not the site's. Beside a configuration, and from the second on, compared."),
]
ChainIdOption = Annotated[int | None, typer.Option(help="Chain id, where no configuration is given.")]
ContractOption = Annotated[str | None, typer.Option(help="The contract, where no configuration is given.")]
FinalityOption = Annotated[
    str | None, typer.Option(help="Blocks on top after which a block is final, or: finalized, safe.")
]
EvidenceOption = Annotated[Path | None, typer.Option("--evidence", help="Folder of evidence; in place of the spool.")]
AuditorOption = Annotated[Path | None, typer.Option("--key", help="The auditor's private key, for evidence.")]

_CONFIRMATIONS: Final = 2
_TAGS: Final[tuple[Literal["finalized", "safe"], ...]] = ("finalized", "safe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Which ledger, by which nodes."""

    site: Site | None
    chain_id: int
    contract: str
    rpc_urls: tuple[str, ...]
    others: tuple[str, ...]
    """Nodes to compare with."""
    finality: Finality

    def client(self, stack: ExitStack, *rpc: str) -> ChainClient:
        client = ChainClient(rpc_urls=rpc or self.rpc_urls, chain_id=self.chain_id, contract=self.contract)
        stack.callback(client.close)
        return client


def chain_of(
    config: Path | None, dir: Path | None, trust_file: Path | None, rpc: list[str] | None, finality: str | None
) -> Chain:
    """From a site's configuration, or without one from the trust file and ``--rpc``.

    :raises ConfigurationError: neither is there
    """
    urls = tuple(rpc or ())
    if config is None and dir is None and trust_file is not None and urls:
        trust = load_trust(trust_file)
        return Chain(
            site=None,
            chain_id=trust.chain_id,
            contract="0x" + trust.contract.hex(),
            rpc_urls=urls[:1],
            others=urls[1:],
            finality=_finality(finality, _CONFIRMATIONS),
        )
    site = load_site(site_path(config, dir))
    ledger = site.ledger
    own: Finality = ledger.confirmations if ledger.finality == "confirmations" else ledger.finality
    return Chain(
        site=site,
        chain_id=ledger.chain_id,
        contract=ledger.contract,
        rpc_urls=ledger.rpc_urls,
        others=urls,
        finality=_finality(finality, own),
    )


def ledger_of(
    config: Path | None, dir: Path | None, rpc: list[str] | None, chain_id: int | None, contract: str | None
) -> Chain:
    """From a site's configuration, or without one from ``--rpc``, ``--chain-id`` and ``--contract``.

    :raises ConfigurationError: neither is there, or the contract is not an address
    """
    if config is not None or dir is not None:
        return chain_of(config, dir, None, rpc, None)
    if not rpc or chain_id is None or contract is None:
        raise ConfigurationError("--rpc, --chain-id and --contract are needed, or --config: which ledger?")
    if not Web3.is_address(contract):
        raise ConfigurationError("--contract is not an address")
    # All of them are asked, one where another does not answer: there is nothing yet to hold them against.
    return Chain(
        site=None, chain_id=chain_id, contract=contract, rpc_urls=tuple(rpc), others=(), finality=_CONFIRMATIONS
    )


def _finality(text: str | None, otherwise: Finality) -> Finality:
    if text is None:
        return otherwise
    for tag in _TAGS:
        if text == tag:
            return tag
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ConfigurationError("--finality is a number of blocks, finalized or safe")
    return int(text)


def spools(stack: ExitStack, site: Site | None) -> dict[bytes, SpoolReader]:
    """:raises ConfigurationError: no site is given"""
    if site is None:
        raise ConfigurationError("--config, or --evidence with --key: from where are records to be read?")
    readers = open_readers(site.record.directory)
    for reader in readers:
        stack.callback(reader.close)
    return {reader.origin: reader for reader in readers}


def evidence(site: Site | None, folder: Path | None, key: Path | None) -> tuple[EvidenceStore, AuditorKey] | None:
    """``None`` where the spool is to be read.

    :raises ConfigurationError: key without evidence, or the other way round
    :raises EvidenceError: ``STORE``
    """
    if folder is None and key is None:
        return None
    if key is None:
        raise ConfigurationError("--key is needed: evidence is closed to everybody but the auditor")
    if folder is None:
        if site is None or site.evidence is None:
            raise ConfigurationError("--evidence is needed: no folder of evidence is configured")
        return open_store(site.evidence, prepare=False), load_auditor_key(key)
    return FolderStore(folder), load_auditor_key(key)


def trust_for(path: Path | None, dir: Path | None, facts: ChainFacts) -> tuple[Path, Trust]:
    if path is None:
        path = default_trust(dir)
        if not path.exists():
            notices.print("A dev stack without a trust file: the chain is trusted as it is found.")
            save_trust(path, trust_as_found(facts, reviewed_code_hash()))
    return path, load_trust(path)


def default_trust(dir: Path | None) -> Path:
    if dir is None:
        raise ConfigurationError("--trust is needed: verification means nothing without the auditor's own file")
    return dir / "trust.json"


def bar(what: str) -> Progress:
    """Progress on a terminal's stderr, otherwise nothing."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=notices, transient=True, disable=not notices.is_terminal)


def word(text: str) -> bytes:
    """32 bytes in hexadecimal.

    :raises ConfigurationError: it is not that
    """
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise ConfigurationError(f"{printable(text)[:80]} has not 64 hexadecimal digits")
    return value


def say(as_json: bool, values: Mapping[str, str | int]) -> None:
    """What a command did."""
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            console.print(f"{name:>10}  {value}")


def lines(path: Path | None) -> list[str]:
    """:raises ConfigurationError: it cannot be read"""
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read") from error


def printable(text: str) -> str:
    """No control character of a record reaches a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
