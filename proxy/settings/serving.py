"""Configuration as the rooms want it: listener, archive, answers."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy import answer, arrive
from proxy.config import Site
from proxy.errors import ConfigurationError
from proxy.forward.archive_client import ArchiveSettings
from proxy.model import PolicyReason


def problems(site: Site, policy_reasons: Callable[[], Mapping[str, PolicyReason]]) -> answer.Problems:
    return answer.Problems(
        {each.reason: answer.Remedy(text=each.text, link=each.link) for each in site.remedies}, policy_reasons
    )


def server_tls(site: Site, handshakes: arrive.Handshakes) -> arrive.ServerTls:
    """:raises ConfigurationError: a file cannot be used"""
    authorities = [path for each in site.identify.authorities for path in (each.certificate, *each.intermediates)]
    return arrive.ServerTls(
        site.listen.certificate,
        site.listen.key,
        authorities,
        handshakes,
        preflights=bool(site.listen.cors_origins),
    )


def limits(site: Site) -> arrive.Limits:
    section = site.limits
    return arrive.Limits(
        connections=section.connections,
        connections_per_address=section.connections_per_address,
        handshake_s=section.handshake_s,
        head_s=section.head_s,
        line_bytes=section.line_bytes,
        headers=section.headers,
    )


def archive(site: Site) -> ArchiveSettings:
    section = site.archive
    username, password = (None, None) if section.credentials_file is None else _credentials(section.credentials_file)
    try:
        tls = None if section.ca_file is None else ssl.create_default_context(cafile=str(section.ca_file))
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"archive.ca_file: {error}") from error
    return ArchiveSettings(
        url=section.url,
        public_url=site.listen.public_url,
        username=username,
        password=password,
        tls=tls,
        connect_s=section.connect_s,
        idle_s=section.idle_s,
        connections=section.connections,
        withheld_frames=frozenset(section.withheld_frame_types),
    )


def _credentials(path: Path) -> tuple[str, str]:
    try:
        content = json.loads(path.read_text("utf-8"))
        return str(content["username"]), str(content["password"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"archive.credentials_file: {path}: needs username and password") from error
