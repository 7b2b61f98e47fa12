"""Posture that is told: recorded before it has an effect, refused with its own reason, never half taken."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from proxy import reporting
from proxy.errors import PeerGoneError, PostureUnavailableError
from proxy.model import DeviceId, Obligation, Reason, Refusal, Role, SiteRequest, User, Verdict
from tests.journey_rooms.simulators import DEVICE, DIGEST, MANAGED, NONCE, NOW, REPORT, RETRIEVE, World

USER = User(id="dev/alice", issuer="dev", subject="alice", roles=(), purpose=None, expires_at=NOW)


async def test_nonce_is_given_after_a_recorded_decision(world: World) -> None:
    world.request = NONCE
    exchange = await world.walk()
    assert (exchange.status, exchange.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(exchange.sent) == {"nonce": "nonce for efef", "expires_in": 60, "site": "here"}
    assert world.decision["input"]["request"]["action"] == "report_posture"
    assert world.archive.asked == []


@pytest.mark.parametrize("request_", [REPORT, MANAGED], ids=["report", "managed"])
async def test_report_is_recorded_before_it_is_accepted(world: World, request_: SiteRequest) -> None:
    world.request = request_
    exchange = await world.walk(world.exchange(b"signed ", b"report"), "POST")
    assert exchange.status == 200
    told = json.loads(exchange.sent)
    assert (told["accepted"], told["attributes"], told["expires_at"]) == (True, 1, "2026-11-22T12:15:00.000Z")
    assert world.desk.examined == [b"signed report"]
    assert len(world.desk.accepted) == 1
    assert world.trace.before("durable decision", "accept")
    assert world.decision["report"] == {
        "source": "agent",
        "trust": "reported",
        "sha256": "aa" * 32,
        "issued_at": "2026-11-22T12:00:00.000Z",
        "devices": [DEVICE],
    }
    (event,) = world.recorder.of("event")
    assert (event["event"], event["devices"], event["source"]) == ("posture", [DEVICE], "agent")
    assert event["decision"] == world.decision["id"]


async def test_report_that_changes_no_value_leaves_no_event(world: World) -> None:
    world.request, world.desk.changed = REPORT, ()
    assert (await world.walk(world.exchange(b"report"), "POST")).status == 200
    assert world.recorder.of("event") == []


@pytest.mark.parametrize(
    "reason",
    [reason for reason in Reason if reason.value.startswith(("report-", "webhook-"))],
    ids=lambda reason: reason.value,
)
async def test_refused_report_is_recorded_with_its_own_reason_and_has_no_effect(world: World, reason: Reason) -> None:
    world.request, world.desk.refusal = REPORT, reason
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert exchange.reasons() == [reason.value]
    assert 400 <= exchange.status < 500
    assert world.decision["verdict"]["reasons"] == [reason.value]
    assert world.decision["verdict"]["allow"] is False
    assert world.desk.accepted == []
    assert "accept" not in world.trace


async def test_denied_report_is_not_read(world: World) -> None:
    world.request = REPORT
    world.engine.deny(Reason.SUBJECT_UNKNOWN)
    assert (await world.walk(world.exchange(b"report"), "POST")).reasons() == ["subject-unknown"]
    assert world.desk.examined == []


async def test_report_that_is_too_long_is_refused_and_not_examined(world: World) -> None:
    world.request = REPORT
    exchange = await world.walk(world.exchange(b"x" * 600, b"x" * 600), "POST")
    assert (exchange.status, exchange.reasons()) == (413, ["too-large"])
    assert world.desk.examined == []


async def test_announced_length_is_refused_before_the_body_is_asked_for(world: World) -> None:
    world.request = replace(REPORT, bytes=1001, expect_continue=True)
    exchange = await world.walk(world.exchange(b"x"), "POST")
    assert (exchange.status, exchange.reasons(), exchange.continued) == (413, ["too-large"], False)


async def test_certificate_that_was_revoked_while_the_body_came_tells_nothing(world: World) -> None:
    world.request = REPORT
    held = asyncio.Event()
    exchange = world.exchange(b"slow ", held, b"report")
    walking = asyncio.create_task(world.walk(exchange, "POST"))
    await asyncio.sleep(0.01)
    world.identifier.reasons = (Reason.CERTIFICATE_REVOKED,)
    world.clock.advance(8)
    held.set()
    await walking
    assert exchange.reasons() == ["certificate-revoked"]
    assert world.desk.examined == []
    assert (world.decision["verdict"]["allow"], world.decision["asked"]) == (False, False)


async def test_record_of_a_slow_report_has_the_policy_input_of_when_it_was_there(world: World) -> None:
    world.request = REPORT
    held = asyncio.Event()
    exchange = world.exchange(held, b"report")
    walking = asyncio.create_task(world.walk(exchange, "POST"))
    await asyncio.sleep(0.01)
    world.engine.deny(Reason.ACTION_NOT_PERMITTED)
    held.set()
    await walking
    assert exchange.reasons() == ["action-not-permitted"]
    assert len(world.engine.asked) == 2


async def test_body_that_drips_ends_as_a_peer_that_went_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BODY_S", 0.05)
    world.request = REPORT
    exchange = world.exchange(b"x", asyncio.Event())
    with pytest.raises(PeerGoneError):
        await world.journey.walk(world.arrival("POST"), exchange)
    assert not exchange.decided


async def test_many_changed_devices_are_events_of_a_hundred(world: World) -> None:
    world.request = MANAGED
    world.desk.changed = tuple(DeviceId(f"{number:064x}") for number in range(250))
    await world.walk(world.exchange(b"report"), "POST")
    assert [len(event["devices"]) for event in world.recorder.of("event")] == [100, 100, 50]


async def test_failure_nobody_thought_of_leaves_an_outcome(world: World) -> None:
    world.request = REPORT

    async def fail(report: object, now: object) -> None:
        raise RuntimeError("a bug")

    world.desk.accept = fail  # type: ignore[assignment, method-assign]
    exchange = world.exchange(b"report")
    with pytest.raises(RuntimeError):
        await world.journey.walk(world.arrival("POST"), exchange)
    assert world.outcome["status"] == "terminated"


async def test_report_of_a_peer_that_went_away_has_no_decision(world: World) -> None:
    world.request = REPORT
    exchange = world.exchange(b"half", PeerGoneError())
    with pytest.raises(PeerGoneError):
        await world.journey.walk(world.arrival("POST"), exchange)
    assert not exchange.decided
    assert world.recorder.of("decision") == []
    assert world.desk.examined == []


async def test_report_that_another_overtook_is_answered_so(world: World) -> None:
    world.request, world.desk.late = REPORT, Reason.REPORT_REPLAYED
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert (exchange.status, exchange.reasons()) == (409, ["report-replayed"])
    assert world.outcome["reason"] == "report-replayed"
    assert world.recorder.of("event") == []


async def test_store_that_cannot_be_read_denies_before_anything_is_taken(world: World) -> None:
    world.request, world.desk.error = REPORT, PostureUnavailableError("gone")
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert (exchange.status, exchange.reasons()) == (503, ["posture-unavailable"])
    assert world.decision["verdict"]["allow"] is False


async def test_store_that_cannot_be_written_is_answered_and_its_outcome_failed(world: World) -> None:
    world.request, world.desk.accept_error = REPORT, PostureUnavailableError("full")
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert (exchange.status, exchange.reasons()) == (503, ["posture-unavailable"])
    assert (world.outcome["status"], world.outcome["reason"]) == ("failed", "posture-unavailable")


async def test_report_that_is_not_durable_has_no_effect(world: World) -> None:
    world.request, world.recorder.fail_from = REPORT, 0
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert exchange.status == 503
    assert world.desk.accepted == []
    assert world.suppressor.suppressed == ["record-not-durable"]


async def test_obligation_on_what_is_ours_denies(world: World) -> None:
    world.request = REPORT
    world.engine.verdict = Verdict(
        allow=True, reasons=(), obligations=(Obligation(type="seal", body={"type": "seal"}),), policy=DIGEST
    )
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert exchange.reasons() == ["obligation-unknown"]
    assert world.desk.examined == []


# ------------------------------------------------------------------------------------------ whose it is


async def test_device_reports_without_a_user_where_users_are_required(world: World) -> None:
    world.identifier.reasons = (Reason.TOKEN_MISSING,)
    world.request = REPORT
    assert (await world.walk(world.exchange(b"report"), "POST")).status == 200


@pytest.mark.parametrize("request_", [RETRIEVE, MANAGED], ids=["retrieve", "managed"])
async def test_nothing_else_goes_without_a_user_where_users_are_required(world: World, request_: object) -> None:
    world.identifier.reasons = (Reason.TOKEN_MISSING,)
    world.request = request_  # type: ignore[assignment]
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert (exchange.status, exchange.reasons()) == (401, ["token-missing"])
    assert exchange.headers["WWW-Authenticate"] == "Bearer"
    assert world.desk.examined == []


async def test_revoked_certificate_reports_nothing(world: World) -> None:
    world.identifier.reasons = (Reason.CERTIFICATE_REVOKED,)
    world.request = REPORT
    exchange = await world.walk(world.exchange(b"report"), "POST")
    assert exchange.reasons() == ["certificate-revoked"]
    assert world.desk.examined == []


async def test_authorization_reaches_identify_and_no_record(world: World) -> None:
    world.headers = ((b"authorization", b"Bearer secret.of.user"), (b"AUTHORIZATION", b"Bearer another"))
    await world.walk()
    assert world.identifier.heard[0] == (b"Bearer secret.of.user", b"Bearer another")
    assert b"secret" not in json.dumps(world.recorder.records, default=str).encode()


async def test_purpose_of_the_token_is_what_policy_sees(world: World) -> None:
    world.identifier.user = User(
        id="dev/alice", issuer="dev", subject="alice", roles=(), purpose="ETREAT", expires_at=NOW
    )
    await world.walk()
    assert world.decision["input"]["request"]["purpose"] == {"code": "ETREAT", "source": "token"}


async def test_header_does_not_change_the_purpose_of_the_token(world: World) -> None:
    world.identifier.user = replace(USER, purpose="ETREAT")
    world.request = replace(RETRIEVE, purpose="TREAT", purpose_source="header")
    exchange = await world.walk()
    assert (exchange.status, exchange.reasons()) == (403, ["purpose-contradicted"])
    assert world.archive.asked == []
    world2 = World()
    world2.identifier.user = replace(USER, purpose="ETREAT")
    world2.request = replace(RETRIEVE, purpose="ETREAT", purpose_source="header")
    assert (await world2.walk()).status == 200


async def test_refusal_of_the_grammar_is_told_before_a_missing_token_and_after_a_bad_certificate(world: World) -> None:
    world.request = Refusal(reason=Reason.INVALID_QUERY, detail="no")
    world.identifier.reasons = (Reason.CERTIFICATE_EXPIRED,)
    assert (await world.walk()).reasons() == ["certificate-expired"]


def test_user_and_roles_are_on_the_wire() -> None:
    world = World()
    world.identifier.user = USER
    principal = replace(
        world.identifier.identify(world.peer, (), NOW), roles=(Role(name="radiologist", source="token"),)
    )
    wire = principal.to_wire()
    assert wire["roles"] == [{"name": "radiologist", "source": "token"}]
    assert wire["user"] == {
        "id": "dev/alice",
        "issuer": "dev",
        "subject": "alice",
        "expires_at": "2026-11-22T12:00:00.000Z",
    }
