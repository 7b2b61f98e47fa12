"""What an auditor knows from elsewhere and keeps: without it, whoever runs the node decides what is true."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from proxy.anchor.facts import ChainFacts
from proxy.anchor.findings import Report, Source, TrustedHead
from proxy.errors import ConfigurationError, IntegrityError

_NOTHING: Final = TrustedHead(count=0, head=bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    chain_id: int
    genesis: bytes
    """Hash of block 0."""
    contract: bytes
    code_hash: bytes
    """Keccak-256 of the contract's code."""
    registrar: str
    origins: dict[bytes, TrustedHead]
    """Origins that the auditor knows, each with what was verified last."""

    def remembering(self, report: Report, accepted: frozenset[bytes] = frozenset()) -> Trust:
        """Move known and ``accepted`` origins on to what a report verified and no reorganisation takes back.

        The report has to be clean.
        """
        known = {
            one.origin: one.settled for one in report.origins if one.origin in self.origins | dict.fromkeys(accepted)
        }
        more = {origin: head for origin, head in known.items() if head.count > self._verified(origin)}
        return replace(self, origins={**dict.fromkeys(known, _NOTHING), **self.origins, **more})

    def _verified(self, origin: bytes) -> int:
        return self.origins.get(origin, _NOTHING).count

    def accepting(self, accepted: frozenset[bytes]) -> Trust:
        """Know these origins too, of which nothing was verified yet."""
        return replace(self, origins=dict.fromkeys(accepted, _NOTHING) | self.origins)


def trust_as_found(facts: ChainFacts, reviewed_code_hash: bytes) -> Trust:
    """A first trust file: worth as much as the node it was read from and the comparison that follows.

    :raises IntegrityError: the contract is not the one that was reviewed
    """
    if facts.code_hash != reviewed_code_hash:
        raise IntegrityError("the contract's code is not the one that this version was reviewed with")
    return Trust(
        chain_id=facts.chain_id,
        genesis=facts.genesis,
        contract=facts.contract,
        code_hash=facts.code_hash,
        registrar=facts.registrar,
        origins=dict.fromkeys(facts.origins, _NOTHING),
    )


def load_trust(path: Path) -> Trust:
    """:raises ConfigurationError: the file cannot be read or is not a trust file"""
    try:
        raw: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Trust(
            chain_id=int(raw["chain_id"]),
            genesis=_bytes(raw["genesis"], 32),
            contract=_bytes(raw["contract"], 20),
            code_hash=_bytes(raw["code_hash"], 32),
            registrar=str(raw["registrar"]),
            origins={
                _bytes(origin, 32): TrustedHead(
                    count=int(known["count"]),
                    head=_bytes(known["head"], 32),
                    block=int(known.get("block", 0)),
                    source=Source(known["source"]) if known.get("source") else None,
                )
                for origin, known in raw["origins"].items()
            },
        )
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path}: not a trust file: {error}") from error


def save_trust(path: Path, trust: Trust) -> None:
    """Replace the file as a whole; what stood there stays until the new one is on the disk.

    :raises ConfigurationError: it cannot be written
    """
    content = {
        "chain_id": trust.chain_id,
        "genesis": "0x" + trust.genesis.hex(),
        "contract": "0x" + trust.contract.hex(),
        "code_hash": "0x" + trust.code_hash.hex(),
        "registrar": trust.registrar,
        "origins": {
            origin.hex(): {
                "count": known.count,
                "head": known.head.hex(),
                "block": known.block,
                "source": known.source,
            }
            for origin, known in trust.origins.items()
        },
    }
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error


def _bytes(text: str, length: int) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if len(value) != length:
        raise ValueError(f"{text!r} has not {length} bytes")
    return value
