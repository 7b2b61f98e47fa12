"""Certificates of the dev stack: an authority with a CRL, one that nobody trusts, a server, and the dev identities.

``issue_certificate`` can also make certificates that no authority should issue (a leaf that is a CA, one without a
purpose, an expired one): tests present them and assert the refusal.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.dev.layout import DOMAIN, write_secret

IDENTITIES: Final = (
    "radiologist",
    "technologist",
    "researcher",
    "stale",
    "rooted",
    "revoked",
    "workstation",
    "manager",
)
"""Issued by the site's authority. ``stranger`` is issued by the other one."""
CLIENT_PURPOSE: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)
KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 90
RENEW_DAYS: Final = 14
CRL_DAYS: Final = 7
SKEW: Final = timedelta(minutes=5)
Hash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key: a leaf's or an authority's."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, directory: Path, name: str) -> None:
        """Write ``name.crt``, ``name.key`` and ``name.pem`` (both, certificate first)."""
        (directory / f"{name}.crt").write_bytes(self.certificate_pem())
        write_secret(directory / f"{name}.key", self.key_pem())
        write_secret(directory / f"{name}.pem", self.certificate_pem() + self.key_pem())

    @classmethod
    def read(cls, directory: Path, name: str) -> Issued:
        """:raises ValueError: the key is not the kind made here"""
        certificate = x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{directory / name}.key is not an elliptic curve key")
        return cls(certificate, key)


def make_authority(
    name: str,
    now: datetime | None = None,
    *,
    parent: Issued | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    path_length: int | None = None,
    constraints: x509.NameConstraints | None = None,
    algorithm: Hash | None = None,
) -> Issued:
    """A self-signed authority, or with ``parent`` an intermediate one. Settings as for :func:`issue_certificate`."""
    now = now or datetime.now(UTC)
    return issue_certificate(
        parent,
        name,
        key=key,
        path_length=path_length,
        constraints=constraints,
        algorithm=algorithm,
        not_before=now - SKEW,
        not_after=now + timedelta(days=AUTHORITY_DAYS),
        is_ca=True,
        purposes=None,
        names=(),
        usages=("key_cert_sign", "crl_sign"),
    )


def issue_client(authority: Issued, name: str, now: datetime | None = None) -> Issued:
    """A client certificate as the proxy wants them."""
    return issue_certificate(authority, name, not_before=(now or datetime.now(UTC)) - SKEW)


