"""``dicomward ledger verify`` and ``check-receipt``."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from proxy.anchor import (
    ChainFacts,
    Finding,
    FindingKind,
    ReceiptVerdict,
    Report,
    Trust,
    check_receipt,
    check_receipts,
    collect_facts,
    load_trust,
    save_trust,
    verify,
)
from proxy.anchor.chain_check import check_events
from proxy.anchor.evidence import AuditorKey, EvidenceStore
from proxy.anchor.meanings import MEANINGS
from proxy.anchor.verifier import verify_chain, verify_evidence
from proxy.cli.ledger_parts import (
    AuditorOption,
    Chain,
    ConfigOption,
    DirOption,
    EvidenceOption,
    FinalityOption,
    JsonOption,
    RpcOption,
    TrustOption,
    bar,
    chain_of,
    console,
    default_trust,
    evidence,
    lines,
    printable,
    spools,
    trust_for,
    word,
)
from proxy.model import JsonObject, JsonValue

_RECEIPT: Final = re.compile(r"eyJ[\w-]*\.[\w-]*\.[\w-]*", re.ASCII)
"""A compact JWS, whose header is a JSON object."""


def verify_ledger(
    config: ConfigOption = None,
    dir: DirOption = None,
    trust_file: TrustOption = None,
    rpc: RpcOption = None,
    finality: FinalityOption = None,
    evidence_folder: EvidenceOption = None,
    key: AuditorOption = None,
    receipts: Annotated[Path | None, typer.Option(help="File of receipts to check, one a line.")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="Read this origin and its successors alone.")] = None,
    accept: Annotated[list[str] | None, typer.Option(help="Origin that the auditor has looked into.")] = None,
    remember: Annotated[bool, typer.Option(help="Note the verified heads in the trust file.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Read again what was verified before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Recompute from every record to the chain's head. Exit status 1 if anything does not hold."""
    chain = chain_of(config, dir, trust_file, rpc, finality)
    accepted = frozenset(word(text) for text in accept or ())
    only = [word(text) for text in origin or ()]
    source = evidence(chain.site, evidence_folder, key)
    with ExitStack() as stack:
        facts = collect_facts(chain.client(stack), finality=chain.finality)
        path, trust = trust_for(trust_file, dir, facts)
        trust = trust.accepting(accepted)
        if source is None:
            report = _from_spool(stack, chain, trust, facts, full=full, only=only)
        else:
            report = _from_evidence(source, trust, facts, full=full, only=only)
        second = compared(stack, chain, facts)
        verdicts = check_receipts(lines(receipts), facts)
    clean = report.clean and not second and all(verdict.good for verdict in verdicts)
    if remember and clean:
        save_trust(path, trust.remembering(report, accepted))
    if as_json:
        body = report.to_wire()
        body["clean"] = clean
        body["source"] = "spool" if source is None else "evidence"
        body["findings"] = [one.to_wire() for one in (*second, *report.findings)]
        body["meanings"] = meanings((*second, *report.findings))
        body["receipts"] = [one.to_wire() for one in verdicts]
        typer.echo(json.dumps(body, indent=2))
    else:
        _show(report, second, verdicts, clean)
    raise typer.Exit(0 if clean else 1)


