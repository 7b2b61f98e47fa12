"""The chain goes away under load: clients notice nothing, and afterwards everything is anchored once, in order."""

from __future__ import annotations

import time

from deploy.dev.stack import DevStack
from tests.journey import ledger
from tests.journey.conftest import FULL
from tests.journey.load import load

OUTAGE_S = 60 if FULL else 6


def test_no_request_fails_while_the_chain_is_away(stack: DevStack) -> None:
    with load(stack) as seen:
        time.sleep(2)
        stack.stop_part("chain")
        away = len(seen.answers)
        time.sleep(OUTAGE_S)
        answered = len(seen.answers) - away
        stack.restart("chain")
        time.sleep(1)
    print(f"{OUTAGE_S} s without chain: {answered} answers meanwhile, {seen.unanswered} unanswered, {seen.statuses()}")
    assert answered > 0
    assert seen.unanswered == 0
    assert set(seen.statuses()) <= {200, 403}
    ledger.settle(stack)
    report = ledger.verified(stack, seen.answers[-200:])
    assert report["clean"], report["findings"]
