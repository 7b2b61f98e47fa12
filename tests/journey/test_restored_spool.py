"""A backup of the spool put back: noticed, a successor opened, the break reported."""

from __future__ import annotations

import json
import shutil
import time

from deploy.dev.answers import Answer, session
from deploy.dev.stack import DevStack
from proxy.record.reader import open_readers
from tests.journey import ledger


def _ask(stack: DevStack, number: int) -> list[Answer]:
    kept: list[Answer] = []
    with session("radiologist", stack.client("radiologist"), stack.ca, kept) as client:
        for _ in range(number):
            client.get(f"{stack.url}/dicom-web/studies?limit=1", timeout=30)
    return kept


def test_restored_older_spool_is_noticed_and_succeeded(stack: DevStack) -> None:
    kept = _ask(stack, 5)
    ledger.settle(stack)
    assert ledger.verified(stack)["clean"], "the auditor's trust file is older than the break"
    stack.stop_part("proxy")
    backup = stack.layout.directory / "backup"
    shutil.copytree(stack.layout.spool, backup)
    stack.restart("proxy")
    lost = _ask(stack, 7)
    ledger.settle(stack)
    first = open_readers(stack.layout.spool)[-1].origin

    stack.stop_part("proxy")
    shutil.rmtree(stack.layout.spool)
    shutil.copytree(backup, stack.layout.spool)
    stack.restart("proxy")
    later = _ask(stack, 5)

    deadline = time.monotonic() + 30
    while open_readers(stack.layout.spool)[-1].origin == first:
        assert time.monotonic() < deadline, "no successor was opened"
        time.sleep(0.2)
    after = _ask(stack, 3)
    ledger.settle(stack)

    successor = open_readers(stack.layout.spool)[-1]
    assert successor.predecessor == first
    report = ledger.verified(stack)
    broken = [finding for finding in report["findings"] if finding["kind"] == "origin-broken"]
    assert len(broken) == 1, json.dumps(report, indent=1)
    assert not report["clean"], "a break is for a person to accept"
    assert ledger.missing(stack, [*kept, *later, *after]) == []
    assert len(ledger.missing(stack, lost)) == len(lost), "the backup cannot hold what came after it"
    accepted = ledger.verified(stack, [*kept, *lost, *later, *after], "--accept", first.hex())
    standings = {one["standing"] for one in accepted["receipts"]}
    assert standings == {"anchored", "carried"}, "every receipt still stands on the chain"


def test_lost_spool_gets_a_successor_that_names_it(stack: DevStack) -> None:
    _ask(stack, 3)
    ledger.settle(stack)
    assert ledger.verified(stack)["clean"]
    first = open_readers(stack.layout.spool)[-1].origin
    stack.stop_part("proxy")
    shutil.rmtree(stack.layout.spool)
    stack.layout.spool.mkdir(mode=0o700)
    stack.restart("proxy")
    kept = _ask(stack, 2)
    ledger.settle(stack)
    second = open_readers(stack.layout.spool)[-1]
    assert second.origin != first
    report = ledger.verified(stack, kept)
    assert first.hex() in json.dumps(report["findings"]), "the origin that was lost is named"
    assert not report["clean"]
    assert {one["standing"] for one in report["receipts"]} == {"anchored"}
