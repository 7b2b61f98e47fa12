"""What is recorded, and where it stands (steps 6, 11 and 12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    DECISION = "decision"
    PART = "part"
    OUTCOME = "outcome"
    EVENT = "event"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """Where a record stands in its origin's chain once fsync has returned."""

    origin: bytes
    index: int
    leaf: bytes
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """One record as it is kept: ``leaf == SHA-256(0x00 || salt || body)``."""

    index: int
    kind: str | None
    """What it is filed under, ``None`` where it is kept without. The record says it too."""
    id: str
    salt: bytes
    body: bytes
    """Canonical JSON, RFC 8785."""
    leaf: bytes
    head: bytes | None
    """``None`` where none is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A decision found again, as it was recorded: its reader may be told a part of it only."""

    chain_id: int
    contract: bytes
    origin: bytes
    index: int
    leaf: bytes
    receipt: str | None
    """Compact JWS (RFC 7515); ``None`` where the key of its origin is gone."""
    decision: dict[str, Any]
    outcome: dict[str, Any] | None
    parts: tuple[dict[str, Any], ...]


class OutcomeStatus(StrEnum):
    COMPLETE = "complete"
    ABORTED = "aborted"
    """The client went away."""
    TERMINATED = "terminated"
    """Cut by the proxy: ``reason`` says why."""
    FAILED = "failed"
    """The archive failed after the decision."""
