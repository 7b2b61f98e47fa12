"""Authorities as configured, and their certificates as read: a trust anchor and what stands below it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from proxy.errors import ConfigurationError
from proxy.identify import profile
from proxy.identify.profile import PROFILES, UNREADABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFiles:
    """One authority as configured, see :class:`proxy.config.Authority`."""

    name: str
    certificate: Path
    intermediates: tuple[Path, ...] = ()
    crls: tuple[str, ...]
    """Files, and http or https addresses."""
    crl_refresh_s: float = 300.0
    crl_grace_s: float = 0.0
    actions: tuple[str, ...]
    profile: str = "compatible"
    depth: int = 2
    names: tuple[str, ...] = ()
    roles_from_organizational_unit: bool = False

    @property
    def certificates(self) -> tuple[Path, ...]:
        return (self.certificate, *self.intermediates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """A certificate that issues others: the trust anchor of an authority, or an intermediate, which is not trusted."""

    certificate: x509.Certificate
    openssl: crypto.X509
    fingerprint: bytes
    """SHA-256 of the DER."""
    key: bytes
    """SHA-256 of name and public key: a renewed certificate of the same authority has the same, and the same lists."""
    begins: datetime
    ends: datetime
    fits: bool
    """Whether its key, signature and purpose are of the authority's profile."""


def load_certificates(files: AuthorityFiles) -> tuple[Ca, ...]:
    """The anchor, then intermediates.

    :raises ConfigurationError: a file cannot be read, or holds what it should not
    """
    anchors = _read(files.certificate, files.name)
    if len(anchors) != 1:
        raise _wrong(
            files.name,
            f"{files.certificate} holds {len(anchors)} certificates: leave the self-signed one in it, the others "
            "belong into files listed under intermediates",
        )
    if not _signs_itself(anchors[0]):
        raise _wrong(
            files.name,
            f"{files.certificate} is not self-signed: name the root here, and this one under intermediates",
        )
    lower = [certificate for path in files.intermediates for certificate in _read(path, files.name)]
    return tuple(_ca(certificate, files, anchor=certificate is anchors[0]) for certificate in (*anchors, *lower))


def device_id(spki: bytes, name: str) -> str:
    """SHA-256(authority's SPKI || SAN): renewal keeps it, equal names under two authorities differ."""
    return hashlib.sha256(spki + name.encode()).hexdigest()


def spki_of(certificate: x509.Certificate) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_ADVICE: Final = "is no certificate in PEM that can be read"


def _read(path: Path, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise _wrong(name, f"{path}: {error.strerror}") from error
    except UNREADABLE as error:
        raise _wrong(name, f"{path} {_ADVICE}: {error}") from error


def _ca(certificate: x509.Certificate, files: AuthorityFiles, *, anchor: bool) -> Ca:
    subject = certificate.subject.rfc4514_string()
    try:
        usage = profile.key_usage(certificate)
        if not profile.is_authority(certificate) or (usage is not None and not usage.key_cert_sign):
            raise _wrong(files.name, f"{subject} is no authority's certificate: it may not issue others")
        accepted = PROFILES[files.profile]
        fits = accepted.accepts_key(certificate) and (
            anchor or (accepted.accepts_signature(certificate) and profile.is_for_clients(certificate, unstated=True))
        )
        return Ca(
            certificate=certificate,
            openssl=crypto.X509.from_cryptography(certificate),
            fingerprint=certificate.fingerprint(SHA256()),
            key=hashlib.sha256(certificate.subject.public_bytes() + spki_of(certificate)).digest(),
            begins=certificate.not_valid_before_utc,
            ends=certificate.not_valid_after_utc,
            fits=fits,
        )
    except (*UNREADABLE, crypto.Error) as error:
        raise _wrong(files.name, f"{subject} {_ADVICE}: {error}") from error


def _signs_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _wrong(name: str, detail: str) -> ConfigurationError:
    return ConfigurationError(f"identify.authorities: {name}: {detail}")
