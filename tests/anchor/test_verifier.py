"""Tampering with a spool, or with what the chain is said to be, and the finding that names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.facts import ChainFacts, collect_facts
from proxy.anchor.findings import FindingKind, Report, Source, TrustedHead
from proxy.anchor.trust import Trust, load_trust, save_trust
from proxy.anchor.verifier import verify
from proxy.errors import ConfigurationError
from proxy.model import JsonObject
from proxy.record.reader import open_readers
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, anchor_all, new_ledger
from tests.anchor.spools import SpoolFile, decision, identity, outcome
from tests.anchor.test_worker import restored_backup, succeed_locally

pytestmark = pytest.mark.real

RECORDS = 60
ANCHORED = 50


@dataclass
class Site:
    """50 records anchored in batches of 16, 10 more waiting."""

    spool: SpoolFile
    facts: ChainFacts
    ledger: Ledger


@pytest.fixture(scope="module")
def anchored(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ledger = new_ledger(chain)
    folder = tmp_path_factory.mktemp("anchored")
    spool = SpoolFile(folder, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(spool)
    spool.fill(ANCHORED // 2)
    anchor_all(ledger.worker(folder, batch_size=16))
    ledger.close()
    spool.fill((RECORDS - ANCHORED) // 2)
    yield Site(spool, collect_facts(ledger.client), ledger)
    ledger.close()


@pytest.fixture
def site(anchored: Site, tmp_path: Path) -> Site:
    folder = tmp_path / "spool"
    shutil.copytree(anchored.spool.folder, folder)
    spool = SpoolFile(folder, CHAIN_ID, anchored.facts.contract, anchored.spool.meta)
    spool.decisions = anchored.spool.decisions
    return Site(spool, anchored.facts, anchored.ledger)


def trust_of(facts: ChainFacts, *origins: bytes, count: int = 0, head: bytes = b"", block: int = 0) -> Trust:
    return Trust(
        chain_id=facts.chain_id,
        genesis=facts.genesis,
        contract=facts.contract,
        code_hash=facts.code_hash,
        registrar=facts.registrar,
        origins={origin: TrustedHead(count=count, head=head or bytes(32), block=block) for origin in origins},
    )


def verified(folder: Path, facts: ChainFacts, trust: Trust | None = None) -> Report:
    with ExitStack() as stack:
        readers = open_readers(folder)
        for reader in readers:
            stack.callback(reader.close)
        trust = trust or trust_of(facts, *(reader.origin for reader in readers))
        return verify(trust, facts, {reader.origin: reader for reader in readers})


def found(report: Report) -> dict[str, list[tuple[int, ...]]]:
    """Indexes of what is at fault, by kind."""
    result: dict[str, list[tuple[int, ...]]] = {}
    for finding in report.findings:
        if not finding.informational:
            result.setdefault(finding.kind.value, []).append(finding.indexes)
    assert report.clean == (not result)
    return result


def test_untouched_spool_is_clean(site: Site) -> None:
    report = verified(site.spool.folder, site.facts)
    assert found(report) == {}
    assert report.counts == {FindingKind.NOT_ANCHORED_YET: 1}
    assert (report.records, report.kinds) == (RECORDS, {"decision": 30, "outcome": 30})
    (summary,) = report.origins
    assert (summary.anchored, summary.local) == (ANCHORED, RECORDS)


Tamper = Callable[[SpoolFile], None]
MUTATIONS: list[tuple[str, Tamper, dict[str, list[tuple[int, ...]]]]] = [
    ("one byte of a record", lambda s: s.change_record(20), {"record-changed": [(20,)]}),
    ("one byte of a record not anchored yet", lambda s: s.change_record(52), {"record-changed": [(52,)]}),
    ("a leaf", lambda s: s.change_leaf(21), {"leaf-changed": [(21,)]}),
    ("a head", lambda s: s.change_head(22), {"head-changed": [(22,)]}),
    ("a body turned into text", lambda s: s.turn_into_text("body", 23), {"record-changed": [(23,)]}),
    ("a head turned into text", lambda s: s.turn_into_text("head", 23), {"head-changed": [(23,)]}),
    ("the first record dropped", lambda s: s.drop(0), {"record-missing": [(0,)]}),
    ("a record dropped", lambda s: s.drop(23), {"record-missing": [(23,)]}),
    ("an unanchored record dropped", lambda s: s.drop(55), {"record-missing": [(55,)]}),
    ("two swapped", lambda s: s.swap(5, 31), {"records-swapped": [(5, 31)]}),
    ("two neighbours swapped", lambda s: s.swap(6, 8), {"records-swapped": [(6, 8)]}),
    ("the tail cut", lambda s: s.cut_to(40), {"tail-cut": [(40,)]}),
    ("everything cut", lambda s: s.cut_to(0), {"tail-cut": [(0,)]}),
    (
        "an anchored decision rewritten to the end",
        lambda s: s.rewrite(24, decision(identity(12), allow=False)),
        {"consistent-rewrite": [(24,)]},
    ),
    ("a record doubled", lambda s: s.duplicate(25), {"duplicated": [(25, 26)], "outcome-repeated": [(26,)]}),
]


@pytest.mark.parametrize(("tamper", "expected"), [m[1:] for m in MUTATIONS], ids=[m[0] for m in MUTATIONS])
def test_tampering_is_named_and_placed(site: Site, tamper: Tamper, expected: dict[str, list[tuple[int, ...]]]) -> None:
    tamper(site.spool)
    got = found(verified(site.spool.folder, site.facts))
    # A decision that is gone leaves its outcome behind: said too, and not the point here.
    got.pop("without-decision", None)
    assert got == expected


def test_record_dropped_and_the_rest_closed_up_is_one_missing_record(site: Site) -> None:
    site.spool.drop(23)
    site.spool.shift(24, -1)
    assert found(verified(site.spool.folder, site.facts)) == {"record-missing": [(23,)]}


def test_record_dropped_and_heads_recomputed_is_one_missing_record(site: Site) -> None:
    site.spool.drop(23)
    site.spool.shift(24, -1)
    site.spool.recompute()
    assert found(verified(site.spool.folder, site.facts)) == {"record-missing": [(23,)]}


def test_record_inserted_is_a_rewrite(site: Site) -> None:
    site.spool.duplicate(31)
    site.spool.rewrite(32, {"v": 1, "kind": "outcome", "time": "", "id": identity(99), "status": "complete"})
    got = found(verified(site.spool.folder, site.facts))
    assert got["consistent-rewrite"] == [(32,)]
    assert "records-swapped" not in got


def test_record_overwritten_without_heads_is_a_foreign_leaf(site: Site) -> None:
    import hashlib

    from proxy import commitment

    salt, body = bytes(32), commitment.canonical(decision(identity(500)))
    leaf = hashlib.sha256(b"\0" + salt + body).digest()
    site.spool.sql(
        lambda db: db.execute("UPDATE record SET salt = ?, body = ?, leaf = ? WHERE idx = 10", (salt, body, leaf))
    )
    got = found(verified(site.spool.folder, site.facts))
    assert got["foreign-leaf"] == [(10,)]
    assert "head-changed" not in got


def test_label_beside_a_record_is_not_believed(site: Site) -> None:
    site.spool.sql(lambda db: db.execute("UPDATE record SET id = ? WHERE idx = 4", (identity(77),)))
    assert found(verified(site.spool.folder, site.facts)) == {"label-changed": [(4,)]}


def test_findings_carry_the_decision_where_it_is_known(site: Site) -> None:
    site.spool.change_record(20)
    report = verified(site.spool.folder, site.facts)
    (finding,) = [f for f in report.findings if f.kind is FindingKind.RECORD_CHANGED]
    assert finding.decision == identity(10)
    assert finding.origin == site.spool.origin


# ---------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        ([decision(identity(3))], "decision-repeated"),
        ([outcome(identity(3))], "outcome-repeated"),
        ([outcome(identity(900))], "without-decision"),
        ([{"v": 1, "kind": "part", "time": "", "id": identity(900), "part": 1}], "without-decision"),
        ([{"v": 1}], "record-unreadable"),
    ],
)
def test_records_that_break_a_law_are_named(site: Site, records: list[JsonObject], kind: str) -> None:
    for record in records:
        record.setdefault("kind", "decision") if kind != "record-unreadable" else None
    if kind == "record-unreadable":
        site.spool.write([{"kind": "event", "v": 1}])
        site.spool.rewrite(60, {"v": 1})
    else:
        site.spool.write(records)
    assert found(verified(site.spool.folder, site.facts)) == {kind: [(60,)]}


def test_decision_without_outcome_is_counted_not_accused(site: Site) -> None:
    site.spool.write([decision(identity(901)), decision(identity(902))])
    report = verified(site.spool.folder, site.facts)
    assert found(report) == {}
    (finding,) = [f for f in report.findings if f.kind is FindingKind.UNKNOWN_OUTCOME]
    assert finding.sentence.startswith("2 decisions")


# ------------------------------------------------------------------------------------------ the chain


def test_swapped_contract_is_named(site: Site) -> None:
    other = new_ledger(site.ledger.anvil)
    facts = collect_facts(other.client)
    other.close()
    got = found(verified(site.spool.folder, facts, trust_of(site.facts, site.spool.origin)))
    assert set(got) == {"contract-changed", "registrar-changed", "unknown-origin", "fork"}


def test_changed_code_and_registrar_are_named(site: Site) -> None:
    trust = trust_of(site.facts, site.spool.origin)
    facts = replace(site.facts, code_hash=bytes(32), registrar="0x" + "11" * 20)
    assert set(found(verified(site.spool.folder, facts, trust))) == {"code-changed", "registrar-changed"}


def test_silent_new_origin_is_named(site: Site) -> None:
    trust = trust_of(site.facts, site.spool.origin)
    fresh = SpoolFile(site.spool.folder, CHAIN_ID, site.facts.contract)
    fresh.fill(2)
    got = found(verified(site.spool.folder, site.facts, trust))
    assert got == {"unknown-origin": [()], "tail-cut": [(0,)]}


def test_origin_that_the_auditor_never_heard_of_is_named(site: Site) -> None:
    assert found(verified(site.spool.folder, site.facts, trust_of(site.facts))) == {"unknown-origin": [()]}


def test_chain_that_lost_or_changed_what_was_verified_is_a_fork(site: Site) -> None:
    report = verified(site.spool.folder, site.facts)
    (summary,) = report.origins
    origin = site.spool.origin
    same = trust_of(site.facts, origin).remembering(report)
    assert same.origins[origin] == TrustedHead(
        count=ANCHORED, head=summary.head, block=site.facts.final, source=Source.SPOOL
    )
    assert found(verified(site.spool.folder, site.facts, same)) == {}
    longer = trust_of(site.facts, origin, count=ANCHORED + 1, head=summary.head)
    assert found(verified(site.spool.folder, site.facts, longer)) == {"fork": [(50,)]}
    other = trust_of(site.facts, origin, count=37, head=bytes(32))
    assert found(verified(site.spool.folder, site.facts, other)) == {"fork": [(36,)]}


@pytest.mark.parametrize(
    "lie",
    [
        lambda batches: batches[:-1],
        lambda batches: [batches[0], *batches[2:]],
        lambda batches: [replace(batches[0], leaves=bytes(32) + batches[0].leaves[32:]), *batches[1:]],
    ],
    ids=["last event withheld", "an event withheld", "a leaf changed"],
)
def test_node_that_lies_about_events_contradicts_the_head(
    site: Site, lie: Callable[[list[AnchoredBatch]], list[AnchoredBatch]]
) -> None:
    facts = site.facts.origins[site.spool.origin]
    batches = lie(list(facts.batches()))
    lying = replace(site.facts, origins={facts.origin: replace(facts, batches=lambda: iter(batches))})
    assert "chain-inconsistent" in found(verified(site.spool.folder, lying))


def test_nodes_that_differ_are_noticed(site: Site) -> None:
    facts = site.facts.origins[site.spool.origin]
    state = replace(facts.state, head=bytes(32))
    other = replace(site.facts, origins={facts.origin: replace(facts, state=state)})
    assert site.facts.same_as(collect_facts(site.ledger.client, site.facts.block))
    assert not site.facts.same_as(other)


def test_broken_origin_is_reported_with_what_was_lost(ledger: Ledger, spool: SpoolFile, tmp_path: Path) -> None:
    restored_backup(spool, ledger, tmp_path)
    trust = trust_of(collect_facts(ledger.client), spool.origin)
    worker = ledger.worker(spool.folder)
    assert worker.cycle().agreed == 10
    successor = succeed_locally(spool, 10)
    successor.fill(2)
    anchor_all(worker)
    facts = collect_facts(ledger.client)
    report = verified(spool.folder, facts, trust)
    assert found(report) == {"origin-broken": [(10,)]}
    (finding,) = [f for f in report.findings if f.kind is FindingKind.ORIGIN_BROKEN]
    assert "6 anchored records are lost" in finding.sentence
    assert report.kinds == {"decision": 9, "outcome": 9}
    # Once the auditor has looked into it and accepted the successor, it is history.
    accepted = trust.remembering(report, frozenset({successor.origin}))
    assert found(verified(spool.folder, facts, accepted)) == {}
    # Who leaves out what the old spool still held is found out.
    successor.cut_to(0)
    assert set(found(verified(spool.folder, facts, accepted))) == {"record-missing", "tail-cut"}


def test_trust_file_keeps_everything_and_refuses_nonsense(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    trust = trust_of(site.facts, site.spool.origin, count=3, head=b"\1" * 32)
    save_trust(path, trust)
    assert load_trust(path) == trust
    path.write_text(path.read_text().replace(trust.contract.hex(), "ab"))
    with pytest.raises(ConfigurationError, match="not a trust file"):
        load_trust(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_trust(tmp_path / "nowhere.json")


def test_facts_need_a_contract(ledger: Ledger) -> None:
    from proxy.errors import ChainError

    nothing = ChainClient(rpc_urls=[ledger.anvil.url], chain_id=CHAIN_ID, contract="0x" + "22" * 20)
    ledger.clients.append(nothing)
    with pytest.raises(ChainError):
        collect_facts(nothing)
