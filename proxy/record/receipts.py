"""Receipts: what an operator cannot disown. A compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy.model import Durable, wire_time

TYPE: Final = "dicomward-receipt+jws"

_signer = jwt.PyJWS(algorithms=["EdDSA"])


class Receipts:
    """Signs for one origin. Payload: where a decision stands in the ledger, and when it was made."""

    def __init__(self, key: Ed25519PrivateKey, *, chain_id: int, contract: bytes, origin: bytes) -> None:
        self._key = key
        self._place = {"chain_id": chain_id, "contract": "0x" + contract.hex(), "origin": origin.hex()}
        self._headers = {"typ": TYPE, "kid": origin.hex()}

    def sign(self, decision: str, durable: Durable, now: datetime) -> str:
        payload = orjson.dumps(
            {
                **self._place,
                "index": durable.index,
                "leaf": durable.leaf.hex(),
                "decision": decision,
                "time": wire_time(now),
            },
            option=orjson.OPT_SORT_KEYS,
        )
        return _signer.encode(payload, self._key, algorithm="EdDSA", headers=self._headers)
