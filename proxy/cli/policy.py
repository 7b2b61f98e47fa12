"""``dicomward policy``: for security engineers who write policies, and for auditors who ask them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from proxy import authoring
from proxy.cli import policy_replay, policy_sets
from proxy.cli.policy_options import (
    ConfigOption,
    DirOption,
    JsonOption,
    console,
    instant,
    notices,
    pairs,
    policies_folder,
)
from proxy.config import load_site, site_path
from proxy.errors import ConfigurationError, PolicyInvalidError
from proxy.model import JsonObject, Refusal, Trust

app = typer.Typer(no_args_is_help=True)
app.command("replay")(policy_replay.replay)
app.command("bundle")(policy_sets.bundle)
app.command("history")(policy_sets.history)
app.command("show")(policy_sets.show)
app.command("release")(policy_sets.release)

FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="Folder of policies, by default ./policies.")
]
OpaOption = Annotated[Path | None, typer.Option("--opa", help="The opa program.")]
RequireOption = Annotated[bool, typer.Option("--require-opa", help="Fail where there is no opa program.")]


@app.command("check")
def check(
    directory: FolderArgument = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    opa: OpaOption = None,
    require_opa: RequireOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compile on both engines, and hold rules, data, reasons and tests against each other. All findings at once."""
    found = authoring.check(policies_folder(directory, config, dir), authoring.find_opa(opa, require_opa))
    if as_json:
        typer.echo(json.dumps(found.to_wire(), indent=2))
    else:
        for each in found.findings:
            console.print(f"{each.place or '(all)'}: {each.check}: {each.text}")
        if found.opa is None:
            console.print("OPA was not asked: there is no opa program here (--opa FILE, or PATH).")
        state = f"{len(found.findings)} findings" if found.findings else "clean"
        opa_said = "" if found.opa is None else f" and OPA {found.opa}"
        console.print(f"{state}: {found.modules} modules, on the embedded engine{opa_said}; policy {found.digest}")
    raise typer.Exit(1 if found.findings else 0)


