"""``dicomward evidence``: for auditors (new-auditor, fetch, rewrap) and for the site (list, erase, retention)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from proxy.anchor import ChainClient
from proxy.anchor.evidence import (
    AuditorKey,
    EvidenceStore,
    FolderStore,
    listed,
    load_auditor,
    load_auditor_key,
    open_store,
    published_before,
    rewrap_bundle,
    write_keys,
)
from proxy.anchor.evidence import fetch as fetch_bundle
from proxy.config import Site, load_site, site_path
from proxy.errors import ConfigurationError, EvidenceError
from proxy.model import JsonObject

app = typer.Typer(no_args_is_help=True)
console = Console(markup=False, highlight=False, soft_wrap=True)
notices = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REASON: Final = re.compile(r"[ -~]{1,200}")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")]
FolderOption = Annotated[Path | None, typer.Option("--evidence", help="A folder of evidence, in place of a site's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
CidsArgument = Annotated[list[str] | None, typer.Argument(metavar="[CID]...", help="Bundles; without any, all.")]


@app.command("new-auditor")
def new_auditor(
    name: Annotated[str, typer.Argument(help="Name of the two files: NAME.key, which stays with you, and NAME.pub.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write them to.")] = Path("."),
    as_json: JsonOption = False,
) -> None:
    """Make up an auditor's keys. The site is given the public one alone. What exists is not replaced."""
    if _NAME.fullmatch(name) is None or name.startswith("."):
        raise ConfigurationError("a name is of letters, digits, dots, dashes and underscores")
    key = AuditorKey.generate()
    private, public = write_keys(out, name, key)
    if as_json:
        typer.echo(json.dumps({"auditor": key.auditor.id, "private": str(private), "public": str(public)}, indent=2))
        return
    console.print(f"auditor      {key.auditor.id}")
    console.print(f"private key  {private}: stays with the auditor; who loses it opens nothing any more")
    console.print(f"public key   {public}: goes to the site, into evidence.auditors")


@app.command("list")
def list_bundles(
    config: ConfigOption = None, dir: DirOption = None, evidence: FolderOption = None, as_json: JsonOption = False
) -> None:
    """What is stored, for whom, and what was erased."""
    found = listed(_store(config, dir, evidence))
    if as_json:
        typer.echo(json.dumps({"bundles": [one.to_wire() for one in found]}, indent=2))
        return
    for one in found:
        if one.header is not None:
            span = f"{one.header.first}..{one.header.end - 1} of {one.header.origin.hex()[:16]}"
            console.print(f"{one.cid}  {span}  for {', '.join(auditor[:16] for auditor in one.auditors)}")
        elif one.erasure is not None:
            console.print(f"{one.cid}  erased {one.erasure.time}: {one.erasure.reason}")
        else:
            console.print(f"{one.cid}  {one.trouble}")
    console.print(f"{sum(one.header is not None for one in found)} bundles")


@app.command("fetch")
def fetch(
    to: Annotated[Path, typer.Option("--to", help="The auditor's folder, made where it is not there.")],
    cids: CidsArgument = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    evidence: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy bundles, and notes of erasures, to a folder that an auditor takes along. It stays encrypted."""
    store = _store(config, dir, evidence)
    target = FolderStore.made(to)
    chosen = cids or [*store.cids(), *store.erasures()]
    _each("fetching", chosen, lambda cid: fetch_bundle(store, target, cid), "fetched", as_json)


@app.command("erase")
def erase(
    cids: Annotated[list[str], typer.Argument(metavar="CID...", help="Bundles.")],
    reason: Annotated[str, typer.Option("--reason", help="Why. It is kept, and must name no patient.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy the keys and the content of bundles, for good. A note of time and reason stays."""
    store = _store(config, dir, None)
    unknown = set(cids) - set(store.cids()) - set(store.erasures())
    if unknown:
        raise ConfigurationError(f"no bundle of this site: {', '.join(sorted(unknown))}")
    _erase(store, cids, reason, yes, as_json)


@app.command("rewrap")
def rewrap(
    key: Annotated[Path, typer.Option("--key", help="Private key of an auditor who may open them.")],
    auditor: Annotated[list[Path], typer.Option("--auditor", help="Public key of who may from now on; repeatable.")],
    cids: CidsArgument = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    evidence: FolderOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Close bundles to other auditors in place of those before. Content and its CID stay as they are."""
    private, auditors = load_auditor_key(key), [load_auditor(path) for path in auditor]
    store = _store(config, dir, evidence)
    chosen = cids or store.cids()
    if private.auditor not in auditors:
        notices.print("The auditor whose key this is will not be able to open them any more.")
    _confirm(f"Close {len(chosen)} bundles to {len(set(auditors))} auditors?", yes)
    _each("rewrapping", chosen, lambda cid: rewrap_bundle(store, cid, private, auditors), "rewrapped", as_json)


@app.command("retention")
def retention(
    days: Annotated[int, typer.Option("--older-than", min=1, help="Days since the bundle was named on the chain.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase every bundle that was published longer ago. The chain's time counts, not this machine's files."""
    site = _site(config, dir)
    store = _store(config, dir, None)
    ledger = site.ledger
    client = ChainClient(rpc_urls=ledger.rpc_urls, chain_id=ledger.chain_id, contract=ledger.contract)
    try:
        old = published_before(client, (datetime.now(UTC) - timedelta(days=days)).timestamp())
    finally:
        client.close()
    _erase(store, [cid for cid in store.cids() if cid in old], f"retention of {days} days", yes, as_json)


def _erase(store: EvidenceStore, cids: Sequence[str], reason: str, yes: bool, as_json: bool) -> None:
    if _REASON.fullmatch(reason) is None:
        raise ConfigurationError("--reason is a line of 1 to 200 printable ASCII characters")
    if cids:
        _confirm(f"Destroy the evidence in {len(cids)} bundles for good?", yes)
    now = datetime.now(UTC)
    _each("erasing", cids, lambda cid: store.erase(cid, reason, now), "erased", as_json)


def _each(what: str, cids: Sequence[str], do: Callable[[str], None], done: str, as_json: bool) -> None:
    """One after the other; what fails is told, and the rest is done all the same. Exit status 1 if anything did."""
    failures: list[JsonObject] = []
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notices, transient=True, disable=not notices.is_terminal) as progress:
        for cid in progress.track(cids):
            try:
                do(cid)
            except EvidenceError as error:
                failures.append({"cid": cid, "fault": error.fault.value, "detail": error.detail})
    if as_json:
        typer.echo(json.dumps({done: len(cids) - len(failures), "failures": failures}, indent=2))
    else:
        for failure in failures:
            console.print(f"{failure['cid']}: {failure['fault']}: {failure['detail']}")
        console.print(f"{len(cids) - len(failures)} bundles {done}, {len(failures)} failed")
    raise typer.Exit(1 if failures else 0)


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _site(config: Path | None, dir: Path | None) -> Site:
    return load_site(site_path(config, dir))


def _store(config: Path | None, dir: Path | None, folder: Path | None) -> EvidenceStore:
    if folder is not None:
        if config is not None or dir is not None:
            raise ConfigurationError("give --evidence DIR, or --config FILE, or --dir DIR of a dev stack")
        return FolderStore(folder)
    evidence = _site(config, dir).evidence
    if evidence is None:
        raise ConfigurationError("evidence: the site's configuration has no such section")
    return open_store(evidence, prepare=False)
