"""A receipt in the hands of whoever asked, held against the chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy.anchor.facts import ChainFacts, collect_facts
from proxy.anchor.receipt_check import ReceiptStanding, check_receipt
from proxy.model import Durable
from proxy.record import Receipts, origin_file
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, anchor_all, new_ledger
from tests.anchor.spools import SpoolFile, identity
from tests.anchor.test_worker import restored_backup, succeed_locally

pytestmark = pytest.mark.real

NOW = datetime(2026, 11, 22, 19, 40, tzinfo=UTC)


def receipt_for(spool: SpoolFile, index: int, key: Ed25519PrivateKey | None = None) -> str:
    reader = spool.reader()
    (row,) = reader.rows(index, 1)
    reader.close()
    assert row.head is not None
    key = key or origin_file.load_key(spool.folder, spool.origin)
    receipts = Receipts(key, chain_id=CHAIN_ID, contract=spool.meta.contract, origin=spool.origin)
    return receipts.sign(row.id, Durable(origin=spool.origin, index=index, leaf=row.leaf, head=row.head), NOW)


class Story:
    """An origin with 16 anchored records, restored to 10, grown to 14 again, and succeeded."""

    before: ChainFacts
    after: ChainFacts
    early: str
    lost: str
    carried: str
    waiting: str


@pytest.fixture(scope="module")
def story(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    ledger = new_ledger(chain)
    folder: Path = tmp_path_factory.mktemp("story")
    (folder / "spool").mkdir()
    spool = SpoolFile(folder / "spool", CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(spool)
    told = Story()
    restored_backup(spool, ledger, folder)
    told.early, told.carried = receipt_for(spool, 4), receipt_for(spool, 12)
    told.before = collect_facts(ledger.client)
    worker = ledger.worker(spool.folder)
    assert worker.cycle().agreed == 10
    successor = succeed_locally(spool, 10)
    anchor_all(worker)
    successor.fill(1)
    told.waiting = receipt_for(successor, 5)
    told.lost = receipt_for(spool, 3, Ed25519PrivateKey.generate())
    told.after = collect_facts(ledger.client)
    yield told
    ledger.close()


def test_receipt_of_an_anchored_decision_stands(story: Story) -> None:
    verdict = check_receipt(story.early, story.after)
    assert verdict.good
    assert (verdict.standing, verdict.decision, verdict.index) == (ReceiptStanding.ANCHORED, identity(2), 4)
    assert verdict.transaction is not None


def test_receipt_whose_record_was_carried_into_a_successor_stands(story: Story) -> None:
    assert check_receipt(story.carried, story.after).standing is ReceiptStanding.CARRIED


def test_receipt_against_which_the_chain_holds_another_leaf_accuses(story: Story) -> None:
    verdict = check_receipt(story.carried, story.before)
    assert verdict.standing is ReceiptStanding.CONTRADICTED
    assert not verdict.good


def test_receipt_ahead_of_the_chain_waits(story: Story) -> None:
    assert check_receipt(story.waiting, story.after).standing is ReceiptStanding.NOT_ANCHORED_YET


def test_receipt_of_another_key_proves_nothing(story: Story) -> None:
    assert check_receipt(story.lost, story.after).standing is ReceiptStanding.INVALID


def test_receipt_of_an_origin_that_does_not_stand_on_the_chain_is_told_apart(story: Story) -> None:
    nothing = replace(story.after, origins={})
    assert check_receipt(story.early, nothing).standing is ReceiptStanding.UNKNOWN_ORIGIN


def test_receipt_for_another_contract_or_chain_proves_nothing(story: Story) -> None:
    for other in (replace(story.after, contract=bytes(20)), replace(story.after, chain_id=1)):
        assert check_receipt(story.early, other).standing is ReceiptStanding.INVALID


@pytest.mark.parametrize("nonsense", ["", "a.b.c", "eyJ9", "..", "é.é.é"])
def test_nonsense_is_not_a_receipt(story: Story, nonsense: str) -> None:
    assert check_receipt(nonsense, story.after).standing is ReceiptStanding.INVALID


def test_unsigned_or_altered_receipts_prove_nothing(story: Story) -> None:
    header = jwt.get_unverified_header(story.early)
    payload = orjson.loads(jwt.PyJWS().decode(story.early, options={"verify_signature": False}))
    unsigned = jwt.PyJWS().encode(orjson.dumps(payload), None, algorithm="none", headers=header | {"alg": "none"})
    assert check_receipt(unsigned, story.after).standing is ReceiptStanding.INVALID
    head, body, signature = story.early.split(".")
    moved = jwt.utils.base64url_encode(orjson.dumps(payload | {"index": 5})).decode()
    assert check_receipt(f"{head}.{moved}.{signature}", story.after).standing is ReceiptStanding.INVALID
    assert check_receipt(f"{head}.{body}.{signature[:-4]}AAAA", story.after).standing is ReceiptStanding.INVALID
