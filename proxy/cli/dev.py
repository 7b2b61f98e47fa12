"""``dicomward dev``: the dev stack and the demo. A wheel has these commands and not the stack, and says so."""

from __future__ import annotations

import signal
import tempfile
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from deploy.dev import DevStack

app = typer.Typer(help="A whole site on this machine, to try and to test. Never before real patients.")
POSTURE_VALID_S = 900
"""As the product has it by default; the stack reports for its devices every 300 s."""
CANARY_S = 60.0
"""As the product has it by default."""
console = Console()
errors = Console(stderr=True)

LargeStudy = Annotated[bool, typer.Option("--large-study/--no-large-study", help="Hold a generated study of 100 MB.")]
PortBase = Annotated[
    int | None,
    typer.Option(help="Move all ports: archive N, chain N+1, proxy N+2, admin N+3, issuer N+4, OPA N+5, Kubo N+6."),
]


class Engine(StrEnum):
    EMBEDDED = "embedded"
    OPA = "opa"


class Evidence(StrEnum):
    FOLDER = "folder"
    KUBO = "kubo"


class Seal(StrEnum):
    ALWAYS = "always"
    POLICY = "policy"
    NEVER = "never"


@app.command()
def up(
    directory: Annotated[Path, typer.Option("--dir", help="Where the stack keeps its state.")] = Path(".dev"),
    port_base: PortBase = None,
    policy_engine: Annotated[Engine, typer.Option(help="Which engine evaluates Rego.")] = Engine.EMBEDDED,
    evidence: Annotated[Evidence, typer.Option(help="Where encrypted evidence goes.")] = Evidence.FOLDER,
    archive: Annotated[str | None, typer.Option(help="DICOMweb base of an archive that runs already.")] = None,
    seal: Annotated[Seal, typer.Option(help="When answers are encrypted to the device.")] = Seal.NEVER,
    viewer: Annotated[bool, typer.Option("--viewer", help="Also serve a viewer.")] = False,
    large_study: LargeStudy = True,
    policies: Annotated[Path | None, typer.Option(help="Folder of Rego rules and data.")] = None,
) -> None:
    """Run the stack in the foreground until Ctrl-C."""
    if seal is not Seal.NEVER:
        _not_built(f"--seal {seal.value}")
    if viewer:
        _not_built("--viewer")
    _need_stack()
    from deploy.dev import DevStack, Ports, StackError

    _stop_on_signals()
    with _progress() as progress:
        task = progress.add_task("filling the archive", total=None, visible=False)
        try:
            stack = DevStack(
                directory,
                ports=None if port_base is None else Ports.at(port_base),
                large_study=large_study,
                policies=policies,
                archive_url=archive,
                posture_valid_s=POSTURE_VALID_S,
                overrides={"ledger": {"canary_s": CANARY_S}},
                with_opa=policy_engine is Engine.OPA,
                with_kubo=evidence is Evidence.KUBO,
                say=lambda line: progress.console.print(f"[dim]\\[stack][/] {line}", highlight=False),
                progress=lambda done, of: progress.update(task, completed=done, total=of, visible=done < of),
            )
            stack.start()
        except StackError as error:
            _give_up(str(error), error.status)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    try:
        console.print(_addresses(stack), highlight=False, soft_wrap=True)
        console.print(_example(stack), highlight=False, soft_wrap=True)
        console.print("ready")
        stack.watch()
    except KeyboardInterrupt:
        console.print()
    except StackError as error:
        errors.print(f"[bold red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    finally:
        stack.stop()


@app.command()
def demo(
    directory: Annotated[Path | None, typer.Option("--dir", help="Where it keeps its state.")] = None,
    port_base: PortBase = None,
) -> None:
    """Start a stack of its own, show each promise kept, stop it again. Exit status 1 if one was not."""
    _need_stack()
    from deploy.dev import DevStack, Ports, StackError
    from deploy.dev.demo import Demo, show

    _stop_on_signals()
    folder = directory or Path(tempfile.mkdtemp(prefix="dicomward-demo-"))

    def say(line: str) -> None:
        console.print(f"[dim]\\[demo][/] {line}", highlight=False)

    try:
        ports = Ports.free() if port_base is None else Ports.at(port_base)
        with DevStack(folder, ports=ports, large_study=True, say=say) as stack:
            walk = Demo(stack, say)
            kept = walk.walk()
            show(walk.steps, console)
    except StackError as error:
        _give_up(str(error), error.status)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not kept:
        errors.print(f"[bold red]Not everything was as promised.[/] Logs and state are in {folder}.")
        raise typer.Exit(1)
    if directory is None:
        _remove(folder)
    console.print("[green]Everything was as promised.[/]")


def _need_stack() -> None:
    try:
        import deploy.dev  # noqa: F401
    except ImportError as error:
        if error.name not in ("deploy", "deploy.dev"):
            _give_up(f"The dev stack needs the development packages ({error.name} is missing): run 'make setup'.", 2)
        _give_up("The dev stack is part of the repository, not of the installed package: run this from a checkout.", 2)


def _not_built(what: str) -> None:
    _give_up(f"{what} is not built yet.", 2)


def _give_up(message: str, status: int) -> None:
    errors.print(message, highlight=False, markup=False)
    raise typer.Exit(status)


def _stop_on_signals() -> None:
    """SIGTERM and Ctrl-C interrupt once; what follows is the orderly stop, which a second one does not break off."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _addresses(stack: DevStack) -> str:
    rows = {
        "proxy": f"{stack.url}/dicom-web/",
        "metrics": f"{stack.admin_url}/metrics",
        "health": f"{stack.admin_url}/readyz",
        "archive": stack.archive_url,
        "issuer": f"https://127.0.0.1:{stack.ports.issuer}",
        "chain": f"{stack.rpc_url}  contract {stack.contract}",
        "evidence": f"{stack.layout.evidence}  auditor's key {stack.layout.auditor_key}",
        "certificates": str(stack.layout.pki),
        "logs": str(stack.layout.log),
    }
    return "\n".join(f"  {part:<14}{address}" for part, address in rows.items())


def _example(stack: DevStack) -> str:
    authority, device = stack.layout.pki / "ca.crt", stack.layout.pki / "radiologist.pem"
    return f"\nTry:  curl --cacert {authority} --cert {device} '{stack.url}/dicom-web/studies?limit=3'"


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
