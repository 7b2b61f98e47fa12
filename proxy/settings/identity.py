"""What each room is told of the site's configuration, in the room's own terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from proxy import identify, posture
from proxy.config import Site
from proxy.errors import ConfigurationError
from proxy.model import DeviceId


def certificates(site: Site) -> identify.Certificates:
    """:raises ConfigurationError: an authority cannot be loaded"""
    files = [
        identify.AuthorityFiles(
            name=each.name,
            certificate=each.certificate,
            intermediates=each.intermediates,
            crls=each.crls,
            crl_refresh_s=each.crl_refresh_s,
            crl_grace_s=each.crl_grace_s,
            actions=each.actions,
            profile=each.profile,
            depth=each.depth,
            names=each.names,
            roles_from_organizational_unit=each.roles_from_organizational_unit,
        )
        for each in site.identify.authorities
    ]
    return identify.Certificates(files, site.identify.device_san, crl_cache=site.identify.crl_cache)


def check_revocation(site: Site, expires: Mapping[str, datetime], now: datetime) -> None:
    """A start without revocation lists denies, and goes on: they may come. Whoever checks wants to hear of it.

    :raises ConfigurationError: an authority whose lists are files has none that is good now
    """
    for authority in site.identify.authorities:
        if expires[authority.name] <= now and not any("://" in crl for crl in authority.crls):
            raise ConfigurationError(
                f"identify.authorities: {authority.name}: not every certificate of it has a revocation list in "
                f"{', '.join(authority.crls)} that can be read, is signed by it and has not ended"
            )


def identification(site: Site, certificates: identify.Certificates) -> identify.Identification:
    """:raises ConfigurationError: an issuer's keys or the directory cannot be read from their files"""
    issuers = [
        identify.IssuerSettings(
            name=each.name,
            issuer=each.issuer,
            audience=each.audience,
            algorithms=each.algorithms,
            types=each.types,
            jwks=each.jwks,
            ca_file=each.ca_file,
            jwks_refresh_s=each.jwks_refresh_s,
            jwks_max_age_s=each.jwks_max_age_s,
            leeway_s=each.leeway_s,
            roles_claim=each.roles_claim,
            purpose_claim=each.purpose_claim,
        )
        for each in site.identify.issuers
    ]
    return identify.Identification(
        certificates,
        issuers=issuers,
        users={each.name: each.users for each in site.identify.authorities},
        directory=site.identify.directory,
    )


def managed(site: Site) -> posture.ManagedSettings | None:
    """:raises ConfigurationError: the secret of the management system, or what it is to tell, cannot be used"""
    told = site.posture.managed
    if told is None:
        return None
    return posture.ManagedSettings.load(
        source=told.source,
        secret_file=told.secret_file,
        device=told.device,
        key=told.key,
        valid_s=told.valid_s,
        tolerance_s=told.tolerance_s,
        body_bytes=told.body_bytes,
        attributes=[
            posture.MappedPolicy(
                policy=each.policy, attribute=each.attribute, passing=each.passing, failing=each.failing
            )
            for each in told.attributes
        ],
    )


def desk(site: Site, store: posture.PostureStore, device_of: Callable[[str, str], DeviceId]) -> posture.Desk:
    """
    :param device_of: the device of an authority's and a certificate's name
    :raises ConfigurationError: the secret of the management system cannot be used
    """
    section = site.posture
    authority = "" if section.managed is None else section.managed.authority
    return posture.Desk(
        store,
        site=site.site,
        report_valid_s=section.report_valid_s,
        report_skew_s=section.report_skew_s,
        report_bytes=section.report_bytes,
        managed=managed(site),
        device_of=lambda name: device_of(authority, name),
    )
