"""What was decided, asked for again on the real stack: by its own alone, with the receipt of before."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import jwt
import pytest

from proxy.model import Kind
from tests.conformance.judge import Judge
from tests.conformance.wire import Caller, Reply, request
from tests.stack import RelayedStack

DECISIONS = "/.dicomward/v1/decisions"
SEARCH = "/dicom-web/studies?limit=2"
SETTLED_S = 30.0


def again(caller: Caller, decision: str, who: str = "radiologist") -> Reply:
    return caller.get(f"{DECISIONS}/{decision}", who=who)


def told(caller: Caller, decision: str, who: str = "radiologist") -> dict[str, Any]:
    reply = again(caller, decision, who)
    assert (reply.status, reply.value("Content-Type")) == (200, "application/json"), reply.body
    assert reply.value("Cache-Control") == "no-store"
    found: dict[str, Any] = reply.json
    return found


def place(receipt: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(jwt.PyJWS().decode(receipt, options={"verify_signature": False}))
    return said


def test_search_is_told_with_the_receipt_that_its_answer_had(judge: Judge, caller: Caller) -> None:
    first = caller.get(SEARCH)
    outcome = judge.outcome(first)
    found = told(caller, first.decision)
    assert found["receipt"] == first.value("Decision-Receipt")
    said = place(found["receipt"])
    assert {name: found["ledger"][name] for name in ("chain_id", "contract", "origin", "index", "leaf")} == {
        name: said[name] for name in ("chain_id", "contract", "origin", "index", "leaf")
    }
    assert (found["action"], found["allow"], found["reasons"]) == ("search", True, [])
    assert found["outcome"]["sha256"] == outcome["sha256"]
    assert (found["outcome"]["status"], found["outcome"]["bytes"]) == ("complete", len(first.body))


def test_it_becomes_final_without_asking_anything_else(caller: Caller) -> None:
    decision = caller.get(SEARCH).decision
    deadline = time.monotonic() + SETTLED_S
    while (standing := told(caller, decision)["ledger"]["standing"]) != "final":
        assert standing in ("waiting", "included", "unknown")
        assert time.monotonic() < deadline, standing
        time.sleep(0.3)


def test_denial_is_told_to_a_device_that_is_out_of_order(judge: Judge, caller: Caller) -> None:
    for who, reason in (("stale", "posture-stale"), ("rooted", "posture-disk-unencrypted")):
        denied = caller.get(SEARCH, who=who)
        found = told(caller, denied.decision, who)
        assert (denied.status, found["allow"]) == (403, False)
        assert found["reasons"] == denied.reasons
        assert reason in found["reasons"]


def test_refused_input_is_told_too(caller: Caller) -> None:
    refused = caller.get("/dicom-web/studies?nonsense=1")
    found = told(caller, refused.decision)
    assert (found["action"], found["allow"], found["reasons"]) == (None, False, refused.reasons)


def test_it_is_told_to_nobody_else_as_if_it_had_never_been(judge: Judge, caller: Caller, stack: RelayedStack) -> None:
    own = caller.get(SEARCH).decision
    before = stack.relay.count
    answers = [
        again(caller, own, "technologist"),
        again(caller, "0" * 32, "technologist"),
        again(caller, own, "manager"),
    ]
    for answer in answers:
        assert (answer.status, answer.reasons) == (404, ["decision-unknown"])
        decision = judge.decision(answer)
        assert decision["verdict"]["allow"]
        assert judge.outcome(answer)["reason"] == "decision-unknown"
    assert len({re.sub(rb'"decision":"[0-9a-f]*"', b"", answer.body) for answer in answers}) == 1
    assert stack.relay.count == before, "the archive is not asked"


def test_who_may_not_ask_learns_nothing(judge: Judge, caller: Caller) -> None:
    own = caller.get(SEARCH).decision
    judge.refused(request("GET", f"{DECISIONS}/{own}"), 403, "certificate-revoked", who="revoked")
    judge.refused(request("GET", f"{DECISIONS}/{own}"), 403, "subject-unknown", who="workstation")


def test_asking_is_a_decision_of_its_own(judge: Judge, caller: Caller) -> None:
    own = caller.get(SEARCH).decision
    asked = again(caller, own)
    decision = judge.decision(asked)
    assert decision["input"]["request"]["action"] == "read_decision"
    assert decision["input"]["request"]["decision"] == own
    about = told(caller, asked.decision)
    assert (about["action"], about["asked"]["study"]) == ("read_decision", None)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH"])
def test_decisions_are_only_read(judge: Judge, caller: Caller, method: str) -> None:
    own = caller.get(SEARCH).decision
    judge.refused(request(method, f"{DECISIONS}/{own}"), 405, "method-not-allowed", bodiless=method == "HEAD")


@pytest.mark.parametrize("tail", ["", "/", "/x", "/" + "A" * 32, "/" + "0" * 31, "/" + "0" * 33, "/%30" + "0" * 31])
def test_what_is_no_id_is_refused(judge: Judge, tail: str) -> None:
    raw = request("GET", f"{DECISIONS}{tail}")
    decision = judge.refused(raw, 400 if tail.endswith("/") or "%" in tail else 404)
    assert decision["refusal"]["reason"] in ("unknown-route", "invalid-path")


def test_many_at_once_are_all_told(caller: Caller, stack: RelayedStack) -> None:
    """On one connection, one behind the other: each gets its own."""
    own = [caller.get(SEARCH).decision for _ in range(3)]
    with caller.connected() as wire:
        wire.send(b"".join(request("GET", f"{DECISIONS}/{decision}") for decision in own))
        replies = [wire.read() for _ in own]
    assert [reply.json["decision"] for reply in replies] == own
    assert all(len(stack.records(reply.decision, Kind.DECISION)) == 1 for reply in replies)
