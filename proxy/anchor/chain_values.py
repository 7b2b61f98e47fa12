"""What the contract says, as values: no library's types get further than the chain client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_LEAVES: Final = 1024
"""Most leaves of one transaction, as in the contract."""
LEAF_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginState:
    """One origin as it stands in the contract at one block."""

    writer: str
    receipt_key: bytes
    count: int
    head: bytes
    closed: bool
    predecessor: bytes | None
    agreed: int
    """With ``predecessor``: how many of its leaves the site still stands by."""
    successor: bytes | None
    opened: int
    """Block number."""
    published: int
    """How many of its leaves, from the first on, have evidence that was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredBatch:
    """One ``Anchored`` event."""

    first: int
    head: bytes
    leaves: bytes
    """Leaves one after the other, 32 bytes each."""
    block: int
    transaction: str

    @property
    def count(self) -> int:
        return len(self.leaves) // LEAF_BYTES

    @property
    def end(self) -> int:
        return self.first + self.count

    def leaf(self, index: int) -> bytes:
        """The leaf with this index of the origin, which must be in this batch."""
        place = (index - self.first) * LEAF_BYTES
        return self.leaves[place : place + LEAF_BYTES]

    def each(self) -> Iterator[bytes]:
        leaves = self.leaves
        return (leaves[place : place + LEAF_BYTES] for place in range(0, len(leaves), LEAF_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One ``Published`` event: where the evidence for leaves is said to be."""

    first: int
    count: int
    cid: str
    """As the writer said it; whether it is one shows when content is looked for under it."""
    block: int

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """EIP-1559 fees, wei a unit of gas."""

    max_fee: int
    priority: int

    def raised(self, times: int) -> Fees:
        """A quarter more each time: nodes take a replacement from a tenth more on."""
        factor = 1.25**times
        return Fees(max_fee=int(self.max_fee * factor) + times, priority=int(self.priority * factor) + times)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    raw: bytes
    hash: str
