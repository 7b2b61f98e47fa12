"""Holding an operator to a receipt: signed by the origin's key, and its leaf where it says. Pure over chain facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.facts import ChainFacts, OriginFacts
from proxy.model import JsonObject

TYPE: Final = "dicomward-receipt+jws"


class ReceiptStanding(StrEnum):
    ANCHORED = "anchored"
    CARRIED = "carried"
    """Its origin was succeeded before it was anchored; the leaf stands in a successor."""
    NOT_ANCHORED_YET = "not-anchored-yet"
    CONTRADICTED = "contradicted"
    """The origin signed it, and the chain holds another leaf at its place, or none for good."""
    UNKNOWN_ORIGIN = "unknown-origin"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptVerdict:
    standing: ReceiptStanding
    sentence: str
    decision: str | None = None
    origin: bytes | None = None
    index: int | None = None
    block: int | None = None
    transaction: str | None = None
    final: bool = False
    """No reorganisation takes its block back."""

    @property
    def good(self) -> bool:
        """The ledger holds what the receipt promises."""
        return self.standing in (ReceiptStanding.ANCHORED, ReceiptStanding.CARRIED)

    def to_wire(self) -> JsonObject:
        return {
            "standing": self.standing.value,
            "sentence": self.sentence,
            "decision": self.decision,
            "origin": None if self.origin is None else self.origin.hex(),
            "index": self.index,
            "block": self.block,
            "transaction": self.transaction,
            "final": self.final,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receipt:
    origin: bytes
    index: int
    leaf: bytes
    decision: str


def check_receipt(receipt: str, chain: ChainFacts) -> ReceiptVerdict:
    """Judge a compact JWS (RFC 7515; EdDSA, RFC 8037). Never raises for what a receipt can hold.

    :raises ChainError: events could not be fetched
    """
    try:
        header = jwt.get_unverified_header(receipt)
        origin = bytes.fromhex(header.get("kid", ""))
        facts = chain.origins.get(origin)
        if header.get("typ") != TYPE:
            return _invalid("it is not a receipt of this kind")
        if facts is None:
            return ReceiptVerdict(
                standing=ReceiptStanding.UNKNOWN_ORIGIN,
                sentence="Its origin does not stand on this chain.",
                origin=origin,
            )
        key = Ed25519PublicKey.from_public_bytes(facts.state.receipt_key)
        payload = jwt.PyJWS(algorithms=["EdDSA"]).decode(receipt, key, algorithms=["EdDSA"])
        said = _parse(orjson.loads(payload), chain, origin)
    except jwt.InvalidTokenError:
        return _invalid("its signature is not the origin's")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _invalid(f"it is malformed or for another ledger ({error})")
    return _standing(said, facts, chain)


def _parse(payload: dict[str, Any], chain: ChainFacts, origin: bytes) -> _Receipt:
    if payload["chain_id"] != chain.chain_id or payload["contract"].lower() != "0x" + chain.contract.hex():
        raise ValueError("contract")
    if payload["origin"] != origin.hex():
        raise ValueError("origin")
    index, leaf = payload["index"], bytes.fromhex(payload["leaf"])
    if type(index) is not int or index < 0 or len(leaf) != 32:
        raise ValueError("place")
    return _Receipt(origin=origin, index=index, leaf=leaf, decision=str(payload["decision"]))


def _standing(said: _Receipt, facts: OriginFacts, chain: ChainFacts) -> ReceiptVerdict:
    place = _batch_with(facts, said.index)
    if place is not None and place.leaf(said.index) == said.leaf:
        return _verdict(said, ReceiptStanding.ANCHORED, "The chain holds its leaf at its index.", place, chain.final)
    heir = chain.origins.get(facts.state.successor or b"")
    while heir is not None:
        for batch in heir.batches():
            if said.leaf in batch.each():
                what = "Its leaf stands in a successor of its origin."
                return _verdict(said, ReceiptStanding.CARRIED, what, batch, chain.final)
        if not heir.state.closed:
            break
        heir = chain.origins.get(heir.state.successor or b"")
    if place is None and not facts.state.closed:
        return _verdict(said, ReceiptStanding.NOT_ANCHORED_YET, "The chain does not reach its index yet.")
    # A successor may still have carried leaves to anchor, so ask again before accusing.
    what = "The chain holds another leaf at its index" if place is not None else "Its origin ended before its index"
    return _verdict(said, ReceiptStanding.CONTRADICTED, f"{what}, and no successor holds its leaf.")


def _batch_with(facts: OriginFacts, index: int) -> AnchoredBatch | None:
    if index >= facts.state.count:
        return None
    return next((batch for batch in facts.batches() if batch.first <= index < batch.end), None)


def _verdict(
    said: _Receipt, standing: ReceiptStanding, sentence: str, batch: AnchoredBatch | None = None, final: int = 0
) -> ReceiptVerdict:
    return ReceiptVerdict(
        standing=standing,
        sentence=sentence,
        decision=said.decision,
        origin=said.origin,
        index=said.index,
        block=None if batch is None else batch.block,
        transaction=None if batch is None else batch.transaction,
        final=batch is not None and batch.block <= final,
    )


def _invalid(why: str) -> ReceiptVerdict:
    return ReceiptVerdict(standing=ReceiptStanding.INVALID, sentence=f"The receipt proves nothing: {why}.")
