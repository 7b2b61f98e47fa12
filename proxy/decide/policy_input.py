"""Builds what policy sees: the contract of ``policies/schemas/input.v1.json``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from proxy.model import (
    DecisionId,
    DicomRequest,
    JsonObject,
    Posture,
    Principal,
    ResourceContext,
    Row,
    SiteRequest,
    wire_time,
)

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where the decision is made; the same for every request of a process, but for ``network``."""

    site: str
    origin: str
    """Lower-case hexadecimal of the spool's origin, or empty."""
    network: str
    """Configured name of the network the peer's address is in, or empty. Never a ground to allow by itself."""

    def to_wire(self) -> JsonObject:
        return {"site": self.site, "origin": self.origin, "network": self.network}


def build_input(
    *,
    decision: DecisionId,
    now: datetime,
    request: DicomRequest | SiteRequest,
    principal: Principal,
    posture: Posture,
    environment: Environment,
    resource: ResourceContext | None = None,
    rows: Sequence[Row] = (),
    counters: Mapping[str, int] | None = None,
) -> JsonObject:
    """The whole input of one evaluation. ``resource`` ``None``: nothing was asked of the archive, so nothing is known.

    ``rows`` are what a search found, studies or series; only ``visible`` looks at them.
    """
    asked = request.to_wire()
    asked["id"] = decision
    context = resource if resource is not None else ResourceContext(known=False, as_of=now)
    return {
        "version": VERSION,
        "time": wire_time(now),
        "request": asked,
        "subject": principal.to_wire(),
        "device": {"id": principal.device, "posture": posture.to_wire()},
        "resource": context.to_wire(),
        "rows": [row.to_wire() for row in rows],
        "counters": dict(counters) if counters else {},
        "environment": environment.to_wire(),
    }
