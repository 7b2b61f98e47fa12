"""Late records: was there a decision before them? Looked for from the newest record back, until all is known. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from proxy.anchor.findings import FindingKind, Findings
from proxy.anchor.laws import Late, Laws
from proxy.anchor.standing import ends
from proxy.model import Kind
from proxy.ports import SpoolReader

_ROWS: Final = 1024


def look_again(laws: Laws, findings: Findings, readers: Mapping[bytes, SpoolReader]) -> None:
    """:param readers: by origin, oldest first

    :raises SpoolError: rows could not be read
    """
    if not laws.late:
        return
    open_ = {late.decision for late in laws.late}
    # Whether a decision came twice shows only when everything was looked through.
    repeated = {late.decision for late in laws.late if late.kind == Kind.DECISION}
    places: dict[str, list[tuple[bytes, int, str]]] = {identity: [] for identity in open_}
    for origin, index, body in _backwards(readers):
        identity, kind = body.get("id"), body.get("kind")
        if type(identity) is str and identity in places and type(kind) is str:
            places[identity].append((origin, index, kind))
            if kind == Kind.DECISION and identity not in repeated:
                open_.discard(identity)
                if not open_:
                    break
    pruned = any(reader.floor() for reader in readers.values())
    for late in laws.late:
        _settle(late, places[late.decision], laws, findings, pruned=pruned)


def _backwards(readers: Mapping[bytes, SpoolReader]) -> Iterator[tuple[bytes, int, dict[str, Any]]]:
    for origin, end in reversed(ends(readers).items()):
        reader, floor = readers[origin], readers[origin].floor()
        while end > floor:
            first = max(floor, end - _ROWS)
            for row in reversed(reader.rows(first, end - first)):
                with suppress(orjson.JSONDecodeError, AttributeError):
                    yield origin, row.index, dict(orjson.loads(row.body).items())
            end = first


def _settle(late: Late, places: list[tuple[bytes, int, str]], laws: Laws, findings: Findings, *, pruned: bool) -> None:
    own = (late.origin, late.index, late.kind)
    before = [kind for _, _, kind in places[places.index(own) + 1 :]] if own in places else []
    twice = {Kind.DECISION: FindingKind.DECISION_REPEATED, Kind.OUTCOME: FindingKind.OUTCOME_REPEATED}
    if late.kind in before and late.kind in (Kind.DECISION, Kind.OUTCOME):
        findings.add(
            twice[Kind(late.kind)],
            f"Record {late.index} is a second {late.kind} of one id.",
            origin=late.origin,
            indexes=(late.index,),
            decision=late.decision,
        )
    elif late.kind != Kind.DECISION and Kind.DECISION not in before:
        # Below the floor of a pruned spool it may well be.
        if not pruned:
            laws.without_decision(late.origin, late.index, late.kind, late.decision)
    elif late.kind == Kind.OUTCOME and not laws.resumed:
        laws.found_late()
