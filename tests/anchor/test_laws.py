"""Laws of records while memory is bounded: what was forgotten is looked up again, and nobody is accused wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import commitment
from proxy.anchor.findings import FindingKind as Kind
from proxy.anchor.findings import Findings
from proxy.anchor.laws import MAX_LATE, Laws
from proxy.anchor.second_look import look_again
from proxy.model import JsonObject, RecordRow
from tests.anchor.spools import decision, identity, outcome

ORIGIN = b"\1" * 32


class Rows:
    """A spool in memory."""

    origin = ORIGIN
    predecessor: bytes | None = None
    agreed: int | None = None
    chain_id = 1
    contract = bytes(20)
    receipt_key = bytes(32)

    def __init__(self, records: Sequence[JsonObject | bytes], floor: int = 0) -> None:
        bodies = [each if isinstance(each, bytes) else commitment.canonical(each) for each in records]
        self.all = [
            RecordRow(index=index, kind=None, id="", salt=bytes(32), body=body, leaf=bytes(32), head=None)
            for index, body in enumerate(bodies)
        ]
        self._floor = floor

    def count(self) -> int:
        return len(self.all)

    def floor(self) -> int:
        return self._floor

    def head(self, count: int) -> bytes | None:
        return None

    def rows(self, first: int, count: int) -> list[RecordRow]:
        return [row for row in self.all[first : first + count] if row.index >= self._floor]

    def find(self, decision: str) -> list[RecordRow]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def judged(rows: Rows, *, remembered: int = 4, since: int = 0) -> dict[Kind, list[tuple[int, ...]]]:
    findings = Findings()
    laws = Laws(findings, remembered)
    laws.resumed = since > 0
    for row in rows.rows(since, rows.count()):
        laws.take(ORIGIN, row)
    look_again(laws, findings, {ORIGIN: rows})
    laws.end()
    found: dict[Kind, list[tuple[int, ...]]] = {}
    for finding in findings.listed:
        found.setdefault(finding.kind, []).append(finding.indexes)
    return found


def pairs(first: int, count: int) -> list[JsonObject]:
    return [
        each
        for number in range(first, first + count)
        for each in (decision(identity(number)), outcome(identity(number)))
    ]


def test_long_ledger_without_fault_is_without_finding_and_without_memory() -> None:
    findings = Findings()
    laws = Laws(findings, 16)
    for row in Rows(pairs(0, 500)).all:
        laws.take(ORIGIN, row)
    laws.end()
    assert findings.listed == []
    assert len(laws._open) + len(laws._closed) <= 32
    assert laws.late == []


def test_decision_repeated_long_after_it_was_forgotten_is_found() -> None:
    assert judged(Rows([*pairs(1, 20), decision(identity(3))])) == {
        Kind.DECISION_REPEATED: [(40,)],
        Kind.UNKNOWN_OUTCOME: [()],
    }


def test_second_outcome_long_after_is_found() -> None:
    assert judged(Rows([*pairs(1, 20), outcome(identity(3))])) == {Kind.OUTCOME_REPEATED: [(40,)]}


def test_outcome_of_a_decision_that_never_was_is_found_among_the_forgotten() -> None:
    records = [*pairs(2, 20), outcome(identity(1))]
    assert judged(Rows(records)) == {Kind.WITHOUT_DECISION: [(40,)]}


def test_stream_that_outlives_memory_has_its_outcome() -> None:
    begun = [decision(identity(number)) for number in range(1, 9)]
    ended = [outcome(identity(number)) for number in range(1, 9)]
    assert judged(Rows([*begun, *ended])) == {}


def test_outcome_whose_decision_was_verified_before_is_no_fault() -> None:
    records = [*pairs(1, 5), decision(identity(9)), outcome(identity(9)), outcome(identity(70))]
    assert judged(Rows(records), since=11) == {Kind.WITHOUT_DECISION: [(12,)]}


def test_second_outcome_over_what_was_verified_before_is_found() -> None:
    assert judged(Rows([*pairs(1, 5), outcome(identity(5))]), since=10) == {Kind.OUTCOME_REPEATED: [(10,)]}


def test_below_the_floor_of_a_pruned_spool_nobody_is_accused() -> None:
    assert judged(Rows([*pairs(1, 5), outcome(identity(90))], floor=4), since=10) == {}


def test_what_a_successor_carries_is_not_taken_for_a_repetition() -> None:
    old, new = Rows(pairs(1, 10)), Rows([*pairs(6, 5), *pairs(20, 10), outcome(identity(6))])
    new.origin, new.predecessor, new.agreed = b"\2" * 32, ORIGIN, 10
    readers = {ORIGIN: old, new.origin: new}
    findings = Findings()
    laws = Laws(findings, 2)
    for row in old.all[:10]:
        laws.take(ORIGIN, row)
    for row in new.all:
        laws.take(new.origin, row)
    look_again(laws, findings, readers)
    # The last one is a second outcome; those that stand in both files are not.
    assert [(one.kind, one.origin, one.indexes) for one in findings.listed] == [
        (Kind.OUTCOME_REPEATED, new.origin, (30,))
    ]


def test_more_late_records_than_are_kept_are_named_at_once() -> None:
    findings = Findings()
    laws = Laws(findings, 1)
    laws.resumed = True
    for number in range(MAX_LATE + 1):
        laws.take(ORIGIN, Rows([outcome(identity(number))]).all[0])
    assert len(laws.late) == MAX_LATE
    assert findings.counts == {Kind.WITHOUT_DECISION: 1}


@pytest.mark.parametrize(
    "nonsense", [b"", b"\xff", b"[]", b"1", b'{"v":1}', b'{"kind":1}', b'{"kind":"decision","id":[]}']
)
def test_bytes_that_are_no_record_are_named(nonsense: bytes) -> None:
    assert judged(Rows([nonsense])) == {Kind.RECORD_UNREADABLE: [(0,)]}


_TEXT = st.text(alphabet='{}[]",:\\kindinput ', max_size=30)
_VALUE = st.recursive(
    _TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)


@given(
    asked=st.dictionaries(st.sampled_from(["kind", "id", "input", "time", "x"]) | _TEXT, _VALUE, max_size=4),
    before=_VALUE,
)
def test_what_a_record_says_at_its_top_does_not_depend_on_its_input(asked: JsonObject, before: object) -> None:
    """However much the input looks like the record around it."""
    record = {"http": before, "id": identity(7), "input": asked, "kind": "decision", "time": "t", "v": 1, "verdict": {}}
    body = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    findings = Findings()
    laws = Laws(findings)
    laws.take(ORIGIN, RecordRow(index=0, kind="decision", id=identity(7), salt=b"", body=body, leaf=b"", head=None))
    assert findings.listed == []
    assert laws.kinds == {"decision": 1}
