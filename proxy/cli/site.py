"""``dicomward serve`` and ``dicomward check-config``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.supervisor import Supervisor

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")]

# What a worker and a check need is imported where it is used: the supervisor holds none of it, and stays small.


def serve(
    config: ConfigOption = None,
    dir: DirOption = None,
    worker: Annotated[int | None, typer.Option("--worker", hidden=True)] = None,
) -> None:
    """Run the proxy until SIGTERM: a worker, and a supervisor that starts it again where a rule does not end."""
    if worker is not None:
        from proxy.cli.worker import work

        work(config, dir, worker)
        return
    options = [("--config", config), ("--dir", dir)]
    given = [word for name, path in options if path is not None for word in (name, str(path))]
    sys.exit(Supervisor([sys.executable, "-m", "proxy", "serve", *given, "--worker"]).run())


def check_config(
    config: ConfigOption = None,
    dir: DirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole tree as JSON.")] = False,
) -> None:
    """Check a configuration and say what it amounts to."""
    from rich.console import Console

    from proxy import app
    from proxy.config import load_site, site_path

    path = site_path(config, dir)
    site = load_site(path)
    app.check(site)
    if as_json:
        typer.echo(json.dumps(site.model_dump(mode="json"), indent=2))
    else:
        Console().print(
            f"[green]ok[/green] {path}: site {site.site}, {site.listen.public_url} before {site.archive.url}"
        )
