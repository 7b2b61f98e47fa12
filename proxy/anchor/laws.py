"""What records must be to each other, whatever the chain says. Pure; memory is bounded.

Decisions are remembered while they have no outcome, and for a while after. Ids sort by time, so that one which
is not remembered and sorts before what was forgotten may be an old one: it is *late*, and a second look over the
records tells (:mod:`proxy.anchor.second_look`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.anchor.findings import FindingKind, Findings
from proxy.anchor.times import Times
from proxy.model import Kind, RecordRow

REMEMBERED: Final = 2**17
"""Decisions of each sort: about 20 MiB."""
MAX_LATE: Final = 10_000

_INPUT: Final = b',"input":{'
_AFTER_INPUT: Final = b'},"kind":"'
_NAMES_DECISION: Final = frozenset({Kind.PART.value, Kind.OUTCOME.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A record about a decision that is not remembered, and may have been recorded."""

    origin: bytes
    index: int
    kind: str
    decision: str


class Laws:
    """Takes records in the order of their origins and indices."""

    def __init__(self, findings: Findings, remembered: int = REMEMBERED) -> None:
        self._findings = findings
        self._remembered = remembered
        # Not plain dicts: finding the oldest of those walks over every place that was given up before it.
        self._open: OrderedDict[str, None] = OrderedDict()
        """Decisions without an outcome, oldest first."""
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._forgotten = ""
        self._unknown = 0
        self.times = Times(findings)
        self.resumed = False
        """Whether records were left out that an earlier verification has seen."""
        self.late: list[Late] = []
        self.kinds: dict[str, int] = {}

    def take(self, origin: bytes, row: RecordRow) -> None:
        """A record whose leaf follows from it, with what it is filed under."""
        self.take_body(origin, row.index, row.body, row)

    def take_body(self, origin: bytes, index: int, record: bytes, filed: RecordRow | None = None) -> None:
        """The same, of a record that need not be filed anywhere."""
        try:
            body = _outermost(record)
            kind, identity = body["kind"], body.get("id", "")
            if type(identity) is not str or type(kind) is not str:
                raise TypeError("id")
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
            filed_under = "" if filed is None else filed.id
            self._found(FindingKind.RECORD_UNREADABLE, origin, index, filed_under, "is not a record of this version")
            return
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if filed is not None and filed.kind is not None and (kind != filed.kind or identity != filed.id):
            what = "is filed under a kind or decision that is not its own"
            self._found(FindingKind.LABEL_CHANGED, origin, index, identity, what)
        self.times.take(origin, index, body)
        known = identity in self._open
        if kind == "decision":
            if known or identity in self._closed:
                self._found(FindingKind.DECISION_REPEATED, origin, index, identity, "is a second decision with this id")
                return
            if identity <= self._forgotten:
                self._later(origin, index, kind, identity)
            self._begin(identity)
        elif kind in _NAMES_DECISION:
            self._follows(origin, index, kind, identity, known)

    def _follows(self, origin: bytes, index: int, kind: str, identity: str, known: bool) -> None:
        if known:
            if kind == "outcome":
                self._end(identity)
        elif identity in self._closed:
            if kind == "outcome":
                self._found(
                    FindingKind.OUTCOME_REPEATED, origin, index, identity, "is a second outcome of its decision"
                )
        elif self.resumed or identity <= self._forgotten:
            self._later(origin, index, kind, identity)
        else:
            self.without_decision(origin, index, kind, identity)

    def without_decision(self, origin: bytes, index: int, kind: str, identity: str) -> None:
        self._findings.add(
            FindingKind.WITHOUT_DECISION,
            f"Record {index} is an {kind} of a decision not recorded before.",
            origin=origin,
            indexes=(index,),
            decision=identity,
        )

    def assume(self, row: RecordRow) -> None:
        """A record already reported as changed: what it says is not believed, what follows from it is not reported."""
        if not row.id or row.id in self._closed:
            return
        self._begin(row.id)
        if row.kind == "outcome":
            self._end(row.id)

    def end(self) -> None:
        self.times.end()
        unknown = self._unknown + len(self._open)
        if unknown:
            self._findings.add(
                FindingKind.UNKNOWN_OUTCOME,
                f"{unknown} decisions have no outcome: their answers may or may not have left",
            )

    def found_late(self) -> None:
        """A forgotten decision has its outcome after all."""
        self._unknown = max(0, self._unknown - 1)

    def _begin(self, identity: str) -> None:
        self._open[identity] = None
        if len(self._open) > self._remembered:
            self._forget(self._open)
            self._unknown += 1

    def _end(self, identity: str) -> None:
        del self._open[identity]
        self._closed[identity] = None
        if len(self._closed) > self._remembered:
            self._forget(self._closed)

    def _forget(self, decisions: OrderedDict[str, None]) -> None:
        oldest, _ = decisions.popitem(last=False)
        self._forgotten = max(self._forgotten, oldest)

    def _later(self, origin: bytes, index: int, kind: str, identity: str) -> None:
        if len(self.late) < MAX_LATE:
            self.late.append(Late(origin=origin, index=index, kind=kind, decision=identity))
        elif kind == "decision":
            what = "sorts before what was forgotten, as too many do"
            self._found(FindingKind.DECISION_REPEATED, origin, index, identity, what)
        else:
            self.without_decision(origin, index, kind, identity)

    def _found(self, kind: FindingKind, origin: bytes, index: int, identity: str, what: str) -> None:
        self._findings.add(kind, f"Record {index} {what}.", origin=origin, indexes=(index,), decision=identity)


def _outermost(record: bytes) -> dict[str, Any]:
    """What stands at the record's top, read without the policy input, which is most of a decision.

    The input is cut out where the next member of the canonical form follows it. A wrong cut leaves brackets that do not
    match, since no string holds a bare quotation mark, and then all of it is read.

    :raises orjson.JSONDecodeError: not JSON
    """
    begin = record.find(_INPUT)
    end = -1 if begin < 0 else record.find(_AFTER_INPUT, begin)
    if end >= 0:
        try:
            return _object(record[: begin + len(_INPUT)] + record[end:])
        except orjson.JSONDecodeError:
            return _object(record)
    return _object(record)


def _object(text: bytes) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(text)
    return read
