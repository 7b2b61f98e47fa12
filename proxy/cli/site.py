"""``dicomward serve`` and ``dicomward check-config``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from proxy import app
from proxy.config import load_site, site_path
from proxy.watch import configure_logs

RECURSION: Final = 1000

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")]


def serve(config: ConfigOption = None, dir: DirOption = None) -> None:
    """Run the proxy until SIGTERM."""
    site = load_site(site_path(config, dir))
    configure_logs()
    # Deep JSON is an error of the archive as long as this holds, and a stack overflow where a library lifts it.
    sys.setrecursionlimit(RECURSION)
    uvloop.run(app.serve(site))


def check_config(
    config: ConfigOption = None,
    dir: DirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole tree as JSON.")] = False,
) -> None:
    """Check a configuration and say what it amounts to."""
    path = site_path(config, dir)
    site = load_site(path)
    app.check(site)
    if as_json:
        typer.echo(json.dumps(site.model_dump(mode="json"), indent=2))
    else:
        Console().print(
            f"[green]ok[/green] {path}: site {site.site}, {site.listen.public_url} before {site.archive.url}"
        )
