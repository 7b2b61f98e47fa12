"""Builds what policy sees: the contract of ``policies/schemas/input.v1.json``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from cachetools import LRUCache

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
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where the decision is made; the same for every request of a process, but for ``network``."""

    site: str
    origin: str
    """Lower-case hexadecimal of the spool's origin, or empty."""
    network: str
    """Configured name of the network the peer's address is in, or empty. Never a ground to allow by itself."""
    local: datetime
    """The site's own time of day, since policies have no table of time zones."""

    def to_wire(self) -> JsonObject:
        return {
            "site": self.site,
            "origin": self.origin,
            "network": self.network,
            "local": {
                "date": f"{self.local:%Y-%m-%d}",
                "weekday": WEEKDAYS[self.local.weekday()],
                "time": f"{self.local:%H:%M}",
            },
        }


class Networks:
    """Names of networks by address. The narrowest that holds an address gives the name."""

    def __init__(self, named: Mapping[str, Sequence[str]]) -> None:
        """:param named: networks in CIDR notation by name"""
        networks = [(ip_network(each), name) for name, listed in named.items() for each in listed]
        self._networks = sorted(networks, key=lambda pair: -pair[0].prefixlen)
        self._known: LRUCache[str, str] = LRUCache(10_000)

    def name(self, address: str) -> str:
        """Empty where no network holds it, or it is no address."""
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = self._look(address)
        return found

    def _look(self, address: str) -> str:
        try:
            parsed = ip_address(address)
        except ValueError:
            return ""
        mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        return next((name for network, name in self._networks if (mapped or parsed) in network), "")


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
