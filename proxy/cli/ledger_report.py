"""``dicomward ledger report``: who saw this, when, why, from what device, under which policy, and what left."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.anchor import ChainFacts, collect_facts
from proxy.anchor.accesses import Access, Answer, Question, accesses
from proxy.anchor.evidence_check import evidence_reader
from proxy.anchor.findings import Findings
from proxy.anchor.report_forms import COLUMNS, as_csv, as_html, cells, standing
from proxy.anchor.verifier import verify_chain
from proxy.cli.ledger_parts import (
    AuditorOption,
    ConfigOption,
    DirOption,
    EvidenceOption,
    FinalityOption,
    RpcOption,
    TrustOption,
    bar,
    chain_of,
    console,
    evidence,
    notices,
    printable,
    spools,
    trust_for,
)
from proxy.cli.ledger_verify import compared
from proxy.errors import ConfigurationError
from proxy.model import wire_time
from proxy.ports import SpoolReader


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


def report(
    patient: Annotated[str | None, typer.Option(help="PatientID.")] = None,
    study: Annotated[str | None, typer.Option(help="Study Instance UID.")] = None,
    subject: Annotated[str | None, typer.Option(help="Name of a certificate, or id of a user.")] = None,
    period: Annotated[str | None, typer.Option(help="FROM..TO, days or times; either may be left out.")] = None,
    form: Annotated[Form, typer.Option("--format", help="How it is written.")] = Form.TABLE,
    out: Annotated[Path | None, typer.Option(help="File to write, mode 0600. What exists is not replaced.")] = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    trust_file: TrustOption = None,
    rpc: RpcOption = None,
    finality: FinalityOption = None,
    evidence_folder: EvidenceOption = None,
    key: AuditorOption = None,
) -> None:
    """Who saw this. Shows patient data. Exit status 1 if a record in it does not stand, or some could not be read."""
    if patient is None and study is None and subject is None and period is None:
        raise ConfigurationError("one of --patient, --study, --subject and --period is needed")
    since, until = _period(period)
    question = Question(patient=patient, study=study, subject=subject, since=since, until=until)
    chain = chain_of(config, dir, trust_file, rpc, finality)
    source = evidence(chain.site, evidence_folder, key)
    notes: list[str] = []
    with ExitStack() as stack:
        facts = collect_facts(chain.client(stack), finality=chain.finality)
        _, trust = trust_for(trust_file, dir, facts)
        doubts = [*compared(stack, chain, facts), *verify_chain(trust, facts).findings]
        notes += [each.sentence for each in doubts if not each.informational]
        readers: Mapping[bytes, SpoolReader]
        findings = Findings()
        if source is None:
            readers = spools(stack, chain.site)
        else:
            readers = {
                origin: evidence_reader(facts, each, *source, findings) for origin, each in facts.origins.items()
            }
        answer = _answer(question, readers)
        notes += [each.sentence for each in findings.listed]
        _stand(answer.accesses, facts)
    changed = sum(not each.intact for each in answer.accesses)
    if changed:
        notes.append(f"{changed} records do not give the leaves that were anchored: what they say is not proven.")
    if answer.unreadable:
        notes.append(f"{answer.unreadable} records could not be read.")
    _write(_written(form, answer, _title(question), notes, facts), out)
    for note in notes:
        notices.print(f"NOTE  {printable(note)}")
    raise typer.Exit(1 if notes else 0)


def _answer(question: Question, readers: Mapping[bytes, SpoolReader]) -> Answer:
    passes = 1 if question.patient is None else 2
    with bar("looking through") as progress:
        task = progress.add_task("", total=passes * sum(each.count() - each.floor() for each in readers.values()))
        return accesses(question, readers, lambda records: progress.advance(task, records))


def _stand(found: list[Access], facts: ChainFacts) -> None:
    """Hold each access against the chain's leaf at its place."""
    places: dict[bytes, dict[int, Access]] = {}
    for access in found:
        places.setdefault(access.origin, {})[access.index] = access
    for origin, wanted in places.items():
        known = facts.origins.get(origin)
        for batch in () if known is None else known.batches():
            for index in [index for index in wanted if batch.first <= index < batch.end]:
                access = wanted.pop(index)
                access.intact = access.intact and batch.leaf(index) == access.leaf
                access.block, access.final = batch.block, batch.block <= facts.final
            if not wanted:
                break


def _written(form: Form, answer: Answer, title: str, notes: list[str], facts: ChainFacts) -> str:
    found = answer.accesses
    if form is Form.JSON:
        body = {
            "title": title,
            "block": facts.block,
            "final": facts.final,
            "studies": sorted(answer.studies),
            "notes": notes,
            "accesses": [each.to_wire() for each in found],
        }
        return json.dumps(body, indent=2) + "\n"
    if form is Form.CSV:
        return as_csv(found)
    if form is Form.HTML:
        return as_html(found, title, [f"As of block {facts.block}. {len(found)} accesses.", *notes])
    return _table(found, title)


def _table(found: list[Access], title: str) -> str:
    """An access a paragraph: rows of this width fit no terminal."""
    lines = [printable(title), ""]
    for access in found:
        named = dict(zip(COLUMNS, cells(access), strict=True))
        lines.append(f"{printable(access.time)}  {printable(access.decision)}  {standing(access)}")
        lines += [
            f"{name:>10}  {printable(value)}"
            for name, value in named.items()
            if value and name not in ("time", "decision", "standing")
        ]
        lines.append("")
    return "\n".join([*lines, f"{len(found)} accesses", ""])


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with open(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{out}: cannot be written: {error.strerror}") from error
    console.print(f"written to {out}")


def _title(question: Question) -> str:
    given = [
        f"{name} {value}"
        for name, value in (("patient", question.patient), ("study", question.study), ("subject", question.subject))
        if value is not None
    ]
    if question.since or question.until != "~":
        given.append(
            f"from {question.since or 'the beginning'} to {'now' if question.until == '~' else question.until}"
        )
    return "Accesses: " + ", ".join(given)


def _period(text: str | None) -> tuple[str, str]:
    """First moment, and the first one that is no longer in it, as records have them."""
    if text is None:
        return "", "~"
    begin, separator, end = text.partition("..")
    if not separator:
        end = begin
    return (_moment(begin, timedelta()) or ""), (_moment(end, timedelta(days=1)) or "~")


def _moment(text: str, whole_day: timedelta) -> str | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError("--period is FROM..TO, for example 2026-01-01..2026-01-31") from error
    if len(text) == len("2026-01-01"):
        moment += whole_day
    return wire_time(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
