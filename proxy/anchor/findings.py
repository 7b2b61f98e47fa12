"""What a verification can find: a closed vocabulary, so that nothing is reported as a mere 'mismatch'."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.model import JsonObject


class FindingKind(StrEnum):
    # the chain against the trust file
    CONTRACT_CHANGED = "contract-changed"
    """Another contract or chain than the auditor trusts."""
    CODE_CHANGED = "code-changed"
    REGISTRAR_CHANGED = "registrar-changed"
    NODES_DIFFER = "nodes-differ"
    CHAIN_INCONSISTENT = "chain-inconsistent"
    """Events do not recompute to the contract's head: the node lies or lost some."""
    FORK = "fork"
    """The chain does not continue what was verified before."""
    UNKNOWN_ORIGIN = "unknown-origin"
    ORIGIN_BROKEN = "origin-broken"
    """An origin was succeeded by another: its spool was lost or restored."""
    # the spool against the chain
    RECORD_CHANGED = "record-changed"
    LEAF_CHANGED = "leaf-changed"
    HEAD_CHANGED = "head-changed"
    RECORD_MISSING = "record-missing"
    RECORDS_SWAPPED = "records-swapped"
    DUPLICATED = "duplicated"
    TAIL_CUT = "tail-cut"
    CONSISTENT_REWRITE = "consistent-rewrite"
    """Record, leaf and heads agree with each other and not with the chain."""
    FOREIGN_LEAF = "foreign-leaf"
    """A record that neither the chain nor the spool's own heads know."""
    # records against each other
    LABEL_CHANGED = "label-changed"
    """Kind or id beside a record, by which it is found, is not the record's."""
    RECORD_UNREADABLE = "record-unreadable"
    DECISION_REPEATED = "decision-repeated"
    OUTCOME_REPEATED = "outcome-repeated"
    WITHOUT_DECISION = "without-decision"
    """An outcome or part names a decision that was not recorded before it."""
    # not a fault
    NOT_ANCHORED_YET = "not-anchored-yet"
    UNKNOWN_OUTCOME = "unknown-outcome"
    ORIGIN_SUCCEEDED = "origin-succeeded"
    """A break that the auditor accepted, or one in which nothing was lost."""


INFORMATIONAL: Final = frozenset(
    {FindingKind.NOT_ANCHORED_YET, FindingKind.UNKNOWN_OUTCOME, FindingKind.ORIGIN_SUCCEEDED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    kind: FindingKind
    sentence: str
    origin: bytes | None = None
    indexes: tuple[int, ...] = ()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSummary:
    origin: bytes
    anchored: int
    head: bytes
    """The contract's, recomputed from leaves."""
    local: int
    predecessor: bytes | None

    def to_wire(self) -> JsonObject:
        return {
            "origin": self.origin.hex(),
            "anchored": self.anchored,
            "head": self.head.hex(),
            "local": self.local,
            "predecessor": None if self.predecessor is None else self.predecessor.hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    block: int
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
            "records": self.records,
            "kinds": dict(self.kinds),
            "origins": [one.to_wire() for one in self.origins],
            "counts": dict(self.counts),
            "findings": [one.to_wire() for one in self.findings],
        }
