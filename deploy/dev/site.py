"""The configuration file that the dev stack writes for the proxy and the anchor process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.dev import opa
from deploy.dev.issuer import SITE, issuer_url
from deploy.dev.kubo import evidence_settings
from deploy.dev.layout import DOMAIN, Layout, Ports

ACTIONS = (
    "search",
    "metadata",
    "retrieve",
    "render",
    "bulkdata",
    "store",
    "read_decision",
    "report_posture",
    "manage_posture",
)
MANAGED_POLICIES = {
    "Disk encryption": "disk_encryption",
    "Firewall": "firewall",
    "Screen lock": "screen_lock",
    "Malware protection": "malware_protection",
}
"""Names of the management system's policies, and the attributes they tell."""
POSTURE_VALID_S = 7200
Overrides = Mapping[str, Mapping[str, Any]]
"""Section -> key -> value, laid over what the stack would write: a relay's address, tighter limits."""


def site_settings(
    layout: Layout,
    ports: Ports,
    *,
    archive: str,
    with_credentials: bool,
    policies: Path,
    contract: str,
    chain_id: int,
    posture_valid_s: int = POSTURE_VALID_S,
    with_opa: bool = False,
    with_kubo: bool = False,
    overrides: Overrides | None = None,
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "site": SITE,
        "listen": {
            "host": "127.0.0.1",
            "port": ports.proxy,
            "admin_host": "127.0.0.1",
            "admin_port": ports.admin,
            "certificate": "pki/server.crt",
            "key": "pki/server.key",
            "public_url": f"https://127.0.0.1:{ports.proxy}",
        },
        "identify": identify_settings(ports),
        "posture": _posture(layout, posture_valid_s),
        "archive": {"url": archive},
        "policy": {
            "engine": "embedded",
            "directory": str(policies.resolve()),
            "store": str(layout.policy_store),
            **(opa.policy_settings(layout, ports) if with_opa else {}),
        },
        "record": {"directory": layout.spool.name},
        "ledger": {
            "chain_id": chain_id,
            "contract": contract,
            "rpc_urls": [f"http://127.0.0.1:{ports.chain}"],
            "writer_key_file": "keys/writer.key",
            "confirmations": 2,
            "max_wait_s": 1,
            "status_file": layout.anchor_status.name,
            "canary_s": 0,  # no record of its own comes between what a test counts
        },
        "evidence": evidence_settings(layout, ports, with_kubo=with_kubo),
    }
    if with_credentials:
        settings["archive"]["credentials_file"] = layout.credentials.name
    for section, values in (overrides or {}).items():
        settings.setdefault(section, {}).update(values)
    return settings


def identify_settings(ports: Ports) -> dict[str, Any]:
    issuer = issuer_url(ports)
    return {
        "authorities": [
            {
                "name": "dev",
                "certificate": "pki/ca.crt",
                "crls": ["pki/ca.crl"],
                "actions": list(ACTIONS),
                "users": "optional",
            }
        ],
        "issuers": [
            {
                "name": "dev",
                "issuer": issuer,
                "audience": SITE,
                "jwks": f"{issuer}/jwks",
                "ca_file": "pki/ca.crt",
                "roles_claim": "roles",
            }
        ],
    }


def _posture(layout: Layout, valid_s: int) -> dict[str, Any]:
    return {
        "store": layout.posture.name,
        "report_valid_s": valid_s,
        "managed": {
            "source": "mdm",
            "shape": "fleet",
            "secret_file": f"keys/{layout.webhook_secret.name}",
            "authority": "dev",
            "device": DOMAIN + "{}",
            "attributes": [{"policy": policy, "attribute": told} for policy, told in MANAGED_POLICIES.items()],
        },
    }


def to_toml(settings: Mapping[str, Any]) -> str:
    """Just the TOML needed here: tables, arrays of tables, strings, numbers, booleans, arrays of those."""
    return "\n".join(_lines(settings, "")) + "\n"


def _lines(table: Mapping[str, Any], path: str) -> list[str]:
    plain = {key: value for key, value in table.items() if not _is_table(value) and not _is_tables(value)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        for each in value if _is_tables(value) else [value] if _is_table(value) else []:
            lines += ["", f"[[{name}]]" if _is_tables(value) else f"[{name}]", *_lines(each, name)]
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"no TOML for {type(value).__name__}")
