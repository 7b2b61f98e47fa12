"""Policies as an OPA bundle: what a signer writes, a server hands out, and an OPA server loads as it is.

    .manifest          {"revision": "<digest>", "roots": [""], "rego_version": 1,
                        "metadata": {"dicomward": {"serial": 7, "issued_at": "2026-01-01T00:00:00Z"}}}
    .signatures.json   see ``signing.py``; absent where nobody signed
    capabilities.json  the built-ins that policies may call
    data.json          all data as one object
    <path>.rego        the modules

1. The archive is bounded and holds plain files alone (``archive.py``).
2. The signature is verified before anything else is read.
3. It names every file with its hash, and no file is there that it does not name.
4. The manifest, which is signed too, holds the serial and when the bundle was issued, and no more than is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from proxy.decide.policies.archive import pack_files, unpack_files
from proxy.decide.policies.plain_json import parse_object
from proxy.decide.policies.policy_set import CAPABILITIES, DATA, PolicySet
from proxy.decide.policies.signing import (
    MANIFEST,
    SIGNATURES,
    SigningKey,
    VerificationKey,
    file_hash,
    sign,
    signed_hashes,
    signing_key,
)
from proxy.errors import PolicyInvalidError
from proxy.model import MAX_INTEGER, PolicyDigest, wire_time

_HOW: Final = (
    'its .manifest needs {"metadata": {"dicomward": {"serial": <a number that grows>, "issued_at": "<RFC 3339>"}}}: '
    "write it with `dicomward policy bundle`, or add this before you sign"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPolicies:
    """What a verified bundle holds."""

    policies: PolicySet
    serial: int
    """Grows with every bundle that is signed."""
    issued_at: datetime


def signed_bundle(policies: PolicySet, serial: int, issued_at: datetime, key_pem: bytes, key_id: str) -> bytes:
    """
    :param key_pem: private key, EC P-256 or RSA
    :raises ConfigurationError: the key cannot be used
    """
    return pack(
        modules=policies.modules(),
        data=policies.data(),
        capabilities=policies.capabilities(),
        digest=policies.digest,
        serial=serial,
        issued_at=issued_at,
        key=signing_key(key_pem, key_id),
    )


def pack(
    *,
    modules: Iterable[tuple[str, str]],
    data: str,
    capabilities: bytes,
    digest: PolicyDigest,
    serial: int,
    issued_at: datetime,
    key: SigningKey | None = None,
) -> bytes:
    """A bundle; the same bytes for the same arguments where ``key`` is ``None``.

    :param digest: goes into the manifest as its revision
    """
    files = {path: text.encode() for path, text in modules}
    files[DATA], files[CAPABILITIES] = data.encode(), capabilities
    files[MANIFEST] = orjson.dumps(
        {
            "revision": digest,
            "roots": [""],
            "rego_version": 1,
            "metadata": {"dicomward": {"serial": serial, "issued_at": wire_time(issued_at)}},
        }
    )
    if key is not None:
        files[SIGNATURES] = sign(files, key)
    return pack_files(files)


def unpack_verified(content: bytes, keys: Sequence[VerificationKey]) -> SignedPolicies:
    """Steps 1 to 4.

    :raises PolicyInvalidError: one of them does not hold; nothing of the bundle may be used
    """
    files = unpack_files(content)
    signatures = files.pop(SIGNATURES, None)
    if signatures is None:
        raise PolicyInvalidError("the bundle is not signed")
    hashes = signed_hashes(signatures, keys)
    for path in files:
        if path not in hashes:
            raise PolicyInvalidError(f"{path}: is in the bundle, but not in its signature")
    for path, (algorithm, told) in hashes.items():
        if path not in files:
            raise PolicyInvalidError(f"{path}: is in the bundle's signature, but not in the bundle")
        if file_hash(path, files[path], algorithm) != told:
            raise PolicyInvalidError(f"{path}: is not what was signed")
    return _judged(files)


def _judged(files: Mapping[str, bytes]) -> SignedPolicies:
    if MANIFEST not in files:
        raise PolicyInvalidError(f"the bundle has no manifest: {_HOW}")
    manifest = parse_object(MANIFEST, files[MANIFEST])
    if manifest.keys() - {"revision", "roots", "rego_version", "metadata"}:
        raise PolicyInvalidError(f"{MANIFEST}: has members that are not known here")
    if manifest.get("roots", [""]) != [""] or manifest.get("rego_version", 1) != 1:
        raise PolicyInvalidError(f'{MANIFEST}: roots have to be [""], and rego_version 1')
    metadata = manifest.get("metadata")
    ours = metadata.get("dicomward") if isinstance(metadata, dict) else None
    serial, issued_at = (ours.get("serial"), ours.get("issued_at")) if isinstance(ours, dict) else (None, None)
    if type(serial) is not int or not 0 < serial <= MAX_INTEGER or not isinstance(issued_at, str):
        raise PolicyInvalidError(f"the bundle has no serial and time of issue: {_HOW}")
    counted = _counted(files)
    if CAPABILITIES not in counted:
        counted[CAPABILITIES] = _capabilities(ours)
    return SignedPolicies(policies=PolicySet(files=counted), serial=serial, issued_at=_moment(issued_at))


def _counted(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What policies consist of; tests may lie beside them."""
    counted: dict[str, bytes] = {}
    for path, content in files.items():
        if path in (DATA, CAPABILITIES) or (path.endswith(".rego") and not path.endswith("_test.rego")):
            counted[path] = content
        elif path != MANIFEST and not path.endswith("_test.rego"):
            raise PolicyInvalidError(
                f"{path}: a bundle holds modules, {CAPABILITIES} and all data as one {DATA}, and nothing else"
            )
    if not any(path.endswith(".rego") for path in counted):
        raise PolicyInvalidError("the bundle holds no policy")
    return counted


def _capabilities(ours: object) -> bytes:
    """From the manifest's ``metadata.dicomward.builtins``, a list of names, since ``opa build`` leaves the file out."""
    names = ours.get("builtins") if isinstance(ours, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PolicyInvalidError(
            f"the bundle has no {CAPABILITIES}: add it before you sign; for `opa build`, which leaves it out, name the "
            f"built-ins as metadata.dicomward.builtins in {MANIFEST}"
        )
    return orjson.dumps({"builtins": [{"name": name} for name in names]})


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise PolicyInvalidError(f"{MANIFEST}: issued_at names no time zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PolicyInvalidError(f"{MANIFEST}: issued_at is no time by RFC 3339") from error
