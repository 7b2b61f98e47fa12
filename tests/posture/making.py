"""Claims, devices with keys and certificates, reports, webhooks: made right, so that a test makes one thing wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from proxy.model import (
    REPORT_TYPE,
    Action,
    DeviceClaims,
    DeviceId,
    Peer,
    PostureAttribute,
    PostureReport,
    Principal,
    Reason,
    Revocation,
    Signed,
    SiteRequest,
    SiteResource,
    Taken,
    Trust,
)
from proxy.posture import Desk, ManagedSettings, MappedPolicy, PostureStore

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEVICE, OTHER = DeviceId("ab" * 32), DeviceId("cd" * 32)
SECRET = bytes(range(32))
VALUES: Mapping[str, Any] = {"disk_encryption": True, "os_name": "debian", "patch_age_days": 3}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def claim(value: bool | int | str = True, **changes: Any) -> PostureAttribute:
    given = {"source": "agent", "trust": Trust.REPORTED, "issued_at": NOW, "expires_at": NOW + seconds(900), **changes}
    return PostureAttribute(value=value, **given)


def said(
    attributes: Mapping[str, PostureAttribute],
    *,
    device: DeviceId = DEVICE,
    source: str = "agent",
    trust: Trust = Trust.REPORTED,
    issued_at: datetime = NOW,
    once: tuple[str, datetime] | None = None,
) -> PostureReport:
    claims = (DeviceClaims(device=device, attributes=attributes),)
    return PostureReport(source=source, trust=trust, sha256="0" * 64, issued_at=issued_at, claims=claims, once=once)


def private_key(kind: str) -> Any:
    match kind:
        case "P-256":
            return ec.generate_private_key(ec.SECP256R1())
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "RSA-1024":
            return rsa.generate_private_key(65537, 1024)
    raise AssertionError(kind)


ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "RSA": "PS256"}


@dataclass
class Device:
    """A device with a key, its certificate and what identification says of it."""

    kind: str = "P-256"
    id: DeviceId = DEVICE
    key: Any = field(init=False)
    certificate: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.key = private_key(self.kind)
        issuer = private_key("P-256")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
            .sign(issuer, hashes.SHA256())
        )
        self.certificate = made.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.certificate).digest()

    @property
    def peer(self) -> Peer:
        return Peer(certificate=self.certificate, address="192.0.2.1", connection=1)

    @property
    def principal(self) -> Principal:
        return Principal(
            device=self.id,
            name="urn:pc:1",
            subject="CN=device",
            fingerprint=self.fingerprint.hex(),
            serial="01",
            authority="site",
            authority_actions=("report_posture",),
            not_after=NOW + timedelta(days=1),
            revocation=Revocation(status="good", as_of=NOW, expires_at=NOW + timedelta(days=1)),
            generation=1,
            expires_at=NOW + timedelta(days=1),
        )

    def header(self, **changes: Any) -> dict[str, Any]:
        found = {"alg": ALGORITHMS.get(self.kind, "ES256"), "typ": REPORT_TYPE, "x5t#S256": b64(self.fingerprint)}
        return {name: value for name, value in {**found, **changes}.items() if value is not ...}

    def sign(self, header: bytes, payload: bytes, algorithm: str | None = None, key: Any = None) -> bytes:
        """Compact form of exactly these bytes."""
        told = algorithm or ALGORITHMS[self.kind]
        message = f"{b64(header)}.{b64(payload)}".encode()
        signature = jwt.get_algorithm_by_name(told).sign(message, key or self.key)
        return message + b"." + b64(signature).encode()

    def report(
        self, fresh: str, /, *, header: Mapping[str, Any] | None = None, key: Any = None, **changes: Any
    ) -> bytes:
        """A report whose payload has ``changes``; ``...`` leaves a member out."""
        whole = {"aud": "north", "iat": NOW.timestamp(), "nonce": fresh, "posture": dict(VALUES), **changes}
        payload = {name: value for name, value in whole.items() if value is not ...}
        return self.sign(json.dumps(self.header(**(header or {}))).encode(), json.dumps(payload).encode(), key=key)


@cache
def device(kind: str = "P-256", number: int = 0) -> Device:
    """Keys are costly: one of each is made."""
    return Device(kind=kind, id=DEVICE if number == 0 else OTHER)


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def managed(**changes: Any) -> ManagedSettings:
    given: dict[str, Any] = {
        "source": "fleet",
        "secrets": (SECRET,),
        "device": "urn:pc:{}",
        "key": "hostname",
        "valid": seconds(7200),
        "tolerance": seconds(300),
        "body_bytes": 2**20,
        "attributes": (
            MappedPolicy(policy="Firewall on", attribute="firewall", passing=True, failing=False),
            MappedPolicy(policy="Disk", attribute="disk_encryption", passing=True, failing=False),
            MappedPolicy(policy="Patched", attribute="patch_age_days", passing=0, failing=999),
            MappedPolicy(policy="Patched at all", attribute="patch_age_days", passing=0, failing=9999),
        ),
        **changes,
    }
    return ManagedSettings(**given)


def device_of(name: str) -> DeviceId:
    return DeviceId(hashlib.sha256(name.encode()).hexdigest())


def desk(store: PostureStore, settings: ManagedSettings | None = None, **changes: Any) -> Desk:
    given = {"site": "north", "report_valid_s": 900, "report_skew_s": 60, "report_bytes": 65_536, **changes}
    return Desk(store, managed=settings, device_of=device_of, **given)


REPORT = SiteRequest(action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE, method="POST")


async def examined(made: Desk, body: bytes, who: Device, now: datetime = NOW) -> PostureReport | Reason:
    return await made.examine(body, who.peer, who.principal, REPORT, now)


def changed(found: Taken | Reason | None) -> list[DeviceId]:
    """Of what was put in force."""
    assert isinstance(found, Taken), found
    return list(found.changed)


def webhook(
    body: bytes, *, identity: str = "msg_1", at: datetime = NOW, secrets: tuple[bytes, ...] = (SECRET,)
) -> SiteRequest:
    stamp = int(at.timestamp())
    message = f"{identity}.{stamp}.".encode() + body
    signatures = tuple(hmac.new(secret, message, hashlib.sha256).digest() for secret in secrets)
    signed = Signed(id=identity, timestamp=stamp, signatures=signatures)
    return SiteRequest(
        action=Action.MANAGE_POSTURE, resource=SiteResource.MANAGED_POSTURE, method="POST", signed=signed
    )


def failing(policy: str, *hosts: str) -> bytes:
    """Fleet's failing policy: each of ``hosts`` fails it."""
    listed = [{"id": i, "hostname": h, "display_name": h, "url": "https://fleet/h"} for i, h in enumerate(hosts)]
    whole = {"timestamp": "2026-11-22T12:00:00Z", "policy": {"id": 1, "name": policy}, "hosts": listed}
    return json.dumps(whole).encode()


def details(responses: Mapping[str, str], **changes: Any) -> bytes:
    """Fleet's details of one host."""
    policies = [{"name": name, "response": response} for name, response in responses.items()]
    host = {"hostname": "pc7", "uuid": "u-7", "hardware_serial": "S7", "memory": 1.5, "policies": policies, **changes}
    return json.dumps({"timestamp": "2026-11-22T12:00:00Z", "host": host}).encode()
