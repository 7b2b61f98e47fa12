"""Whether records were made when they say: not after the block that holds them, and one after the other. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from proxy.anchor.findings import FindingKind, Findings
from proxy.model import wire_time

TOLERANCE: Final = timedelta(seconds=60)
"""Between two clocks, and between the arrival of a request and the record of its decision."""
_EXPLAINED: Final = timedelta(seconds=10)
"""Within this the clock watch of the proxy has seen a jump."""
_NEVER: Final = "~"
"""Sorts behind every time."""
_LENGTH: Final = len("2026-11-22T19:40:00.123Z")


@dataclass(slots=True)
class _Jump:
    index: int
    before: str
    after: str
    until: str


class Times:
    """Takes records in the order of their origins and indices. Texts of one length are compared as texts."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._origin = b""
        self._latest = ""
        self._block = _NEVER
        self._jump: _Jump | None = None

    def block(self, seconds: int | None) -> None:
        """What comes next was anchored at this time, ``None``: not yet."""
        self._block = _NEVER if seconds is None else wire_time(datetime.fromtimestamp(seconds, UTC) + TOLERANCE)

    def take(self, origin: bytes, index: int, body: dict[str, Any]) -> None:
        time = body.get("time")
        if type(time) is not str or len(time) != _LENGTH:
            return
        if origin == self._origin and self._latest <= time <= self._block and self._jump is None:
            self._latest = time
            return
        if time > self._block:
            self._findings.add(
                FindingKind.RECORD_AFTER_BLOCK,
                f"Record {index} says {time} and stands in a block from before {self._block}.",
                origin=origin,
                indexes=(index,),
                decision=body.get("id"),
            )
        if origin != self._origin:
            self.end()
            self._origin, self._latest = origin, time
        jump = self._jump
        if jump is not None:
            if body.get("event") == "clock-jumped":
                self._explained(jump)
            elif time > jump.until:
                self.end()
        if time >= self._latest:
            self._latest = time
        elif (after := _moment(time)) is not None and _moment(self._latest, after) - after > TOLERANCE:
            self.end()
            self._jump = _Jump(index=index, before=self._latest, after=time, until=wire_time(after + _EXPLAINED))
            if body.get("event") == "clock-jumped":
                self._explained(self._jump)
            self._latest = time

    def end(self) -> None:
        """No more records come that could explain a clock that went back."""
        if self._jump is not None:
            self._told(FindingKind.CLOCK_WENT_BACK, self._jump)

    def _explained(self, jump: _Jump) -> None:
        self._told(FindingKind.CLOCK_JUMPED, jump)

    def _told(self, kind: FindingKind, jump: _Jump) -> None:
        self._jump = None
        self._findings.add(
            kind,
            f"Record {jump.index} says {jump.after}, after one that says {jump.before}.",
            origin=self._origin,
            indexes=(jump.index,),
        )


def _moment(time: str, otherwise: datetime | None = None) -> Any:
    try:
        return datetime.fromisoformat(time)
    except ValueError:
        return otherwise
