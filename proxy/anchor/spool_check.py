"""Steps 3 to 5 and 7 for one origin whose records are in a spool, or nowhere. Pure over chain facts and a reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.comparison import Comparison
from proxy.anchor.facts import ChainFacts, OriginFacts
from proxy.anchor.findings import FindingKind, Findings, OriginSummary, Source, TrustedHead
from proxy.anchor.following import follow, head_within
from proxy.anchor.laws import Laws
from proxy.anchor.strays import judge_strays
from proxy.ports import SpoolReader

ROWS: Final = 1024


class SpoolCheck:
    """One origin; ``records`` says how many were read."""

    def __init__(
        self,
        chain: ChainFacts,
        facts: OriginFacts,
        reader: SpoolReader | None,
        findings: Findings,
        laws: Laws,
        progress: Callable[[int], None],
    ) -> None:
        self._chain = chain
        self._facts = facts
        self._reader = reader
        self._findings = findings
        self._laws = laws
        self._progress = progress
        self._floor = 0 if reader is None else reader.floor()
        self._comparison = Comparison(facts.origin, b"", findings, laws)

    @property
    def records(self) -> int:
        return self._comparison.records

    def run(self, *, trusted: TrustedHead | None, resume: bool, limit: int, ends: bool) -> OriginSummary:
        """
        :param trusted: what was verified before
        :param resume: whether it may be left out
        :param limit: how many leaves the site stands by
        :param ends: a successor goes on, or the registrar closed it: nothing waits to be anchored
        """
        facts, reader = self._facts, self._reader
        start = self._start(trusted) if resume else None
        genesis = commitment.genesis(self._chain.chain_id, self._chain.contract, facts.origin)
        self._comparison = Comparison(facts.origin, start.head if start else genesis, self._findings, self._laws)
        self._laws.resumed = self._laws.resumed or start is not None
        followed = follow(
            facts,
            self._comparison,
            lambda batch: self._take(batch, limit),
            trusted=trusted,
            start=start,
            final=self._chain.final,
            upto=facts.state.count,
            findings=self._findings,
        )
        local = 0 if reader is None else reader.count()
        self._pruned()
        self._lost(min(limit, followed.count), local)
        if reader is not None and not ends:
            waits(
                reader, max(followed.count, self._floor), self._comparison, self._findings, self._laws, self._progress
            )
        return OriginSummary(
            origin=facts.origin,
            anchored=followed.count,
            head=self._comparison.chain_head,
            settled=replace(followed.settled, source=Source.SPOOL),
            local=local,
            since=0 if start is None else start.count,
            predecessor=facts.state.predecessor,
        )

    def _start(self, trusted: TrustedHead | None) -> TrustedHead | None:
        """Where the spool still stands by what was verified, it goes on from there."""
        if trusted is None or self._reader is None or not 0 < trusted.count <= self._facts.state.count:
            return None
        if trusted.block == 0 or trusted.source is not Source.SPOOL:
            return None
        return trusted if self._reader.head(trusted.count) == trusted.head else None

    def _take(self, batch: AnchoredBatch, limit: int) -> None:
        reader, floor = self._reader, self._floor
        if reader is not None and batch.first < floor <= batch.end:
            self._held_under(head_within(batch, self._comparison.chain_head, floor), reader.head(floor))
        rows = [] if reader is None or batch.first >= limit else reader.rows(batch.first, batch.count)
        if rows:
            self._laws.times.block(self._chain.block_time(batch.block))
        self._comparison.anchored(batch, rows, limit, floor)
        self._progress(len(rows))

    def _held_under(self, chain: bytes, stored: bytes | None) -> None:
        if chain != stored:
            self._findings.add(
                FindingKind.HEAD_CHANGED,
                f"The head under which {self._floor} records were pruned is not the chain's.",
                origin=self._facts.origin,
                indexes=(self._floor - 1,),
            )

    def _pruned(self) -> None:
        floor, published = self._floor, self._facts.state.published
        if floor == 0:
            return
        if floor > published:
            self._findings.add(
                FindingKind.PRUNED_WITHOUT_EVIDENCE,
                f"The spool begins at record {floor}; evidence is published of the first {published} alone.",
                origin=self._facts.origin,
                indexes=(published, floor - 1),
            )
        else:
            self._findings.add(
                FindingKind.RECORDS_PRUNED,
                f"The first {floor} records were pruned from the spool: verify them from evidence.",
                origin=self._facts.origin,
                indexes=(0, floor - 1),
            )

    def _lost(self, limit: int, local: int) -> None:
        # 5., the second look. Behind the spool's end the tail was cut, unless records were pushed over it.
        comparison, reader, facts = self._comparison, self._reader, self._facts
        expected = comparison.expected
        on_chain: dict[bytes, int] = {}
        in_spool: dict[bytes, int] = {}
        if reader is not None and (comparison.strays or any(index < local for index in expected)):
            strays = {stray.leaf for stray in comparison.strays.values()}
            on_chain = {
                leaf: index
                for batch in (facts.batches() if strays else ())
                for index, leaf in enumerate(batch.each(), batch.first)
                if leaf in strays
            }
            wanted = set(expected.values())
            for first in range(self._floor, local, ROWS):
                in_spool.update({row.leaf: row.index for row in reader.rows(first, ROWS) if row.leaf in wanted})
        pushed = sum(index >= local and leaf in in_spool for index, leaf in expected.items())
        lost = limit - local - pushed
        if lost > 0:
            self._findings.add(
                FindingKind.TAIL_CUT,
                f"The spool ends after {local} records; {lost} that were anchored behind them are gone.",
                origin=facts.origin,
                indexes=(local,),
            )
        inner = {index: leaf for index, leaf in expected.items() if index < local or leaf in in_spool}
        judge_strays(facts.origin, comparison.strays, inner, on_chain, in_spool, limit, self._findings)


def waits(
    reader: SpoolReader,
    first: int,
    comparison: Comparison,
    findings: Findings,
    laws: Laws,
    progress: Callable[[int], None],
) -> None:
    """Records that are not on the chain yet, held against themselves."""
    begin, waiting = first, reader.count() - first
    laws.times.block(None)
    while first < reader.count():
        rows = reader.rows(first, ROWS)
        comparison.waiting(rows, first)
        first += ROWS
        progress(len(rows))
    if waiting > 0:
        findings.add(
            FindingKind.NOT_ANCHORED_YET,
            f"{waiting} records are not on the chain yet.",
            origin=reader.origin,
            indexes=(begin,),
        )