@app.command("test")
def run_tests(
    directory: FolderArgument = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    run: Annotated[str, typer.Option(help="Only tests whose full path holds this regular expression.")] = "",
    deadline: Annotated[float, typer.Option(help="Seconds for all tests on the embedded engine.", min=0.1)] = 60.0,
    opa: OpaOption = None,
    require_opa: RequireOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run every Rego test on both engines, and tell which lines no test reaches."""
    try:
        source = authoring.read_source(policies_folder(directory, config, dir))
    except PolicyInvalidError as error:
        raise ConfigurationError(f"{error.detail}; see dicomward policy check") from error
    found = authoring.run_tests(source, authoring.find_opa(opa, require_opa), run, deadline)
    if not found.tests:
        raise ConfigurationError("no test matches" if run else "there are no tests: files *_test.rego, rules test_*")
    if as_json:
        typer.echo(json.dumps(found.to_wire(), indent=2))
    else:
        _show_tested(found)
    raise typer.Exit(1 if found.failures else 0)


@app.command("try")
def try_(
    method: Annotated[str | None, typer.Argument(metavar="METHOD", help="GET or POST.")] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="For example /dicom-web/studies/1.2.3/metadata.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="The device: a certificate's name, or a dev identity.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Who uses it: ISSUER/SUB.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Role that token or certificate say.")] = None,
    policies: Annotated[Path | None, typer.Option(help="Folder of policies.")] = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose of use, for example TREAT.")] = None,
    at: Annotated[str | None, typer.Option(help="Time, for example 2026-11-22T23:30: in the site's time zone.")] = None,
    patient: Annotated[str, typer.Option(help="Patient ID of the object.")] = "EXAMPLE",
    institution: Annotated[list[str] | None, typer.Option(help="Of the object; may be repeated.")] = None,
    department: Annotated[list[str] | None, typer.Option(help="Of the object; may be repeated.")] = None,
    modality: Annotated[list[str] | None, typer.Option(help="Of the object; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Confidentiality label of the object.")] = None,
    unknown: Annotated[bool, typer.Option("--unknown", help="The archive has no such object.")] = False,
    posture: Annotated[
        str, typer.Option(help="Other than perfect: firewall=false,patch_age_days=40; disk_encryption= for not known.")
    ] = "",
    trust: Annotated[Trust, typer.Option(help="Where posture comes from.")] = Trust.MANAGED,
    network: Annotated[str, typer.Option(help="Name of the network.")] = "",
    counters: Annotated[str, typer.Option(help="For example requests_minute=500.")] = "",
    input_file: Annotated[Path | None, typer.Option("--input", help="A whole policy input instead, as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for one decision, and why. Exit status 0: allowed, 1: denied."""
    folder = policies_folder(policies, config, dir)
    site = None if config is None and dir is None else load_site(site_path(config, dir))
    try:
        loaded = authoring.loaded(authoring.read_source(folder).policies)
    except PolicyInvalidError as error:
        raise ConfigurationError(f"{error.detail}; see dicomward policy check") from error
    if input_file is not None:
        asked: authoring.Asked | Refusal = authoring.Asked(policy_input=_input(input_file), rows=None)
    elif name is None or method is None or target is None:
        raise ConfigurationError("give --as NAME METHOD TARGET, for example --as radiologist GET /dicom-web/studies")
    else:
        posture_told = {**authoring.PERFECT, **pairs("--posture", posture)}
        counted = pairs("--counters", counters)
        if not all(type(value) is int for value in counted.values()):
            raise ConfigurationError("--counters: each value is a number")
        supposed = authoring.Supposed(
            at=instant(at, None if site is None else site.policy.timezone),
            name=name,
            user=user,
            roles=tuple(role or ()),
            posture={key: value for key, value in posture_told.items() if value != ""},
            trust=trust,
            network=network,
            site="site" if site is None else site.site,
            known=not unknown,
            patient=patient,
            modalities=tuple(modality or ("CT",)),
            institutions=tuple(institution or ("Example",)),
            departments=tuple(department or ("",)),
            labels=tuple(label or ()),
            counters={key: int(value) for key, value in counted.items()},
        )
        asked = authoring.question(method, target, purpose, supposed)
    if isinstance(asked, Refusal):
        _show_refused(asked, as_json)
        raise typer.Exit(1)
    outcome = authoring.judge(loaded, asked.policy_input, asked.rows)
    if as_json:
        typer.echo(json.dumps({**outcome.to_wire(), "input": asked.policy_input}, indent=2))
    else:
        _show_outcome(outcome, asked.policy_input)
    raise typer.Exit(0 if outcome.verdict.allow else 1)


def _input(path: Path) -> JsonObject:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: cannot be read as JSON") from error
    if isinstance(value, dict) and isinstance(value.get("input"), dict):
        value = value["input"]  # a whole record, or what --json printed
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: is not a JSON object")
    return value


def _show_refused(refusal: Refusal, as_json: bool) -> None:
    if as_json:
        refused: JsonObject = {"code": refusal.reason.value, "detail": refusal.detail}
        typer.echo(json.dumps({"allow": False, "refused": refused}, indent=2))
    else:
        console.print(f"refused before policy is asked: {refusal.reason.value}: {refusal.detail}")


def _show_outcome(outcome: authoring.Outcome, policy_input: JsonObject) -> None:
    console.print("allow" if outcome.verdict.allow else "deny")
    if outcome.failure:
        console.print(f"  {outcome.failure}")
    for reason in outcome.reasons:
        console.print(f"  {reason.code}: {reason.title}")
        console.print(f"      rule {reason.rule or '(none)'}; remedy: {reason.remedy}")
    for condition in outcome.conditions:
        console.print(f"  does not hold, {condition.file}:{condition.line}: {' '.join(condition.text.split())}")
    for obligation in outcome.verdict.obligations:
        console.print(f"  obligation {json.dumps(dict(obligation.body))}")
    if outcome.shown is not None:
        console.print(f"  rows: such an object is {'shown' if outcome.shown else 'not shown'}")
    resource = policy_input.get("resource")
    if isinstance(resource, dict) and resource.get("known"):
        told = ", ".join(
            f"{key} {resource.get(key)}" for key in ("patient_id", "institutions", "departments", "modalities")
        )
        console.print(f"  object supposed: {told}")
    console.print(f"  policy {outcome.verdict.policy}")


def _show_tested(found: authoring.Tested) -> None:
    for failure in found.failures:
        console.print(f"FAILED on {failure.engine}: {failure.test.name}")
        if failure.test.file:
            console.print(f"  {failure.test.file}:{failure.test.line}")
        for line in failure.text.splitlines():
            console.print(f"    {line}")
    if found.coverage:
        for each in found.coverage:
            missing = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in each.missing)
            console.print(f"{each.file}  {each.percent:g} %" + (f", no test reaches {missing}" if missing else ""))
    if found.opa is None:
        notices.print("OPA was not asked: there is no opa program here (--opa FILE, or PATH). No coverage is known.")
    engines = "the embedded engine" if found.opa is None else f"the embedded engine and OPA {found.opa}"
    console.print(
        f"{found.tests} tests on {engines}: {f'{len(found.failures)} failures' if found.failures else 'all hold'}"
    )
