"""Keys, and bundles that no honest signer would write."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from gzip import compress
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from proxy.decide.policies import PolicySet, VerificationKey, signed_bundle, verification_key
from proxy.decide.policies.signing import file_hash

ISSUED = datetime(2026, 11, 1, 12, tzinfo=UTC)
BUILTINS = json.dumps({"builtins": [{"name": "count"}]}).encode()
SMALL = PolicySet(
    files={"x/x.rego": b"package x\n\nallow := true\n", "data.json": b'{"a": 1}', "capabilities.json": BUILTINS}
)

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@cache
def ours() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ours_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def private(key: Private) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public(key: Private) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def trusted(*keys: Private) -> tuple[VerificationKey, ...]:
    return tuple(verification_key(public(key)) for key in keys or (ours(),))


def bundle(policies: PolicySet = SMALL, serial: int = 1, issued_at: datetime = ISSUED) -> bytes:
    return signed_bundle(policies, serial, issued_at, private(ours()), "site")


def manifest(**changes: Any) -> bytes:
    told = {"roots": [""], "metadata": {"dicomward": {"serial": 1, "issued_at": "2026-11-01T12:00:00Z"}}}
    return json.dumps(told | changes).encode()


def contents(**changes: bytes) -> dict[str, bytes]:
    return dict(SMALL.files) | {".manifest": manifest()} | changes


def claims_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "files": [
            {"name": path, "hash": file_hash(path, content, "SHA-256"), "algorithm": "SHA-256"}
            for path, content in files.items()
        ]
    }


def signatures(claims: dict[str, Any], key: Any = None, algorithm: str = "ES256", **headers: Any) -> bytes:
    token = jwt.encode(claims, ours() if key is None else key, algorithm=algorithm, headers=headers)
    return json.dumps({"signatures": [token]}).encode()


def signed(files: Mapping[str, bytes]) -> bytes:
    """Properly signed, whatever it is that is signed."""
    return archive(dict(files) | {".signatures.json": signatures(claims_of(files))})


def archive(files: Mapping[str, bytes], *more: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in more:
            tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    return compress(packed.getvalue())


def endless_headers(kind: bytes = tarfile.GNUTYPE_LONGNAME) -> bytes:
    """Each says that the next one's name is long, or has attributes."""
    told = b"10 path=q\n" if kind in (b"x", b"g") else b"x\0"
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, len(told)
    piece = header.tobuf(tarfile.USTAR_FORMAT) + told.ljust(512, b"\0")
    return compress(piece * 5_000 + tarfile.TarInfo("x").tobuf() + bytes(1024))
