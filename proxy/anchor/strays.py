"""Rows that are right in themselves and stand where the chain has another leaf: what happened to them? Pure.

Given where each stray's leaf stands on the chain, and where each displaced leaf of the chain stands in the spool:

- a stray that the chain has nowhere was written later: a rewrite if the heads were recomputed over it
- a stray that the chain has where the spool still holds it is a copy
- two strays in each other's place were swapped
- strays in rising order are pushed aside by a gap or an insertion, which is reported in their stead
- a leaf of the chain that the spool has nowhere is a missing record
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.anchor.comparison import Stray
from proxy.anchor.findings import FindingKind, Findings

_SHOWN = 16


def judge_strays(
    origin: bytes,
    strays: Mapping[int, Stray],
    expected: Mapping[int, bytes],
    on_chain: Mapping[bytes, int],
    in_spool: Mapping[bytes, int],
    end: int,
    findings: Findings,
) -> None:
    """``on_chain``: index of each stray's leaf. ``in_spool``: index of each expected leaf. Absent: nowhere.

    ``end`` is how many leaves the spool was compared with.
    """
    missing = [
        index
        for index, leaf in expected.items()
        if leaf not in in_spool and (index not in strays or strays[index].leaf in on_chain)
    ]
    for index in missing:
        findings.add(
            FindingKind.RECORD_MISSING, f"Record {index} was anchored and is missing.", origin=origin, indexes=(index,)
        )
    moved: dict[int, int] = {}
    for index, stray in strays.items():
        place = on_chain.get(stray.leaf)
        if place is None:
            # Where records are missing, as many that are not anchored yet moved up over the end.
            if index < end - len(missing) or expected[index] not in in_spool:
                _written_later(origin, index, stray, findings)
        elif place not in expected:
            findings.add(
                FindingKind.DUPLICATED,
                f"Record {index} is a copy of record {place}.",
                origin=origin,
                indexes=(place, index),
                decision=stray.decision,
            )
        else:
            moved[index] = place
    _swapped(origin, strays, moved, findings)


def _written_later(origin: bytes, index: int, stray: Stray, findings: Findings) -> None:
    kind, what = FindingKind.FOREIGN_LEAF, "was never anchored, nor do the spool's own heads know it"
    if stray.chained:
        kind = FindingKind.CONSISTENT_REWRITE
        what = "was rewritten with its leaf and all heads after it; the chain holds another leaf"
    findings.add(kind, f"Record {index} {what}.", origin=origin, indexes=(index,), decision=stray.decision)


def _swapped(origin: bytes, strays: Mapping[int, Stray], moved: dict[int, int], findings: Findings) -> None:
    pairs = {index for index, place in moved.items() if moved.get(place) == index}
    for index in sorted(pairs):
        if index < moved[index]:
            findings.add(
                FindingKind.RECORDS_SWAPPED,
                f"Records {index} and {moved[index]} stand in each other's place.",
                origin=origin,
                indexes=(index, moved[index]),
                decision=strays[index].decision,
            )
    rest = sorted(index for index in moved if index not in pairs)
    places = [moved[index] for index in rest]
    if places != sorted(places):
        findings.add(
            FindingKind.RECORDS_SWAPPED,
            f"{len(rest)} records stand in another order than they were anchored in.",
            origin=origin,
            indexes=tuple(rest[:_SHOWN]),
        )
