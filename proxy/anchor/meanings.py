"""What each finding means, and what is to be done about it: for people, in the words of the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.anchor.findings import FindingKind as Kind


@dataclass(frozen=True, slots=True)
class Meaning:
    means: str
    do: str


_ASK_REGISTRAR: Final = "Ask the registrar, not over this node, and compare with what was agreed."
_OTHER_NODE: Final = "Ask another node, not the site's. Where it says the same, treat the chain as forged."
_TAMPERED: Final = "Keep the spool as it is, compare with evidence and receipts, and ask who had access to the host."
_ASK_SITE: Final = "Ask the site for the bundle, or for another that it has to publish in its place."
_SITE_FAULT: Final = "Report it to the site: its proxy never writes this."
_NOTHING: Final = "Nothing."

MEANINGS: Final[dict[Kind, Meaning]] = {
    Kind.CONTRACT_CHANGED: Meaning("another contract or chain than the trust file names", _ASK_REGISTRAR),
    Kind.GENESIS_CHANGED: Meaning("a chain with the trusted id and another first block", _ASK_REGISTRAR),
    Kind.CODE_CHANGED: Meaning("the contract has other code than the trusted one", _ASK_REGISTRAR),
    Kind.REGISTRAR_CHANGED: Meaning("somebody else may open origins", _ASK_REGISTRAR),
    Kind.NODES_DIFFER: Meaning("two nodes say different things of the contract at one block", _OTHER_NODE),
    Kind.CHAIN_INCONSISTENT: Meaning("a node's events do not give what the contract counts", _OTHER_NODE),
    Kind.FORK: Meaning("the chain does not continue what was verified before", _OTHER_NODE),
    Kind.UNKNOWN_ORIGIN: Meaning(
        "an origin that the auditor does not know, or a spool whose origin is not on the chain",
        "Ask the registrar why it was opened. What is right is accepted with --accept.",
    ),
    Kind.ORIGIN_BROKEN: Meaning(
        "an origin was succeeded and anchored records were lost",
        "Ask the site what was lost and why. What is right is accepted with --accept and the successor.",
    ),
    Kind.RECORD_CHANGED: Meaning("a record no longer gives the leaf that was anchored", _TAMPERED),
    Kind.LEAF_CHANGED: Meaning("the leaf stored beside an anchored record is another", _TAMPERED),
    Kind.HEAD_CHANGED: Meaning("the head stored beside a record is another", _TAMPERED),
    Kind.RECORD_MISSING: Meaning("an anchored record is gone from the middle, or was not carried over", _TAMPERED),
    Kind.RECORDS_SWAPPED: Meaning("records stand in another order than they were anchored in", _TAMPERED),
    Kind.DUPLICATED: Meaning("an anchored record stands twice", _TAMPERED),
    Kind.TAIL_CUT: Meaning("anchored records are gone from the end", _TAMPERED),
    Kind.CONSISTENT_REWRITE: Meaning(
        "record, leaf and all heads after it were recomputed, and the chain has another leaf", _TAMPERED
    ),
    Kind.FOREIGN_LEAF: Meaning("a record that neither the chain nor the spool's heads know", _TAMPERED),
    Kind.PRUNED_WITHOUT_EVIDENCE: Meaning("the spool begins behind records of which no evidence is", _TAMPERED),
    Kind.EVIDENCE_MISSING: Meaning("content or keys of a published bundle are not there", _ASK_SITE),
    Kind.EVIDENCE_ALTERED: Meaning("the content is not of the identifier that was published", _ASK_SITE),
    Kind.EVIDENCE_UNREADABLE: Meaning(
        "a bundle does not open, or is of other records than it was published for", _ASK_SITE
    ),
    Kind.EVIDENCE_NO_KEY: Meaning(
        "a bundle was not made for this auditor's key", "Use the right key, or ask the site to wrap the bundle for it."
    ),
    Kind.EVIDENCE_CONTRADICTS: Meaning(
        "a bundle opens and holds other records than those that were anchored",
        "Keep the bundle: the site published it. Verify the spool of the same records.",
    ),
    Kind.LABEL_CHANGED: Meaning("the columns by which a record is found are not the record's own", _TAMPERED),
    Kind.RECORD_UNREADABLE: Meaning("anchored bytes that are no record of this version", _SITE_FAULT),
    Kind.DECISION_REPEATED: Meaning("two decisions have one id", _SITE_FAULT),
    Kind.OUTCOME_REPEATED: Meaning("a decision has two outcomes", _SITE_FAULT),
    Kind.WITHOUT_DECISION: Meaning("an outcome or a part names a decision that was not recorded before", _SITE_FAULT),
    Kind.RECORD_AFTER_BLOCK: Meaning(
        "a record says it is more than 60 s younger than the block that holds it",
        "Ask the site for its time service: the times of its records cannot be relied on.",
    ),
    Kind.CLOCK_WENT_BACK: Meaning(
        "a record says it is more than 60 s older than one before it, and no jump of the clock was noted",
        "Ask the site for its time service: the times of its records cannot be relied on.",
    ),
    Kind.NOT_ANCHORED_YET: Meaning("records that the chain does not hold yet", "Verify again later."),
    Kind.UNKNOWN_OUTCOME: Meaning("decisions of which it is not recorded what left", _NOTHING),
    Kind.ORIGIN_SUCCEEDED: Meaning("a break that lost nothing, or that the auditor accepted", _NOTHING),
    Kind.RECORDS_PRUNED: Meaning(
        "the spool no longer holds its oldest records, of which evidence is published", "Verify them from evidence."
    ),
    Kind.EVIDENCE_ERASED: Meaning(
        "the site destroyed a bundle and noted it", "Compare with the site's register of erasures."
    ),
    Kind.EVIDENCE_UNPUBLISHED: Meaning(
        "leaves that are final for more than an hour have no evidence", "Ask the site what its publisher waits for."
    ),
    Kind.CLOCK_JUMPED: Meaning("the site's clock was set back, and its proxy noted it", _NOTHING),
}
