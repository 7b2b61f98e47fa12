"""``dicomward posture``: what this device is like, and telling a site. It needs the device alone, no site's files."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxy.agent import (
    Finding,
    LinuxMachine,
    ReportClient,
    ReportRefusedError,
    SiteUnreachableError,
    Value,
    checked_values,
    known,
    load_identity,
)
from proxy.agent import collect as collect_all
from proxy.errors import ConfigurationError

app = typer.Typer(help="Find out how this device is, and report it to a site.")
FIRST_WAIT_S: Final = 1.0
"""After a first failure with ``--every``; doubled each time, up to what ``--every`` says."""
LONGEST_VALUES: Final = 65_536

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def collect(as_json: AsJson = False) -> None:
    """Find out how this Linux machine is and print it. Nothing is sent."""
    findings = collect_all(LinuxMachine(), datetime.now(UTC))
    if as_json:
        unknown = {finding.name: finding.how for finding in findings if finding.value is None}
        how = {finding.name: finding.how for finding in findings if finding.value is not None}
        typer.echo(json.dumps({"posture": known(findings), "unknown": unknown, "how": how}, indent=2))
        return
    Console(highlight=False).print(_table(findings))


@app.command()
def report(
    url: Annotated[str, typer.Option(help="The site, for example https://pacs.example:8443.")],
    certificate: Annotated[Path, typer.Option(help="PEM file: this device's certificate.")],
    key: Annotated[Path, typer.Option(help="PEM file: its private key, mode 0600.")],
    ca: Annotated[Path, typer.Option(help="PEM file: the authority of the site's certificate.")],
    site: Annotated[str | None, typer.Option(help="Name the site has to have; by default what it says.")] = None,
    every: Annotated[
        float | None, typer.Option(min=1, max=86_400, help="Report again after so many seconds, until stopped.")
    ] = None,
    values: Annotated[
        Path | None, typer.Option(help="JSON file of attributes and values to report instead of collecting.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report how this device is, signed with its certificate's key."""
    client = ReportClient(url, load_identity(certificate=certificate, key=key, authority=ca))

    def once() -> str:
        told = _measured() if values is None else _read(values)
        accepted = client.report(told, site=site)
        if as_json:
            return json.dumps({"at": _now(), "accepted": True, **asdict(accepted)})
        return f"{_now()} {accepted.site} accepted {accepted.attributes} attributes, until {accepted.expires_at}"

    if every is None:
        try:
            typer.echo(once())
        except (ReportRefusedError, SiteUnreachableError) as error:
            typer.echo(_failure(error, as_json), err=not as_json)
            raise typer.Exit(1) from None
        return
    _keep_on(once, every, lambda error: typer.echo(_failure(error, as_json), err=not as_json))


def _keep_on(
    once: Callable[[], str], every_s: float, failed: Callable[[ReportRefusedError | SiteUnreachableError], None]
) -> None:
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    failures = 0
    while not stopped.is_set():
        try:
            typer.echo(once())
            failures, wait = 0, every_s
        except (ReportRefusedError, SiteUnreachableError) as error:
            failed(error)
            wait = min(every_s, FIRST_WAIT_S * 2 ** min(failures, 20))
            failures += 1
        # Devices that lost a site together must not all come back in the same moment.
        stopped.wait(wait * random.uniform(0.8, 1.0))  # noqa: S311 - no secret


def _measured() -> dict[str, Value]:
    told = known(collect_all(LinuxMachine(), datetime.now(UTC)))
    if not told:
        raise ConfigurationError("nothing is known of this device: see dicomward posture collect, or give --values")
    return told


def _read(path: Path) -> dict[str, Value]:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_VALUES + 1)
        if len(content) > LONGEST_VALUES:
            raise ConfigurationError(f"--values: {path} is longer than {LONGEST_VALUES} bytes")
        return checked_values(json.loads(content))
    except OSError as error:
        raise ConfigurationError(f"--values: {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"--values: {path} is not JSON") from error


def _failure(error: ReportRefusedError | SiteUnreachableError, as_json: bool) -> str:
    if not as_json:
        return f"{_now()} {error.public} {error.detail}"
    told: Mapping[str, Any] = {"error": error.code, "detail": error.detail}
    if isinstance(error, ReportRefusedError):
        told = {**told, "status": error.status, "reasons": [asdict(reason) for reason in error.reasons]}
    return json.dumps({"at": _now(), "accepted": False, **told})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _table(findings: Sequence[Finding]) -> Table:
    table = Table()
    table.add_column("attribute")
    table.add_column("value")
    table.add_column("how it was found, or why not", overflow="fold")
    for finding in findings:
        value = "[yellow]unknown[/]" if finding.value is None else escape(json.dumps(finding.value))
        table.add_row(finding.name, value, escape(finding.how))
    return table
