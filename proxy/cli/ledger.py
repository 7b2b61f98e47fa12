"""``dicomward ledger``: for auditors (init-trust, verify, explain) and for the registrar (deploy, open-origin)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from web3 import Web3

from proxy import decide
from proxy.anchor import (
    ChainClient,
    ChainFacts,
    ChainSender,
    ReceiptVerdict,
    Report,
    Trust,
    check_receipt,
    collect_facts,
    load_account,
    load_trust,
    reviewed_code_hash,
    save_trust,
    trust_as_found,
    verify,
)
from proxy.anchor.explanation import Told, place
from proxy.anchor.explanation import explain as explained
from proxy.anchor.findings import Finding, FindingKind
from proxy.answer import CATALOGUE
from proxy.config import Site, load_site, site_path
from proxy.errors import ConfigurationError
from proxy.ports import SpoolReader
from proxy.record.reader import open_readers

app = typer.Typer(no_args_is_help=True)
console = Console(markup=False, highlight=False, soft_wrap=True)
notices = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TrustOption = Annotated[Path | None, typer.Option("--trust", help="The auditor's trust file.")]
KeyOption = Annotated[Path | None, typer.Option("--registrar-key", help="File with the registrar's private key.")]


@app.command("verify")
def verify_ledger(
    config: ConfigOption = None,
    dir: DirOption = None,
    trust_file: TrustOption = None,
    rpc: Annotated[str | None, typer.Option(help="A second node, not the site's, to compare with.")] = None,
    receipts: Annotated[Path | None, typer.Option(help="File of receipts to check, one a line.")] = None,
    accept: Annotated[list[str] | None, typer.Option(help="Origin that the auditor has looked into.")] = None,
    remember: Annotated[bool, typer.Option(help="Note the verified heads in the trust file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Recompute from every record to the chain's head. Exit status 1 if anything does not hold."""
    site = load_site(site_path(config, dir))
    accepted = frozenset(_origin(text) for text in accept or ())
    with ExitStack() as stack:
        facts = collect_facts(_client(stack, site))
        path, trust = _trust(trust_file, dir, facts)
        trust = trust.accepting(accepted)
        readers = _readers(stack, site)
        report = _verify(trust, facts, readers)
        second = [] if rpc is None else _compared(stack, site, facts, rpc)
        verdicts = [check_receipt(line, facts) for line in _lines(receipts)]
    clean = report.clean and not second and all(verdict.good for verdict in verdicts)
    if remember and clean:
        save_trust(path, trust.remembering(report, accepted))
    if as_json:
        body = report.to_wire()
        body["clean"] = clean
        body["findings"] = [one.to_wire() for one in (*second, *report.findings)]
        body["receipts"] = [one.to_wire() for one in verdicts]
        typer.echo(json.dumps(body, indent=2))
    else:
        _show(report, second, verdicts, clean)
    raise typer.Exit(0 if clean else 1)


