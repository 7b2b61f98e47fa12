"""Authorities and their revocation lists, from files to a verifying store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from proxy.errors import ConfigurationError

NO_CHECK_TIME: Final = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME`` of OpenSSL, which pyOpenSSL does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFiles:
    name: str
    certificate: Path
    crls: tuple[Path, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One authority as loaded: its chain, its lists, and a store that judges against both."""

    name: str
    actions: tuple[str, ...]
    spki: bytes
    """DER SubjectPublicKeyInfo of the authority itself, the first certificate of its file."""
    store: crypto.X509Store
    revocation_begins: datetime
    """The latest ``thisUpdate`` of its lists."""
    revoked_as_of: datetime
    """The oldest ``thisUpdate`` of its lists."""
    revocation_expires: datetime
    """The earliest ``nextUpdate`` of its lists."""


def load(files: AuthorityFiles) -> Authority:
    """Read one authority.

    :raises ConfigurationError: a file cannot be read, or a list names no end
    """
    try:
        chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
        lists = [_load_crl(path) for path in files.crls]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"identify.authorities: {files.name}: {error}") from error
    store = crypto.X509Store()
    for certificate in chain:
        store.add_cert(crypto.X509.from_cryptography(certificate))
    for revocation_list in lists:
        store.add_crl(revocation_list)
    # Without the first two OpenSSL ignores lists that were added. Times are judged by the caller: a store takes its
    # time once and keeps it, whatever is set later.
    store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL | NO_CHECK_TIME)
    ends: list[datetime] = []
    for revocation_list in lists:
        end = revocation_list.next_update_utc
        if end is None:
            raise ConfigurationError(f"identify.authorities: {files.name}: a revocation list has no nextUpdate")
        ends.append(end)
    return Authority(
        name=files.name,
        actions=files.actions,
        spki=chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        store=store,
        revocation_begins=max(revocation_list.last_update_utc for revocation_list in lists),
        revoked_as_of=min(revocation_list.last_update_utc for revocation_list in lists),
        revocation_expires=min(ends),
    )


def stamp(files: AuthorityFiles) -> tuple[tuple[int, int, int], ...]:
    """Changes whenever a file does.

    :raises OSError: a file is gone
    """
    stats = [path.stat() for path in (files.certificate, *files.crls)]
    return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


def device_id(spki: bytes, name: str) -> str:
    """SHA-256(authority's SPKI || SAN): renewal keeps it, equal names under two authorities differ."""
    return hashlib.sha256(spki + name.encode()).hexdigest()


def _load_crl(path: Path) -> x509.CertificateRevocationList:
    content = path.read_bytes()
    if content.startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(content)
    return x509.load_der_x509_crl(content)
