"""How a rule deep in this room says no. Never leaves the room: ``interpret`` turns it into a ``Refusal``."""

from __future__ import annotations

from proxy.model import Reason


class RefusedError(Exception):
    """``rule`` names what was broken and holds nothing of the input: it may be answered and logged."""

    def __init__(self, reason: Reason, rule: str) -> None:
        super().__init__(rule)
        self.reason = reason
        self.rule = rule
