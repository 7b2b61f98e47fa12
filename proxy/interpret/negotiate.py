"""Which of our offers a client's ``Accept`` picks (RFC 9110 12.5.1, PS3.18 8.7.5).

1. What a range says of an offer counts by how narrowly it names it: by type, then ``multipart/related`` alone, then
   ``image/*`` and its like, then ``*/*``. The narrowest decides, also where its weight is lower.
2. The offer of the highest weight wins, ours first among equals.

``transfer-syntax`` chooses between forms of one offer: of the ranges that decide, the highest weight, then the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from proxy.interpret.media_types import MediaRange, read_accept
from proxy.interpret.offers import SPELLINGS, Offer, Offers
from proxy.interpret.refused import RefusedError
from proxy.interpret.uid import EXPLICIT_LITTLE, is_uid
from proxy.model import Reason, Representation

ANY_SYNTAX: Final = "*"

# > dicom-media-type = (dcm-singlepart / dcm-multipart) [dcm-parameters]; transfer-syntax, charset (PS3.18 8.7.3.5).
# Where one of them changes nothing it is read and dropped; a range with any other parameter fits nothing here.
_SYNTAX: Final = frozenset({"type", "transfer-syntax"})
_TEXT: Final = _SYNTAX | {"charset"}
_PARAMETERS: Final = {
    Representation.DICOM: _SYNTAX,
    Representation.PIXELS: _SYNTAX,
    Representation.BULK: _SYNTAX,
    Representation.IMAGE: frozenset({"type"}),
    Representation.JSON: _TEXT,
    Representation.XML: _TEXT,
}


@dataclass(frozen=True, slots=True)
class Choice:
    offer: Offer
    transfer_syntax: str | None


@lru_cache(maxsize=1024)
def negotiate(accept: str | None, offers: Offers) -> Choice:
    """The offer that ``accept`` picks; without it the first.

    :raises RefusedError: none is acceptable, or the header is not a list of media ranges
    """
    ranges = read_accept("*/*" if accept is None else accept)
    best, best_weight = None, 0.0
    for offer in offers.of:
        found = _range_for(offer, ranges)
        if found is not None and found.weight > best_weight:
            best, best_weight = Choice(offer, _syntax(offer, found)), found.weight
    if best is None:
        raise RefusedError(Reason.NOT_ACCEPTABLE, "this resource is " + " or ".join(offers.labels))
    return best


def _range_for(offer: Offer, ranges: tuple[MediaRange, ...]) -> MediaRange | None:
    """The range that decides about this offer."""
    narrowest, decides = -1, None
    for found in ranges:
        narrow = _narrowness(offer, found)
        if narrow > narrowest or (narrow == narrowest and decides is not None and found.weight > decides.weight):
            narrowest, decides = narrow, found
    return decides


def _narrowness(offer: Offer, found: MediaRange) -> int:
    """How narrowly the range names the offer; -1 where it does not."""
    inner = found.parameters.get("type")
    if inner == "*/*":
        inner = None  # how dicomweb-client says that it takes parts of any type
    if inner is not None and (not offer.multipart or not _names(inner.lower(), offer)):
        return -1
    if found.parameters and not _fits(offer.representation, found.parameters):
        return -1
    if found.type == "*/*":
        return 0
    if offer.multipart:
        if found.type == "multipart/related":
            return 2 if inner is None else 3
        return 1 if found.type == "multipart/*" else -1
    if _names(found.type, offer):
        return 3
    return 1 if found.type == offer.media_type.partition("/")[0] + "/*" else -1


def _names(name: str, offer: Offer) -> bool:
    return SPELLINGS.get(name, name) == offer.media_type


def _fits(representation: Representation, parameters: dict[str, str]) -> bool:
    if not parameters.keys() <= _PARAMETERS[representation]:
        return False
    if parameters.get("charset", "utf-8").lower() != "utf-8":
        return False
    syntax = parameters.get("transfer-syntax", ANY_SYNTAX)
    if representation is Representation.BULK and syntax != EXPLICIT_LITTLE:
        return syntax == ANY_SYNTAX  # bytes come as they are stored, in no other encoding
    return syntax == ANY_SYNTAX or is_uid(syntax)


def _syntax(offer: Offer, found: MediaRange) -> str | None:
    """What is asked of the archive. For objects the default of PS3.18 8.7.3.5.2 is Explicit VR Little Endian, also
    behind a wildcard: archives answer so without us, and a client that cannot decompress relies on it.
    """
    match offer.representation:
        case Representation.DICOM:
            return found.parameters.get("transfer-syntax", EXPLICIT_LITTLE)
        case Representation.PIXELS:
            return found.parameters.get("transfer-syntax")
    return None
