"""Auditors' keys: X-Wing (ML-KEM-768 and X25519), so that evidence recorded today stays closed to a quantum computer.

A key file holds two lines: what it is, and base64 of the raw key::

    dicomward-auditor-public-key/1       1184 bytes of ML-KEM-768, 32 of X25519
    dicomward-auditor-private-key/1        64 bytes of seed,       32 of X25519
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from proxy.errors import ConfigurationError

PUBLIC: Final = "dicomward-auditor-public-key/1"
PRIVATE: Final = "dicomward-auditor-private-key/1"

_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
_PUBLIC_BYTES: Final = (1184, 32)
_PRIVATE_BYTES: Final = (64, 32)


@dataclass(frozen=True, slots=True)
class Auditor:
    """Who may open evidence."""

    raw: bytes
    """The public key, 1216 bytes."""

    @property
    def id(self) -> str:
        """SHA-256 of the public key, hexadecimal: names it in envelopes."""
        return hashlib.sha256(self.raw).hexdigest()

    def wrap(self, key: bytes, info: bytes) -> bytes:
        """``key`` for this auditor alone (RFC 9180, base mode), bound to ``info``."""
        kem, curve = self.raw[: _PUBLIC_BYTES[0]], self.raw[_PUBLIC_BYTES[0] :]
        public = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(kem), X25519PublicKey.from_public_bytes(curve)
        )
        return _SUITE.encrypt(key, public, info=info)


@dataclass(frozen=True, slots=True)
class AuditorKey:
    """The private half. Never on a site's host."""

    raw: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        return cls(MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw())

    @property
    def auditor(self) -> Auditor:
        kem, curve = self._halves()
        return Auditor(kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw())

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes | None:
        """What was wrapped for this key under ``info``; ``None`` for anything else."""
        kem, curve = self._halves()
        try:
            return _SUITE.decrypt(wrapped, hpke.MLKEM768X25519PrivateKey(kem, curve), info=info)
        except (InvalidTag, ValueError):
            return None

    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        kem, curve = self.raw[: _PRIVATE_BYTES[0]], self.raw[_PRIVATE_BYTES[0] :]
        return MLKEM768PrivateKey.from_seed_bytes(kem), X25519PrivateKey.from_private_bytes(curve)


def write_keys(folder: Path, name: str, key: AuditorKey) -> tuple[Path, Path]:
    """Private and public file of a new auditor; neither may exist.

    :raises ConfigurationError: one exists, or cannot be written
    """
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    try:
        for path, kind, raw, mode in ((private, PRIVATE, key.raw, 0o600), (public, PUBLIC, key.auditor.raw, 0o644)):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as file:
                file.write(f"{kind}\n{base64.b64encode(raw).decode('ascii')}\n")
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return private, public


def load_auditor(path: Path) -> Auditor:
    """:raises ConfigurationError: not a public key of ours"""
    auditor = Auditor(_read(path, PUBLIC, sum(_PUBLIC_BYTES)))
    try:
        auditor.wrap(b"", b"")
    except ValueError:
        raise ConfigurationError(f"{path}: holds no valid key") from None
    return auditor


def load_auditor_key(path: Path) -> AuditorKey:
    """:raises ConfigurationError: not a private key of ours, or open to others"""
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; chmod 600")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    return AuditorKey(_read(path, PRIVATE, sum(_PRIVATE_BYTES)))


def _read(path: Path, kind: str, length: int) -> bytes:
    try:
        lines = path.read_text("ascii").split()
        raw = base64.b64decode(lines[1], validate=True) if lines[:1] == [kind] and len(lines) == 2 else b""
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, binascii.Error):
        raw = b""
    if len(raw) != length:
        # Nothing of it is told: it may be the other half.
        raise ConfigurationError(f"{path}: not a {kind} file")
    return raw
