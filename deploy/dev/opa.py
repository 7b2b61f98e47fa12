"""A real OPA server for ``--policy-engine opa``: mutual TLS to the proxy, policies fetched from its admin port."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

import requests

from deploy.dev.layout import Layout, Ports, tool, write_secret
from deploy.dev.process import Child

CLIENT: Final = "opa-client"
"""Name of the certificate by which the proxy shows itself to the OPA server."""


def opa_url(ports: Ports) -> str:
    return f"https://127.0.0.1:{ports.opa}"


def policy_settings(layout: Layout, ports: Ports) -> dict[str, Any]:
    """Of ``[policy]``, and the files it names."""
    if not layout.bundle_token.exists():
        write_secret(layout.bundle_token, secrets.token_urlsafe(32).encode() + b"\n")
    return {
        "engine": "opa",
        "opa": {
            "url": opa_url(ports),
            "ca_file": "pki/ca.crt",
            "certificate": f"pki/{CLIENT}.crt",
            "key": f"pki/{CLIENT}.key",
            "bundle_token_file": f"keys/{layout.bundle_token.name}",
        },
    }


def opa_child(layout: Layout, ports: Ports) -> Child:
    """:raises StackError: there is no OPA"""
    config = {
        "services": {
            "dicomward": {
                "url": f"http://127.0.0.1:{ports.admin}/policies",
                "credentials": {"bearer": {"token_path": str(layout.bundle_token)}},
            }
        },
        "bundles": {
            "dicomward": {
                "service": "dicomward",
                "resource": "bundle.tar.gz",
                "polling": {"min_delay_seconds": 1, "max_delay_seconds": 2, "long_polling_timeout_seconds": 30},
            }
        },
    }
    layout.opa_config.write_text(json.dumps(config, indent=2), "utf-8")
    pki = layout.pki
    return Child(
        name="opa",
        command=[
            *(str(tool("opa")), "run", "--server", "--addr", f"127.0.0.1:{ports.opa}"),
            *("--config-file", str(layout.opa_config), "--disable-telemetry", "--log-level", "info"),
            *("--tls-cert-file", str(pki / "server.crt"), "--tls-private-key-file", str(pki / "server.key")),
            *("--tls-ca-cert-file", str(pki / "ca.crt"), "--min-tls-version", "1.3"),
            # The rule of who may ask what comes with the policies: before there are any, nobody may.
            *("--authentication", "tls", "--authorization", "basic"),
        ],
        log=layout.log / "opa.log",
        healthy=lambda: _serves(layout, ports),
    )


def _serves(layout: Layout, ports: Ports) -> bool:
    """Whether it answers at all. It permits nothing without policies: those come from the proxy, which starts later."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(layout.pki / "ca.crt")
        session.cert = (str(layout.pki / f"{CLIENT}.crt"), str(layout.pki / f"{CLIENT}.key"))
        try:
            session.get(f"{opa_url(ports)}/health", timeout=5)
        except requests.RequestException:
            return False
    return True
