"""JSON Web Key Sets (RFC 7517): which of their keys may verify signatures of access tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from proxy import strict

MOST_KEYS: Final = 64
MINIMUM_RSA_BITS: Final = 2048
MAXIMUM_RSA_BITS: Final = 8192

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One public key that may verify signatures."""

    kid: str | None
    algorithms: frozenset[str]
    """The algorithms it is good for: those of its type and curve, or the one its ``alg`` names."""
    spki: bytes
    public: PublicKey = field(compare=False, repr=False)


def parse_key_set(content: bytes) -> dict[str | None, Key]:
    """The usable keys of a set, by key id.

    Left out are keys for something else than verifying, symmetric and private ones, RSA below 2048 and above 8192
    bits, and curves that no accepted algorithm has. A key without an id is kept only where it is the one usable key.

    :raises ValueError: no JWK Set, none of its keys is usable, or two have one id
    """
    document = strict.loads(content)
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or len(members) > MOST_KEYS:
        raise ValueError("is no JSON Web Key Set")
    named = [member["kid"] for member in members if isinstance(member, dict) and isinstance(member.get("kid"), str)]
    if len(set(named)) != len(named):
        raise ValueError("names two keys alike")
    keys = [key for member in members if isinstance(member, dict) and (key := _usable(member)) is not None]
    if not keys:
        raise ValueError("holds no usable key")
    return {key.kid: key for key in keys if key.kid is not None or len(keys) == 1}


def _usable(member: Mapping[str, object]) -> Key | None:
    kid, operations = member.get("kid"), member.get("key_ops", ["verify"])
    if member.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    # A private key that was published is anybody's.
    if "d" in member or "k" in member or not (kid is None or isinstance(kid, str)):
        return None
    public = _public(dict(member))
    algorithms = _algorithms(public)
    if "alg" in member:
        algorithms &= {str(member["alg"])}
    if public is None or not algorithms:
        return None
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid=kid, algorithms=algorithms, spki=spki, public=public)


def _public(member: dict[str, object]) -> PublicKey | None:
    try:
        match member.get("kty"):
            case "RSA":
                made: object = RSAAlgorithm.from_jwk(member)
            case "EC":
                made = ECAlgorithm.from_jwk(member)
            case "OKP":
                made = OKPAlgorithm.from_jwk(member)
            case _:
                return None
    except (PyJWTError, ValueError, TypeError, AttributeError, OverflowError, UnsupportedAlgorithm):
        return None
    if isinstance(made, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return made
    return None


def _algorithms(public: PublicKey | None) -> frozenset[str]:
    match public:
        case rsa.RSAPublicKey() if MINIMUM_RSA_BITS <= public.key_size <= MAXIMUM_RSA_BITS:
            return frozenset({"RS256", "PS256"})
        case ec.EllipticCurvePublicKey() if isinstance(public.curve, ec.SECP256R1):
            return frozenset({"ES256"})
        case ec.EllipticCurvePublicKey() if isinstance(public.curve, ec.SECP384R1):
            return frozenset({"ES384"})
        case ed25519.Ed25519PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()
