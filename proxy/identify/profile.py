"""What certificates must be, beyond what OpenSSL asks of them (RFC 5280 4.1 and 4.2.1). Pure.

Keys and signatures accepted, by profile:

| profile      | RSA from | curves              | hashes of signatures | Ed25519 | origin                          |
|--------------|----------|---------------------|----------------------|---------|---------------------------------|
| `compatible` | 2048     | P-256, P-384, P-521 | SHA-224 and longer   | yes     | NIST SP 800-57 part 1: 112 bits |
| `strong`     | 3072     | P-256, P-384, P-521 | SHA-256 and longer   | yes     | the same: 128 bits              |
| `cnsa`       | 3072     | P-384               | SHA-384 and longer   | no      | CNSA 1.0 (RFC 8603)             |

RSA signatures may be PKCS #1 v1.5 or PSS. The signature of a trust anchor on itself proves nothing and is not held to
it (RFC 5280 6.1.1 (d)): its key is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

UNREADABLE: Final = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
"""What reading a certificate or a list raises that somebody else wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Keys and signatures that are accepted."""

    rsa_bits: int
    curves: frozenset[str]
    hashes: frozenset[str]
    ed25519: bool

    def accepts_key(self, certificate: x509.Certificate) -> bool:
        """:raises Exception: one of ``UNREADABLE``"""
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return key.key_size >= self.rsa_bits
        if isinstance(key, ec.EllipticCurvePublicKey):
            return key.curve.name in self.curves
        return self.ed25519 and isinstance(key, ed25519.Ed25519PublicKey)

    def accepts_signature(self, signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
        """:raises Exception: one of ``UNREADABLE``"""
        algorithm = signed.signature_hash_algorithm
        if algorithm is None:
            return self.ed25519 and signed.signature_algorithm_oid == SignatureAlgorithmOID.ED25519
        return algorithm.name in self.hashes


_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "compatible": Profile(rsa_bits=2048, curves=_CURVES, hashes=_HASHES | {"sha224"}, ed25519=True),
        "strong": Profile(rsa_bits=3072, curves=_CURVES, hashes=_HASHES, ed25519=True),
        "cnsa": Profile(
            rsa_bits=3072, curves=frozenset({"secp384r1"}), hashes=frozenset({"sha384", "sha512"}), ed25519=False
        ),
    }
)


def is_client(certificate: x509.Certificate) -> bool:
    """Whether it is a v3 end-entity certificate for TLS clients.

    :raises Exception: one of ``UNREADABLE``
    """
    usage = key_usage(certificate)
    return (
        certificate.version is x509.Version.v3
        and not is_authority(certificate)
        and is_for_clients(certificate, unstated=False)
        and (usage is None or usage.digital_signature)
    )


def is_svid(certificate: x509.Certificate) -> bool:
    """What X.509-SVID 4.3 and 5.2 ask of a leaf's key usage: that it is there, and is not an authority's.

    :raises Exception: one of ``UNREADABLE``
    """
    usage = key_usage(certificate)
    return usage is not None and usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign


def is_authority(certificate: x509.Certificate) -> bool:
    """:raises Exception: one of ``UNREADABLE``"""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_for_clients(certificate: x509.Certificate, *, unstated: bool) -> bool:
    """Whether TLS clients are among the purposes it states.

    :param unstated: what to say of one that states none, or any purpose: authorities do
    :raises Exception: one of ``UNREADABLE``
    """
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return unstated
    if ExtendedKeyUsageOID.CLIENT_AUTH in purposes:
        return True
    return unstated and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes


def key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    """:raises Exception: one of ``UNREADABLE``"""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
