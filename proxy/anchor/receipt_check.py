"""Holding an operator to a receipt: signed by the origin's key, and its leaf where it says. Pure over chain facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a leaf stands on the chain."""

    leaf: bytes
    block: int
    transaction: str


def check_receipt(receipt: str, chain: ChainFacts) -> ReceiptVerdict:
    """:func:`check_receipts` of one."""
    return check_receipts([receipt], chain)[0]


def check_receipts(receipts: Sequence[str], chain: ChainFacts) -> list[ReceiptVerdict]:
    """Judge compact JWS (RFC 7515; EdDSA, RFC 8037). Never raises for what a receipt can hold. The events of an origin
    are gone through once, however many receipts it gave.

    :raises ChainError: events could not be fetched
    """
    read = [_read(receipt, chain) for receipt in receipts]
    of_origin: dict[bytes, list[_Receipt]] = defaultdict(list)
    for one in read:
        if isinstance(one, _Receipt):
            of_origin[one.origin].append(one)
    judged = {
        said: verdict
        for origin, given in of_origin.items()
        for said, verdict in _standing(given, chain.origins[origin], chain)
    }
    return [judged[one] if isinstance(one, _Receipt) else one for one in read]


def _read(receipt: str, chain: ChainFacts) -> _Receipt | ReceiptVerdict:
    """What an origin of this chain signed, or why it proves nothing."""
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
        return _parse(orjson.loads(payload), chain, origin)
    except jwt.InvalidTokenError:
        return _invalid("its signature is not the origin's")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _invalid(f"it is malformed or for another ledger ({error})")


def _parse(payload: dict[str, Any], chain: ChainFacts, origin: bytes) -> _Receipt:
    if payload["chain_id"] != chain.chain_id or payload["contract"].lower() != "0x" + chain.contract.hex():
        raise ValueError("contract")
    if payload["origin"] != origin.hex():
        raise ValueError("origin")
    index, leaf = payload["index"], bytes.fromhex(payload["leaf"])
    if type(index) is not int or index < 0 or len(leaf) != 32:
        raise ValueError("place")
    return _Receipt(origin=origin, index=index, leaf=leaf, decision=str(payload["decision"]))


def _standing(
    given: Sequence[_Receipt], facts: OriginFacts, chain: ChainFacts
) -> Iterator[tuple[_Receipt, ReceiptVerdict]]:
    """Each of one origin's receipts, judged."""
    places = _places(facts, {said.index for said in given})
    moved = [said for said in given if said.index not in places or places[said.index].leaf != said.leaf]
    heirs = _carried(facts, chain, {said.leaf for said in moved}) if moved else {}
    for said in given:
        place, heir = places.get(said.index), heirs.get(said.leaf)
        if place is not None and place.leaf == said.leaf:
            what = "The chain holds its leaf at its index."
            yield said, _verdict(said, ReceiptStanding.ANCHORED, what, place, chain.final)
        elif heir is not None:
            what = "Its leaf stands in a successor of its origin."
            yield said, _verdict(said, ReceiptStanding.CARRIED, what, heir, chain.final)
        elif place is None and not facts.state.closed:
            what = "The chain does not reach its index yet."
            yield said, _verdict(said, ReceiptStanding.NOT_ANCHORED_YET, what)
        else:
            # A successor may still have carried leaves to anchor, so ask again before accusing.
            what = (
                "The chain holds another leaf at its index"
                if place is not None
                else "Its origin ended before its index"
            )
            what = f"{what}, and no successor holds its leaf."
            yield said, _verdict(said, ReceiptStanding.CONTRADICTED, what)


def _places(facts: OriginFacts, indices: set[int]) -> dict[int, _Place]:
    """What stands at these indices of an origin."""
    wanted = sorted(index for index in indices if index < facts.state.count)
    found: dict[int, _Place] = {}
    if not wanted:
        return found
    number = 0
    for batch in facts.batches():
        while number < len(wanted) and wanted[number] < batch.end:
            if wanted[number] >= batch.first:
                found[wanted[number]] = _place(batch, batch.leaf(wanted[number]))
            number += 1
        if number == len(wanted):
            break
    return found


def _carried(facts: OriginFacts, chain: ChainFacts, leaves: set[bytes]) -> dict[bytes, _Place]:
    """Where these leaves stand in successors of an origin, in the nearest first."""
    found: dict[bytes, _Place] = {}
    heir = chain.origins.get(facts.state.successor or b"")
    while heir is not None:
        for batch in heir.batches():
            for leaf in batch.each():
                if leaf in leaves and leaf not in found:
                    found[leaf] = _place(batch, leaf)
        if not heir.state.closed:
            break
        heir = chain.origins.get(heir.state.successor or b"")
    return found


def _place(batch: AnchoredBatch, leaf: bytes) -> _Place:
    return _Place(leaf=leaf, block=batch.block, transaction=batch.transaction)


def _verdict(
    said: _Receipt, standing: ReceiptStanding, sentence: str, place: _Place | None = None, final: int = 0
) -> ReceiptVerdict:
    return ReceiptVerdict(
        standing=standing,
        sentence=sentence,
        decision=said.decision,
        origin=said.origin,
        index=said.index,
        block=None if place is None else place.block,
        transaction=None if place is None else place.transaction,
        final=place is not None and place.block <= final,
    )


def _invalid(why: str) -> ReceiptVerdict:
    return ReceiptVerdict(standing=ReceiptStanding.INVALID, sentence=f"The receipt proves nothing: {why}.")
