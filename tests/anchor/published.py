"""A ledger with its evidence published, of which tests take copies and spoil them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.anchor.chain_values import AnchoredBatch, Publication
from proxy.anchor.evidence import (
    AuditorKey,
    EvidencePublisher,
    FolderStore,
    Header,
    PublisherSettings,
    Sealed,
    seal_bundle,
)
from proxy.anchor.facts import ChainFacts, OriginFacts, collect_facts
from proxy.anchor.findings import Report, Source, TrustedHead
from proxy.anchor.trust import Trust
from proxy.anchor.verifier import verify, verify_evidence
from proxy.model import RecordRow
from proxy.record.reader import OriginReader, open_readers
from tests.anchor.conftest import CHAIN_ID, Ledger, anchor_all, cycle_until
from tests.anchor.spools import SpoolFile

ANCHORED = 60
WAITING = 10
BUNDLE = 16


@dataclass
class Published:
    """60 records anchored in batches of 12 and published in bundles of 16, 10 more waiting."""

    spool: SpoolFile
    evidence: Path
    key: AuditorKey
    facts: ChainFacts
    trusted: Trust | None = None
    """In place of what follows from the facts."""

    @property
    def origin(self) -> bytes:
        return self.spool.origin

    @property
    def own(self) -> OriginFacts:
        return self.facts.origins[self.origin]

    @property
    def publications(self) -> list[Publication]:
        return list(self.own.publications())

    def copy(self, folder: Path) -> Published:
        shutil.copytree(self.spool.folder, folder / "spool")
        shutil.copytree(self.evidence, folder / "evidence")
        spool = SpoolFile(folder / "spool", CHAIN_ID, self.facts.contract, self.spool.meta)
        spool.decisions = self.spool.decisions
        return replace(self, spool=spool, evidence=folder / "evidence")

    def rows(self) -> list[RecordRow]:
        reader = self.spool.reader()
        rows = reader.rows(0, reader.count())
        reader.close()
        return rows

    def trust(self, *, count: int = 0, head: bytes = bytes(32), block: int = 0) -> Trust:
        """What an auditor of evidence knows."""
        facts, source = self.facts, Source.EVIDENCE
        return Trust(
            chain_id=facts.chain_id,
            genesis=facts.genesis,
            contract=facts.contract,
            code_hash=facts.code_hash,
            registrar=facts.registrar,
            origins={self.origin: TrustedHead(count=count, head=head, block=block, source=source)},
        )

    def with_own(self, **changes: object) -> None:
        """What the chain is said to tell of the origin."""
        changed = replace(self.own, **changes)  # type: ignore[arg-type]
        self.facts = replace(self.facts, origins={**self.facts.origins, self.origin: changed})

    def with_batches(self, batches: list[AnchoredBatch]) -> None:
        self.with_own(batches=lambda: iter(batches), after=lambda block: (b for b in batches if b.block > block))

    def with_publications(self, said: list[Publication]) -> None:
        self.with_own(publications=lambda: iter(said))

    def sealed(self, first: int, rows: list[RecordRow], *keys: AuditorKey) -> Sealed:
        """Another bundle of these records, stored and not yet named."""
        header = Header(
            chain_id=CHAIN_ID, contract=self.facts.contract, origin=self.origin, first=first, count=len(rows)
        )
        sealed = seal_bundle(header, rows, [key.auditor for key in keys or (self.key,)])
        FolderStore(self.evidence).put(sealed.cid, sealed.content, sealed.envelope)
        return sealed

    def verified(self, trust: Trust | None = None, *, full: bool = False) -> Report:
        with ExitStack() as stack:
            readers = open_readers(self.spool.folder)
            for reader in readers:
                stack.callback(reader.close)
            return verify(
                trust or self.trusted or self.trust(), self.facts, {one.origin: one for one in readers}, full=full
            )

    def verified_evidence(
        self, trust: Trust | None = None, *, key: AuditorKey | None = None, full: bool = False
    ) -> Report:
        store = FolderStore(self.evidence)
        return verify_evidence(trust or self.trusted or self.trust(), self.facts, store, key or self.key, full=full)


def published(ledger: Ledger, folder: Path, fill: Callable[[SpoolFile], None] | None = None) -> Published:
    """``fill`` writes :data:`ANCHORED` records; without it plain decisions."""
    (folder / "spool").mkdir()
    spool = SpoolFile(folder / "spool", CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(spool)
    spool.fill(ANCHORED // 2) if fill is None else fill(spool)
    key = AuditorKey.generate()
    publisher = EvidencePublisher(
        reader=lambda origin: OriginReader(spool.folder, origin),
        store=lambda: FolderStore.prepared(folder / "evidence"),
        auditors=[key.auditor],
        settings=PublisherSettings(max_records=BUNDLE, max_wait_s=0.1),
    )
    try:
        anchor_all(ledger.worker(spool.folder, batch_size=12))
        # Only now: whoever waits for more records while they come makes bundles of any size.
        worker = ledger.worker(spool.folder, publisher=publisher)
        cycle_until(worker, lambda status: status.published == status.local and not status.in_flight)
    finally:
        publisher.close()
        ledger.close()
    spool.fill(WAITING // 2)
    return Published(spool, folder / "evidence", key, _remembered(collect_facts(ledger.client)))


def _remembered(facts: ChainFacts) -> ChainFacts:
    """The node is asked once, not for every copy."""
    origins = {origin: _held(one) for origin, one in facts.origins.items()}
    times = {batch.block: facts.block_time(batch.block) for one in origins.values() for batch in one.batches()}
    times[facts.final] = facts.block_time(facts.final)
    return replace(facts, origins=origins, block_time=times.__getitem__)


def _held(facts: OriginFacts) -> OriginFacts:
    batches, said = list(facts.batches()), list(facts.publications())
    return replace(
        facts,
        batches=lambda: iter(batches),
        after=lambda block: (batch for batch in batches if batch.block > block),
        publications=lambda: iter(said),
    )
