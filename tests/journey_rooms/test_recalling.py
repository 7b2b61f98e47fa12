"""A decision told again: recorded before it is looked for, told to its own alone, and no more than they may know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.errors import IntegrityError, PeerGoneError, SpoolError
from proxy.model import Obligation, Reason, Recalled, Verdict
from tests.journey_rooms.simulators import ABOUT, DEVICE, DIGEST, RECALL, World

RECEIPT = "a.b.c"
OUTCOME = {"status": "complete", "http_status": 200, "bytes": 5, "sha256": "00", "time": "t"}


def recalled(outcome: bool = True, receipt: str | None = RECEIPT, parts: int = 0, **verdict: Any) -> Recalled:
    said = {"allow": True, "reasons": [], "obligations": [], "policy": "cd" * 32, "policy_as_of": None, **verdict}
    request = {"action": "retrieve", "method": "GET", "level": "study", "study": "1.2.3", "series": None}
    return Recalled(
        chain_id=31337,
        contract=bytes(20),
        origin=b"\xab" * 32,
        index=7,
        leaf=b"\xcd" * 32,
        receipt=receipt,
        decision={
            "id": ABOUT,
            "time": "2026-11-22T12:00:00.000Z",
            "input": {
                "request": {**request, "instance": None, "query": {"match": {"00100010": "DOE^JANE"}}},
                "resource": {"patient_id": "P1"},
            },
            "verdict": said,
            "rows": [["9.9.9"]],
        },
        outcome={"status": "complete", "http_status": 200, "bytes": 5, "sha256": "00", "time": "t"}
        if outcome
        else None,
        parts=tuple(
            {"part": number, "uids": None if number == 1 else {"instance": "1.5"}, "verdict": {"allow": number != 1}}
            for number in range(parts)
        ),
    )


@pytest.fixture
def asking(world: World) -> World:
    world.request = RECALL
    return world


async def test_what_was_decided_is_told_after_asking_was_recorded(asking: World) -> None:
    asking.lookup.found = recalled()
    exchange = await asking.walk()
    assert (exchange.status, exchange.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(exchange.sent) == {
        "decision": ABOUT,
        "time": "2026-11-22T12:00:00.000Z",
        "action": "retrieve",
        "asked": {"method": "GET", "level": "study", "study": "1.2.3", "series": None, "instance": None},
        "allow": True,
        "reasons": [],
        "obligations": [],
        "policy": "cd" * 32,
        "outcome": {"status": "complete", "http_status": 200, "bytes": 5, "sha256": "00", "reason": None, "time": "t"},
        "parts": [],
        "ledger": {
            "chain_id": 31337,
            "contract": "0x" + "00" * 20,
            "origin": "ab" * 32,
            "index": 7,
            "leaf": "cd" * 32,
            "standing": "standing of abab at 7",
        },
        "receipt": RECEIPT,
    }
    assert asking.lookup.asked == [(ABOUT, DEVICE)]
    assert asking.trace.before("durable decision", "recall")
    assert asking.decision["input"]["request"]["decision"] == ABOUT
    assert asking.archive.asked == []


async def test_nothing_of_patients_or_of_what_was_found_is_told(asking: World) -> None:
    asking.lookup.found = recalled()
    told = (await asking.walk()).sent
    assert not any(secret in told for secret in (b"DOE", b"P1", b"9.9.9"))


async def test_parts_without_their_reasons(asking: World) -> None:
    asking.lookup.found = recalled(outcome=False, receipt=None, parts=2)
    told = json.loads((await asking.walk()).sent)
    assert told["parts"] == [
        {"part": 0, "instance": "1.5", "allow": True},
        {"part": 1, "instance": None, "allow": False},
    ]
    assert (told["outcome"], told["receipt"]) == (None, None)


async def test_denial_that_was_hidden_stays_hidden(asking: World) -> None:
    hide = [{"type": "hide"}]
    asking.lookup.found = recalled(allow=False, reasons=["patient-not-granted"], obligations=hide)
    told = json.loads((await asking.walk()).sent)
    assert (told["allow"], told["reasons"], told["obligations"]) == (False, ["resource-unknown"], [])
    asking.lookup.found = recalled(allow=False, reasons=["posture-stale"])
    told = json.loads((await again(asking)).sent)
    assert told["reasons"] == ["posture-stale"]


async def again(world: World) -> Any:
    """The same world asked once more, as if nothing had been recorded yet."""
    world.recorder.records.clear()
    world.recorder.durable.clear()
    return await world.walk()


async def test_what_is_not_ones_own_is_unknown(asking: World) -> None:
    exchange = await asking.walk()
    assert (exchange.status, exchange.reasons()) == (404, ["decision-unknown"])
    assert asking.decision["verdict"]["allow"] is True
    assert (asking.outcome["http_status"], asking.outcome["reason"]) == (404, "decision-unknown")


async def test_whom_policy_denies_nothing_is_looked_up(asking: World) -> None:
    asking.engine.verdict = Verdict.denied(Reason.ACTION_NOT_PERMITTED)
    exchange = await asking.walk()
    assert (exchange.status, exchange.reasons()) == (403, ["action-not-permitted"])
    assert asking.lookup.asked == []


def allowed(**obligation: Any) -> Verdict:
    return Verdict(
        allow=True, reasons=(), obligations=(Obligation(type=obligation["type"], body=obligation),), policy=DIGEST
    )


@pytest.mark.parametrize(
    ("type_", "status"), [("mask", 200), ("hide", 200), ("limit", 200), ("seal", 403), ("filter_rows", 403)]
)
async def test_obligations_that_a_bare_answer_meets(asking: World, type_: str, status: int) -> None:
    asking.lookup.found = recalled()
    asking.engine.verdict = allowed(type=type_)
    assert (await asking.walk()).status == status


async def test_answer_larger_than_its_limit_does_not_leave(asking: World) -> None:
    asking.lookup.found = recalled()
    asking.engine.verdict = allowed(type="limit", bytes=10)
    assert (await asking.walk()).reasons() == ["limit-reached"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(SpoolError("gone"), 503, "record-not-durable"), (IntegrityError("changed"), 500, "integrity")],
)
async def test_spool_that_cannot_be_read_is_said_so_and_recorded(
    asking: World, error: Exception, status: int, code: str
) -> None:
    asking.lookup.error = error
    exchange = await asking.walk()
    assert (exchange.status, exchange.reasons()) == (status, [code])
    assert (asking.outcome["status"], asking.outcome["reason"]) == ("failed", code)


async def test_decision_to_tell_that_is_not_durable_tells_nothing(asking: World) -> None:
    asking.recorder.fail_from = 0
    asking.lookup.found = recalled()
    assert (await asking.walk()).status == 503
    assert asking.lookup.asked == []


async def test_reader_who_goes_away_leaves_an_outcome(asking: World) -> None:
    asking.lookup.found = recalled()
    exchange = asking.exchange()
    exchange.gone_at = "write"
    await asking.walk(exchange)
    assert asking.outcome["status"] == "aborted"
    asking.lookup.error = PeerGoneError("gone")
    assert (await again(asking)).status == 408
