"""The command line: one file a command group, no logic of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

COMMANDS = {
    "serve": ("proxy.cli.site", "serve"),
    "check-config": ("proxy.cli.site", "check_config"),
    "anchor": ("proxy.cli.anchor", "anchor"),
    "new-key": ("proxy.cli.anchor", "new_key"),
}
GROUPS = {
    "ledger": ("proxy.cli.ledger", "Verify the ledger, and tell what it holds."),
    "registrar": ("proxy.cli.registrar", "The office that admits origins to the ledger."),
    "evidence": ("proxy.cli.evidence", "Evidence for auditors: keys, bundles, retention, erasure."),
    "policy": ("proxy.cli.policy", "Check, test and try policies, and replay what was recorded against them."),
    "posture": ("proxy.cli.posture", "Find out how this device is, and report it to a site."),
    "dev": ("proxy.cli.dev", "A whole development stack on this machine."),
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command for these arguments.

    Only the group that is asked for is imported: the proxy must not pay two seconds for the chain's libraries.
    """
    app = typer.Typer(
        name="dicomward",
        help="Zero-trust policy enforcement proxy for DICOMweb archives.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    asked = arguments[0] if arguments else ""
    everything = asked not in COMMANDS and asked not in GROUPS
    for name, (module, function) in COMMANDS.items():
        if everything or name == asked:
            app.command(name)(getattr(import_module(module), function))
    for name, (module, text) in GROUPS.items():
        if everything or name == asked:
            app.add_typer(import_module(module).app, name=name, help=text)
    # With one command alone typer would drop its name.
    app.callback()(lambda: None)
    return app


__all__ = ["build"]
