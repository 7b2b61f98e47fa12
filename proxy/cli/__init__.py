"""The command line: one file a command group, no logic of its own."""

from __future__ import annotations

import typer

from proxy.cli import anchor, dev, ledger, site


def build() -> typer.Typer:
    app = typer.Typer(
        name="dicomward",
        help="Zero-trust policy enforcement proxy for DICOMweb archives.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.command("serve")(site.serve)
    app.command("check-config")(site.check_config)
    app.command("anchor")(anchor.anchor)
    app.add_typer(ledger.app, name="ledger", help="Verify, explain and set up the ledger.")
    app.add_typer(dev.app, name="dev", help="A whole development stack on this machine.")
    return app


__all__ = ["build"]
