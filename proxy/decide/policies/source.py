"""What a source of policies offers: a folder that is edited, or a server of signed bundles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from proxy.decide.policies.policy_set import PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    policies: PolicySet
    as_of: datetime
    """When they were issued, or read where nobody signed them."""
    serial: int | None = None
    """Grows with every bundle that is signed; ``None`` where nobody signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why nothing can be taken. A value, since an exception that crosses threads carries frames along, and with them
    an engine, to a thread on which that may not be dropped."""

    detail: str
    final: bool = True
    """Whether the policies are at fault, so that trying them again is of no use."""
    result: str = "rejected"
    """What it is counted as: ``rejected``, ``quarantined``, or ``unreachable`` for the source."""


class Source(Protocol):
    @property
    def name(self) -> str:
        """For messages; no secret."""
        ...

    @property
    def signed(self) -> bool:
        """Whether offers are signed, so that they have an age; and come from elsewhere, so that what was kept may serve
        while that is not reached."""
        ...

    async def first(self, now: datetime) -> Offer | Fault:
        """At the start of a worker: what is there."""
        ...

    async def look(self, now: datetime) -> Offer | Fault | None:
        """What is there now, the same value as before where it did not change; ``None`` while it may be
        half written."""
        ...

    async def close(self) -> None: ...
