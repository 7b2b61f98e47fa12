"""Whether a node's word on one origin holds together, without any record: for who holds a receipt and nothing else."""

from __future__ import annotations

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.facts import ChainFacts
from proxy.anchor.findings import Finding, Findings
from proxy.anchor.following import follow
from proxy.anchor.trust import Trust


class _Leaves:
    def __init__(self, head: bytes) -> None:
        self.chain_head = head

    def take(self, batch: AnchoredBatch) -> None:
        self.chain_head = commitment.head_after(self.chain_head, batch.each())


def check_events(trust: Trust, chain: ChainFacts, origin: bytes) -> list[Finding]:
    """What speaks against the events of an origin and its successors: they do not give its head, or not what was
    verified before.

    :raises ChainError: events could not be fetched
    """
    findings = Findings()
    seen: set[bytes] = set()
    facts = chain.origins.get(origin)
    while facts is not None and facts.origin not in seen:
        seen.add(facts.origin)
        leaves = _Leaves(commitment.genesis(chain.chain_id, chain.contract, facts.origin))
        follow(
            facts,
            leaves,
            leaves.take,
            trusted=trust.origins.get(facts.origin),
            start=None,
            final=chain.final,
            upto=facts.state.count,
            findings=findings,
        )
        facts = chain.origins.get(facts.state.successor or b"")
    return findings.listed
