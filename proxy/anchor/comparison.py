"""One origin's rows against the chain's leaves, position by position. Pure.

A row that is wrong in itself (leaf or head does not follow) is named at once. A row that is right in itself but
stands where the chain has another is a *stray*: only a second look over all leaves tells a swap from a copy, a
gap or a rewrite, so strays are gathered, and :mod:`proxy.anchor.strays` judges them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.findings import FindingKind, Findings
from proxy.anchor.laws import Laws
from proxy.model import RecordRow

MAX_STRAYS: Final = 100_000
"""More are the consequence of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    leaf: bytes
    decision: str
    chained: bool
    """The spool's own heads were computed over it."""


class Comparison:
    """Fed with batches and the rows of the same range, then with rows that are not anchored yet."""

    def __init__(self, origin: bytes, head: bytes, findings: Findings, laws: Laws) -> None:
        """:param head: from which the first leaf to come goes on"""
        self._origin = origin
        self._findings = findings
        self._laws = laws
        self.chain_head = head
        self._previous = head
        """Head stored with the row before."""
        self._waited = False
        self.strays: dict[int, Stray] = {}
        self.expected: dict[int, bytes] = {}
        """The chain's leaves where the spool has strays or nothing."""
        self.records = 0

    def anchored(self, batch: AnchoredBatch, rows: Sequence[RecordRow], limit: int, floor: int = 0) -> None:
        """Compare the part of ``batch`` from ``floor`` and below ``limit``; always follow its heads."""
        sha256 = hashlib.sha256
        head = self.chain_head
        places: Sequence[RecordRow | None] = rows
        if len(rows) != batch.count:
            by_index = {row.index: row for row in rows}
            places = [by_index.get(index) for index in range(batch.first, batch.end)]
        index = batch.first
        for row, leaf in zip(places, batch.each(), strict=True):
            head = sha256(head + leaf).digest()
            if index >= limit:
                pass
            elif index < floor:
                self._previous = head
            elif row is None:
                self._keep(index, leaf)
                self._previous = head
            else:
                fits = row.leaf == leaf and (row.head is None or row.head == head)
                if fits and sha256(b"\x00" + row.salt + row.body).digest() == leaf:
                    self._laws.take(self._origin, row)
                else:
                    self._judge(row, leaf, head)
                self._previous = head if row.head is None else row.head
                self.records += 1
            index += 1
        self.chain_head = head

    def waiting(self, rows: Sequence[RecordRow], first: int) -> None:
        """Rows that the chain does not have yet can only be held against themselves."""
        index = first
        for row in rows:
            for gap in range(index, row.index):
                self._found(FindingKind.RECORD_MISSING, gap, None, "is missing; it was not anchored yet")
            gapless = row.index == index
            index = row.index + 1
            # Where the last anchored one was moved away, the chain still says what the first one here follows from.
            heads = (self._previous,) if self._waited else (self._previous, self.chain_head)
            follows = any(hashlib.sha256(head + row.leaf).digest() == row.head for head in heads)
            self._waited = True
            if hashlib.sha256(b"\x00" + row.salt + row.body).digest() != row.leaf:
                self._changed(row, FindingKind.RECORD_CHANGED, "does not give the leaf beside it")
            else:
                self._laws.take(self._origin, row)
            if gapless and not follows:
                self._changed(row, FindingKind.HEAD_CHANGED, "has a head that does not follow from the one before")
            self._previous = row.head or b""
            self.records += 1

    def _judge(self, row: RecordRow, leaf: bytes, head: bytes) -> None:
        computed = hashlib.sha256(b"\x00" + row.salt + row.body).digest()
        follows = hashlib.sha256(self._previous + row.leaf).digest()
        chained = row.head is not None and row.head == follows
        if computed == row.leaf != leaf:
            self._keep(row.index, leaf, Stray(leaf=computed, decision=row.id, chained=chained and row.head != head))
            self._laws.take(self._origin, row)
            return
        if computed == leaf:
            self._laws.take(self._origin, row)
            if row.leaf != leaf:
                self._changed(row, FindingKind.LEAF_CHANGED, "is the one anchored, but the leaf beside it was changed")
        else:
            self._laws.assume(row)
            also = "" if row.leaf == leaf else ", and the leaf beside it was changed too"
            self._changed(row, FindingKind.RECORD_CHANGED, f"does not give the leaf that was anchored{also}")
        if row.head is not None and row.head != head and not chained:
            self._changed(row, FindingKind.HEAD_CHANGED, "has a head that is neither the chain's nor follows")

    def _keep(self, index: int, leaf: bytes, stray: Stray | None = None) -> None:
        if len(self.expected) < MAX_STRAYS:
            self.expected[index] = leaf
            if stray is not None:
                self.strays[index] = stray

    def _changed(self, row: RecordRow, kind: FindingKind, what: str) -> None:
        self._found(kind, row.index, row.id, what)

    def _found(self, kind: FindingKind, index: int, decision: str | None, what: str) -> None:
        self._findings.add(kind, f"Record {index} {what}.", origin=self._origin, indexes=(index,), decision=decision)
