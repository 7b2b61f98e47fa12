"""Configuration as the rooms want it: where policies come from, and what evaluates them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from proxy import decide, watch
from proxy.config import Site
from proxy.decide.candidate import try_in_child
from proxy.decide.engine import Engine, Pulse
from proxy.decide.policies import Source
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyUnavailableError
from proxy.model import PolicyReason, Reason
from proxy.ports import Clock, Observer


def source(site: Site) -> Source:
    """:raises ConfigurationError: a file of the bundle server's cannot be used"""
    section = site.policy
    if section.directory is not None:
        return decide.WatchedFolder(section.directory)
    assert section.bundle is not None  # noqa: S101 - narrowing, the configuration has one of the two
    bundle = section.bundle
    server = decide.BundleServer(
        url=bundle.url,
        timeout_s=bundle.timeout_s,
        ca_file=bundle.ca_file,
        certificate=bundle.certificate,
        key=bundle.key,
        token_file=bundle.token_file,
    )
    return decide.PolledBundle(server, decide.read_keys(bundle.verification_keys), section.store)


def supply(site: Site, engine: Engine, observer: Observer, clock: Clock) -> decide.Supply:
    """:raises ConfigurationError: a file cannot be used, or the store cannot be made"""
    section = site.policy
    return decide.Supply(
        source(site),
        engine,
        decide.Kept(section.store),
        observer,
        compile_s=section.compile_s,
        max_age_s=section.max_age_s,
        clock=clock,
    )


def engine(site: Site, pulse: Pulse | None, shelf: decide.Shelf) -> decide.Embedded | decide.OpaServer:
    """:raises ConfigurationError: a file cannot be used"""
    server = site.policy.opa
    if server is None:
        return decide.Embedded(pulse)
    return decide.OpaServer(
        decide.OpaSettings(
            url=server.url,
            deadline_s=server.deadline_s,
            connections=server.connections,
            ca_file=server.ca_file,
            certificate=server.certificate,
            key=server.key,
            token_file=server.token_file,
        ),
        shelf,
    )


def handout(site: Site, shelf: decide.Shelf) -> watch.Handout | None:
    """:raises ConfigurationError: the file holds no token"""
    if site.policy.opa is None:
        return None
    path = site.policy.opa.bundle_token_file
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"policy.opa.bundle_token_file: {path} cannot be read") from error
    if len(token) < 16 or not token.isprintable() or " " in token:
        raise ConfigurationError(f"policy.opa.bundle_token_file: {path} holds no token of 16 characters or more")
    return watch.Handout(shelf=shelf, token=token)


def poll_s(site: Site) -> float:
    return site.policy.reload_s if site.policy.bundle is None else site.policy.bundle.poll_s


def networks(site: Site) -> decide.Networks:
    return decide.Networks({each.name: each.addresses for each in site.policy.networks})


def timezone(site: Site) -> ZoneInfo:
    return ZoneInfo(site.policy.timezone)


def check_policies(site: Site, now: datetime) -> None:
    """Try the policies of a folder as a start would; a server of bundles is not asked, nor one that evaluates.
    Nothing is kept.

    :raises ConfigurationError: they are not valid, a remedy is about a reason that nobody gives, or a file of a server
        cannot be used
    """
    section, shelf = site.policy, decide.Shelf()
    engine(site, None, shelf)
    handout(site, shelf)
    if section.directory is None:
        source(site)
        return
    try:
        prepared = try_in_child(decide.read_policies(section.directory), now, section.compile_s)
    except (PolicyInvalidError, PolicyUnavailableError) as error:
        raise ConfigurationError(f"policies in {section.directory}: {error.detail}") from error
    check_remedies(site, prepared.reasons)


def check_remedies(site: Site, reasons: Mapping[str, PolicyReason]) -> None:
    """:raises ConfigurationError: one is about a reason that neither the proxy nor these policies give"""
    for each in site.remedies:
        if each.reason not in set(Reason) and each.reason not in reasons:
            raise ConfigurationError(f"remedies: there is no reason {each.reason}")