def check_one_receipt(
    receipt: Annotated[str, typer.Argument(help="The receipt, or a file that holds it.")],
    decision: Annotated[str | None, typer.Argument(help="The decision it was given for.")] = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    trust_file: TrustOption = None,
    rpc: RpcOption = None,
    finality: FinalityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the site to a receipt, with nothing of the site's: does the chain hold what was signed?"""
    chain = chain_of(config, dir, trust_file, rpc, finality)
    trust = load_trust(trust_file or default_trust(dir))
    given = [receipt] if _RECEIPT.fullmatch(receipt) else lines(Path(receipt))
    with ExitStack() as stack:
        facts = collect_facts(chain.client(stack), finality=chain.finality)
        verdict = check_receipt(given[0] if given else "", facts)
        origin = verdict.origin or b""
        found = [one for one in verify_chain(trust, facts).findings if one.origin in (None, origin)]
        found += compared(stack, chain, facts) + check_events(trust, facts, origin)
    other = decision is not None and verdict.decision is not None and decision != verdict.decision
    good = verdict.good and not other and all(one.informational for one in found)
    if as_json:
        body: JsonObject = verdict.to_wire()
        wire: list[JsonValue] = [one.to_wire() for one in found]
        body |= {"good": good, "of_the_decision": not other, "findings": wire, "meanings": meanings(found)}
        typer.echo(json.dumps(body, indent=2))
    else:
        for one in found:
            _show_finding(one)
        console.print(f"receipt {verdict.standing.value}: {verdict.sentence}")
        for label, value in verdict.to_wire().items():
            if label not in ("standing", "sentence") and value is not None:
                console.print(f"{label:>12}  {printable(str(value))}")
        if other:
            console.print("It was given for another decision.")
    raise typer.Exit(0 if good else 1)


def meanings(findings: tuple[Finding, ...] | list[Finding]) -> JsonObject:
    """What the kinds that were found mean, and what is to be done."""
    kinds = sorted({one.kind for one in findings})
    return {kind.value: {"means": MEANINGS[kind].means, "do": MEANINGS[kind].do} for kind in kinds}


def compared(stack: ExitStack, chain: Chain, facts: ChainFacts) -> list[Finding]:
    """What other nodes say of the same block."""
    differ = [
        number
        for number, url in enumerate(chain.others, 1)
        if not collect_facts(chain.client(stack, url), facts.block, chain.finality).same_as(facts)
    ]
    return [
        Finding(
            kind=FindingKind.NODES_DIFFER,
            # By number: addresses may carry credentials.
            sentence=f"Node {number} that was to be compared says something else of this contract.",
        )
        for number in differ
    ]


def _from_spool(
    stack: ExitStack, chain: Chain, trust: Trust, facts: ChainFacts, *, full: bool, only: Collection[bytes]
) -> Report:
    readers = spools(stack, chain.site)
    with bar("verifying") as progress:
        task = progress.add_task("", total=sum(reader.count() - reader.floor() for reader in readers.values()))
        return verify(trust, facts, readers, lambda records: progress.advance(task, records), full=full, only=only)


def _from_evidence(
    source: tuple[EvidenceStore, AuditorKey], trust: Trust, facts: ChainFacts, *, full: bool, only: Collection[bytes]
) -> Report:
    with bar("verifying") as progress:
        task = progress.add_task("", total=sum(each.state.published for each in facts.origins.values()))
        return verify_evidence(
            trust, facts, *source, lambda records: progress.advance(task, records), full=full, only=only
        )


def _show_finding(finding: Finding) -> None:
    mark = "note" if finding.informational else "FOUND"
    about = f" Decision {printable(finding.decision)}." if finding.decision else ""
    console.print(f"{mark:>5}  {finding.kind.value}: {finding.sentence}{about}")


def _show(report: Report, second: list[Finding], verdicts: list[ReceiptVerdict], clean: bool) -> None:
    findings = (*second, *report.findings)
    for finding in findings:
        _show_finding(finding)
    for kind in sorted({one.kind for one in findings if not one.informational}):
        console.print(f"{'':>5}  {kind.value} means: {MEANINGS[kind].means}. {MEANINGS[kind].do}")
    for verdict in verdicts:
        console.print(f"{'note' if verdict.good else 'FOUND':>5}  receipt {verdict.standing.value}: {verdict.sentence}")
    for kind_, count in report.kinds.items():
        console.print(f"{count:>9}  {kind_}")
    anchored = sum(one.anchored for one in report.origins)
    since = sum(one.since for one in report.origins)
    before = f", {since} of them verified before" if since else ""
    console.print(
        f"{'clean' if clean else 'NOT clean'}: {report.records} records against {anchored} leaves of"
        f" {len(report.origins)} origins{before}, as of block {report.block}"
    )
