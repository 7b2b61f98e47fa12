"""Steps 3 to 5 for one origin whose records are in published evidence. Pure over chain facts and a reader.

A bundle that is lost is one finding, not one for each of its records. What it holds is compared leaf by leaf: there is
no second opinion on records as a spool has it, so bundle and place are named, and the spool tells the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch, Publication
from proxy.anchor.evidence import AuditorKey, EvidenceStore, Header
from proxy.anchor.evidence.reader import Content, EvidenceReader
from proxy.anchor.facts import ChainFacts, OriginFacts
from proxy.anchor.findings import FindingKind, Findings, OriginSummary, Source, TrustedHead
from proxy.anchor.following import follow
from proxy.anchor.laws import Laws
from proxy.errors import EvidenceError, EvidenceFault

UNPUBLISHED_S: Final = 3600
"""Final leaves this much older than the newest final block should have evidence."""

_KINDS: Final = {
    EvidenceFault.ABSENT: FindingKind.EVIDENCE_MISSING,
    EvidenceFault.ALTERED: FindingKind.EVIDENCE_ALTERED,
    EvidenceFault.UNREADABLE: FindingKind.EVIDENCE_UNREADABLE,
    EvidenceFault.NO_KEY: FindingKind.EVIDENCE_NO_KEY,
    EvidenceFault.ERASED: FindingKind.EVIDENCE_ERASED,
}


def evidence_reader(
    chain: ChainFacts, facts: OriginFacts, store: EvidenceStore, key: AuditorKey, findings: Findings
) -> EvidenceReader:
    """What was published of one origin; a bundle that is lost becomes a finding.

    :raises ChainError: publications could not be fetched
    """
    header = Header(chain_id=chain.chain_id, contract=chain.contract, origin=facts.origin, first=0, count=1)
    told: set[Publication] = set()

    def lost(said: Publication, error: EvidenceError) -> None:
        if said in told:
            return
        told.add(said)
        findings.add(
            _KINDS[error.fault],
            f"Evidence of records {said.first} to {said.end - 1}, published in block {said.block}: {error.detail}.",
            origin=facts.origin,
            indexes=(said.first, said.end - 1),
        )

    reader = EvidenceReader(header, facts.state, facts.publications(), store, key, lost)
    if reader.gap is not None:
        findings.add(
            FindingKind.CHAIN_INCONSISTENT,
            f"The node contradicts itself: publications end at {reader.gap}, the contract counts"
            f" {facts.state.published}.",
            origin=facts.origin,
            indexes=(reader.gap,),
        )
    return reader


class EvidenceCheck:
    """One origin; ``records`` says how many were read."""

    def __init__(
        self,
        chain: ChainFacts,
        facts: OriginFacts,
        reader: EvidenceReader,
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
        self.chain_head = b""
        self.records = 0
        self._wrong: tuple[int, int] | None = None
        """First and last of the records that contradict the chain, of the run that was come upon last."""
        self._waiting: int | None = None
        """Block of the first final leaf without evidence."""

    def run(self, *, trusted: TrustedHead | None, resume: bool, limit: int) -> OriginSummary:
        """``limit``: how many leaves the site stands by. Otherwise as for a spool."""
        facts = self._facts
        start = trusted if resume and self._resumable(trusted) else None
        genesis = commitment.genesis(self._chain.chain_id, self._chain.contract, facts.origin)
        self.chain_head = start.head if start else genesis
        self._laws.resumed = self._laws.resumed or start is not None
        followed = follow(
            facts,
            self,
            lambda batch: self._take(batch, limit),
            trusted=trusted,
            start=start,
            final=self._chain.final,
            upto=facts.state.published,
            findings=self._findings,
        )
        self._tell_wrong()
        self._unpublished(min(followed.count, limit))
        return OriginSummary(
            origin=facts.origin,
            anchored=followed.count,
            head=self.chain_head,
            # What has no evidence yet was not verified, and is not remembered as if it were.
            settled=replace(followed.settled, source=Source.EVIDENCE),
            local=facts.state.published,
            since=0 if start is None else start.count,
            predecessor=facts.state.predecessor,
        )

    def _resumable(self, trusted: TrustedHead | None) -> bool:
        if trusted is None or trusted.source is not Source.EVIDENCE:
            return False
        return trusted.block > 0 and 0 < trusted.count <= self._facts.state.count

    def _take(self, batch: AnchoredBatch, limit: int) -> None:
        end = min(batch.end, limit, self._facts.state.published)
        if self._waiting is None and end < min(batch.end, limit) and batch.block <= self._chain.final:
            self._waiting = batch.block
        found = self._reader.contents(batch.first, end - batch.first) if batch.first < end else []
        if found:
            self._laws.times.block(self._chain.block_time(batch.block))
        self.chain_head = commitment.head_after(self.chain_head, batch.each())
        for first, contents in found:
            self._compare(batch, first, contents)
            self.records += len(contents)
            self._progress(len(contents))

    def _compare(self, batch: AnchoredBatch, first: int, contents: Sequence[Content]) -> None:
        sha256, take, origin = hashlib.sha256, self._laws.take_body, self._facts.origin
        for index, ((salt, body), leaf) in enumerate(zip(contents, batch.each(first), strict=False), first):
            if sha256(b"\x00" + salt + body).digest() == leaf:
                take(origin, index, body)
            else:
                self._contradicts(index)

    def _contradicts(self, index: int) -> None:
        """One finding for each run of records."""
        if self._wrong is not None and index == self._wrong[1] + 1:
            self._wrong = (self._wrong[0], index)
            return
        self._tell_wrong()
        self._wrong = (index, index)

    def _tell_wrong(self) -> None:
        if self._wrong is not None:
            first, last = self._wrong
            self._findings.add(
                FindingKind.EVIDENCE_CONTRADICTS,
                f"Evidence of records {first} to {last} opens and holds other records than those anchored.",
                origin=self._facts.origin,
                indexes=self._wrong,
            )

    def _unpublished(self, end: int) -> None:
        published = self._facts.state.published
        if self._waiting is None or published >= end:
            return
        age = self._chain.block_time(self._chain.final) - self._chain.block_time(self._waiting)
        if age > UNPUBLISHED_S:
            self._findings.add(
                FindingKind.EVIDENCE_UNPUBLISHED,
                f"{end - published} final records have no evidence, the oldest for {age} s.",
                origin=self._facts.origin,
                indexes=(published, end - 1),
            )
