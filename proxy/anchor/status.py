"""How far anchoring is, for the proxy, for metrics and for people: one small file, replaced as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import orjson

from proxy.model import wire_time


class AnchorState(StrEnum):
    OK = "ok"
    CHAIN_UNAVAILABLE = "chain-unavailable"
    """No node answers. The backlog waits in the spool."""
    REFUSED = "refused"
    """A node answers and does not take transactions: funds, fees, or another sender with the same key."""
    FEES_TOO_HIGH = "fees-too-high"
    """The chain asks more than the site's ceiling. Nothing is sent until it asks less."""
    NOT_THE_WRITER = "not-the-writer"
    """The registrar gave this origin to another account. Nothing is sent with this one."""
    ORIGIN_UNKNOWN = "origin-unknown"
    """The registrar has to open this origin."""
    DIVERGED = "diverged"
    """The chain holds another life of this origin: the proxy opens a successor after ``agreed`` leaves."""
    CLOSED = "closed"
    """The registrar closed this origin for good."""
    SPOOL_UNAVAILABLE = "spool-unavailable"
    SPOOL_INCONSISTENT = "spool-inconsistent"
    """A record, leaf and head in the spool contradict each other: nothing more is anchored, somebody must look."""
    MISCONFIGURED = "misconfigured"
    """The spool was made for another chain or contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorStatus:
    state: AnchorState
    updated_at: datetime
    account: str
    """Address of the writer."""
    origin: bytes | None = None
    local: int = 0
    """Records of the spool."""
    included: int = 0
    """Leaves that the contract holds as of the newest block."""
    final: int = 0
    """Leaves that it held as of the newest final block."""
    published: int = 0
    """Leaves whose evidence the contract names, as of the newest block."""
    evidence: str = "off"
    """``off``, ``ok``, or what is wrong with publishing it."""
    nodes: tuple[str, ...] = ()
    """Nodes that were passed over, by their place in the configuration, and why."""
    in_flight: int = 0
    """Transactions sent and not yet in a block."""
    oldest_unanchored_s: float | None = None
    """Age of the oldest record that the contract does not hold."""
    agreed: int | None = None
    """When diverged: how many leaves chain and spool have in common."""
    detail: str = ""

    def to_wire(self) -> bytes:
        fields = asdict(self)
        fields["state"] = self.state.value
        fields["updated_at"] = wire_time(self.updated_at)
        fields["origin"] = None if self.origin is None else self.origin.hex()
        fields["anchored"] = self.included
        fields["lag"] = max(0, self.local - self.included)
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def write_status(path: Path, status: AnchorStatus) -> None:
    """Replace the file, so that a reader sees the old one or the new one. Not fsynced: the chain is the memory."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(status.to_wire() + b"\n")
    temporary.replace(path)


def now() -> datetime:
    return datetime.now(UTC)
