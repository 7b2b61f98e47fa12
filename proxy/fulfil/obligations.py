"""Which obligations can be met for which request. Pure.

A mask meets each representation differently: rows and metadata are rewritten, files cannot be, frames and renderings
hold no attribute but what is burned in, and bulk data is one attribute whose path tells what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.fulfil.masks import Mask, mask_of
from proxy.fulfil.pushdown import understood
from proxy.model import Action, DicomRequest, Obligation, Query, Reason, Representation

KNOWN: Final = frozenset({"seal", "filter_rows", "match", "mask", "hide", "limit"})
"""The types of version 1 of the policy contract."""


def unmet(request: DicomRequest, obligations: Sequence[Obligation]) -> Reason | None:
    """The reason to deny for, ``None`` where every obligation can be met."""
    for obligation in obligations:
        if obligation.type not in KNOWN:
            return Reason.OBLIGATION_UNKNOWN
        if obligation.type == "match" and not (request.action is Action.SEARCH and understood(obligation)):
            return Reason.OBLIGATION_UNKNOWN
        if obligation.type == "limit" and not _limitable(request, obligation):
            return Reason.OBLIGATION_UNKNOWN
    try:
        mask = mask_of(obligations)
    except ValueError:
        return Reason.OBLIGATION_UNKNOWN
    if any(obligation.type == "seal" for obligation in obligations):
        return Reason.NOT_YET
    return None if mask is None else _unmasked(request, mask)


def _limitable(request: DicomRequest, limit: Obligation) -> bool:
    """Time is limited where an answer streams; neither a search nor a store does."""
    return "seconds" not in limit.body or request.action not in (Action.SEARCH, Action.STORE)


def _unmasked(request: DicomRequest, mask: Mask) -> Reason | None:
    match request.action:
        case Action.SEARCH:
            if _asks_after_hidden(request.query, mask):
                return Reason.QUERY_NOT_PERMITTED
            possible = not mask.hides_identity
        case Action.METADATA:
            possible = not mask.hides_identity
        case Action.RETRIEVE:
            possible = request.representation is Representation.PIXELS and not mask.hides_pixels
        case Action.RENDER:
            possible = not mask.hides_pixels and not _annotated(request)
        case Action.BULKDATA:
            possible = bool(request.bulk) and not mask.bars(request.bulk)
        case Action.STORE:
            possible = True
        case _:
            possible = False
    return None if possible else Reason.MASK_NOT_POSSIBLE


def _asks_after_hidden(query: Query, mask: Mask) -> bool:
    """Matching on an attribute tells its value, whether the answer shows it or not."""
    asked = [tag for tag, _ in query.match] + [tag for tag in query.include if tag != "all"]
    return any(map(mask.hides, asked))


def _annotated(request: DicomRequest) -> bool:
    """Annotations are patient and technique burned into the picture by the archive (PS3.18 8.3.5.1.1)."""
    return request.rendering is not None and any(name == "annotation" for name, _ in request.rendering.parameters)