def issue_certificate(
    authority: Issued | None,
    name: str,
    *,
    not_before: datetime,
    not_after: datetime | None = None,
    is_ca: bool | None = False,
    purposes: Sequence[x509.ObjectIdentifier] | None = CLIENT_PURPOSE,
    names: Sequence[x509.GeneralName] | None = None,
    usages: Iterable[str] | None = ("digital_signature",),
    key: ec.EllipticCurvePrivateKey | None = None,
    subject: x509.Name | None = None,
    serial: int | None = None,
    path_length: int | None = None,
    constraints: x509.NameConstraints | None = None,
    algorithm: Hash | None = None,
) -> Issued:
    """Issue anything. ``None`` for ``is_ca``, ``purposes`` or ``usages`` and empty ``names`` leave that extension out.

    :param authority: who signs; ``None`` signs itself
    :param names: subject alternative names; by default the URI of the dev device called ``name``
    :param path_length: most authorities below this one, where it is one
    :param constraints: what an authority may name (RFC 5280 4.2.1.10)
    :param algorithm: hash of the signature, by default SHA-256
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = authority.key if authority else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after or not_before + timedelta(days=LEAF_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=True)
    if usages is not None:
        builder = builder.add_extension(_key_usage(usages), critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if names is None:
        names = (x509.UniformResourceIdentifier(DOMAIN + name),)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(builder.sign(signer, algorithm or hashes.SHA256()), key)


def _key_usage(usages: Iterable[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{**dict.fromkeys(KEY_USAGES, False), **dict.fromkeys(usages, True)})


def make_crl(
    authority: Issued,
    serials: Iterable[int],
    *,
    last_update: datetime,
    next_update: datetime | None = None,
) -> bytes:
    """A PEM list of the revoked ``serials``; its number is its time, so a later one always wins."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(last_update)
        .next_update(next_update or last_update + timedelta(days=CRL_DAYS))
        .add_extension(x509.CRLNumber(int(last_update.timestamp() * 1000)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    for serial in sorted(set(serials)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(last_update)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def device_id(authority: x509.Certificate, name: str) -> str:
    """SHA-256(the authority's SPKI || the configured SAN), lower-case hexadecimal."""
    spki = authority.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki + (DOMAIN + name).encode()).hexdigest()


class DevPki:
    """The files under ``pki/``. Kept over runs; what nears its end is issued anew, the CRL is signed anew each time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def prepare(self, now: datetime | None = None) -> None:
        now = now or datetime.now(UTC)
        authority = self._kept("ca", now) or self._new_authority("ca", "Dicomward dev authority", now)
        other = self._kept("stranger-ca", now) or self._new_authority("stranger-ca", "Some other authority", now)
        if self._kept("server", now, signed_by=authority) is None:
            issue_certificate(
                authority,
                "localhost",
                not_before=now - SKEW,
                purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
                names=(x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))),
            ).write(self.directory, "server")
        for name in IDENTITIES:
            if self._kept(name, now, signed_by=authority) is None:
                issue_client(authority, name, now).write(self.directory, name)
        if self._kept("opa-client", now, signed_by=authority) is None:
            # For the OPA server alone: to the proxy it is a device that its policies do not know.
            issue_client(authority, "opa-client", now).write(self.directory, "opa-client")
        if self._kept("stranger", now, signed_by=other) is None:
            issue_client(other, "stranger", now).write(self.directory, "stranger")
        self.revoke((), now=now, anew=[self.issued("revoked").certificate.serial_number])

    def revoke(self, names: Iterable[str], *, now: datetime | None = None, anew: Iterable[int] = ()) -> None:
        """Sign a CRL that names everything it named before, the certificates of ``names`` and the serials ``anew``."""
        path = self.directory / "ca.crl"
        serials = set(anew) | {self.issued(name).certificate.serial_number for name in names}
        if path.exists():
            crl = x509.load_pem_x509_crl(path.read_bytes())
            serials |= {entry.serial_number for entry in crl}
        moment = now or datetime.now(UTC)
        draft = path.with_suffix(".draft")
        draft.write_bytes(make_crl(self.authority, serials, last_update=moment - timedelta(seconds=1)))
        draft.replace(path)

    @property
    def authority(self) -> Issued:
        return Issued.read(self.directory, "ca")

    def issued(self, name: str) -> Issued:
        return Issued.read(self.directory, name)

    def device_id(self, name: str) -> str:
        """The device id of a dev identity, by the authority that issued it."""
        issuer = "stranger-ca" if name == "stranger" else "ca"
        return device_id(Issued.read(self.directory, issuer).certificate, name)

    def _new_authority(self, file: str, name: str, now: datetime) -> Issued:
        made = make_authority(name, now)
        made.write(self.directory, file)
        if file == "ca":
            (self.directory / "ca.crl").unlink(missing_ok=True)  # the list of an authority that is no more
        return made

    def _kept(self, name: str, now: datetime, *, signed_by: Issued | None = None) -> Issued | None:
        if not (self.directory / f"{name}.crt").exists() or not (self.directory / f"{name}.key").exists():
            return None
        issued = Issued.read(self.directory, name)
        if issued.certificate.not_valid_after_utc - now < timedelta(days=RENEW_DAYS):
            return None
        if signed_by is not None:
            stated = issued.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(signed_by.key.public_key())
            if stated.key_identifier != ours.key_identifier:
                return None
        return issued
