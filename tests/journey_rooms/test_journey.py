"""Section 7 of the design, line by line: what fails, what the client sees, what is recorded, what never happens."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy.errors import (
    ArchiveError,
    ArchiveTimeoutError,
    PolicyUnavailableError,
    PostureUnavailableError,
)
from proxy.model import Capabilities, JsonObject, Obligation, Reason, Refusal, Verdict
from tests.journey_rooms.simulators import METADATA, RETRIEVE, ROWS, SEARCH, STORE, Found, PassThrough, World

READS = [RETRIEVE, METADATA]
MASK: JsonObject = {"type": "mask", "attributes": ["00100010"]}


# --------------------------------------------------------------------------------------- it goes well


@pytest.mark.parametrize("request_", READS, ids=["retrieve", "metadata"])
async def test_allowed_read_streams_what_the_archive_gives(world: World, request_: object) -> None:
    world.request = request_  # type: ignore[assignment]
    exchange = await world.walk()
    assert (exchange.status, exchange.sent, exchange.finished) == (200, b"pixelsand more", True)
    assert exchange.headers["Content-Type"] == "application/dicom"
    assert exchange.headers["Cache-Control"] == "no-store"
    assert world.archive.asked == [request_]
    assert world.decision["verdict"]["allow"] is True
    assert world.decision["asked"] is True
    assert world.outcome["id"] == world.decision["id"]
    assert (world.outcome["status"], world.outcome["http_status"], world.outcome["bytes"]) == ("complete", 200, 14)
    assert world.outcome["sha256"] == hashlib.sha256(b"pixelsand more").hexdigest()
    assert ("outcomes", {"status": "complete"}) in world.observer.counts
    assert {"identify", "interpret", "posture", "context", "decide", "forward"} <= world.observer.rooms


async def test_no_byte_leaves_before_the_decision_is_durable(world: World) -> None:
    world.recorder.delay = 200
    world.trace.clear()
    exchange = await world.walk()
    assert exchange.finished
    assert world.trace.before("fetch", "durable decision")  # a read may be fetched meanwhile
    assert world.trace.index("durable decision") < min(world.trace.index(each) for each in ("start", "write", "finish"))


async def test_search_is_recorded_with_the_rows_that_it_shows(world: World) -> None:
    world.request, world.archive.found = SEARCH, Found(parts=[ROWS[:10], ROWS[10:]])
    exchange = await world.walk()
    assert exchange.status == 200
    assert [row["0020000D"]["Value"] for row in json.loads(exchange.sent)] == [["1.2.3"], ["1.2.4"]]
    assert exchange.headers["Content-Type"] == "application/dicom+json"
    assert world.decision["rows"] == [["1.2.3"], ["1.2.4"]]
    assert world.trace.before("fetch", "durable decision")


async def test_search_that_finds_nothing_answers_an_empty_list(world: World) -> None:
    world.request, world.archive.found = SEARCH, Found(status=204, parts=[])
    exchange = await world.walk()
    assert (exchange.status, exchange.sent, world.decision["rows"]) == (200, b"[]", [])


# ---------------------------------------------------------------------------------------- it is denied


@pytest.mark.parametrize("request_", [*READS, SEARCH, STORE], ids=lambda r: r.action.value)
async def test_denied_request_reaches_no_archive_and_is_recorded(world: World, request_: object) -> None:
    world.request = request_  # type: ignore[assignment]
    world.engine.deny(Reason.POSTURE_STALE, Reason.ACTION_NOT_PERMITTED)
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, ["action-not-permitted", "posture-stale"])
    assert world.archive.asked == []
    assert world.decision["verdict"]["reasons"] == ["action-not-permitted", "posture-stale"]
    assert (world.outcome["status"], world.outcome["http_status"]) == ("complete", 403)
    assert json.loads(exchange.sent)["decision"] == world.decision["id"]


@pytest.mark.parametrize(
    "reason",
    [Reason.CERTIFICATE_REVOKED, Reason.CERTIFICATE_EXPIRED, Reason.REVOCATION_STALE, Reason.CERTIFICATE_MISSING],
)
async def test_refused_certificate_is_denied_before_policy_is_asked(world: World, reason: Reason) -> None:
    world.identifier.reasons = (reason,)
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, [reason.value])
    assert world.engine.asked == []
    assert world.archive.asked == []
    assert world.decision["asked"] is False


async def test_certificate_without_device_is_denied(world: World) -> None:
    world.identifier.device = None
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, ["certificate-profile"])


async def test_request_out_of_the_grammar_is_refused_and_recorded(world: World) -> None:
    world.request = Refusal(reason=Reason.INVALID_UID, detail="a UID has at most 64 characters")
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (400, ["invalid-uid"])
    assert world.engine.asked == []
    assert world.decision["refusal"] == {"reason": "invalid-uid", "detail": "a UID has at most 64 characters"}


@pytest.mark.parametrize(
    ("obligation", "reason"), [("seal", "not-yet"), (MASK, "mask-not-possible"), ("juggle", "obligation-unknown")]
)
async def test_obligation_that_cannot_be_met_denies(world: World, obligation: str | JsonObject, reason: str) -> None:
    world.engine.demand(obligation)
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, [reason])
    assert world.archive.asked == []


async def test_object_that_the_archive_lacks_is_not_found(world: World) -> None:
    world.archive.found = Found(status=404, parts=[b"an error page"])
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (404, ["resource-unknown"])
    assert (world.outcome["status"], world.outcome["reason"]) == ("complete", "resource-unknown")


# ------------------------------------------------------------------------------- dependencies fail


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda w: setattr(w.engine, "error", PolicyUnavailableError("undefined")), "policy-unavailable"),
        (lambda w: setattr(w.posture, "error", PostureUnavailableError("locked")), "posture-unavailable"),
    ],
)
@pytest.mark.parametrize("request_", [RETRIEVE, SEARCH, STORE], ids=lambda r: r.action.value)
async def test_decision_that_cannot_be_made_is_503_and_recorded(
    world: World, request_: object, spoil: Callable[[World], None], reason: str
) -> None:
    world.request = request_  # type: ignore[assignment]
    spoil(world)
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (503, [reason])
    assert world.decision["verdict"] == {
        "allow": False,
        "reasons": [reason],
        "obligations": [],
        "policy": "",
        "policy_as_of": None,
    }
    assert world.archive.asked == []


@pytest.mark.parametrize(
    ("error", "status"), [(ArchiveError("refused"), 502), (ArchiveTimeoutError("late"), 504)], ids=["absent", "late"]
)
async def test_archive_that_does_not_tell_the_context_denies(world: World, error: Exception, status: int) -> None:
    world.archive.context_error = error
    exchange = await world.walk()
    assert exchange.status == status
    assert world.decision["verdict"]["allow"] is False
    assert world.archive.asked == []


@pytest.mark.parametrize("request_", [RETRIEVE, METADATA, SEARCH], ids=lambda r: r.action.value)
@pytest.mark.parametrize(
    ("error", "status"), [(ArchiveError("refused"), 502), (ArchiveTimeoutError("late"), 504)], ids=["absent", "late"]
)
async def test_archive_that_fails_an_allowed_read_is_told_and_recorded(
    world: World, request_: object, error: Exception, status: int
) -> None:
    world.request = request_  # type: ignore[assignment]
    world.archive.error = error
    exchange = await world.walk()
    assert exchange.status == status
    assert world.decision["verdict"]["allow"] is True
    assert (world.outcome["status"], world.outcome["http_status"]) == ("failed", status)
    assert world.outcome["reason"] == exchange.reasons()[0]


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{}", b'[{"00100010": {}}]', b'["x"]', b"[" + b" " * 200_000],
    ids=["html", "object", "row-without-study", "row-not-an-object", "too-large"],
)
async def test_search_answer_that_is_not_dicom_json_is_not_passed_on(world: World, body: bytes) -> None:
    world.request, world.archive.found = SEARCH, Found(parts=[body])
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (502, ["archive-unavailable"])
    assert (world.decision["rows"], world.outcome["status"]) == ([], "failed")


@pytest.mark.parametrize("error", [ArchiveError("broke off"), ArchiveTimeoutError("stalled")])
async def test_archive_that_breaks_off_midway_cuts_the_answer(world: World, error: Exception) -> None:
    world.archive.found = Found(parts=[b"pixels", error])
    exchange = await world.walk()
    assert (exchange.status, exchange.sent) == (200, b"pixels")
    assert exchange.aborted
    assert not exchange.finished
    assert (world.outcome["status"], world.outcome["bytes"]) == ("failed", 6)
    assert world.outcome["sha256"] == hashlib.sha256(b"pixels").hexdigest()


# ----------------------------------------------------------------------------------- spool fails


def spool_fails(world: World) -> None:
    world.recorder.fail_from = 0


def spool_is_full(world: World) -> None:
    world.recorder.refuse = True


@pytest.mark.parametrize("fail", [spool_fails, spool_is_full])
@pytest.mark.parametrize("request_", [RETRIEVE, METADATA, SEARCH, STORE], ids=lambda r: r.action.value)
async def test_decision_that_cannot_be_recorded_is_503_and_counted(
    world: World, request_: object, fail: Callable[[World], None]
) -> None:
    world.request = request_  # type: ignore[assignment]
    world.archive.found = Found(parts=[ROWS])
    fail(world)
    exchange = await world.walk(world.exchange(b"1.2.3|1|x", b"end"))
    assert (exchange.status, exchange.reasons()) == (503, ["record-not-durable"])
    assert "Decision-Id" not in exchange.headers
    assert world.suppressor.suppressed == ["record-not-durable"]
    assert world.recorder.durable == []
    assert ROWS not in exchange.sent
    assert world.archive.bodies == []
    assert not exchange.continued
    assert not [name for name, _ in world.observer.counts if name == "decisions"], "it would be counted twice"


@pytest.mark.parametrize("fail", [spool_fails, spool_is_full])
async def test_denial_that_cannot_be_recorded_is_503_too(world: World, fail: Callable[[World], None]) -> None:
    world.engine.deny(Reason.POSTURE_STALE)
    fail(world)
    exchange = await world.walk()
    assert (exchange.status, world.suppressor.suppressed) == (503, ["record-not-durable"])


async def test_archive_and_spool_that_fail_together_are_503(world: World) -> None:
    spool_fails(world)
    world.archive.error = ArchiveError("refused")
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (503, ["record-not-durable"])


# -------------------------------------------------------------------------------- the client leaves


@pytest.mark.parametrize("at", ["start", "write", "finish"])
@pytest.mark.parametrize("request_", [RETRIEVE, SEARCH], ids=lambda r: r.action.value)
async def test_client_that_leaves_is_an_aborted_outcome(world: World, request_: object, at: str) -> None:
    world.request = request_  # type: ignore[assignment]
    world.archive.found = Found(parts=[ROWS])
    exchange = world.exchange()
    exchange.gone_at = at
    await world.walk(exchange)
    assert world.outcome["status"] == "aborted"
    assert bool(world.outcome["bytes"]) == (at != "start")


async def test_client_that_leaves_midway_is_recorded_with_all_that_may_have_left(world: World) -> None:
    exchange = world.exchange()
    exchange.gone_at, exchange.gone_after = "write", 1
    await world.walk(exchange)
    assert (world.outcome["status"], world.outcome["bytes"]) == ("aborted", 14)
    assert world.outcome["sha256"] == hashlib.sha256(b"pixelsand more").hexdigest()


async def test_outcome_of_a_head_says_that_no_content_left(world: World) -> None:
    exchange = await world.walk(method="HEAD")
    assert (exchange.status, exchange.sent, exchange.finished) == (200, b"", True)
    assert (world.outcome["bytes"], world.outcome["sha256"]) == (0, hashlib.sha256(b"").hexdigest())


async def test_client_that_leaves_a_denial_is_recorded(world: World) -> None:
    world.engine.deny(Reason.POSTURE_STALE)
    exchange = world.exchange()
    exchange.gone_at = "write"
    await world.walk(exchange)
    assert world.outcome["status"] == "aborted"


async def test_client_that_leaves_a_failure_is_recorded(world: World) -> None:
    world.archive.error = ArchiveError("refused")
    exchange = world.exchange()
    exchange.gone_at = "start"
    await world.walk(exchange)
    assert (world.outcome["status"], world.outcome["reason"]) == ("aborted", "archive-unavailable")


async def test_a_bug_in_a_room_is_not_an_answer(world: World) -> None:
    world.engine.error = RuntimeError("a bug")
    exchange = world.exchange()
    with pytest.raises(RuntimeError):
        await world.walk(exchange)
    assert (exchange.status, exchange.decided, world.recorder.records) == (0, False, [])


async def test_concurrent_walks_do_not_share_anything(world: World) -> None:
    worlds = [world, *(World() for _ in range(19))]
    walked = await asyncio.gather(*(each.walk() for each in worlds))
    assert len({exchange.headers["Decision-Id"] for exchange in walked}) == 20


async def test_answer_that_cannot_be_made_is_a_failure_with_one_outcome(world: World) -> None:
    for recoding in (ArchiveError("no boundary"), PassThrough(error=ArchiveError("not multipart"))):
        world.fulfilment.recoding = recoding
        exchange = await world.walk()
        assert (exchange.status, exchange.reasons()) == (502, ["archive-unavailable"])
        world.recorder.durable.clear()
        world.suppressor.suppressed.clear()


async def test_answer_that_turns_out_short_is_cut(world: World) -> None:
    world.fulfilment.recoding = PassThrough(late=ArchiveError("no close-delimiter"))
    exchange = await world.walk()
    assert (exchange.status, exchange.aborted, exchange.finished) == (200, True, False)
    assert world.outcome["status"] == "failed"


async def test_each_request_is_counted_once_with_its_verdict_and_its_bytes(world: World) -> None:
    name = "urn:dicomward:device:radiologist"
    exchange = await world.walk()
    assert (world.counting.decided_of, world.counting.sent) == ([(name, True)], [len(exchange.sent)])
    world.engine.deny(Reason.ACTION_NOT_PERMITTED)
    world.recorder.durable.clear()
    denied = await world.walk()
    assert world.counting.decided_of == [(name, True), (name, False)]
    assert world.counting.sent == [len(exchange.sent), len(denied.sent)]


# ----------------------------------------------------------------------------------------- obligations


async def test_hidden_denial_answers_as_an_absent_object_and_is_recorded_as_what_it_is(world: World) -> None:
    hide: JsonObject = {"type": "hide"}
    world.engine.verdict = Verdict(
        allow=False, reasons=("institution-not-granted",), obligations=(Obligation(type="hide", body=hide),)
    )
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (404, ["resource-unknown"])
    assert world.decision["verdict"]["reasons"] == ["institution-not-granted"]


@pytest.mark.parametrize(("most", "sent"), [(14, "complete"), (13, "terminated"), (5, "terminated")])
async def test_answer_is_cut_where_policy_limits_its_bytes(world: World, most: int, sent: str) -> None:
    world.engine.demand({"type": "limit", "bytes": most})
    await world.walk()
    assert world.outcome["status"] == sent
    assert world.outcome["bytes"] <= most or world.outcome["http_status"] == 403
    assert world.outcome.get("reason") == (None if sent == "complete" else "limit-reached")


async def test_answer_known_to_be_too_long_does_not_begin(world: World) -> None:
    world.engine.demand({"type": "limit", "bytes": 100})
    world.fulfilment.recoding = PassThrough(length=101)
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, ["limit-reached"])


async def test_answer_is_cut_where_policy_limits_its_time(world: World) -> None:
    world.engine.demand({"type": "limit", "seconds": 1})
    world.archive.found = Found(parts=[b"first", asyncio.Event()])
    exchange = await world.walk()
    assert (exchange.sent, exchange.aborted) == (b"first", True)
    assert (world.outcome["status"], world.outcome["reason"]) == ("terminated", "limit-reached")


# ----------------------------------------------------------------------- what is asked of the proxy alone


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("certificate", [b"der", None])
async def test_options_is_answered_counted_and_not_decided(world: World, root: bool, certificate: bytes | None) -> None:
    world.request = Capabilities(methods=("GET", "HEAD", "OPTIONS"), root=root)
    world.certificate = certificate
    exchange = await world.walk(method="OPTIONS")
    assert (exchange.status, exchange.sent) == ((200, b"{}") if root else (204, b""))
    assert exchange.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert world.suppressor.suppressed == ["capabilities"]
    assert world.engine.asked == []
    assert world.archive.asked == []


@pytest.mark.parametrize(
    "request_",
    [
        RETRIEVE,
        SEARCH,
        STORE,
        Refusal(reason=Reason.UNKNOWN_ROUTE, detail=""),
        Capabilities(methods=("GET",), root=True),
    ],
)
async def test_without_a_certificate_nothing_else_is_answered_and_no_fsync_spent(world: World, request_: Any) -> None:
    world.request, world.certificate = request_, None
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, ["certificate-missing"])
    assert world.suppressor.suppressed == ["certificate-missing"]
    assert world.recorder.records == []
