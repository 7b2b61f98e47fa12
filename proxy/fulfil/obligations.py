"""Which obligations can be met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.model import Obligation, Reason

KNOWN: Final = frozenset({"seal", "filter_rows", "match", "mask", "hide", "limit"})
"""The types of version 1 of the policy contract. None of them can be met yet."""


def unmet(obligations: Sequence[Obligation]) -> Reason | None:
    """The reason to deny for, ``None`` where every obligation can be met."""
    if any(obligation.type not in KNOWN for obligation in obligations):
        return Reason.OBLIGATION_UNKNOWN
    return Reason.NOT_YET if obligations else None
