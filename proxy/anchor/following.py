"""One origin's events, followed to the contract's head and past what was verified before. Pure over chain facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.facts import OriginFacts
from proxy.anchor.findings import FindingKind, Findings, TrustedHead


class Heads(Protocol):
    """Computes the head over each batch that it is given."""

    chain_head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    count: int
    """Leaves that the events give."""
    settled: TrustedHead
    """Up to the end of a block that is final, of leaves that were looked at."""


def follow(
    facts: OriginFacts,
    heads: Heads,
    take: Callable[[AnchoredBatch], None],
    *,
    trusted: TrustedHead | None,
    start: TrustedHead | None,
    final: int,
    upto: int,
    findings: Findings,
) -> Followed:
    """Steps 3 and 4 of the verifier.

    :param take: given each batch in order; moves ``heads`` on
    :param trusted: what was verified before, to be found again
    :param start: the same where nothing up to there is read again
    :param final: newest final block
    :param upto: how many leaves are held against records
    :raises ChainError: events could not be fetched
    """
    count = 0 if start is None else start.count
    settled = TrustedHead(count=count, head=heads.chain_head, block=0 if start is None else start.block)
    last = settled.block
    for batch in facts.batches() if start is None else facts.after(start.block):
        if batch.first != count:
            _inconsistent(facts, f"the event after leaf {count} begins at {batch.first}", findings)
            break
        if trusted is not None and start is None and batch.first < trusted.count <= batch.end:
            _continues(facts, batch, heads.chain_head, trusted, findings)
        # Events are asked for by block, so only between two blocks can a later verification go on.
        if batch.block > last:
            if count <= upto and last <= final:
                settled = TrustedHead(count=count, head=heads.chain_head, block=last)
            last = batch.block
        take(batch)
        count = batch.end
    else:
        if count <= upto and last <= final:
            settled = TrustedHead(count=count, head=heads.chain_head, block=final)
    if (count, heads.chain_head) != (facts.state.count, facts.state.head):
        if start is None:
            what = f"{count} leaves do not give the head of the {facts.state.count} it counts"
            _inconsistent(facts, what, findings)
        else:
            _fork(
                facts,
                f"What follows the {start.count} leaves verified before does not give the contract's head: this is"
                " another chain, or events are withheld. --full tells which.",
                start.count,
                findings,
            )
    if trusted is not None and trusted.count > facts.state.count:
        what = f"{trusted.count} leaves were verified before, the chain has {facts.state.count}."
        _fork(facts, what, facts.state.count, findings)
    return Followed(count=count, settled=settled)


def _continues(facts: OriginFacts, batch: AnchoredBatch, head: bytes, trusted: TrustedHead, findings: Findings) -> None:
    if head_within(batch, head, trusted.count) != trusted.head:
        what = f"The head after {trusted.count} leaves is not the one verified before: this is another chain."
        _fork(facts, what, trusted.count - 1, findings)


def head_within(batch: AnchoredBatch, head: bytes, count: int) -> bytes:
    """The head after ``count`` leaves of the origin, from ``head`` before the batch that reaches it."""
    return commitment.head_after(head, islice(batch.each(), count - batch.first))


def _fork(facts: OriginFacts, sentence: str, index: int, findings: Findings) -> None:
    findings.add(FindingKind.FORK, sentence, origin=facts.origin, indexes=(index,))


def _inconsistent(facts: OriginFacts, what: str, findings: Findings) -> None:
    findings.add(FindingKind.CHAIN_INCONSISTENT, f"The node contradicts itself: {what}.", origin=facts.origin)
