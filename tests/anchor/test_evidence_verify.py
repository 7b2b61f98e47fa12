"""Verifying from evidence, and going on from what was verified before: what is read, what is said, what is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.anchor.evidence import AuditorKey, FolderStore
from proxy.anchor.facts import ChainFacts, collect_facts
from proxy.anchor.findings import Finding, Report
from proxy.anchor.findings import FindingKind as Kind
from proxy.anchor.meanings import MEANINGS
from proxy.anchor.trust import Trust, load_trust, save_trust
from proxy.anchor.verifier import verify_evidence
from proxy.errors import ConfigurationError
from proxy.model import JsonObject
from proxy.record import origin_file, pruning
from tests.anchor.chains import Anvil
from tests.anchor.conftest import Ledger, anchor_all, new_ledger
from tests.anchor.published import ANCHORED, BUNDLE, WAITING, Published, published
from tests.anchor.spools import SpoolFile, decision, identity, outcome

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def whole(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    ledger = new_ledger(chain)
    yield published(ledger, tmp_path_factory.mktemp("whole"))
    ledger.close()


@pytest.fixture
def copy(whole: Published, tmp_path: Path) -> Published:
    return whole.copy(tmp_path)


def only(report: Report, kind: Kind) -> list[Finding]:
    assert {one.kind for one in report.findings} == {kind}
    return list(report.findings)


def remembered(copy: Published, report: Report) -> Trust:
    return copy.trust().remembering(report)


# ----------------------------------------------------------------------------------------- evidence


def test_evidence_alone_gives_what_the_spool_gives(copy: Published) -> None:
    report = copy.verified_evidence()
    assert (report.clean, report.records, report.kinds) == (True, ANCHORED, {"decision": 30, "outcome": 30})
    (summary,) = report.origins
    assert (summary.anchored, summary.local) == (ANCHORED, ANCHORED)
    assert summary.head == copy.own.state.head


def test_missing_bundle_is_one_finding_and_the_others_are_read(copy: Published) -> None:
    said = copy.publications[1]
    (copy.evidence / "content" / said.cid).unlink()
    report = copy.verified_evidence()
    (finding,) = [one for one in report.findings if one.kind is Kind.EVIDENCE_MISSING]
    assert finding.indexes == (said.first, said.end - 1)
    assert report.records == ANCHORED - BUNDLE
    assert not report.clean


def test_erased_bundle_is_told_and_is_no_fault(copy: Published) -> None:
    said = copy.publications[0]
    FolderStore(copy.evidence).erase(said.cid, "retention", datetime.now(UTC))
    report = copy.verified_evidence()
    (finding,) = only(report, Kind.EVIDENCE_ERASED)
    assert "retention" in finding.sentence
    assert report.clean


def test_bundle_republished_for_another_auditor_opens_for_both(copy: Published) -> None:
    said, other = copy.publications, AuditorKey.generate()
    again = copy.sealed(said[0].first, copy.rows()[: said[0].count], other)
    copy.with_publications([*said, replace(said[0], cid=again.cid, block=said[-1].block)])
    assert copy.verified_evidence().findings == ()
    findings = copy.verified_evidence(key=other).findings
    assert [one.kind for one in findings] == [Kind.EVIDENCE_NO_KEY] * (len(said) - 1)


def test_rewritten_bundle_names_the_record(copy: Published) -> None:
    said = copy.publications
    rows = copy.rows()[said[1].first : said[1].end]
    rows[3] = replace(rows[3], body=rows[3].body.replace(b'"v":1', b'"v":2'))
    said[1] = replace(said[1], cid=copy.sealed(said[1].first, rows).cid)
    copy.with_publications(said)
    (finding,) = [one for one in copy.verified_evidence().findings if one.kind is Kind.EVIDENCE_CONTRADICTS]
    assert finding.indexes == (said[1].first + 3, said[1].first + 3)


def test_final_leaves_without_evidence_are_a_note_after_an_hour(copy: Published) -> None:
    said, published_ = copy.publications[:2], 2 * BUNDLE
    copy.with_own(state=replace(copy.own.state, published=published_), publications=lambda: iter(said))
    assert copy.verified_evidence().findings == ()
    early = copy.facts.block_time
    final = copy.facts.final
    copy.facts = replace(copy.facts, block_time=lambda block: early(block) + (4000 if block == final else 0))
    batches = [replace(each, block=each.block - (each.block == final)) for each in copy.own.batches()]
    copy.with_batches(batches)
    copy.facts = replace(copy.facts, block_time=lambda block: early(final) + (4000 if block == final else 0))
    report = copy.verified_evidence()
    (finding,) = only(report, Kind.EVIDENCE_UNPUBLISHED)
    assert finding.indexes == (published_, ANCHORED - 1)
    assert report.clean


def test_one_site_of_several_on_a_contract_is_verified_alone(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one = published(ledger, tmp_path / "one")
    other = published(ledger, tmp_path / "other")
    one.facts = other.facts
    trust = replace(one.trust(), origins=one.trust().origins | other.trust().origins)
    store = FolderStore(one.evidence)
    all_of_it = verify_evidence(trust, one.facts, store, one.key)
    assert {each.origin for each in all_of_it.findings} == {other.origin}
    alone = verify_evidence(trust, one.facts, store, one.key, only=[one.origin])
    assert (alone.findings, alone.records) == ((), ANCHORED)
    assert [each.origin for each in alone.origins] == [one.origin]


# -------------------------------------------------------------------------------------- incremental


def test_second_run_reads_what_is_new_alone(ledger: Ledger, tmp_path: Path) -> None:
    whole = published(ledger, tmp_path)
    trust = remembered(whole, whole.verified())
    assert trust.origins[whole.origin].count == ANCHORED
    anchor_all(ledger.worker(whole.spool.folder))
    again = replace(whole, facts=collect_facts(ledger.client))
    report = again.verified(trust)
    assert (report.clean, report.records) == (True, WAITING)
    assert report.origins[0].since == ANCHORED
    assert report.origins[0].head == again.own.state.head
    assert again.verified(trust, full=True).records == ANCHORED + WAITING
    # What was seen in the spool says nothing of its evidence, which is read.
    assert again.verified_evidence(trust).records == ANCHORED
    trust = remembered(whole, whole.verified_evidence())
    assert again.verified_evidence(trust).records == 0
    assert again.verified(trust).records == ANCHORED + WAITING


def test_evidence_is_remembered_as_far_as_it_is_published(copy: Published) -> None:
    said, batches = copy.publications[:2], list(copy.own.batches())
    # One batch a block, as on a chain that is not in a hurry.
    copy.with_batches([replace(each, block=number) for number, each in enumerate(batches, 1)])
    time = copy.facts.block_time(copy.facts.final)
    copy.facts = replace(copy.facts, block_time=lambda block: time)
    copy.with_own(state=replace(copy.own.state, published=2 * BUNDLE), publications=lambda: iter(said))
    head = remembered(copy, copy.verified_evidence()).origins[copy.origin]
    assert (head.count, head.block) == (24, 2)  # whole batches of 12 below 32
    again = copy.verified_evidence(copy.trust(count=24, head=head.head, block=2))
    assert (again.clean, again.records) == (True, 2 * BUNDLE - 24)


def test_what_may_be_taken_back_is_not_remembered(copy: Published) -> None:
    first = next(iter(copy.own.batches()))
    copy.facts = replace(copy.facts, final=first.block - 1)
    assert remembered(copy, copy.verified()).origins[copy.origin].count == 0


def test_rewriting_of_what_was_verified_is_found_without_reading_it_again(copy: Published) -> None:
    trust = remembered(copy, copy.verified())
    assert copy.verified(trust).clean
    copy.spool.rewrite(7, outcome(identity(3)) | {"bytes": 1})
    # The spool's head is no longer the one that was verified, so everything is read.
    assert Kind.CONSISTENT_REWRITE in {one.kind for one in copy.verified(trust).findings}


def test_chain_that_was_replaced_under_what_was_verified_is_a_fork(copy: Published) -> None:
    known = copy.own.state
    trust = copy.trust(count=ANCHORED, head=known.head, block=copy.facts.final)
    copy.with_own(state=replace(known, head=bytes(32)))
    assert [one.kind for one in copy.verified_evidence(trust).findings] == [Kind.FORK]


def test_trust_file_is_replaced_whole_or_not_at_all(copy: Published, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    trust = remembered(copy, copy.verified())
    save_trust(path, trust)
    assert load_trust(path) == trust
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("trust")] == ["trust.json"]
    (tmp_path / "trust.json.new").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        save_trust(path, copy.trust())
    assert load_trust(path) == trust


def test_trust_never_goes_back(copy: Published) -> None:
    ahead = copy.trust(count=ANCHORED + 5, head=b"\1" * 32, block=3)
    assert ahead.remembering(copy.verified()).origins == ahead.origins


# --------------------------------------------------------------------------------- pruned and timed


def prune(copy: Published, upto: int) -> None:
    connection = origin_file.connect(copy.spool.path)
    try:
        assert pruning.step(connection, upto, "2026") == upto
    finally:
        connection.close()


def test_pruned_spool_verifies_from_its_floor(copy: Published) -> None:
    prune(copy, 30)
    report = copy.verified()
    assert (report.clean, report.records) == (True, ANCHORED - 30 + WAITING)
    (finding,) = [one for one in report.findings if one.kind is Kind.RECORDS_PRUNED]
    assert finding.indexes == (0, 29)


def test_pruning_beyond_what_is_published_is_a_fault(copy: Published) -> None:
    prune(copy, 30)
    copy.with_own(state=replace(copy.own.state, published=16))
    assert Kind.PRUNED_WITHOUT_EVIDENCE in {one.kind for one in copy.verified().findings}


def test_floor_that_hides_a_rewrite_is_found_by_its_head(copy: Published) -> None:
    prune(copy, 30)
    copy.spool.sql(lambda db: db.execute("UPDATE meta SET value = ? WHERE key = 'floor_head'", (b"\5" * 32,)))
    found = [one for one in copy.verified().findings if one.kind is Kind.HEAD_CHANGED]
    assert found[0].indexes == (29,)


def test_records_younger_than_their_block_and_clocks_that_go_back_are_named(ledger: Ledger, tmp_path: Path) -> None:
    def fill(spool: SpoolFile) -> None:
        times = ["2025-01-01T10:00:00.000Z", "2025-01-01T09:59:30.000Z", "2025-01-01T09:58:00.000Z"]
        times += ["2025-01-01T10:30:00.000Z", "2099-01-01T00:00:00.000Z"]
        spool.write([{**decision(identity(n)), "time": time} for n, time in enumerate(times)])

    report = published(ledger, tmp_path, fill).verified_evidence()
    found = {one.kind: one.indexes for one in report.findings if not one.informational}
    assert found == {Kind.CLOCK_WENT_BACK: (2,), Kind.RECORD_AFTER_BLOCK: (4,)}


def test_jump_that_the_proxy_noted_is_no_fault(ledger: Ledger, tmp_path: Path) -> None:
    def fill(spool: SpoolFile) -> None:
        event: JsonObject = {"v": 1, "kind": "event", "event": "clock-jumped", "time": "2025-01-01T08:00:01.000Z"}
        spool.write(
            [
                {**decision(identity(1)), "time": "2025-01-01T10:00:00.000Z"},
                {**decision(identity(2)), "time": "2025-01-01T08:00:00.000Z"},
                event,
                {**decision(identity(3)), "time": "2025-01-01T08:00:02.000Z"},
            ]
        )

    report = published(ledger, tmp_path, fill).verified_evidence()
    assert report.clean
    assert [one.indexes for one in report.findings if one.kind is Kind.CLOCK_JUMPED] == [(1,)]


# ----------------------------------------------------------------------------------------- and all


def test_node_whose_views_and_events_differ_contradicts_itself(copy: Published) -> None:
    copy.facts = replace(copy.facts, opened=frozenset())
    assert only(copy.verified_evidence(), Kind.CHAIN_INCONSISTENT)


def test_views_and_events_of_a_real_chain_agree(whole: Published, ledger: Ledger, spool: SpoolFile) -> None:
    facts: ChainFacts = collect_facts(ledger.client)
    assert facts.opened == facts.origins.keys() == {spool.origin}
    assert facts.genesis == whole.facts.genesis
    assert facts.same_as(collect_facts(ledger.client, facts.block))
    assert not facts.same_as(replace(facts, opened=frozenset()))
    assert not facts.same_as(replace(facts, genesis=bytes(32)))


def test_every_finding_has_a_meaning_and_something_to_do() -> None:
    assert set(MEANINGS) == set(Kind)
    assert all(each.means and each.do.endswith(".") for each in MEANINGS.values())
