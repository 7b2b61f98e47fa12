"""An authority with its files, leaves that no authority should issue, and certificates written byte by byte.

What no library builds (X.509 v1, an extension twice, a signature of nobody) is made from the DER of a good one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.dev.pki import Issued, issue_certificate, make_authority, make_crl
from proxy.identify import AuthorityFiles, Certificates
from proxy.model import Principal

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ACTIONS = ("search", "retrieve")


class Site:
    """One authority's files in a folder."""

    def __init__(self, folder: Path, name: str = "site", *, authority: Issued | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = authority or make_authority(name, NOW)
        self.crl = folder / f"{name}.crl"
        self.files = AuthorityFiles(
            name=name, certificate=folder / f"{name}.crt", crls=(str(self.crl),), actions=ACTIONS
        )
        self.write(self.authority.certificate_pem())
        self.revoke(last_update=NOW - HOUR)

    def write(self, pem: bytes) -> None:
        self.files.certificate.write_bytes(pem)

    def revoke(self, *leaves: Issued, last_update: datetime = NOW, **settings: Any) -> None:
        serials = [leaf.certificate.serial_number for leaf in leaves]
        signer = settings.pop("signer", self.authority)
        self.write_crl(make_crl(signer, serials, last_update=last_update, **settings))

    def write_crl(self, content: bytes) -> None:
        # As a file that is replaced, so that its stamp changes whatever the clock's grain.
        draft = self.crl.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(self.crl)

    def issue(self, name: str = "radiologist", **settings: Any) -> Issued:
        return issue_certificate(self.authority, name, **{"not_before": NOW - HOUR, **settings})

    def below(self, name: str = "middle", *, parent: Issued | None = None, **settings: Any) -> Issued:
        """An intermediate authority, configured, with an empty list of its own."""
        made = make_authority(name, NOW, parent=parent or self.authority, **settings)
        folder = self.files.certificate.parent
        (folder / f"{name}.crt").write_bytes(made.certificate_pem())
        (folder / f"{name}.crl").write_bytes(make_crl(made, [], last_update=NOW - HOUR))
        self.files = replace(
            self.files,
            intermediates=(*self.files.intermediates, folder / f"{name}.crt"),
            crls=(*self.files.crls, str(folder / f"{name}.crl")),
        )
        return made

    def certificates(self, *others: Site, device_san: str = "uri", **settings: Any) -> Certificates:
        files = [self.files, *(other.files for other in others)]
        return Certificates(files, device_san, **{"clock": lambda: NOW, **settings})


def der(leaf: Issued | x509.Certificate) -> bytes:
    certificate = leaf.certificate if isinstance(leaf, Issued) else leaf
    return certificate.public_bytes(Encoding.DER)


def judged(certificates: Certificates, leaf: Issued | x509.Certificate | bytes, now: datetime = NOW) -> Principal:
    return certificates.judge(leaf if isinstance(leaf, bytes) else der(leaf), now)


def issue_with_key(authority: Issued, key: Any, *, algorithm: Any = None) -> x509.Certificate:
    """A good leaf but for its key, or the hash it is signed with."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - HOUR)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:dicomward:device:leaf")]), critical=False
        )
        .sign(authority.key, algorithm or hashes.SHA256())
    )


# ----------------------------------------------------------------------------------------- by bytes


def split(encoded: bytes) -> list[bytes]:
    """The elements of a DER value, each whole."""
    found = []
    while encoded:
        size, start = encoded[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(encoded[2:start], "big")
        found.append(encoded[: start + size])
        encoded = encoded[start + size :]
    return found


def inside(element: bytes) -> bytes:
    start = 2 + (element[1] & 0x7F if element[1] & 0x80 else 0)
    return element[start:]


def wrap(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


ECDSA_WITH_SHA1 = wrap(0x30, bytes.fromhex("06072a8648ce3d0401"))


def signed_anew(
    fields: Sequence[bytes], algorithm: bytes, signer: Issued, digest: hashes.HashAlgorithm | None = None
) -> bytes:
    """A certificate or revocation list with these fields, signed as it should be."""
    tbs = wrap(0x30, b"".join(fields))
    signature = signer.key.sign(tbs, ec.ECDSA(digest or hashes.SHA256()))
    return wrap(0x30, tbs + algorithm + wrap(0x03, b"\0" + signature))


def fields_of(leaf: Issued) -> tuple[list[bytes], bytes]:
    tbs, algorithm, _ = split(inside(der(leaf)))
    return split(inside(tbs)), algorithm


def version_one(leaf: Issued, signer: Issued) -> bytes:
    """Without version and extensions: X.509 v1, which OpenSSL takes for a leaf."""
    fields, algorithm = fields_of(leaf)
    return signed_anew([field for field in fields if field[0] not in (0xA0, 0xA3)], algorithm, signer)


def extensions_without_version(leaf: Issued, signer: Issued) -> bytes:
    fields, algorithm = fields_of(leaf)
    return signed_anew([field for field in fields if field[0] != 0xA0], algorithm, signer)


def extension_twice(leaf: Issued, signer: Issued) -> bytes:
    fields, algorithm = fields_of(leaf)
    extensions = split(inside(inside(fields[-1])))
    fields[-1] = wrap(0xA3, wrap(0x30, b"".join([*extensions, extensions[-1]])))
    return signed_anew(fields, algorithm, signer)


def replaced(leaf: Issued, old: bytes, new: bytes, signer: Issued) -> bytes:
    """With some bytes changed for as many others."""
    fields, algorithm = fields_of(leaf)
    assert len(old) == len(new)
    assert sum(field.count(old) for field in fields) == 1
    return signed_anew([field.replace(old, new) for field in fields], algorithm, signer)


def signed_with_sha1(leaf: Issued, signer: Issued) -> bytes:
    fields, algorithm = fields_of(leaf)
    weak = [ECDSA_WITH_SHA1 if field == algorithm else field for field in fields]
    return signed_anew(weak, ECDSA_WITH_SHA1, signer, hashes.SHA1())


def signature_spoiled(leaf: Issued) -> bytes:
    content = bytearray(der(leaf))
    content[-1] ^= 1
    return bytes(content)


# ----------------------------------------------------------------------------------------------- lists


def list_of(authority: Issued, *leaves: Issued, last_update: datetime = NOW - HOUR, **settings: Any) -> bytes:
    return make_crl(authority, [leaf.certificate.serial_number for leaf in leaves], last_update=last_update, **settings)


def list_with(
    authority: Issued,
    *extensions: tuple[x509.ExtensionType, bool],
    serials: Sequence[int] = (),
    last_update: datetime = NOW - HOUR,
) -> bytes:
    """A list with extensions of the caller's choice, and no number but such."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(last_update)
        .next_update(last_update + timedelta(days=7))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(last_update).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def list_signed_with_sha1(authority: Issued) -> bytes:
    tbs, algorithm, _ = split(inside(x509.load_pem_x509_crl(list_of(authority)).public_bytes(Encoding.DER)))
    fields = [ECDSA_WITH_SHA1 if field == algorithm else field for field in split(inside(tbs))]
    return signed_anew(fields, ECDSA_WITH_SHA1, authority, hashes.SHA1())


def list_of_many(authority: Issued, serials: Sequence[int]) -> bytes:
    """As :func:`list_of`, for more than the library's builder makes in reasonable time."""
    tbs, algorithm, _ = split(inside(x509.load_pem_x509_crl(list_of(authority)).public_bytes(Encoding.DER)))
    fields = split(inside(tbs))
    revoked = wrap(0x17, (NOW - HOUR).strftime("%y%m%d%H%M%SZ").encode())
    entries = [wrap(0x30, wrap(0x02, each.to_bytes(each.bit_length() // 8 + 1, "big")) + revoked) for each in serials]
    ends = max(number for number, field in enumerate(fields) if field[0] == 0x17)
    fields.insert(ends + 1, wrap(0x30, b"".join(entries)))
    return signed_anew(fields, algorithm, authority)


def list_without_end(authority: Issued) -> bytes:
    """``nextUpdate`` is optional in the standard (RFC 5280 5.1.2.5 asks for it): without it data never gets stale."""
    crl = x509.load_pem_x509_crl(list_of(authority))
    tbs, algorithm, _ = split(inside(crl.public_bytes(Encoding.DER)))
    fields = split(inside(tbs))
    times = [number for number, field in enumerate(fields) if field[0] in (0x17, 0x18)]
    del fields[times[1]]
    return signed_anew(fields, algorithm, authority)


def list_with_spoiled_signature(authority: Issued) -> bytes:
    content = bytearray(x509.load_pem_x509_crl(list_of(authority)).public_bytes(Encoding.DER))
    content[-1] ^= 1
    return bytes(content)
