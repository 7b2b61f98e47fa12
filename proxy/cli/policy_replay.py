"""``dicomward policy replay``: recorded decisions, asked again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from proxy import authoring
from proxy.cli.policy_options import (
    ConfigOption,
    DirOption,
    JsonOption,
    boundary,
    console,
    notices,
    policies_folder,
    site_of,
)
from proxy.decide import Kept
from proxy.errors import ConfigurationError, PolicyInvalidError
from proxy.record.reader import open_readers

_WIDE = 240
"""Columns of a table that is read by a program."""
_ROWS = "Rows of searches were not asked again: records name the rows that were shown, not their attributes."


def replay(
    policies: Annotated[Path | None, typer.Option(help="Folder of the candidate policies.")] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="Ask the very policies that decided.")] = False,
    config: ConfigOption = None,
    dir: DirOption = None,
    spool: Annotated[Path | None, typer.Option(help="Folder of records, instead of a site's.")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of kept policies, instead of a site's.")] = None,
    since: Annotated[str | None, typer.Option(help="A time, or a period back from now: 7d, 12h.")] = None,
    until: Annotated[str | None, typer.Option(help="A time, or a period back from now.")] = None,
    limit: Annotated[int | None, typer.Option(help="Most records to ask about.", min=1)] = None,
    examples: Annotated[int, typer.Option(help="Examples of each change and reason.", min=0)] = 5,
    as_json: JsonOption = False,
) -> None:
    """Ask candidate policies about recorded decisions. Exit status 1: a verdict differs."""
    now = datetime.now(UTC)
    period = authoring.Period(since=boundary("--since", since, now), until=boundary("--until", until, now))
    folder = spool or site_of(config, dir).record.directory
    if recorded == (policies is not None):
        raise ConfigurationError("give --policies DIR for a candidate, or --recorded for the policies that decided")
    with ExitStack() as stack:
        told = islice(_bodies(stack, folder, period), limit)
        if recorded:
            kept = store or site_of(config, dir).policy.store
            if not kept.is_dir():
                raise ConfigurationError(f"{kept}: there is no such folder of kept policies")
            audit = authoring.Audit(kept=Kept(kept, make=False), examples=examples)
            for body in told:
                audit.add(body)
            typer.echo(json.dumps(audit.to_wire(), indent=2)) if as_json else _show_audit(audit)
            raise typer.Exit(0 if audit.clean else 1)
        try:
            loaded = authoring.loaded(authoring.read_source(policies_folder(policies, None, None)).policies)
        except PolicyInvalidError as error:
            raise ConfigurationError(f"{error.detail}; see dicomward policy check") from error
        done = authoring.Replay(examples=examples)
        ask = loaded.engine.decide_now
        for body in told:
            done.add(body, ask)
    if as_json:
        typer.echo(json.dumps({"policy": loaded.prepared.digest, **done.to_wire(loaded.prepared.reasons)}, indent=2))
    else:
        _show(done, loaded)
    raise typer.Exit(1 if done.different or done.failed else 0)


def _bodies(stack: ExitStack, folder: Path, period: authoring.Period) -> Iterator[dict[str, Any]]:
    readers = open_readers(folder)
    for reader in readers:
        stack.callback(reader.close)
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    spans = [authoring.span(reader, period) for reader in readers]
    with Progress(*columns, console=notices, transient=True, disable=not notices.is_terminal) as progress:
        task = progress.add_task("", total=sum(end - first for first, end in spans))
        for reader in readers:
            yield from authoring.bodies(reader, period, lambda count: progress.advance(task, count))


def _show(done: authoring.Replay, loaded: authoring.Loaded) -> None:
    known = loaded.prepared.reasons
    for change in ("allow->allow", "deny->deny", "allow->deny", "deny->allow"):
        console.print(f"{done.changes[change]:>9}  {change}")
        for code, count in done.reasons.get(change, Counter()).most_common():
            rule = f", rule {known[code].rule}" if code in known else ""
            console.print(f"{'':>9}  {count:>9}  {code}{rule}")
    for sign, count in sorted(done.obligations.items()):
        console.print(f"{count:>9}  allowed as before, obligation {'added' if sign[0] == '+' else 'gone'}: {sign[1:]}")
    for label, counts in (
        ("refused before policy was asked", done.before_policy),
        ("got no verdict when they were made", done.without_verdict),
        ("were allowed with an obligation that could not be met", done.unmet),
        ("get no verdict from the candidate", done.failed),
    ):
        if counts:
            console.print(
                f"{counts.total():>9}  {label}: {', '.join(f'{code} {n}' for code, n in counts.most_common(5))}"
            )
    if done.shown:
        table = Table("change", "decision", "action", "who", "before", "now", box=None, pad_edge=False)
        for each in done.shown:
            who = str(each["user"] or each["device"])
            what = (str(each["change"]), str(each["decision"]), str(each["action"]))
            table.add_row(*what, who, _codes(each["before"]), _codes(each["now"]))
        console.print(table, width=None if console.is_terminal else _WIDE)
    if done.searches:
        console.print(f"{done.searches} searches. {_ROWS}")
    verdict = f"{done.different} of {done.asked} decisions differ" if done.different else "no verdict differs"
    console.print(f"{verdict}; policy {loaded.prepared.digest}")


def _show_audit(audit: authoring.Audit) -> None:
    for each in audit.shown:
        console.print(f"DIFFERS  {each['decision']}: {each['difference']}")
    for digest, why in audit.missing.items():
        console.print(f"MISSING  {audit.unchecked[digest]} decisions: {why}")
    console.print(
        f"{'clean' if audit.clean else 'NOT clean'}: {audit.checked} decisions by {len(audit.sets)} sets of policies, "
        f"{audit.different} differ; not by policy: {audit.before_policy + audit.without_verdict}"
    )


def _codes(value: object) -> str:
    return ", ".join(str(each) for each in value) if isinstance(value, list) and value else "-"
