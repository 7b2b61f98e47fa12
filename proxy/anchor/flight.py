"""Transactions sent and not yet in a block. Forgetting all of them is always safe: the contract takes nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.anchor.chain_values import SignedTransaction

SUCCESSION = -1
"""``first`` of a transaction that opens a successor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    origin: bytes
    nonce: int
    first: int
    end: int
    head: bytes
    """Head of the origin once this is in a block."""
    transaction: SignedTransaction
    publication: bool = False
    """Names evidence for ``[first, end)`` and moves no head."""


@dataclass(slots=True)
class Flight:
    """In the order of nonces, which is the order of indices."""

    resend_s: float
    """How long nothing may move before it is sent again for more."""
    sent: list[Sent] = field(default_factory=list)
    raised: int = 0
    """How often fees were raised since something last moved."""
    _stale_since: float | None = None

    def __len__(self) -> int:
        return len(self.sent)

    @property
    def leaves(self) -> Sent | None:
        """What was sent last of those that append leaves or open a successor."""
        return next((one for one in reversed(self.sent) if not one.publication), None)

    @property
    def publishes(self) -> bool:
        return any(one.publication for one in self.sent)

    def settle(self, *, expected: Callable[[Sent], bool], nonce: int, held: int, now: float) -> bool:
        """Take in what the chain says; returns whether something may be sent now.

        ``expected`` tells whether the contract would take this one next, ``nonce`` is what the chain expects of the
        account, ``held`` the nonce after those that the node still holds.
        """
        before = len(self.sent)
        self.sent = [one for one in self.sent if one.nonce >= nonce]
        if len(self.sent) < before:
            self.raised = 0
            # What is left counts from now: it could not be in a block before its forerunners.
            self._stale_since = None
        if self.sent:
            head = self.sent[0]
            if head.nonce != nonce or held <= head.nonce or not expected(head):
                # Refused by the contract, left behind by a reorganisation or a new origin, or lost by the node.
                self.sent.clear()
        if not self.sent and held <= nonce:
            self._stale_since = None
            return True
        if self._stale_since is None:
            self._stale_since = now
        if now - self._stale_since > self.resend_s:
            self._stale_since = now
            self.raised += 1
            self.sent.clear()
            return True
        # Somebody else's, or ours from before a crash: they will be in a block soon, and tell where to go on.
        return bool(self.sent)
