"""``dicomward policy bundle``, ``history``, ``show`` and ``release``: sets of policies as such."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from proxy import authoring
from proxy.cli.policy_options import ConfigOption, DirOption, JsonOption, console, policies_folder, site_of
from proxy.decide import Kept
from proxy.decide.policies import signed_bundle
from proxy.errors import ConfigurationError, PolicyInvalidError
from proxy.model import PolicyDigest

StoreOption = Annotated[Path | None, typer.Option(help="Folder of kept policies, instead of a site's.")]
DigestArgument = Annotated[str, typer.Argument(help="64 hexadecimal digits, or the first of them.")]


def bundle(
    out: Annotated[Path, typer.Option(help="File to write.")],
    key: Annotated[Path, typer.Option(help="PEM file: private key, EC on P-256 or RSA.")],
    serial: Annotated[int, typer.Option(help="Greater than of any bundle before.", min=1)],
    directory: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Folder of policies.")] = None,
    key_id: Annotated[str, typer.Option(help="Name of the key, for OPA servers that choose by it.")] = "dicomward",
    as_json: JsonOption = False,
) -> None:
    """Write a signed OPA bundle, once the policies were tried."""
    try:
        loaded = authoring.loaded(authoring.read_source(policies_folder(directory, None, None)).policies)
    except PolicyInvalidError as error:
        raise ConfigurationError(f"{error.detail}; see dicomward policy check") from error
    try:
        pem = key.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--key {key}: {error.strerror}") from error
    try:
        content = signed_bundle(loaded.prepared.policies, serial, datetime.now(UTC), pem, key_id)
        out.write_bytes(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"--key {key}: {error.detail}") from error
    except OSError as error:
        raise ConfigurationError(f"--out {out}: {error.strerror}") from error
    _say(as_json, {"file": str(out), "bytes": len(content), "serial": serial, "policy": loaded.prepared.digest})


def history(
    config: ConfigOption = None, dir: DirOption = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Which policies came into force when, oldest first."""
    kept = _kept(config, dir, store)
    quarantined = kept.quarantined()
    if as_json:
        lines = [{"digest": each.digest, "as_of": each.as_of, "at": each.at} for each in kept.history()]
        typer.echo(json.dumps({"history": lines, "quarantined": sorted(quarantined)}, indent=2))
        return
    for each in kept.history():
        console.print(f"{each.at}  {each.digest}  as of {each.as_of}")
    for digest in sorted(quarantined):
        console.print(f"{'in quarantine':24}  {digest}")


def show(
    digest: DigestArgument,
    out: Annotated[Path | None, typer.Option(help="Folder to unpack into; it must not exist.")] = None,
    config: ConfigOption = None,
    dir: DirOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """The files of a kept set; with --out they are unpacked. They may name patients."""
    kept = _kept(config, dir, store)
    try:
        policies = kept.read(_whole(kept, digest))
    except PolicyInvalidError as error:
        raise ConfigurationError(error.detail) from error
    if out is not None:
        authoring.unpack(policies, out)
    if as_json:
        typer.echo(json.dumps({"digest": policies.digest, "files": sorted(policies.files)}, indent=2))
        return
    for name in sorted(policies.files):
        console.print(f"{len(policies.files[name]):>9}  {name}")
    console.print(f"policy {policies.digest}" + ("" if out is None else f", unpacked into {out}"))


def release(
    digest: Annotated[str, typer.Argument(help="64 hexadecimal digits.")],
    config: ConfigOption = None,
    dir: DirOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let policies come into force again that were put into quarantine."""
    try:
        _kept(config, dir, store).release(PolicyDigest(digest))
    except PolicyInvalidError as error:
        raise ConfigurationError(error.detail) from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"{digest}: is not in quarantine; see dicomward policy history") from error
    except OSError as error:
        raise ConfigurationError(f"{digest}: {error.strerror}") from error
    _say(as_json, {"released": digest})


def _kept(config: Path | None, dir: Path | None, store: Path | None) -> Kept:
    folder = store or site_of(config, dir).policy.store
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder of kept policies")
    return Kept(folder, make=False)


def _whole(kept: Kept, digest: str) -> PolicyDigest:
    """A digest by its first digits, where only one set has them."""
    found = [each for each in kept.digests() if digest and each.startswith(digest)]
    if len(found) != 1:
        raise ConfigurationError(f"{digest}: {'more than one set begins so' if found else 'is not kept here'}")
    return found[0]


def _say(as_json: bool, values: dict[str, str | int]) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        for name, value in values.items():
            console.print(f"{name:>10}  {value}")
