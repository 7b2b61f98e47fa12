"""What a verification can find: a closed vocabulary, so that nothing is reported as a mere 'mismatch'."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.model import JsonObject


class FindingKind(StrEnum):
    """Codes are stable. What each means, and what is to be done, stands in :mod:`proxy.anchor.meanings`."""

    # the chain against the trust file
    CONTRACT_CHANGED = "contract-changed"
    GENESIS_CHANGED = "genesis-changed"
    CODE_CHANGED = "code-changed"
    REGISTRAR_CHANGED = "registrar-changed"
    NODES_DIFFER = "nodes-differ"
    CHAIN_INCONSISTENT = "chain-inconsistent"
    FORK = "fork"
    UNKNOWN_ORIGIN = "unknown-origin"
    ORIGIN_BROKEN = "origin-broken"
    # the spool against the chain
    RECORD_CHANGED = "record-changed"
    LEAF_CHANGED = "leaf-changed"
    HEAD_CHANGED = "head-changed"
    RECORD_MISSING = "record-missing"
    RECORDS_SWAPPED = "records-swapped"
    DUPLICATED = "duplicated"
    TAIL_CUT = "tail-cut"
    CONSISTENT_REWRITE = "consistent-rewrite"
    FOREIGN_LEAF = "foreign-leaf"
    PRUNED_WITHOUT_EVIDENCE = "pruned-without-evidence"
    # evidence against the chain
    EVIDENCE_MISSING = "evidence-missing"
    EVIDENCE_ALTERED = "evidence-altered"
    EVIDENCE_UNREADABLE = "evidence-unreadable"
    EVIDENCE_NO_KEY = "evidence-no-key"
    EVIDENCE_CONTRADICTS = "evidence-contradicts-chain"
    # records against each other and against the time of their blocks
    LABEL_CHANGED = "label-changed"
    RECORD_UNREADABLE = "record-unreadable"
    DECISION_REPEATED = "decision-repeated"
    OUTCOME_REPEATED = "outcome-repeated"
    WITHOUT_DECISION = "without-decision"
    RECORD_AFTER_BLOCK = "record-after-block"
    CLOCK_WENT_BACK = "clock-went-back"
    # not a fault
    NOT_ANCHORED_YET = "not-anchored-yet"
    UNKNOWN_OUTCOME = "unknown-outcome"
    ORIGIN_SUCCEEDED = "origin-succeeded"
    RECORDS_PRUNED = "records-pruned"
    EVIDENCE_ERASED = "evidence-erased"
    EVIDENCE_UNPUBLISHED = "evidence-unpublished"
    CLOCK_JUMPED = "clock-jumped"


INFORMATIONAL: Final = frozenset(
    {
        FindingKind.NOT_ANCHORED_YET,
        FindingKind.UNKNOWN_OUTCOME,
        FindingKind.ORIGIN_SUCCEEDED,
        FindingKind.RECORDS_PRUNED,
        FindingKind.EVIDENCE_ERASED,
        FindingKind.EVIDENCE_UNPUBLISHED,
        FindingKind.CLOCK_JUMPED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    kind: FindingKind
    sentence: str
    origin: bytes | None = None
    indexes: tuple[int, ...] = ()
    """Places in the origin. Of a bundle its first and its last."""
    decision: str | None = None

    @property
    def informational(self) -> bool:
        return self.kind in INFORMATIONAL

    def to_wire(self) -> JsonObject:
        return {
            "kind": self.kind.value,
            "informational": self.informational,
            "origin": None if self.origin is None else self.origin.hex(),
            "indexes": list(self.indexes),
            "decision": self.decision,
            "sentence": self.sentence,
        }


MAX_FINDINGS_A_KIND: Final = 1000
"""More of one kind are counted, not listed."""


@dataclass(slots=True)
class Findings:
    listed: list[Finding] = field(default_factory=list)
    counts: dict[FindingKind, int] = field(default_factory=dict)

    def add(
        self,
        kind: FindingKind,
        sentence: str,
        *,
        origin: bytes | None = None,
        indexes: tuple[int, ...] = (),
        decision: str | None = None,
    ) -> None:
        count = self.counts.get(kind, 0) + 1
        self.counts[kind] = count
        if count <= MAX_FINDINGS_A_KIND:
            self.listed.append(
                Finding(kind=kind, sentence=sentence, origin=origin, indexes=indexes, decision=decision or None)
            )

    @property
    def clean(self) -> bool:
        return all(kind in INFORMATIONAL for kind in self.counts)


class Source(StrEnum):
    SPOOL = "spool"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedHead:
    """What was verified: this head after so many leaves, and no others up to this block."""

    count: int
    head: bytes
    block: int = 0
    """0 where it is not known: everything is read again."""
    source: Source | None = None
    """What was read: records that were seen in the spool say nothing about their evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSummary:
    origin: bytes
    anchored: int
    head: bytes
    """The contract's, recomputed from leaves."""
    settled: TrustedHead
    """How far a later verification need not look again."""
    local: int
    """Records of the spool, or records whose evidence is published."""
    since: int
    """Leaves that were verified before and not read again."""
    predecessor: bytes | None

    def to_wire(self) -> JsonObject:
        return {
            "origin": self.origin.hex(),
            "anchored": self.anchored,
            "head": self.head.hex(),
            "settled": self.settled.count,
            "local": self.local,
            "since": self.since,
            "predecessor": None if self.predecessor is None else self.predecessor.hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    block: int
    final: int
    """Newest final block."""
    records: int
    """Records read and hashed."""
    kinds: dict[str, int]
    origins: tuple[OriginSummary, ...]
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    clean: bool

    def to_wire(self) -> JsonObject:
        return {
            "clean": self.clean,
            "block": self.block,
            "final": self.final,
            "records": self.records,
            "kinds": dict(self.kinds),
            "origins": [one.to_wire() for one in self.origins],
            "counts": dict(self.counts),
            "findings": [one.to_wire() for one in self.findings],
        }
