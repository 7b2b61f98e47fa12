"""Signatures of OPA bundles: a JWT in ``.signatures.json`` over the hash of every file. Pure.

``{"signatures": ["<JWT>"]}``, and the JWT's claims are ``{"files": [{"name", "hash", "algorithm"}, ...]}``. The hash of
``data.json`` and ``.manifest`` is over the JSON value (members sorted, no white space, numbers as written), that of
other files over their bytes (OPA documentation, Bundles, Signature Format).

A key decides the algorithm, never the token: ES256 for a P-256 key, RS256 for an RSA key of 2048 bits or more. So
``none``, and an HMAC by the public key, are no signatures here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from proxy.decide.policies.archive import plain_path
from proxy.decide.policies.plain_json import parse_object, unique
from proxy.errors import ConfigurationError, PolicyInvalidError

SIGNATURES: Final = ".signatures.json"
MANIFEST: Final = ".manifest"
STRUCTURED: Final = frozenset({"data.json", MANIFEST})
"""Names whose files are hashed as JSON values, wherever they lie."""
MAX_SIGNATURE_BYTES: Final = 1 << 20
_PLUGIN: Final = "_default"
"""How OPA calls the form of signature that is described here."""
_LEAST_RSA_BITS: Final = 2048
_HASHES: Final[Mapping[str, Any]] = {
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the one algorithm it is good for."""

    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    algorithm: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    algorithm: str
    key_id: str
    """What OPA chooses its verification key by."""


def verification_key(pem: bytes) -> VerificationKey:
    """:raises ConfigurationError: it is no such public key"""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError("is no public key in PEM") from error
    return VerificationKey(key, _algorithm(key)) if isinstance(key, ec.EllipticCurvePublicKey) else _rsa(key)


def _rsa(key: object) -> VerificationKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise ConfigurationError("is neither an EC key on P-256 nor an RSA key")
    return VerificationKey(key, _algorithm(key))


def signing_key(pem: bytes, key_id: str) -> SigningKey:
    """:raises ConfigurationError: it is no such private key, or has a passphrase"""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError("is no private key in PEM without a passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigurationError("is neither an EC key on P-256 nor an RSA key")
    return SigningKey(key, _algorithm(key.public_key()), key_id)


def _algorithm(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name != "secp256r1":
            raise ConfigurationError("is an EC key on another curve than P-256")
        return "ES256"
    if key.key_size < _LEAST_RSA_BITS:
        raise ConfigurationError(f"is an RSA key of less than {_LEAST_RSA_BITS} bits")
    return "RS256"


def sign(files: Mapping[str, bytes], key: SigningKey) -> bytes:
    """``.signatures.json`` over these files."""
    told = [
        {"name": path, "hash": file_hash(path, files[path], "SHA-256"), "algorithm": "SHA-256"}
        for path in sorted(files)
    ]
    token = jwt.api_jws.encode(
        orjson.dumps({"files": told}), key.key, algorithm=key.algorithm, headers={"kid": key.key_id, "typ": "JWT"}
    )
    return orjson.dumps({"signatures": [token]})


def signed_hashes(signatures: bytes, keys: Iterable[VerificationKey]) -> Mapping[str, tuple[str, str]]:
    """Algorithm and hash of each file, by its path as :func:`plain_path` has it; the signature was verified.

    :raises PolicyInvalidError: no key of ours signed it, or it is of another form
    """
    if len(signatures) > MAX_SIGNATURE_BYTES:
        raise PolicyInvalidError(f"{SIGNATURES}: is larger than {MAX_SIGNATURE_BYTES} bytes")
    listed = parse_object(SIGNATURES, signatures)
    tokens = listed.pop("signatures", None)
    if listed.get("plugin", _PLUGIN) != _PLUGIN or not isinstance(tokens, list) or len(tokens) != 1:
        raise PolicyInvalidError(f"{SIGNATURES}: has to hold one signature")
    claims = parse_object(SIGNATURES, _verified(tokens[0], keys))
    if claims.get("scope", "") != "":
        raise PolicyInvalidError(f"{SIGNATURES}: is signed for a scope, and no scope is known here")
    files = claims.get("files")
    found: dict[str, tuple[str, str]] = {}
    for each in files if isinstance(files, list) else ():
        name, algorithm, told = (
            (each.get("name"), each.get("algorithm"), each.get("hash")) if isinstance(each, dict) else (None,) * 3
        )
        if not isinstance(name, str) or not isinstance(told, str) or not isinstance(algorithm, str):
            raise PolicyInvalidError(f"{SIGNATURES}: names a file without its hash")
        if algorithm not in _HASHES:
            raise PolicyInvalidError(f"{SIGNATURES}: names a file without a hash of the SHA-2 family")
        if (path := plain_path(name)) in found:
            raise PolicyInvalidError(f"{SIGNATURES}: names a file twice")
        found[path] = (algorithm, told.lower())
    return found


def _verified(token: object, keys: Iterable[VerificationKey]) -> bytes:
    if isinstance(token, str):
        for each in keys:
            try:
                payload = jwt.api_jws.decode(token, each.key, algorithms=[each.algorithm])
            except jwt.PyJWTError:
                continue
            if isinstance(payload, bytes):
                return payload
    raise PolicyInvalidError(f"{SIGNATURES}: no key that this site trusts signed it")


def file_hash(path: str, content: bytes, algorithm: str) -> str:
    """
    :raises PolicyInvalidError: it is to be hashed as JSON, and is none
    """
    state = _HASHES[algorithm]()
    if path.rpartition("/")[2] in STRUCTURED:
        pieces: list[str] = []
        try:
            _spell(
                json.loads(content.decode(), object_pairs_hook=unique, parse_int=_Literal, parse_float=_Literal), pieces
            )
        except (ValueError, RecursionError) as error:
            raise PolicyInvalidError(f"{path}: is no JSON that could be signed") from error
        content = "".join(pieces).encode(errors="surrogatepass")
    state.update(content)
    return str(state.hexdigest())


class _Literal(str):
    """A number as written."""


def _spell(value: object, pieces: list[str]) -> None:
    if isinstance(value, _Literal):
        pieces.append(value)
    elif isinstance(value, str):
        pieces.append(_text(value))
    elif isinstance(value, dict):
        mark = "{"
        for key in sorted(value):
            pieces += (mark, _text(key), ":")
            _spell(value[key], pieces)
            mark = ","
        pieces.append("}" if value else "{}")
    elif isinstance(value, list):
        mark = "["
        for each in value:
            pieces.append(mark)
            _spell(each, pieces)
            mark = ","
        pieces.append("]" if value else "[]")
    else:
        pieces.append("null" if value is None else "true" if value is True else "false")


def _text(value: str) -> str:
    """As OPA's own encoder spells it: like Python's, and the two line separators escaped."""
    return str(encode_basestring(value)).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
