"""Kill -9 under load: no answered request is missing from the ledger."""

from __future__ import annotations

import time

import pytest

from deploy.dev.stack import DevStack
from tests.journey import ledger
from tests.journey.conftest import FULL
from tests.journey.load import load

CRASHES = 20 if FULL else 3

# The client library leaves sockets open whose peer was killed in the middle of an answer.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]


def test_proxy_killed_under_load_loses_no_answered_request(stack: DevStack) -> None:
    with load(stack) as seen:
        for _ in range(CRASHES):
            before = len(seen.answers)
            time.sleep(0.7)
            stack.kill("proxy")
            stack.restart("proxy")
            assert len(seen.answers) > before, "nothing was answered between two crashes"
        time.sleep(0.7)
    print(f"{CRASHES} crashes, {seen.statuses()}, {seen.unanswered} unanswered")
    assert set(seen.statuses()) <= {200, 403}
    assert all(answer.receipt for answer in seen.answers)
    assert ledger.missing(stack, seen.answers) == []
    indices = ledger.indices(stack)
    assert indices == list(range(len(indices)))
    ledger.settle(stack)
    report = ledger.verified(stack, seen.answers[-200:])
    assert report["clean"], report["findings"]


def test_anchor_killed_under_load_anchors_everything_once(stack: DevStack) -> None:
    with load(stack) as seen:
        for _ in range(3 if FULL else 2):
            time.sleep(1.5)
            stack.kill("anchor")
            stack.restart("anchor")
        time.sleep(1.0)
    ledger.settle(stack)
    report = ledger.verified(stack, seen.answers[-200:])
    assert report["clean"], report["findings"]
