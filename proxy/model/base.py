"""Identifiers, JSON and time, as everything else uses them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NewType

StudyUid = NewType("StudyUid", str)
SeriesUid = NewType("SeriesUid", str)
InstanceUid = NewType("InstanceUid", str)
DecisionId = NewType("DecisionId", str)
"""32 lower-case hexadecimal digits: milliseconds, then 80 random bits."""
DeviceId = NewType("DeviceId", str)
"""64 lower-case hexadecimal digits: SHA-256(authority's SPKI || configured SAN)."""
PolicyDigest = NewType("PolicyDigest", str)
"""64 lower-case hexadecimal digits over the policies and data that decided."""
NO_POLICY: Final = PolicyDigest("")
"""Where policy was not asked."""

JsonValue = None | bool | int | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]


def wire_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, for example ``2026-11-22T19:40:00.123Z``: what policy and records see."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


MAX_INTEGER: Final = 2**53 - 1
"""Largest integer a record may hold (RFC 8785 3.2.2.3, RFC 7493 2.2)."""
