"""Do spool or evidence hold what was anchored, all of it, in order, and is the chain the one the auditor trusts?

1. the contract, its code, its registrar and the chain's first block are those of the trust file
2. every origin, of the chain's views, of its events and of the spool, is one the auditor knows, or succeeds one
3. an origin's events follow each other and recompute, leaf by leaf, to the contract's head
4. the chain continues what was verified before
5. every record gives the leaf that stands at its index; a spool ends no earlier than the chain, and evidence is
   there for all that is said to have some
6. records obey their laws: every outcome has its decision, no decision comes twice, no clock goes back, none is
   younger than its block
7. where an origin was succeeded: what was lost, and what the site no longer stands by

What the trust file holds as verified is not read again, unless asked for: the head at that place is looked at.

Pure over chain facts and readers; rows and events are streamed. Left out: whether the node tells the truth (two
are compared by the caller, and heads are recomputed), and records that were never written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from proxy.anchor.comparison import Comparison
from proxy.anchor.evidence import AuditorKey, EvidenceStore
from proxy.anchor.evidence_check import EvidenceCheck, evidence_reader
from proxy.anchor.facts import ChainFacts, OriginFacts
from proxy.anchor.findings import FindingKind, Findings, OriginSummary, Report
from proxy.anchor.laws import Laws
from proxy.anchor.second_look import look_again
from proxy.anchor.spool_check import ROWS, SpoolCheck, waits
from proxy.anchor.trust import Trust
from proxy.ports import SpoolReader

Progress = Callable[[int], None]


def _silent(records: int) -> None:
    """For who does not want to be told."""


def verify(
    trust: Trust,
    chain: ChainFacts,
    spools: Mapping[bytes, SpoolReader],
    progress: Progress = _silent,
    *,
    full: bool = False,
    only: Collection[bytes] = (),
) -> Report:
    """``spools``: readers by origin, oldest first. ``progress`` is told how many records were read.

    :param full: read again what the trust file holds as verified
    :param only: origins whose records, and those of their successors, are looked at; empty for all
    :raises ChainError: events could not be fetched
    :raises SpoolError: rows could not be read
    """
    run = _Verification(trust, chain, full=full, only=only, progress=progress)
    run.chain_and_origins(spools)
    run.spools(spools)
    return run.report(spools)


def verify_evidence(
    trust: Trust,
    chain: ChainFacts,
    store: EvidenceStore,
    key: AuditorKey,
    progress: Progress = _silent,
    *,
    full: bool = False,
    only: Collection[bytes] = (),
) -> Report:
    """The same from evidence alone: nothing of the site's host is needed.

    :raises ChainError: events could not be fetched
    :raises EvidenceError: ``STORE``: the store could not be asked
    """
    run = _Verification(trust, chain, full=full, only=only, progress=progress)
    run.chain_and_origins({})
    return run.report(run.evidence(store, key))


def verify_chain(trust: Trust, chain: ChainFacts) -> Report:
    """Steps 1 and 2 alone."""
    run = _Verification(trust, chain, full=False, only=(), progress=_silent)
    run.chain_and_origins({})
    return run.report({})


class _Verification:
    def __init__(
        self, trust: Trust, chain: ChainFacts, *, full: bool, only: Collection[bytes], progress: Progress
    ) -> None:
        self._trust = trust
        self._chain = chain
        self._resume = not full
        self._only = only
        self._progress = progress
        self._findings = Findings()
        self._laws = Laws(self._findings)
        self._records = 0
        self._summaries: list[OriginSummary] = []

    def chain_and_origins(self, spools: Mapping[bytes, SpoolReader]) -> None:
        self._contract()
        self._origins(spools)

    def spools(self, spools: Mapping[bytes, SpoolReader]) -> None:
        heirs = {reader.predecessor: reader for reader in spools.values() if reader.predecessor is not None}
        for facts in self._chain.origins.values():
            reader = spools.get(facts.origin)
            if not self._wanted(facts) or (reader is None and not self._known(facts)):
                continue
            check = SpoolCheck(self._chain, facts, reader, self._findings, self._laws, self._progress)
            summary = check.run(
                trusted=self._trust.origins.get(facts.origin),
                resume=self._resume,
                limit=self._broken(facts),
                ends=facts.origin in heirs or facts.state.closed,
            )
            self._summaries.append(summary)
            self._records += check.records
            if reader is not None and facts.origin in heirs:
                self._carried(reader, heirs[facts.origin])
        for origin, reader in spools.items():
            if origin not in self._chain.origins:
                comparison = Comparison(origin, reader.head(reader.floor()) or b"", self._findings, self._laws)
                waits(reader, reader.floor(), comparison, self._findings, self._laws, self._progress)
                self._records += comparison.records

    def evidence(self, store: EvidenceStore, key: AuditorKey) -> Mapping[bytes, SpoolReader]:
        readers: dict[bytes, SpoolReader] = {}
        for facts in self._chain.origins.values():
            if not self._wanted(facts):
                continue
            reader = evidence_reader(self._chain, facts, store, key, self._findings)
            readers[facts.origin] = reader
            check = EvidenceCheck(self._chain, facts, reader, self._findings, self._laws, self._progress)
            self._summaries.append(
                check.run(trusted=self._trust.origins.get(facts.origin), resume=self._resume, limit=self._broken(facts))
            )
            self._records += check.records
            reader.close()
        return readers

    def report(self, readers: Mapping[bytes, SpoolReader]) -> Report:
        look_again(self._laws, self._findings, readers)
        self._laws.end()
        return Report(
            block=self._chain.block,
            final=self._chain.final,
            records=self._records,
            kinds=dict(sorted(self._laws.kinds.items())),
            origins=tuple(self._summaries),
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
        if trust.genesis != chain.genesis:
            add(
                FindingKind.GENESIS_CHANGED, f"The chain's first block is 0x{chain.genesis.hex()}, not the trusted one."
            )
        if trust.code_hash != chain.code_hash:
            add(FindingKind.CODE_CHANGED, "The contract's code is not the trusted one.")
        if trust.registrar.lower() != chain.registrar.lower():
            add(FindingKind.REGISTRAR_CHANGED, f"The registrar is {chain.registrar}, trusted is {trust.registrar}.")

    def _known(self, facts: OriginFacts) -> bool:
        """The auditor knows it, or it descends from one that the auditor knows."""
        return self._descends(facts, self._trust.origins)

    def _wanted(self, facts: OriginFacts) -> bool:
        return not self._only or self._descends(facts, self._only)

    def _descends(self, facts: OriginFacts, origins: Collection[bytes]) -> bool:
        seen: OriginFacts | None = facts
        for _ in self._chain.origins:
            if seen is None or seen.origin in origins:
                break
            seen = self._chain.origins.get(seen.state.predecessor or b"")
        return seen is not None and seen.origin in origins

    def _origins(self, spools: Mapping[bytes, SpoolReader]) -> None:
        # 2.
        add, chain = self._findings.add, self._chain
        for origin, facts in chain.origins.items():
            if not self._known(facts):
                what = f"Origin {origin.hex()} was opened by the registrar and is not in the trust file."
                add(FindingKind.UNKNOWN_ORIGIN, what, origin=origin)
        for origin in sorted(chain.opened ^ chain.origins.keys()):
            place = "events and not its views" if origin in chain.opened else "views and not its events"
            what = f"The node contradicts itself: origin {origin.hex()} is in the contract's {place}."
            add(FindingKind.CHAIN_INCONSISTENT, what, origin=origin)
        for origin in spools:
            if origin not in chain.origins:
                what = f"The spool's origin {origin.hex()} does not stand on the chain."
                add(FindingKind.UNKNOWN_ORIGIN, what, origin=origin)
        for origin, known in self._trust.origins.items():
            if origin not in chain.origins:
                what = f"Origin {origin.hex()}, of which {known.count} leaves were verified, is not on this chain."
                add(FindingKind.FORK, what, origin=origin)

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

    def _carried(self, reader: SpoolReader, heir: SpoolReader) -> None:
        """7. What the site still held when it left an origin begins the next one, leaf for leaf."""
        start = heir.agreed or 0
        for first in range(max(start, reader.floor(), start + heir.floor()), reader.count(), ROWS):
            kept = {row.index: row.leaf for row in heir.rows(first - start, ROWS)}
            for row in reader.rows(first, ROWS):
                if kept.get(row.index - start) != row.leaf:
                    self._findings.add(
                        FindingKind.RECORD_MISSING,
                        f"Record {row.index} was not carried into the successor {heir.origin.hex()}.",
                        origin=reader.origin,
                        indexes=(row.index,),
                        decision=row.id,
                    )
