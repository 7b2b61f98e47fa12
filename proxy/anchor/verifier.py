"""Does the spool hold what was anchored, all of it, in order, and is the chain the one the auditor trusts?

1. the contract, its code and its registrar are those of the trust file
2. every origin, of the chain and of the spool, is one that the auditor knows, or succeeds one
3. an origin's events follow each other and recompute, leaf by leaf, to the contract's head
4. the chain continues what was verified before
5. every record gives the leaf that stands at its index, and the spool ends no earlier than the chain
6. records obey their laws: every outcome has its decision, no decision comes twice
7. where an origin was succeeded: what was lost, and what the site no longer stands by

Pure over chain facts and spool readers; rows and events are streamed. Left out: whether the node tells the
truth (two are compared by the caller, and heads are recomputed), and records that were never written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.comparison import Comparison
from proxy.anchor.facts import ChainFacts, OriginFacts
from proxy.anchor.findings import FindingKind, Findings, OriginSummary, Report
from proxy.anchor.laws import Laws
from proxy.anchor.strays import judge_strays
from proxy.anchor.trust import Trust
from proxy.ports import SpoolReader

_ROWS: Final = 1024


def verify(
    trust: Trust,
    chain: ChainFacts,
    spools: Mapping[bytes, SpoolReader],
    progress: Callable[[int], None] = lambda records: None,
) -> Report:
    """``spools``: readers by origin, oldest first. ``progress`` is told how many records were read.

    :raises ChainError: events could not be fetched
    :raises SpoolError: rows could not be read
    """
    return _Verification(trust, chain, spools, progress).run()


class _Verification:
    def __init__(
        self,
        trust: Trust,
        chain: ChainFacts,
        spools: Mapping[bytes, SpoolReader],
        progress: Callable[[int], None],
    ) -> None:
        self._trust = trust
        self._chain = chain
        self._spools = spools
        self._progress = progress
        self._findings = Findings()
        self._laws = Laws(self._findings)
        self._records = 0
        self._heirs = {reader.predecessor: reader for reader in spools.values() if reader.predecessor is not None}
        """Spool that carries on, by the origin it succeeds."""

    def run(self) -> Report:
        self._contract()
        self._origins()
        summaries = []
        for facts in self._chain.origins.values():
            if facts.origin in self._spools or self._known(facts):
                summaries.append(self._origin(facts))
        for origin, reader in self._spools.items():
            if origin not in self._chain.origins:
                comparison = Comparison(origin, reader.head(0) or b"", self._findings, self._laws)
                self._unanchored(reader, 0, comparison)
                self._records += comparison.records
        self._laws.end()
        return Report(
            block=self._chain.block,
            records=self._records,
            kinds=dict(sorted(self._laws.kinds.items())),
            origins=tuple(summaries),
            findings=tuple(self._findings.listed),
            counts={kind.value: count for kind, count in self._findings.counts.items()},
            clean=self._findings.clean,
        )

    def _contract(self) -> None:
        # 1.
        trust, chain, add = self._trust, self._chain, self._findings.add
        if (trust.chain_id, trust.contract) != (chain.chain_id, chain.contract):
            add(
                FindingKind.CONTRACT_CHANGED,
                f"This is contract 0x{chain.contract.hex()} on chain {chain.chain_id};"
                f" trusted is 0x{trust.contract.hex()} on chain {trust.chain_id}.",
            )
        if trust.code_hash != chain.code_hash:
            add(FindingKind.CODE_CHANGED, "The contract's code is not the trusted one.")
        if trust.registrar.lower() != chain.registrar.lower():
            add(FindingKind.REGISTRAR_CHANGED, f"The registrar is {chain.registrar}, trusted is {trust.registrar}.")

    def _known(self, facts: OriginFacts) -> bool:
        """The auditor knows it, or it descends from one that the auditor knows."""
        seen: OriginFacts | None = facts
        while seen is not None:
            if seen.origin in self._trust.origins:
                return True
            seen = self._chain.origins.get(seen.state.predecessor or b"")
        return False

    def _origins(self) -> None:
        # 2.
        for origin, facts in self._chain.origins.items():
            if not self._known(facts):
                self._findings.add(
                    FindingKind.UNKNOWN_ORIGIN,
                    f"Origin {origin.hex()} was opened by the registrar and is not in the trust file.",
                    origin=origin,
                )
        for origin in self._spools:
            if origin not in self._chain.origins:
                self._findings.add(
                    FindingKind.UNKNOWN_ORIGIN,
                    f"The spool's origin {origin.hex()} does not stand on the chain.",
                    origin=origin,
                )
        for origin, known in self._trust.origins.items():
            if origin not in self._chain.origins:
                self._findings.add(
                    FindingKind.FORK,
                    f"Origin {origin.hex()}, of which {known.count} leaves were verified, is not on this chain.",
                    origin=origin,
                )

    def _origin(self, facts: OriginFacts) -> OriginSummary:
        origin, state = facts.origin, facts.state
        reader = self._spools.get(origin)
        genesis = commitment.genesis(self._chain.chain_id, self._chain.contract, origin)
        comparison = Comparison(origin, genesis, self._findings, self._laws)
        limit = self._broken(facts)
        count = self._follow(facts, reader, comparison, limit)
        local = 0 if reader is None else reader.count()
        self._lost(facts, reader, comparison, min(limit, count), local)
        if reader is not None and reader.origin not in self._heirs and not state.closed:
            self._unanchored(reader, count, comparison)
        self._records += comparison.records
        if reader is not None:
            self._carried(reader)
        return OriginSummary(
            origin=origin, anchored=count, head=comparison.chain_head, local=local, predecessor=state.predecessor
        )

    def _broken(self, facts: OriginFacts) -> int:
        """7. How many leaves of this origin its site stands by."""
        successor = self._chain.origins.get(facts.state.successor or b"")
        if successor is None:
            return facts.state.count
        lost = facts.state.count - successor.state.agreed
        accepted = lost == 0 or successor.origin in self._trust.origins
        self._findings.add(
            FindingKind.ORIGIN_SUCCEEDED if accepted else FindingKind.ORIGIN_BROKEN,
            f"Origin {facts.origin.hex()} was succeeded by {successor.origin.hex()} after {successor.state.agreed}"
            f" agreed leaves; {lost} anchored records are lost.",
            origin=facts.origin,
            indexes=(successor.state.agreed,),
        )
        return successor.state.agreed

    def _follow(self, facts: OriginFacts, reader: SpoolReader | None, comparison: Comparison, limit: int) -> int:
        """3. to 5. along the events; returns how many leaves there are."""
        count = 0
        trusted = self._trust.origins.get(facts.origin)
        for batch in facts.batches():
            if batch.first != count:
                self._inconsistent(facts, f"the event after leaf {count} begins at {batch.first}")
                break
            rows = [] if reader is None or batch.first >= limit else reader.rows(batch.first, batch.count)
            if trusted is not None and batch.first < trusted.count <= batch.end:
                self._continues(facts.origin, trusted.head, comparison.chain_head, batch, trusted.count)
            comparison.anchored(batch, rows, limit)
            count = batch.end
            self._progress(len(rows))
        if (count, comparison.chain_head) != (facts.state.count, facts.state.head):
            self._inconsistent(facts, f"{count} leaves do not give the head of the {facts.state.count} it counts")
        if trusted is not None and trusted.count > count:
            self._findings.add(
                FindingKind.FORK,
                f"{trusted.count} leaves were verified before, the chain has {count}.",
                origin=facts.origin,
                indexes=(count,),
            )
        return count

    def _continues(self, origin: bytes, trusted: bytes, head: bytes, batch: AnchoredBatch, count: int) -> None:
        # 4.
        for index in range(batch.first, count):
            head = commitment.next_head(head, batch.leaf(index))
        if head != trusted:
            self._findings.add(
                FindingKind.FORK,
                f"The head after {count} leaves is not the one verified before: this is another chain.",
                origin=origin,
                indexes=(count - 1,),
            )

    def _inconsistent(self, facts: OriginFacts, what: str) -> None:
        self._findings.add(FindingKind.CHAIN_INCONSISTENT, f"The node contradicts itself: {what}.", origin=facts.origin)

    def _lost(
        self, facts: OriginFacts, reader: SpoolReader | None, comparison: Comparison, limit: int, local: int
    ) -> None:
        # 5., the second look. Behind the spool's end the tail was cut, unless records were pushed over it.
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
            for first in range(0, local, _ROWS):
                in_spool.update({row.leaf: row.index for row in reader.rows(first, _ROWS) if row.leaf in wanted})
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

    def _unanchored(self, reader: SpoolReader, first: int, comparison: Comparison) -> None:
        waiting = reader.count() - first
        while first < reader.count():
            rows = reader.rows(first, _ROWS)
            comparison.waiting(rows, first)
            first += _ROWS
            self._progress(len(rows))
        if waiting > 0:
            self._findings.add(
                FindingKind.NOT_ANCHORED_YET,
                f"{waiting} records are not on the chain yet.",
                origin=reader.origin,
                indexes=(reader.count() - waiting,),
            )

    def _carried(self, reader: SpoolReader) -> None:
        """7. What the site still held when it left an origin begins the next one, leaf for leaf."""
        heir = self._heirs.get(reader.origin)
        if heir is None:
            return
        start = heir.agreed or 0
        for first in range(start, reader.count(), _ROWS):
            kept = {row.index: row.leaf for row in heir.rows(first - start, _ROWS)}
            for row in reader.rows(first, _ROWS):
                if kept.get(row.index - start) != row.leaf:
                    self._findings.add(
                        FindingKind.RECORD_MISSING,
                        f"Record {row.index} was not carried into the successor {heir.origin.hex()}.",
                        origin=reader.origin,
                        indexes=(row.index,),
                        decision=row.id,
                    )
