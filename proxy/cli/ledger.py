"""``dicomward ledger``: for auditors (init-trust, verify, report, explain) and the registrar (deploy, open-origin)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from web3 import Web3

from proxy import decide
from proxy.anchor import (
    ChainClient,
    ChainSender,
    collect_facts,
    load_account,
    reviewed_code_hash,
    save_trust,
    trust_as_found,
)
from proxy.anchor.explanation import Told, place
from proxy.anchor.explanation import explain as explained
from proxy.answer import CATALOGUE
from proxy.cli.ledger_parts import (
    ConfigOption,
    DirOption,
    JsonOption,
    RpcOption,
    TrustOption,
    chain_of,
    console,
    default_trust,
    notices,
    printable,
    spools,
    word,
)
from proxy.cli.ledger_report import report
from proxy.cli.ledger_tail import tail
from proxy.cli.ledger_verify import check_one_receipt, verify_ledger
from proxy.config import Site, load_site, site_path
from proxy.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True)
app.command("verify")(verify_ledger)
app.command("check-receipt")(check_one_receipt)
app.command("report")(report)
app.command("tail")(tail)

KeyOption = Annotated[Path | None, typer.Option("--registrar-key", help="File with the registrar's private key.")]


@app.command("explain")
def explain(
    decision: Annotated[str, typer.Argument(help="Decision id, 32 hexadecimal digits.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is known of one decision. Shows patient data."""
    chain = chain_of(config, dir, None, None, None)
    site = load_site(site_path(config, dir))
    with ExitStack() as stack:
        found = [(origin, row) for origin, reader in spools(stack, site).items() for row in reader.find(decision)]
        if not found:
            notices.print(f"No record names the decision {decision}.")
            raise typer.Exit(1)
        facts = collect_facts(chain.client(stack), finality=chain.finality)
        places = [
            place(origin, row, facts.origins[origin].batches() if origin in facts.origins else (), facts.final)
            for origin, row in found
        ]
    if as_json:
        typer.echo(json.dumps({"decision": decision, "records": [one.to_wire() for one in places]}, indent=2))
    else:
        for label, text in explained(places, _reasons(site)):
            console.print(f"{label:>22}  {printable(text)}")
    raise typer.Exit(0 if all(one.intact for one in places) else 1)


@app.command("init-trust")
def init_trust(
    config: ConfigOption = None,
    dir: DirOption = None,
    trust_file: TrustOption = None,
    rpc: RpcOption = None,
    chain_id: Annotated[int | None, typer.Option(help="Chain id, where no configuration is given.")] = None,
    contract: Annotated[str | None, typer.Option(help="The contract, where no configuration is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trust file from the chain. Do it once, by the auditor, over a node that is the auditor's own."""
    path = trust_file or default_trust(dir)
    if path.exists():
        raise ConfigurationError(f"{path} exists; what it trusts is not replaced")
    with ExitStack() as stack:
        if config is None and dir is None and rpc and chain_id is not None and contract is not None:
            if not Web3.is_address(contract):
                raise ConfigurationError("--contract is not an address")
            client = ChainClient(rpc_urls=rpc, chain_id=chain_id, contract=contract)
            stack.callback(client.close)
        else:
            chain = chain_of(config, dir, None, rpc, None)
            client = chain.client(stack, *chain.others)
        facts = collect_facts(client)
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
def openword(
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
            newest = list(spools(stack, site).values())[-1]
            origin, receipt_key = newest.origin.hex(), newest.receipt_key.hex()
        address = writer or load_account(site.ledger.writer_key_file).address
        client = chain_of(config, dir, None, None, None).client(stack)
        sender = ChainSender(client, load_account(_key(registrar_key, dir)))
        receipt = sender.execute("open_origin", word(origin), Web3.to_checksum_address(address), word(receipt_key))
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


def _key(path: Path | None, dir: Path | None) -> Path:
    if path is None and dir is None:
        raise ConfigurationError("--registrar-key is needed")
    return path or (dir or Path()) / "keys" / "registrar.key"


def _say(as_json: bool, values: dict[str, str | int]) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            console.print(f"{name:>10}  {value}")
