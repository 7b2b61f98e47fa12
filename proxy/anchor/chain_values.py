"""What the contract says, as values: no library's types get further than the chain client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

MAX_LEAVES: Final = 1024
"""Most leaves of one transaction, as in the contract."""
LEAF_BYTES: Final = 32
_MAX_RAISES: Final = 60


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

    def each(self, start: int | None = None) -> Iterator[bytes]:
        """The leaves in order, from the one with index ``start`` of the origin if it is given."""
        leaves, begin = self.leaves, 0 if start is None else (start - self.first) * LEAF_BYTES
        return (leaves[place : place + LEAF_BYTES] for place in range(begin, len(leaves), LEAF_BYTES))


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
    legacy: bool = False
    """The chain has no base fee: ``max_fee`` is the gas price of a transaction of the first type."""

    def raised(self, times: int) -> Fees:
        """A quarter more each time: nodes take a replacement from a tenth more on."""
        times = min(times, _MAX_RAISES)
        factor = 1.25**times
        return replace(self, max_fee=int(self.max_fee * factor) + times, priority=int(self.priority * factor) + times)

    def within(self, limits: FeeLimits) -> Fees:
        """Not above the ceilings; a priority above the maximum fee would be invalid."""
        max_fee = self.max_fee if limits.max_fee is None else min(self.max_fee, limits.max_fee)
        priority = self.priority if limits.priority is None else min(self.priority, limits.priority)
        return replace(self, max_fee=max_fee, priority=min(priority, max_fee))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeLimits:
    """What a site pays at most; ``None`` is no ceiling."""

    max_fee: int | None = None
    """Wei a unit of gas. 0 for a consortium's chain without fees."""
    priority: int | None = None
    """Wei a unit of gas."""
    gas: int | None = None
    """Units of gas of one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    raw: bytes
    hash: str
