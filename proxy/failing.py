"""Which attributes of a device's posture a refusal is about, by the record's own form. Pure.

Whoever is refused is told what is wrong, who said so and how long ago; an auditor is told the same from the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from proxy.model import JsonObject, Reason, Trust

ATTRIBUTE_OF: Final[Mapping[str, str]] = {
    Reason.POSTURE_DISK_UNENCRYPTED: "disk_encryption",
    Reason.POSTURE_FIREWALL_OFF: "firewall",
    Reason.POSTURE_MALWARE_PROTECTION_OFF: "malware_protection",
    Reason.POSTURE_PATCHES_OLD: "patch_age_days",
    Reason.POSTURE_SCREEN_UNLOCKED: "screen_lock",
}
"""The attribute that a reason is about. Those of the shipped policies: what a site adds is told by its reason alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """One attribute, and what was said of it; ``said`` is empty where nothing was."""

    name: str
    said: Mapping[str, Any]
    age_s: int | None
    """Seconds between the statement and the decision."""

    def to_wire(self) -> JsonObject:
        wire: JsonObject = {"name": self.name}
        for member in ("value", "source", "trust", "issued_at", "expires_at"):
            wire[member] = self.said.get(member)
        wire["age_s"] = self.age_s
        return wire


def failing(reason: str, posture: Mapping[str, Any], time: str) -> tuple[Failing, ...]:
    """What of a posture, in the form of policy input, a reason is about.

    :param time: of the decision, in the form of ``wire_time``; texts of that form sort as the times do
    """
    found: list[tuple[str, Mapping[str, Any]]]
    if reason == Reason.POSTURE_MISSING:
        found = [(name, {}) for name in sorted(ATTRIBUTE_OF.values()) if name not in posture]
    elif reason == Reason.POSTURE_STALE:
        found = [(name, said) for name, said in sorted(posture.items()) if said["expires_at"] <= time]
    elif reason == Reason.POSTURE_TRUST_TOO_LOW:
        found = [(name, said) for name, said in sorted(posture.items()) if said["trust"] == Trust.REPORTED]
    elif reason in ATTRIBUTE_OF and ATTRIBUTE_OF[reason] in posture:
        name = ATTRIBUTE_OF[reason]
        found = [(name, said) for said in _against(posture[name])]
    else:
        found = []
    return tuple(Failing(name=name, said=said, age_s=_age_s(said, time)) for name, said in found)


def _against(attribute: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of an attribute that several sources tell of, what speaks against the device; a number always may."""
    for said in (attribute, *attribute.get("others", ())):
        if said["value"] is not True:
            yield said


def _age_s(said: Mapping[str, Any], time: str) -> int | None:
    if not said:
        return None
    return int((datetime.fromisoformat(time) - datetime.fromisoformat(said["issued_at"])).total_seconds())
