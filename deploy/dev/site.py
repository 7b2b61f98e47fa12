"""The configuration file that the dev stack writes for the proxy and the anchor process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.dev.layout import Layout, Ports

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
    overrides: Overrides | None = None,
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "site": "dev",
        "listen": {
            "host": "127.0.0.1",
            "port": ports.proxy,
            "admin_host": "127.0.0.1",
            "admin_port": ports.admin,
            "certificate": "pki/server.crt",
            "key": "pki/server.key",
            "public_url": f"https://127.0.0.1:{ports.proxy}",
        },
        "identify": {"authorities": [{"name": "dev", "certificate": "pki/ca.crt", "crls": ["pki/ca.crl"]}]},
        "posture": {"store": layout.posture.name},
        "archive": {"url": archive},
        "policy": {"engine": "embedded", "directory": str(policies.resolve())},
        "record": {"directory": layout.spool.name},
        "ledger": {
            "chain_id": chain_id,
            "contract": contract,
            "rpc_urls": [f"http://127.0.0.1:{ports.chain}"],
            "writer_key_file": "keys/writer.key",
            "confirmations": 2,
            "max_wait_s": 1,
            "status_file": layout.anchor_status.name,
        },
    }
    if with_credentials:
        settings["archive"]["credentials_file"] = layout.credentials.name
    for section, values in (overrides or {}).items():
        settings.setdefault(section, {}).update(values)
    return settings


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
