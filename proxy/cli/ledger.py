"""``dicomward ledger``: for auditors, and for whoever holds a receipt."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Annotated

import typer

from proxy import decide
from proxy.anchor import (
    collect_facts,
    reviewed_code_hash,
    save_trust,
    trust_as_found,
)
from proxy.anchor.explanation import Told, place
from proxy.anchor.explanation import explain as explained
from proxy.answer import CATALOGUE
from proxy.cli.ledger_parts import (
    ChainIdOption,
    ConfigOption,
    ContractOption,
    DirOption,
    JsonOption,
    RpcOption,
    TrustOption,
    chain_of,
    console,
    default_trust,
    ledger_of,
    notices,
    printable,
    spools,
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
    chain_id: ChainIdOption = None,
    contract: ContractOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trust file from the chain. Do it once, by the auditor, over a node that is the auditor's own."""
    path = trust_file or default_trust(dir)
    if path.exists():
        raise ConfigurationError(f"{path} exists; what it trusts is not replaced")
    with ExitStack() as stack:
        chain = ledger_of(config, dir, rpc, chain_id, contract)
        facts = collect_facts(chain.client(stack, *chain.others))
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
