from __future__ import annotations

import base64
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from proxy.model import Kind
from proxy.record import Spool
from proxy.record.reader import current_reader
from tests.record.building import CHAIN_ID, CONTRACT, NOW, body


def key_of(folder: Path) -> Ed25519PublicKey:
    reader = current_reader(folder)
    try:
        return Ed25519PublicKey.from_public_bytes(reader.receipt_key)
    finally:
        reader.close()


async def test_receipt_verifies_against_the_origins_key_and_names_the_place(spool: Spool, tmp_path: Path) -> None:
    durable = await spool.record(Kind.DECISION, body(7))
    receipt = spool.receipt(f"{7:032x}", durable, NOW)
    verified = jwt.PyJWS().decode_complete(receipt, key_of(tmp_path / "spool"), algorithms=["EdDSA"])
    assert verified["header"] == {"typ": "dicomward-receipt+jws", "alg": "EdDSA", "kid": spool.origin.hex()}
    assert json.loads(verified["payload"]) == {
        "chain_id": CHAIN_ID,
        "contract": "0x" + CONTRACT.hex(),
        "origin": spool.origin.hex(),
        "index": 0,
        "leaf": durable.leaf.hex(),
        "decision": f"{7:032x}",
        "time": "2026-11-22T19:40:00.000Z",
    }


async def test_changed_receipt_does_not_verify(spool: Spool, tmp_path: Path) -> None:
    durable = await spool.record(Kind.DECISION, body(7))
    head, payload, signature = spool.receipt("id", durable, NOW).split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    content["index"] = 1
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.PyJWS().decode(f"{head}.{forged}.{signature}", key_of(tmp_path / "spool"), algorithms=["EdDSA"])


async def test_receipts_of_a_successor_verify_against_its_own_key(spool: Spool, tmp_path: Path) -> None:
    old = key_of(tmp_path / "spool")
    await spool.succeed(0, NOW)
    durable = await spool.record(Kind.DECISION, body(1))
    receipt = spool.receipt("id", durable, NOW)
    jwt.PyJWS().decode(receipt, key_of(tmp_path / "spool"), algorithms=["EdDSA"])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.PyJWS().decode(receipt, old, algorithms=["EdDSA"])


async def test_receipt_signed_after_a_succession_is_the_predecessors(spool: Spool, tmp_path: Path) -> None:
    """A read waits for the archive while its decision is long durable."""
    old, key = spool.origin, key_of(tmp_path / "spool")
    durable = await spool.record(Kind.DECISION, body(1))
    await spool.succeed(0, NOW)
    receipt = spool.receipt("id", durable, NOW)
    payload = json.loads(jwt.PyJWS().decode(receipt, key, algorithms=["EdDSA"]))
    assert (payload["origin"], payload["leaf"]) == (old.hex(), durable.leaf.hex())
