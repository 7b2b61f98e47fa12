"""What may be sent next, and where chain and spool part. Pure: rows and events in, leaves or a number out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.errors import IntegrityError
from proxy.model import RecordRow
from proxy.ports import SpoolReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Leaves that continue ``previous_head`` and lead to ``head``."""

    first: int
    previous_head: bytes
    leaves: list[bytes]
    head: bytes

    @property
    def end(self) -> int:
        return self.first + len(self.leaves)


def next_batch(rows: Sequence[RecordRow], first: int, previous_head: bytes) -> Batch:
    """Check what the spool holds before the chain is told: what is anchored can never be taken back.

    :raises IntegrityError: a row is missing, or its leaf or head does not follow from its record
    """
    head = previous_head
    leaves: list[bytes] = []
    for index, row in enumerate(rows, first):
        if row.index != index:
            raise IntegrityError(f"the spool has no record {index}")
        if commitment.leaf_of(row.salt, row.body) != row.leaf:
            raise IntegrityError(f"the leaf of record {index} does not follow from the record")
        head = commitment.next_head(head, row.leaf)
        if head != row.head:
            raise IntegrityError(f"the head of record {index} does not follow from its leaf")
        leaves.append(row.leaf)
    return Batch(first=first, previous_head=previous_head, leaves=leaves, head=head)


def agreed_leaves(anchored: Iterable[AnchoredBatch], reader: SpoolReader) -> int:
    """Length of the longest prefix that the chain and the spool have in common.

    An equal head after a batch means that all leaves up to it are equal, so leaves are compared in the one
    batch where the ways part.
    """
    agreed = 0
    for batch in anchored:
        if reader.head(batch.end) == batch.head:
            agreed = batch.end
            continue
        rows = {row.index: row.leaf for row in reader.rows(batch.first, batch.count)}
        for index, leaf in enumerate(batch.each(), batch.first):
            if rows.get(index) != leaf:
                return index
        # Every leaf is the chain's, the stored head is not: the spool's own business, nothing was lost here.
        agreed = batch.end
    return agreed
