"""Random mutations of a ledger, class by class: each is found, and named for what it is."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy import commitment
from proxy.anchor.evidence import AuditorKey
from proxy.anchor.findings import FindingKind as Kind
from proxy.anchor.findings import Report
from proxy.model import JsonObject, RecordRow
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, new_ledger
from tests.anchor.published import ANCHORED, BUNDLE, WAITING, Published, published
from tests.anchor.spools import SpoolFile, decision, identity

pytestmark = pytest.mark.real

ROUNDS = 100 if os.environ.get("DICOMWARD_FULL") == "1" else 3
RECORDS = ANCHORED + WAITING

Mutation = Callable[[Published, random.Random], set[Kind]]
"""Spoils the copy and returns which findings there have to be."""

# What follows from a mutation beside its own name: an outcome without the decision that was taken away, for example.
FOLLOWS = {Kind.WITHOUT_DECISION, Kind.OUTCOME_REPEATED, Kind.DECISION_REPEATED}


@pytest.fixture(scope="module")
def whole(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    ledger = new_ledger(chain)
    yield published(ledger, tmp_path_factory.mktemp("whole"))
    ledger.close()


def flipped(content: bytes, rng: random.Random, place: int | None = None) -> bytes:
    place = rng.randrange(len(content)) if place is None else place
    return content[:place] + bytes([content[place] ^ rng.randrange(1, 256)]) + content[place + 1 :]


def set_column(spool: SpoolFile, index: int, column: str, value: bytes) -> None:
    spool.sql(lambda db: db.execute(f"UPDATE record SET {column} = ? WHERE idx = ?", (value, index)))


def perhaps_recompute(copy: Published, rng: random.Random) -> None:
    if rng.random() < 0.5:
        copy.spool.recompute()


# -------------------------------------------------------------------------------------------- the spool


def a_record(copy: Published, rng: random.Random) -> set[Kind]:
    index = rng.randrange(RECORDS)
    set_column(copy.spool, index, "body", flipped(copy.rows()[index].body, rng))
    return {Kind.RECORD_CHANGED}


def a_salt(copy: Published, rng: random.Random) -> set[Kind]:
    index = rng.randrange(RECORDS)
    set_column(copy.spool, index, "salt", flipped(copy.rows()[index].salt, rng))
    return {Kind.RECORD_CHANGED}


def a_leaf(copy: Published, rng: random.Random) -> set[Kind]:
    index = rng.randrange(ANCHORED)
    set_column(copy.spool, index, "leaf", flipped(copy.rows()[index].leaf, rng))
    return {Kind.LEAF_CHANGED}


def a_stored_head(copy: Published, rng: random.Random) -> set[Kind]:
    index = rng.randrange(RECORDS)
    set_column(copy.spool, index, "head", flipped(copy.rows()[index].head or b"", rng))
    return {Kind.HEAD_CHANGED}


def the_order(copy: Published, rng: random.Random) -> set[Kind]:
    one, other = rng.sample(range(ANCHORED), 2)
    copy.spool.swap(one, other)
    perhaps_recompute(copy, rng)
    return {Kind.RECORDS_SWAPPED}


def a_deletion(copy: Published, rng: random.Random) -> set[Kind]:
    # In place of the last one that is anchored a later one would stand: that is a rewrite.
    index = rng.randrange(ANCHORED - 1)
    copy.spool.drop(index)
    if rng.random() < 0.5:
        copy.spool.shift(index + 1, -1)
        perhaps_recompute(copy, rng)
    return {Kind.RECORD_MISSING}


def the_tail(copy: Published, rng: random.Random) -> set[Kind]:
    copy.spool.cut_to(rng.randrange(ANCHORED))
    return {Kind.TAIL_CUT}


def a_duplication(copy: Published, rng: random.Random) -> set[Kind]:
    copy.spool.duplicate(rng.randrange(ANCHORED - 1))
    perhaps_recompute(copy, rng)
    return {Kind.DUPLICATED}


def a_consistent_rewrite(copy: Published, rng: random.Random) -> set[Kind]:
    """Record, leaf and all heads: nothing in the spool contradicts itself."""
    index = rng.randrange(ANCHORED)
    row = copy.rows()[index]
    forged: JsonObject = {"v": 1, "kind": "outcome", "id": row.id}
    body = decision(row.id, allow=False) if row.kind == "decision" else forged
    copy.spool.rewrite(index, {**body, "forged": rng.randrange(2**32)})
    return {Kind.CONSISTENT_REWRITE}


def a_foreign_record(copy: Published, rng: random.Random) -> set[Kind]:
    """With its own leaf, and the heads left as they were."""
    index = rng.randrange(ANCHORED)
    row = copy.rows()[index]
    body, salt = commitment.canonical({"v": 1, "kind": "event", "n": rng.randrange(2**32)}), rng.randbytes(32)
    for column, value in (("body", body), ("salt", salt), ("leaf", commitment.leaf_of(salt, body))):
        set_column(copy.spool, index, column, value)
    copy.spool.sql(lambda db: db.execute("UPDATE record SET kind = 'event', id = '' WHERE idx = ?", (index,)))
    assert row.leaf != commitment.leaf_of(salt, body)
    return {Kind.FOREIGN_LEAF}


def a_label(copy: Published, rng: random.Random) -> set[Kind]:
    index = rng.randrange(RECORDS)
    other = identity(rng.randrange(1000, 2000))
    copy.spool.sql(lambda db: db.execute("UPDATE record SET id = ? WHERE idx = ?", (other, index)))
    return {Kind.LABEL_CHANGED}


def a_silent_new_spool(copy: Published, rng: random.Random) -> set[Kind]:
    """The site goes on with another origin, of which the chain knows nothing."""
    fresh = SpoolFile(copy.spool.folder, CHAIN_ID, copy.facts.contract)
    fresh.fill(rng.randrange(1, 5))
    return {Kind.UNKNOWN_ORIGIN}


# -------------------------------------------------------------------------------------------- the chain


def a_silent_new_origin(copy: Published, rng: random.Random) -> set[Kind]:
    """One that the registrar opened and the auditor was not told of; in views and events, or in one alone."""
    fresh = rng.randbytes(32)
    facts = replace(
        copy.own,
        origin=fresh,
        state=replace(
            copy.own.state, count=0, published=0, head=commitment.genesis(CHAIN_ID, copy.facts.contract, fresh)
        ),
        batches=lambda: iter(()),
        publications=lambda: iter(()),
    )
    place = rng.randrange(3)
    if place != 1:
        copy.facts = replace(copy.facts, origins={**copy.facts.origins, fresh: facts})
    if place != 0:
        copy.facts = replace(copy.facts, opened=copy.facts.opened | {fresh})
    return ({Kind.UNKNOWN_ORIGIN} if place != 1 else set()) | ({Kind.CHAIN_INCONSISTENT} if place != 2 else set())


def the_contract(copy: Published, rng: random.Random) -> set[Kind]:
    """Swapped for another, on this chain or another: what the trust file knows tells."""
    # The node's events are those of the copy; trust is what differs.
    trust = copy.trust()
    copy.trusted, kind = rng.choice(
        [
            (replace(trust, contract=rng.randbytes(20)), Kind.CONTRACT_CHANGED),
            (replace(trust, chain_id=rng.randrange(1, 31337)), Kind.CONTRACT_CHANGED),
            (replace(trust, genesis=rng.randbytes(32)), Kind.GENESIS_CHANGED),
            (replace(trust, code_hash=rng.randbytes(32)), Kind.CODE_CHANGED),
            (replace(trust, registrar="0x" + rng.randbytes(20).hex()), Kind.REGISTRAR_CHANGED),
        ]
    )
    return {kind}


def an_event(copy: Published, rng: random.Random) -> set[Kind]:
    batches = list(copy.own.batches())
    place = rng.randrange(len(batches))
    if rng.random() < 0.5:
        del batches[place]
    else:
        batches[place] = replace(batches[place], leaves=flipped(batches[place].leaves, rng))
    copy.with_batches(batches)
    return {Kind.CHAIN_INCONSISTENT}


def the_verified_head(copy: Published, rng: random.Random) -> set[Kind]:
    """The chain was replaced by one that holds together and is not the one verified before."""
    count = rng.randrange(1, ANCHORED + 3)
    block = rng.choice([0, copy.facts.final])
    copy.trusted = copy.trust(count=count, head=rng.randbytes(32), block=block)
    return {Kind.FORK}


# ------------------------------------------------------------------------------------------ the evidence


def content_of_a_bundle(copy: Published, rng: random.Random) -> set[Kind]:
    path = copy.evidence / "content" / rng.choice(copy.publications).cid
    content = path.read_bytes()
    spoilt = [flipped(content, rng), content[: rng.randrange(len(content))], content + rng.randbytes(3)]
    path.write_bytes(rng.choice(spoilt))
    return {Kind.EVIDENCE_ALTERED}


def a_missing_bundle(copy: Published, rng: random.Random) -> set[Kind]:
    cid = rng.choice(copy.publications).cid
    rng.choice([copy.evidence / "content" / cid, copy.evidence / "keys" / f"{cid}.json"]).unlink()
    return {Kind.EVIDENCE_MISSING}


def an_envelope(copy: Published, rng: random.Random) -> set[Kind]:
    one, other = rng.sample(copy.publications, 2)
    path = copy.evidence / "keys" / f"{one.cid}.json"
    if rng.random() < 0.3:
        path.write_bytes((copy.evidence / "keys" / f"{other.cid}.json").read_bytes())
        return {Kind.EVIDENCE_UNREADABLE}
    envelope = path.read_bytes()
    auditor = envelope.index(b'"auditor":"'), envelope.index(b'","wrapped"')
    place = rng.randrange(len(envelope))
    path.write_bytes(flipped(envelope, rng, place))
    named = auditor[0] < place < auditor[1]
    return {Kind.EVIDENCE_NO_KEY, Kind.EVIDENCE_UNREADABLE} if named else {Kind.EVIDENCE_UNREADABLE}


def the_published_cid(copy: Published, rng: random.Random) -> set[Kind]:
    said = copy.publications
    one, other = rng.sample(range(len(said)), 2)
    cid, kind = rng.choice(
        [
            (said[other].cid, Kind.EVIDENCE_UNREADABLE),
            ("b" + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=58)), Kind.EVIDENCE_MISSING),
            ("../" * rng.randrange(1, 9) + "etc/passwd", Kind.EVIDENCE_MISSING),
        ]
    )
    said[one] = replace(said[one], cid=cid)
    copy.with_publications(said)
    return {kind}


def evidence_rewritten(copy: Published, rng: random.Random) -> set[Kind]:
    """A whole new bundle with one record in it changed, left out for another or moved, published by the writer."""
    said = copy.publications
    place = rng.randrange(len(said))
    first, count = said[place].first, said[place].count
    rows = copy.rows()[first : first + count]
    one, other = rng.sample(range(count), 2)
    form = rng.randrange(3)
    if form == 0:
        rows[one] = replace(rows[one], body=commitment.canonical({"v": 1, "kind": "event", "n": rng.randrange(2**32)}))
    elif form == 1:
        rows[one] = replace(rows[one], salt=rng.randbytes(32))
    else:
        rows[one], rows[other] = _at(rows[other], first + one), _at(rows[one], first + other)
    said[place] = replace(said[place], cid=copy.sealed(first, rows).cid)
    copy.with_publications(said)
    return {Kind.EVIDENCE_CONTRADICTS}


def _at(row: RecordRow, index: int) -> RecordRow:
    return replace(row, index=index)


def another_auditor(copy: Published, rng: random.Random) -> set[Kind]:
    said = copy.publications
    place = rng.randrange(len(said))
    rows = copy.rows()[said[place].first : said[place].end]
    said[place] = replace(said[place], cid=copy.sealed(said[place].first, rows, AuditorKey.generate()).cid)
    copy.with_publications(said)
    return {Kind.EVIDENCE_NO_KEY}


def a_withheld_publication(copy: Published, rng: random.Random) -> set[Kind]:
    said = copy.publications
    del said[rng.randrange(len(said))]
    copy.with_publications(said)
    return {Kind.CHAIN_INCONSISTENT}


SPOOL: list[Mutation] = [
    a_record,
    a_salt,
    a_leaf,
    a_stored_head,
    the_order,
    a_deletion,
    the_tail,
    a_duplication,
    a_consistent_rewrite,
    a_foreign_record,
    a_label,
    a_silent_new_spool,
]
CHAIN: list[Mutation] = [a_silent_new_origin, the_contract, an_event, the_verified_head]
EVIDENCE: list[Mutation] = [
    content_of_a_bundle,
    a_missing_bundle,
    an_envelope,
    the_published_cid,
    evidence_rewritten,
    another_auditor,
    a_withheld_publication,
]


def faults(report: Report) -> set[Kind]:
    found = {finding.kind for finding in report.findings if not finding.informational}
    assert report.clean == (not found)
    return found


def rounds(whole: Published, folder: Path, mutation: Mutation) -> Iterator[tuple[Published, set[Kind]]]:
    for number in range(ROUNDS):
        rng = random.Random(f"{mutation.__name__}-{number}")
        copy = whole.copy(folder / str(number))
        yield copy, mutation(copy, rng)


def named(mutation: Mutation) -> str:
    return mutation.__name__.replace("_", " ")


def test_untouched_ledger_has_no_finding(whole: Published) -> None:
    assert {finding.kind for finding in whole.verified().findings} == {Kind.NOT_ANCHORED_YET}
    assert whole.verified_evidence().findings == ()
    assert len(whole.publications) == -(-ANCHORED // BUNDLE)


@pytest.mark.parametrize("mutation", SPOOL, ids=named)
def test_mutation_of_the_spool_is_found_and_named(whole: Published, tmp_path: Path, mutation: Mutation) -> None:
    for copy, expected in rounds(whole, tmp_path, mutation):
        found = faults(copy.verified())
        assert found >= expected
        if mutation is not a_silent_new_spool:  # which leaves the chain's origin without a spool besides
            assert found - FOLLOWS == expected


@pytest.mark.parametrize("mutation", CHAIN, ids=named)
def test_mutation_of_the_chain_is_found_from_spool_and_from_evidence(
    whole: Published, tmp_path: Path, mutation: Mutation
) -> None:
    for copy, expected in rounds(whole, tmp_path, mutation):
        assert faults(copy.verified()) >= expected
        assert faults(copy.verified_evidence()) >= expected


@pytest.mark.parametrize("mutation", EVIDENCE, ids=named)
def test_mutation_of_evidence_is_found_and_named(whole: Published, tmp_path: Path, mutation: Mutation) -> None:
    for copy, expected in rounds(whole, tmp_path, mutation):
        found = faults(copy.verified_evidence())
        # Of an envelope in which the auditor's name was changed either may be said.
        assert found <= expected if mutation is an_envelope else found - FOLLOWS == expected
        assert found
