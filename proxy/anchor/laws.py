"""What records must be to each other, whatever the chain says. Pure; holds about 100 bytes for each decision."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.anchor.findings import FindingKind, Findings
from proxy.model import Kind, RecordRow

_NAMES_DECISION = frozenset({Kind.PART.value, Kind.OUTCOME.value})


class Laws:
    """Takes records in the order of their origins and indices."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._decisions: dict[str, bool] = {}
        """Decision id -> whether its outcome was seen."""
        self.kinds: dict[str, int] = {}

    def take(self, origin: bytes, row: RecordRow) -> None:
        """A record whose leaf follows from it."""
        try:
            body: dict[str, Any] = orjson.loads(row.body)
            kind, identity = body["kind"], body.get("id", "")
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
            self._found(FindingKind.RECORD_UNREADABLE, origin, row, "is not a record of this version")
            return
        if kind != row.kind or identity != row.id:
            self._found(FindingKind.LABEL_CHANGED, origin, row, "is filed under a kind or decision that is not its own")
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        decisions = self._decisions
        if kind == "decision":
            if identity in decisions:
                self._found(FindingKind.DECISION_REPEATED, origin, row, "is a second decision with this id")
            decisions.setdefault(identity, False)
        elif kind in _NAMES_DECISION:
            if identity not in decisions:
                self._found(
                    FindingKind.WITHOUT_DECISION, origin, row, f"is an {kind} of a decision not recorded before"
                )
            elif kind == "outcome":
                if decisions[identity]:
                    self._found(FindingKind.OUTCOME_REPEATED, origin, row, "is a second outcome of its decision")
                decisions[identity] = True

    def assume(self, row: RecordRow) -> None:
        """A record already reported as changed: what it says is not believed, what follows from it is not reported."""
        if row.id:
            self._decisions.setdefault(row.id, row.kind == "outcome")

    def end(self) -> None:
        unknown = sum(not seen for seen in self._decisions.values())
        if unknown:
            self._findings.add(
                FindingKind.UNKNOWN_OUTCOME,
                f"{unknown} decisions have no outcome: their answers may or may not have left",
            )

    def _found(self, kind: FindingKind, origin: bytes, row: RecordRow, what: str) -> None:
        self._findings.add(kind, f"Record {row.index} {what}.", origin=origin, indexes=(row.index,), decision=row.id)
