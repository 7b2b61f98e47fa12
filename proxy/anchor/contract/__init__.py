"""The ledger contract: its source, and the artifact compiled from it that is deployed and spoken to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    abi: list[dict[str, Any]]
    bytecode: str
    """Creation code, hexadecimal with ``0x``."""
    runtime: bytes
    """Code as it stands on the chain: nothing in it depends on the deployment."""
    compiler: str
    source_sha256: str


@cache
def artifact() -> Artifact:
    raw = json.loads(files(__name__).joinpath("DecisionLedger.json").read_text("utf-8"))
    return Artifact(
        abi=raw["abi"],
        bytecode=raw["bytecode"],
        runtime=bytes.fromhex(raw["runtime"].removeprefix("0x")),
        compiler=raw["compiler"],
        source_sha256=raw["source_sha256"],
    )
