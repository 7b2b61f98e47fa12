"""A store, part by part. The archive's simulator takes the body in a task of its own, as the real client does."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.errors import (
    ArchiveError,
    ArchiveTimeoutError,
    BodyTooLargeError,
    PeerGoneError,
    PolicyUnavailableError,
)
from proxy.model import JsonObject, Reason, StudyContext, StudyUid, Verdict
from tests.journey_rooms.simulators import DIGEST, STORE, STUDY, Found, World, study_context


@pytest.fixture
def world() -> World:
    made = World()
    made.request = STORE
    return made


def part(instance: str, content: str = "pixels", study: str = "1.2.3") -> bytes:
    return f"{study}|{instance}|{content}".encode()


def allowing(*instances: str) -> Callable[[JsonObject], Verdict]:
    """Allows the request and these parts."""

    def judge(policy_input: JsonObject) -> Verdict:
        asked = policy_input["request"]["instance"]  # type: ignore[index,call-overload]
        if asked is None or asked in instances:
            return Verdict(allow=True, reasons=(), policy=DIGEST)
        return Verdict.denied(Reason.INSTITUTION_NOT_GRANTED, policy=DIGEST)

    return judge


def of_patient(patient: str, world: World) -> StudyContext:
    study = study_context(world.clock())
    return replace(study, resource=replace(study.resource, patient_id=patient))


def report(sent: bytes) -> tuple[list[str], list[tuple[str, int]]]:
    """SOP instances stored, and those that failed with the reason."""
    body = json.loads(sent)
    stored = [item["00081155"]["Value"][0] for item in body.get("00081199", {}).get("Value", [])]
    failed = [
        (item["00081155"]["Value"][0], item["00081197"]["Value"][0])
        for item in body.get("00081198", {}).get("Value", [])
    ]
    return stored, failed


async def test_allowed_parts_go_on_encoded_anew(world: World) -> None:
    exchange = await world.walk(world.exchange(part("1", "one"), part("2", "two"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (200, (["1", "2"], []))
    assert world.archive.bodies == [b"<part>|1|one<part>|2|two<end>"]
    assert world.archive.finished == [True]
    assert [each["part"] for each in world.recorder.of("part")] == [0, 1]
    assert [each["uids"]["instance"] for each in world.recorder.of("part")] == ["1", "2"]
    assert {each["id"] for each in world.recorder.of("part")} == {world.decision["id"]}
    assert world.archive.forgotten == ["1.2.3"]
    assert world.outcome["status"] == "complete"


async def test_each_part_is_durable_before_its_bytes_go_on(world: World) -> None:
    world.recorder.delay = 50
    await world.walk(world.exchange(part("1"), part("2"), b"end"))
    order = [each for each in world.trace if each in ("durable decision", "durable part", "sent", "start")]
    first_sent = order.index("sent")
    assert order[:first_sent] == ["durable decision", "durable part"]
    # The second part's bytes follow the second record.
    assert order.index("durable part", 2) < len(order) - 1 - order[::-1].index("sent")
    assert order[-1] == "start"


async def test_continue_is_said_only_once_the_decision_is_durable(world: World) -> None:
    world.request = replace(STORE, expect_continue=True)
    exchange = await world.walk(world.exchange(part("1"), b"end"))
    assert exchange.continued
    assert world.trace.before("durable decision", "proceed")


async def test_denied_store_is_not_invited_to_send(world: World) -> None:
    world.request = replace(STORE, expect_continue=True)
    world.engine.deny(Reason.ACTION_NOT_PERMITTED)
    exchange = await world.walk(world.exchange(part("1"), b"end"))
    assert (exchange.status, exchange.continued) == (403, False)


async def test_denied_part_does_not_go_on_and_is_reported(world: World) -> None:
    world.engine.by_input = allowing("1", "3")
    exchange = await world.walk(world.exchange(part("1"), part("2", "secret"), part("3"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (202, (["1", "3"], [("2", 0x0124)]))
    assert b"secret" not in world.archive.bodies[0]
    assert [each["verdict"]["allow"] for each in world.recorder.of("part")] == [True, False, True]
    assert world.archive.finished == [True]


async def test_store_of_which_nothing_is_allowed_never_reaches_the_archive(world: World) -> None:
    world.engine.by_input = allowing()
    exchange = await world.walk(world.exchange(part("1"), part("2"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (409, ([], [("1", 0x0124), ("2", 0x0124)]))
    assert world.archive.asked == []
    assert len(world.recorder.of("part")) == 2


async def test_part_of_another_study_is_refused_without_asking_policy(world: World) -> None:
    world.request = replace(STORE, study=StudyUid("1.2.3"))
    exchange = await world.walk(world.exchange(part("1"), part("2", study="9.9.9"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (202, (["1"], [("2", 0xA900)]))
    records = world.recorder.of("part")
    assert records[1]["verdict"]["reasons"] == ["study-mismatch"]
    assert records[1]["input"] is None
    assert world.archive.bodies == [b"<part>|1|pixels<end>"]


@pytest.mark.parametrize("demanded", ["mask", "juggle"])
async def test_obligation_on_a_part_that_cannot_be_met_denies_it(world: World, demanded: str) -> None:
    def judge(policy_input: JsonObject) -> Verdict:
        whole = policy_input["request"]["instance"] is None  # type: ignore[index,call-overload]
        if not whole:
            world.engine.demand(demanded)
        return world.engine.verdict

    world.engine.by_input = judge
    exchange = await world.walk(world.exchange(part("1"), b"end"))
    assert exchange.status == 409
    assert world.archive.asked == []


async def test_engine_that_fails_at_a_part_denies_that_part(world: World) -> None:
    def judge(policy_input: JsonObject) -> Verdict:
        if policy_input["request"]["instance"] == "2":  # type: ignore[index,call-overload]
            raise PolicyUnavailableError("late")
        return allowing("1")(policy_input)

    world.engine.by_input = judge
    exchange = await world.walk(world.exchange(part("1"), part("2"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (202, (["1"], [("2", 0xA700)]))
    assert world.recorder.of("part")[1]["verdict"]["reasons"] == ["policy-unavailable"]


async def test_part_of_another_patient_is_told_so_where_its_study_may_be_read(world: World) -> None:
    world.archive.known[STUDY] = of_patient("P2", world)
    exchange = await world.walk(world.exchange(part("1", "secret"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (409, ([], [("1", 0xA900)]))
    (record,) = world.recorder.of("part")
    assert record["verdict"]["reasons"] == ["study-mismatch"]
    assert record["input"]["resource"]["conflicts"] == ["PatientID"]
    assert world.archive.asked == []


async def test_part_of_a_study_that_may_not_be_read_is_refused_without_a_reason(world: World) -> None:
    world.archive.known[STUDY] = of_patient("P2", world)

    def judge(policy_input: JsonObject) -> Verdict:
        if policy_input["request"]["action"] == "metadata":  # type: ignore[index,call-overload]
            return Verdict.denied(Reason.INSTITUTION_NOT_GRANTED, policy=DIGEST)
        return world.engine.verdict

    world.engine.by_input = judge
    exchange = await world.walk(world.exchange(part("1"), part("2", study="1.2.4"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (202, (["2"], [("1", 0x0124)]))
    assert world.recorder.of("part")[0]["verdict"]["reasons"] == ["study-mismatch"]


async def test_archive_that_cannot_say_what_a_study_is_fails_the_store(world: World) -> None:
    world.archive.context_error = ArchiveTimeoutError("late")
    exchange = await world.walk(world.exchange(part("1"), b"end"))
    assert (exchange.status, exchange.reasons()) == (504, ["archive-timeout"])
    assert world.archive.asked == []


# ----------------------------------------------------------------------------------- things that fail


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ([b"bad"], 400, "multipart-malformed"),
        ([part("1"), b"bad"], 400, "multipart-malformed"),
        ([part("1"), part("2")], 400, "multipart-malformed"),
        ([], 400, "multipart-malformed"),
        ([part("1"), BodyTooLargeError("more than the site accepts")], 413, "too-large"),
    ],
    ids=["at-once", "midway", "unclosed", "empty", "too-large"],
)
async def test_body_that_breaks_leaves_the_archives_unfinished(
    world: World, body: list[bytes | Exception], status: int, reason: str
) -> None:
    exchange = await world.walk(world.exchange(*body))
    assert (exchange.status, exchange.reasons()) == (status, [reason])
    assert not any(world.archive.finished)
    assert not any(sent.endswith(b"<end>") for sent in world.archive.bodies)
    assert (world.outcome["status"], world.outcome["reason"]) == ("failed", reason)


@pytest.mark.parametrize("first", [1, 2], ids=["first-part", "second-part"])
async def test_spool_that_fails_midway_sends_no_byte_of_that_part(world: World, first: int) -> None:
    world.recorder.fail_from = first
    exchange = await world.walk(world.exchange(part("1", "one"), part("2", "two"), b"end"))
    assert (exchange.status, exchange.reasons()) == (503, ["record-not-durable"])
    sent = b"".join(world.archive.bodies)
    assert b"two" not in sent
    assert (b"one" in sent) is (first == 2)
    assert not any(world.archive.finished)
    assert world.outcome["reason"] == "record-not-durable"
    assert world.suppressor.suppressed == []  # its decision is recorded


async def test_client_that_leaves_in_the_body_leaves_the_archives_unfinished(world: World) -> None:
    exchange = await world.walk(world.exchange(part("1"), PeerGoneError("lost")))
    assert (exchange.status, exchange.aborted) == (0, True)
    assert world.archive.finished == [False]
    assert world.outcome["status"] == "aborted"


@pytest.mark.parametrize("at", ["proceed", "start", "write"])
async def test_client_that_leaves_is_an_aborted_outcome(world: World, at: str) -> None:
    world.request = replace(STORE, expect_continue=True)
    exchange = world.exchange(part("1"), b"end")
    exchange.gone_at = at
    await world.walk(exchange)
    assert world.outcome["status"] == "aborted"


@pytest.mark.parametrize(("error", "status"), [(ArchiveError("refused"), 502), (ArchiveTimeoutError("late"), 504)])
async def test_archive_that_fails_is_told_and_never_tried_again(world: World, error: Exception, status: int) -> None:
    world.archive.store_error = error
    exchange = await world.walk(world.exchange(part("1"), part("2"), b"end"))
    assert exchange.status == status
    assert len(world.archive.asked) == 1
    assert world.outcome["status"] == "failed"
    assert world.archive.forgotten == ["1.2.3"]  # it may have stored all the same


@pytest.mark.parametrize("parts", [[b"<html>stored</html>"], [b"[]"], [b"{}", ArchiveError("broke off")]])
async def test_report_that_cannot_be_read_is_a_failure(world: World, parts: list[bytes | Exception]) -> None:
    world.archive.found = Found(parts=parts)
    exchange = await world.walk(world.exchange(part("1"), b"end"))
    assert (exchange.status, exchange.reasons()) == (502, ["archive-unavailable"])
    assert b"html" not in exchange.sent


async def test_archive_that_stored_nothing_is_reported_as_failed(world: World) -> None:
    world.archive.found = Found(status=409, parts=[b"{}"])
    exchange = await world.walk(world.exchange(part("1"), b"end"))
    assert (exchange.status, report(exchange.sent)) == (409, ([], [("1", 0x0110)]))


# --------------------------------------------------------------------------------------------- leases


async def under_way(world: World, *rest: bytes) -> tuple[asyncio.Task[object], asyncio.Event]:
    gate = asyncio.Event()
    exchange = world.exchange(part("1"), gate, *rest)
    walking: asyncio.Task[object] = asyncio.create_task(world.walk(exchange))
    async with asyncio.timeout(5):
        while "sent" not in world.trace:
            await asyncio.sleep(0)
    return walking, gate


async def test_store_is_cut_when_its_device_is_revoked_midway(world: World) -> None:
    walking, _ = await under_way(world, part("2"), b"end")
    world.identifier.reasons = (Reason.CERTIFICATE_REVOKED,)
    world.identifier.generation += 1
    await world.journey.leases.look()
    await walking
    assert (world.outcome["status"], world.outcome["reason"]) == ("terminated", "certificate-revoked")
    assert world.archive.finished == [False]
    assert "abort" in world.trace


async def test_later_parts_are_judged_by_what_is_known_later(world: World) -> None:
    walking, gate = await under_way(world, part("2"), b"end")
    world.posture.generation = 2
    world.posture.expires_at = world.clock() + (world.posture.expires_at - world.clock()) / 2
    await world.journey.leases.look()
    gate.set()
    await walking
    parts = world.recorder.of("part")
    expiries = [each["input"]["device"]["posture"]["firewall"]["expires_at"] for each in parts]
    assert expiries == ["2026-11-22T13:00:00.000Z", "2026-11-22T12:30:00.000Z"]


@pytest.mark.parametrize("error", [None, ArchiveError("refused")], ids=["denied", "archive-down"])
async def test_nothing_of_a_failed_store_goes_on_reading_the_client(world: World, error: Exception | None) -> None:
    """Generators that were left in the middle are closed, not left to the garbage collector."""
    world.archive.store_error = error
    if error is None:
        world.recorder.fail_from = 2
    await world.walk(world.exchange(part("1"), part("2"), part("3"), b"end"))
    before = len(world.trace)
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(world.trace) == before
