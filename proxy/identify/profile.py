"""What a client's leaf must be, beyond what OpenSSL asks of it (RFC 5280 4.2.1). Pure."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

MINIMUM_RSA_BITS: Final = 2048
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_WEAK_HASHES: Final = frozenset({"md5", "sha1"})


def device_name(certificate: x509.Certificate, kind: str) -> str | None:
    """The one SAN of the configured kind, ``None`` where there is none or more than one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    found = names.get_values_for_type(x509.UniformResourceIdentifier if kind == "uri" else x509.DNSName)
    return found[0] if len(found) == 1 and found[0] else None


def fits(certificate: x509.Certificate) -> bool:
    """Whether a leaf is a v3 end-entity certificate for TLS clients with a key and signature of today."""
    return (
        certificate.version is x509.Version.v3
        and _is_end_entity(certificate)
        and _is_for_clients(certificate)
        and _may_sign(certificate)
        and _key_is_strong(certificate)
        and certificate.signature_hash_algorithm is not None
        and certificate.signature_hash_algorithm.name not in _WEAK_HASHES
    )


def _is_end_entity(certificate: x509.Certificate) -> bool:
    try:
        return not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return True


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True


def _key_is_strong(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= MINIMUM_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, ed25519.Ed25519PublicKey)