@app.command("explain")
def explain(
    decision: Annotated[str, typer.Argument(help="Decision id, 32 hexadecimal digits.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is known of one decision. Shows patient data."""
    site = load_site(site_path(config, dir))
    with ExitStack() as stack:
        found = [(origin, row) for origin, reader in _readers(stack, site).items() for row in reader.find(decision)]
        if not found:
            notices.print(f"No record names the decision {decision}.")
            raise typer.Exit(1)
        facts = collect_facts(_client(stack, site))
        final = facts.block - site.ledger.confirmations
        places = [
            place(origin, row, facts.origins[origin].batches() if origin in facts.origins else (), final)
            for origin, row in found
        ]
    if as_json:
        typer.echo(json.dumps({"decision": decision, "records": [one.to_wire() for one in places]}, indent=2))
    else:
        for label, text in explained(places, _reasons(site)):
            console.print(f"{label:>22}  {_printable(text)}")
    raise typer.Exit(0 if all(one.intact for one in places) else 1)


@app.command("init-trust")
def init_trust(
    config: ConfigOption = None, dir: DirOption = None, trust_file: TrustOption = None, as_json: JsonOption = False
) -> None:
    """Write a trust file from the chain. Do it once, by the auditor, over a node that is the auditor's own."""
    site = load_site(site_path(config, dir))
    path = trust_file or _default(dir)
    if path.exists():
        raise ConfigurationError(f"{path} exists; what it trusts is not replaced")
    with ExitStack() as stack:
        facts = collect_facts(_client(stack, site))
    trust = trust_as_found(facts, reviewed_code_hash())
    save_trust(path, trust)
    if as_json:
        typer.echo(path.read_text("utf-8"))
        return
    console.print(f"contract   0x{trust.contract.hex()} on chain {trust.chain_id}, code as reviewed")
    console.print(f"registrar  {trust.registrar}")
    for origin in trust.origins:
        console.print(f"origin     {origin.hex()}")
    console.print(f"Compare these with what the registrar told you another way. Written to {path}.")


@app.command("open-origin")
def open_origin(
    config: ConfigOption = None,
    dir: DirOption = None,
    registrar_key: KeyOption = None,
    origin: Annotated[str | None, typer.Option(help="Origin; without it the spool's own.")] = None,
    writer: Annotated[str | None, typer.Option(help="Address of the writer; without it the site's.")] = None,
    receipt_key: Annotated[str | None, typer.Option(help="Receipt key; without it the spool's own.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Admit a site's origin, as registrar. The anchor's log and status name all three values."""
    site = load_site(site_path(config, dir))
    with ExitStack() as stack:
        if origin is None or receipt_key is None:
            newest = list(_readers(stack, site).values())[-1]
            origin, receipt_key = newest.origin.hex(), newest.receipt_key.hex()
        address = writer or load_account(site.ledger.writer_key_file).address
        sender = ChainSender(_client(stack, site), load_account(_key(registrar_key, dir)))
        receipt = sender.execute(
            "open_origin", _origin(origin), Web3.to_checksum_address(address), _origin(receipt_key)
        )
    _say(as_json, {"origin": origin, "writer": str(address), "block": receipt["blockNumber"]})


@app.command("deploy")
def deploy(
    rpc: Annotated[str, typer.Option(help="Address of a node.")],
    chain_id: Annotated[int, typer.Option(help="Chain id.")],
    registrar_key: Annotated[Path, typer.Option(help="File with the registrar's private key.")],
    as_json: JsonOption = False,
) -> None:
    """Deploy the contract, with the key's account as registrar."""
    with ExitStack() as stack:
        client = ChainClient(rpc_urls=[rpc], chain_id=chain_id, contract="0x" + "00" * 20)
        stack.callback(client.close)
        sender = ChainSender(client, load_account(registrar_key))
        receipt = sender.deploy()
    _say(as_json, {"contract": receipt["contractAddress"], "registrar": sender.address, "chain_id": chain_id})


def _reasons(site: Site) -> dict[str, Told]:
    """What stands in answers, in the site's own words where it has some."""
    own = {each.reason: each for each in site.remedies}
    policy = decide.kept_reasons(site.policy.store)
    entries = {code: (each.title, each.remedy) for code, each in policy.items()}
    entries |= {reason.value: (entry.title, entry.remedy) for reason, entry in CATALOGUE.items()}
    return {
        code: Told(
            sentence=f"{title}.",
            remedy=own[code].text if code in own else remedy,
            link=own[code].link if code in own else None,
        )
        for code, (title, remedy) in entries.items()
    }


def _verify(trust: Trust, facts: ChainFacts, readers: dict[bytes, SpoolReader]) -> Report:
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notices, transient=True, disable=not notices.is_terminal) as progress:
        task = progress.add_task("", total=sum(reader.count() for reader in readers.values()))
        return verify(trust, facts, readers, lambda records: progress.advance(task, records))


def _compared(stack: ExitStack, site: Site, facts: ChainFacts, rpc: str) -> list[Finding]:
    if collect_facts(_client(stack, site, rpc), facts.block).same_as(facts):
        return []
    return [Finding(kind=FindingKind.NODES_DIFFER, sentence="The two nodes say different things of this contract.")]


def _show(report: Report, second: list[Finding], verdicts: list[ReceiptVerdict], clean: bool) -> None:
    for finding in (*second, *report.findings):
        mark = "note" if finding.informational else "FOUND"
        about = f" Decision {_printable(finding.decision)}." if finding.decision else ""
        console.print(f"{mark:>5}  {finding.kind.value}: {finding.sentence}{about}")
    for verdict in verdicts:
        console.print(f"{'note' if verdict.good else 'FOUND':>5}  receipt {verdict.standing.value}: {verdict.sentence}")
    for kind, count in report.kinds.items():
        console.print(f"{count:>9}  {kind}")
    anchored = sum(one.anchored for one in report.origins)
    console.print(
        f"{'clean' if clean else 'NOT clean'}: {report.records} records against {anchored} leaves of"
        f" {len(report.origins)} origins, as of block {report.block}"
    )


def _client(stack: ExitStack, site: Site, *rpc: str) -> ChainClient:
    ledger = site.ledger
    client = ChainClient(rpc_urls=rpc or ledger.rpc_urls, chain_id=ledger.chain_id, contract=ledger.contract)
    stack.callback(client.close)
    return client


def _readers(stack: ExitStack, site: Site) -> dict[bytes, SpoolReader]:
    readers = open_readers(site.record.directory)
    for reader in readers:
        stack.callback(reader.close)
    return {reader.origin: reader for reader in readers}


def _trust(path: Path | None, dir: Path | None, facts: ChainFacts) -> tuple[Path, Trust]:
    if path is None:
        path = _default(dir)
        if not path.exists():
            notices.print("A dev stack without a trust file: the chain is trusted as it is found.")
            save_trust(path, trust_as_found(facts, reviewed_code_hash()))
    return path, load_trust(path)


def _default(dir: Path | None) -> Path:
    if dir is None:
        raise ConfigurationError("--trust is needed: verification means nothing without the auditor's own file")
    return dir / "trust.json"


def _key(path: Path | None, dir: Path | None) -> Path:
    if path is None and dir is None:
        raise ConfigurationError("--registrar-key is needed")
    return path or (dir or Path()) / "keys" / "registrar.key"


def _origin(text: str) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise ConfigurationError(f"{_printable(text)[:80]} has not 64 hexadecimal digits")
    return value


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read") from error


def _printable(text: str) -> str:
    """No control character of a record reaches a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _say(as_json: bool, values: dict[str, str | int]) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            console.print(f"{name:>10}  {value}")
