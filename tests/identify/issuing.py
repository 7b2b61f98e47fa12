"""An issuer of tokens that can also make what no issuer should, and certificates as they would have been judged."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from proxy.identify.identification import Identification
from proxy.identify.keys import IssuerSettings
from proxy.model import DeviceId, Peer, Principal, Reason, Revocation, Role

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
URL = "https://login.clinic.example/realms/clinic"
AUDIENCE = "pacs-north"

WORKSTATION = b"the certificate of a workstation"
LAPTOP = b"the certificate of another device"

ABSENT = object()
"""In overrides: leave the member out."""


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def thumbprint(certificate: bytes) -> str:
    return base64url(hashlib.sha256(certificate).digest())


def compact(header: bytes, payload: bytes, signature: bytes = b"") -> str:
    return ".".join(map(base64url, (header, payload, signature)))


def sign(algorithm: str, key: Any, header: bytes, payload: bytes) -> str:
    signed = f"{base64url(header)}.{base64url(payload)}"
    return f"{signed}.{base64url(get_default_algorithms()[algorithm].sign(signed.encode(), key))}"


def sign_with_secret(secret: bytes, header: bytes, payload: bytes) -> str:
    """HS256, whatever the secret is: libraries refuse public keys here, attackers do not."""
    signed = f"{base64url(header)}.{base64url(payload)}"
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good token for the workstation, five minutes long."""
    moment = int(NOW.timestamp())
    good = {
        "iss": URL,
        "sub": "4711",
        "aud": AUDIENCE,
        "exp": moment + 300,
        "iat": moment - 10,
        "jti": "1",
        "client_id": "viewer",
        "cnf": {"x5t#S256": thumbprint(WORKSTATION)},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ABSENT}


class Issuer:
    """One key, of any type, and the set that publishes it."""

    def __init__(self, algorithm: str = "ES256", kid: str = "k1") -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.key: Any = make_key(algorithm)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        made = get_default_algorithms()[self.algorithm].to_jwk(self.key.public_key(), as_dict=True)
        made = {**made, "kid": self.kid, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in made.items() if value is not ABSENT}

    def header(self, **changes: Any) -> bytes:
        good = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid, **changes}
        return json.dumps({name: value for name, value in good.items() if value is not ABSENT}).encode()

    def token(self, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        return self.sign(json.dumps(claims(**changes)).encode(), **(header or {}))

    def sign(self, payload: bytes, **header: Any) -> str:
        return sign(self.algorithm, self.key, self.header(**header), payload)


def make_key(algorithm: str) -> Any:
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def jwks(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def put(path: Path, content: bytes) -> None:
    """As a file that is replaced, so that its stamp changes whatever the clock's grain."""
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(content)
    draft.replace(path)


def settings(location: Path | str, **changes: Any) -> IssuerSettings:
    good: dict[str, Any] = {
        "name": "clinic",
        "issuer": URL,
        "audience": AUDIENCE,
        "algorithms": ("ES256",),
        "types": ("at+jwt",),
        "jwks": str(location),
        "ca_file": None,
        "jwks_refresh_s": 300,
        "jwks_max_age_s": 3600,
        "leeway_s": 5,
        "roles_claim": None,
        "purpose_claim": None,
    }
    return IssuerSettings(**{**good, **changes})


def bearer(token: str) -> tuple[bytes, ...]:
    return (b"Bearer " + token.encode(),)


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class JudgedCertificates:
    """In place of :class:`proxy.identify.Certificates`: every certificate is good but those told to be refused."""

    def __init__(self) -> None:
        self.generation = 1
        self.authority = "site"
        self.roles: tuple[Role, ...] = ()
        self.refused: dict[bytes | None, Reason] = {None: Reason.CERTIFICATE_MISSING}
        self.closed = False
        self.watch_fails = False
        self._kept: dict[tuple[bytes | None, int], Principal] = {}

    def judge(self, certificate: bytes | None, now: datetime) -> Principal:
        key = (certificate, self.generation)
        if key not in self._kept:
            self._kept[key] = self._judged(certificate)
        return self._kept[key]

    def revoke(self, certificate: bytes) -> None:
        self.refused[certificate] = Reason.CERTIFICATE_REVOKED
        self.generation += 1

    def reload(self) -> bool:
        return False

    async def watch(self, interval_s: float) -> None:
        await asyncio.sleep(interval_s)
        if self.watch_fails:
            raise RuntimeError("the watch of certificates failed")
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True

    def _judged(self, certificate: bytes | None) -> Principal:
        reason = self.refused.get(certificate)
        fingerprint = hashlib.sha256(certificate or b"").hexdigest()
        return Principal(
            device=None if certificate is None else DeviceId(fingerprint),
            name="" if certificate is None else "urn:pc:" + fingerprint[:8],
            subject="CN=device",
            fingerprint=fingerprint,
            serial="1",
            authority=self.authority,
            authority_actions=("search",),
            not_after=NOW + timedelta(days=1),
            revocation=Revocation(status="good", as_of=NOW, expires_at=NOW + timedelta(hours=1)),
            generation=self.generation,
            expires_at=None if reason else NOW + timedelta(hours=1),
            reasons=(reason,) if reason else (),
            roles=self.roles,
        )


def peer(certificate: bytes | None = WORKSTATION) -> Peer:
    return Peer(certificate=certificate, address="192.0.2.1", connection=1)


class Desk:
    """An identification with one issuer whose key set is a file."""

    def __init__(
        self, folder: Path, *, users: str = "required", directory: bytes | None = None, **changes: Any
    ) -> None:
        self.issuer = Issuer(changes.get("algorithms", ("ES256",))[0])
        self.certificates = JudgedCertificates()
        self.clock = Clock()
        self.jwks = folder / "jwks.json"
        self.directory = folder / "directory.json"
        put(self.jwks, jwks(self.issuer.jwk()))
        if directory is not None:
            put(self.directory, directory)
        self.identification = Identification(
            self.certificates,  # type: ignore[arg-type]
            issuers=[settings(self.jwks, **changes)],
            users={"site": users},
            directory=None if directory is None else self.directory,
            clock=self.clock,
        )

    def ask(self, token: str | None = None, certificate: bytes | None = WORKSTATION) -> Principal:
        return self.ask_with(() if token is None else bearer(token), certificate)

    def ask_with(self, authorization: tuple[bytes, ...], certificate: bytes | None = WORKSTATION) -> Principal:
        return self.identification.identify(peer(certificate), authorization, self.clock.now)

    def reasons(self, token: str | None = None, certificate: bytes | None = WORKSTATION) -> tuple[Reason, ...]:
        return self.ask(token, certificate).reasons
