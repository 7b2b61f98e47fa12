"""The laws by which a record becomes a leaf and leaves become heads. Pure; the contract computes the same.

Example, all bytes::

    body    = canonical JSON of the record (RFC 8785)
    leaf    = SHA-256(0x00 || salt || body)                     salt: 32 random bytes
    head'   = SHA-256(head || leaf)
    head(0) = SHA-256("dicomward/origin/v1" || chain id, 32 bytes big endian || contract, 20 || origin, 32)

The salt keeps a leaf on a public chain from being guessed by who can enumerate records; it goes where the
record goes and is destroyed with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import orjson

from proxy.model import MAX_INTEGER, JsonObject, JsonValue

DOMAIN: Final = b"dicomward/origin/v1"
SALT_BYTES: Final = 32

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def canonical(record: JsonObject) -> bytes:
    """The one byte form of a record: objects, arrays, strings, booleans, integers below 2^53, ASCII keys.

    With ASCII keys, orjson's sorted output is RFC 8785 (a property test holds it against an independent
    implementation at a fifteenth of the cost).

    :raises ValueError: a float, a large integer, a key that is not ASCII, a lone surrogate
    """
    try:
        _check(record)
    except RecursionError as error:
        raise ValueError("the record nests too deeply") from error
    return encode(record)


def encode(record: JsonObject) -> bytes:
    """:func:`canonical` for a record that this package built from checked values: nothing is walked twice.

    Foreign JSON enters records only as posture values and obligations, and both are checked where they enter.
    """
    try:
        return orjson.dumps(record, option=_OPTIONS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise ValueError("the record has no canonical form") from error


def _check(value: JsonValue) -> None:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is dict:
        for key, inner in value.items():  # type: ignore[union-attr]
            if type(key) is not str or not key.isascii():
                raise ValueError("record keys are ASCII")
            _check(inner)
    elif kind is list:
        for inner in value:  # type: ignore[union-attr]
            _check(inner)
    elif kind is not int or not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]
        raise ValueError(f"a record holds no {kind.__name__} of this size or kind")


def leaf_of(salt: bytes, body: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + salt + body).digest()


def next_head(head: bytes, leaf: bytes) -> bytes:
    return hashlib.sha256(head + leaf).digest()


def head_after(head: bytes, leaves: Iterable[bytes]) -> bytes:
    """The head over ``leaves`` that follow ``head``."""
    sha256 = hashlib.sha256
    for leaf in leaves:
        head = sha256(head + leaf).digest()
    return head


def genesis(chain_id: int, contract: bytes, origin: bytes) -> bytes:
    """Head of an origin that holds nothing: bound to one contract on one chain, so that no two can be swapped."""
    if len(contract) != 20 or len(origin) != 32:
        raise ValueError("a contract address has 20 bytes, an origin 32")
    return hashlib.sha256(DOMAIN + chain_id.to_bytes(32, "big") + contract + origin).digest()
