"""Where a dev stack keeps things and where it listens."""

from __future__ import annotations

import base64
import os
import random
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = ROOT / ".tools"
DOMAIN: Final = "urn:dicomward:device:"


class StackError(Exception):
    """The stack cannot be had as asked. The message is one clear sentence; ``status`` becomes the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Loopback ports. With ``--port-base N``: archive N, chain N+1, proxy N+2, admin N+3, issuer N+4, OPA N+5,
    Kubo N+6; N+7 to N+9 are kept free for parts to come."""

    archive: int = 8042
    chain: int = 8545
    proxy: int = 8443
    admin: int = 9464
    issuer: int = 9443
    opa: int = 8181

    @property
    def kubo(self) -> int:
        return self.opa + 1

    @classmethod
    def at(cls, base: int) -> Ports:
        """:raises StackError: the base leaves no room"""
        if not 1024 <= base <= 65_526:
            raise StackError("--port-base takes a number from 1024 to 65526.", 2)
        return cls(archive=base, chain=base + 1, proxy=base + 2, admin=base + 3, issuer=base + 4, opa=base + 5)

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on now, away from the fixed ones and from the kernel's own range."""
        for base in random.sample(range(20_000, 32_000, 10), 200):
            ports = cls.at(base)
            if not ports.taken():
                return ports
        raise StackError("No ten free ports in a row were found on the loopback address.", 2)

    def taken(self, *, without_archive: bool = False, with_opa: bool = False, with_kubo: bool = False) -> list[int]:
        """Those of ours that cannot be bound now."""
        wanted = [self.chain, self.proxy, self.admin, self.issuer] + ([] if without_archive else [self.archive])
        if with_opa:
            wanted.append(self.opa)
        if with_kubo:
            wanted.append(self.kubo)
        return sorted(port for port in wanted if not _can_bind(port))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one stack."""

    directory: Path

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def keys(self) -> Path:
        return self.directory / "keys"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def config(self) -> Path:
        return self.directory / "dicomward.toml"

    @property
    def credentials(self) -> Path:
        """JSON with the archive's ``username`` and ``password``."""
        return self.directory / "archive-credentials"

    @property
    def webhook_secret(self) -> Path:
        """Base64 of what the management system signs its webhooks with."""
        return self.keys / "webhook.secret"

    @property
    def posture(self) -> Path:
        return self.directory / "posture.db"

    @property
    def spool(self) -> Path:
        return self.directory / "spool"

    @property
    def chain_state(self) -> Path:
        return self.directory / "anvil-state.json"

    @property
    def ledger(self) -> Path:
        """JSON with the ``chain_id`` and ``contract`` that this stack anchors in."""
        return self.directory / "ledger.json"

    @property
    def policy_store(self) -> Path:
        return self.directory / "policies"

    @property
    def opa_config(self) -> Path:
        return self.directory / "opa.json"

    @property
    def bundle_token(self) -> Path:
        """What the OPA server shows to get the policies."""
        return self.keys / "bundle.token"

    @property
    def evidence(self) -> Path:
        return self.directory / "evidence"

    @property
    def auditor_key(self) -> Path:
        """The auditor's private key, which no real site has."""
        return self.keys / "auditor.key"

    @property
    def kubo(self) -> Path:
        """Kubo's repository."""
        return self.directory / "kubo"

    @property
    def anchor_status(self) -> Path:
        return self.directory / "anchor-status.json"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for part in (self.pki, self.keys, self.log, self.spool):
            part.mkdir(exist_ok=True, mode=0o700)
        if not self.webhook_secret.exists():
            write_secret(self.webhook_secret, base64.b64encode(secrets.token_bytes(32)) + b"\n")


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def tool(name: str) -> Path:
    """A real part that the bootstrap linked.

    :raises StackError: it is not there
    """
    path = TOOLS / "bin" / name
    if not path.exists():
        how = {"opa": "deploy/tools.sh opa", "ipfs": "deploy/tools.sh kubo"}.get(name, "make setup")
        raise StackError(f"{name} is not set up: run '{how}' in {ROOT} once.", 2)
    return path.resolve() if name == "anvil" else path
