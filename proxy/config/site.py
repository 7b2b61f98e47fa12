"""A whole site, and how its file is read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from proxy.config.base import Section
from proxy.config.evidence import Evidence
from proxy.config.identity import Identify, PostureSection
from proxy.config.parts import (
    ArchiveSection,
    Lease,
    Ledger,
    Limits,
    Listen,
    RecordSection,
    Remedy,
)
from proxy.config.policy import PolicySection
from proxy.errors import ConfigurationError


class Site(Section):
    """A whole site."""

    site: str = Field(pattern=r"^[a-z0-9-]{1,32}$", description="Name of the site in policy input and records.")
    listen: Listen
    limits: Limits = Limits()
    identify: Identify
    posture: PostureSection
    archive: ArchiveSection
    policy: PolicySection
    record: RecordSection
    ledger: Ledger
    evidence: Evidence | None = Field(None, description="Encrypted records for auditors. Without it none are made.")
    lease: Lease = Lease()
    remedies: tuple[Remedy, ...] = Field((), description="What to do about a refusal, in the site's own words.")

    @model_validator(mode="after")
    def _whole(self) -> Site:
        identify = self.identify
        names = [authority.name for authority in identify.authorities]
        if len(set(names)) != len(names):
            raise ValueError("identify.authorities: two have the same name")
        if len(names) > 1 and not all(authority.names for authority in identify.authorities):
            # Policy knows devices and their rights by name: whoever may give any name may give any right.
            raise ValueError("identify.authorities: of several, each needs names: what it may call its devices")
        if len({issuer.name for issuer in identify.issuers}) != len(identify.issuers):
            raise ValueError("identify.issuers: two have the same name")
        if not identify.issuers and any(authority.users != "none" for authority in identify.authorities):
            raise ValueError("identify.issuers: an authority has users, and no issuer is there")
        if identify.crl_cache is None and any("://" in crl for each in identify.authorities for crl in each.crls):
            raise ValueError("identify.crl_cache: is needed where CRLs are fetched")
        managed = self.posture.managed
        if managed is not None and managed.authority not in names:
            raise ValueError("posture.managed.authority: there is no authority of that name")
        return self


def load_site(path: Path) -> Site:
    """Read and check a configuration file.

    :raises ConfigurationError: naming the key and what is wrong with it
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    try:
        site = Site.model_validate(raw, context={"base": path.resolve().parent})
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False)]
        raise ConfigurationError(f"{path}:\n  " + "\n  ".join(lines)) from error
    _check_files(site)
    return site


def _check_files(site: Site) -> None:
    needed: list[tuple[str, Path]] = [
        ("listen.certificate", site.listen.certificate),
        ("listen.key", site.listen.key),
    ]
    for number, authority in enumerate(site.identify.authorities):
        needed.append((f"identify.authorities.{number}.certificate", authority.certificate))
        needed += [(f"identify.authorities.{number}.intermediates", path) for path in authority.intermediates]
    for number, issuer in enumerate(site.identify.issuers):
        if issuer.ca_file is not None:
            needed.append((f"identify.issuers.{number}.ca_file", issuer.ca_file))
    if site.identify.directory is not None:
        needed.append(("identify.directory", site.identify.directory))
    secrets: list[tuple[str, Path]] = [("listen.key", site.listen.key)]
    if site.posture.managed is not None:
        needed.append(("posture.managed.secret_file", site.posture.managed.secret_file))
        secrets.append(("posture.managed.secret_file", site.posture.managed.secret_file))
    if site.archive.credentials_file is not None:
        needed.append(("archive.credentials_file", site.archive.credentials_file))
        secrets.append(("archive.credentials_file", site.archive.credentials_file))
    if site.archive.ca_file is not None:
        needed.append(("archive.ca_file", site.archive.ca_file))
    if site.evidence is not None:
        needed += [("evidence.auditors", path) for path in site.evidence.auditors]
    for section, client in (("policy.bundle", site.policy.bundle), ("policy.opa", site.policy.opa)):
        if client is not None:
            needed += [
                (f"{section}.{name}", path)
                for name in ("ca_file", "certificate", "key", "token_file", "bundle_token_file")
                if (path := getattr(client, name, None)) is not None
            ]
    if site.policy.bundle is not None:
        needed += [("policy.bundle.verification_keys", path) for path in site.policy.bundle.verification_keys]
    secrets += [
        (key, path) for key, path in needed if key.startswith("policy.") and key.endswith((".key", "token_file"))
    ]
    for key, path in needed:
        if not path.is_file():
            raise ConfigurationError(f"{key}: {path} is not a file")
    for key, path in secrets:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{key}: {path} can be read by others; chmod 600")
    if site.policy.directory is not None and not site.policy.directory.is_dir():
        raise ConfigurationError(f"policy.directory: {site.policy.directory} is not a folder")


def site_path(config: Path | None, directory: Path | None) -> Path:
    """The file that ``--config FILE`` or, for a dev stack, ``--dir DIR`` names.

    :raises ConfigurationError: both or neither were given
    """
    if (config is None) == (directory is None):
        raise ConfigurationError("give --config FILE, or --dir DIR of a dev stack")
    if config is not None:
        return config
    assert directory is not None  # noqa: S101 - narrowing, settled above
    return directory / "dicomward.toml"
