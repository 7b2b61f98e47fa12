"""A decision found again: for whoever it was made on, in whichever origin it stands, and for nobody else."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from proxy.errors import IntegrityError
from proxy.model import DecisionId, DeviceId, Durable, JsonObject, Kind, OutcomeStatus, Principal, Revocation, User
from proxy.record import Lookup, Spool, lookup, origin_file
from proxy.record.reader import current_reader, open_readers
from proxy.records import outcome
from tests.record.building import NOW, tamper
from tests.record.conftest import Open

DEVICE, OTHER = DeviceId("ab" * 32), DeviceId("cd" * 32)
MADE = DecisionId("1" * 32)


def user(identity: str) -> User:
    return User(id=identity, issuer="dev", subject="x", roles=(), purpose=None, expires_at=NOW)


def principal(device: DeviceId = DEVICE, who: str | None = None) -> Principal:
    return Principal(
        device=device,
        name="urn:dicomward:device:radiologist",
        subject="CN=radiologist",
        fingerprint="ef" * 32,
        serial="1",
        authority="site",
        authority_actions=("read_decision",),
        not_after=None,
        revocation=Revocation(status="good", as_of=NOW, expires_at=NOW),
        generation=0,
        expires_at=NOW,
        user=None if who is None else user(who),
    )


def made(identity: str = MADE, device: DeviceId = DEVICE, who: str | None = None, at: datetime = NOW) -> JsonObject:
    subject: JsonObject = {"user": None if who is None else {"id": who}}
    return {
        "v": 1,
        "kind": "decision",
        "id": identity,
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "input": {"request": {"action": "search"}, "subject": subject, "device": {"id": device}},
        "verdict": {"allow": True, "reasons": [], "obligations": [], "policy": "ab"},
    }


async def test_decision_comes_with_outcome_parts_and_the_receipt_of_before(spool: Spool, tmp_path: Path) -> None:
    place = await spool.record(Kind.DECISION, made())
    given = spool.receipt(MADE, place, NOW)
    await spool.record(Kind.PART, {"v": 1, "kind": "part", "id": MADE, "part": 1})
    await spool.record(Kind.OUTCOME, outcome(MADE, OutcomeStatus.COMPLETE, 200, 7, "00", NOW))
    found = await Lookup(tmp_path / "spool").recall(MADE, principal())
    assert found is not None
    assert (found.origin, found.index, found.leaf, found.receipt) == (place.origin, place.index, place.leaf, given)
    assert found.decision == made()
    assert found.outcome is not None
    assert found.outcome["bytes"] == 7
    assert [part["part"] for part in found.parts] == [1]


@pytest.mark.parametrize(
    ("of", "asks"),
    [
        (made(), principal(OTHER)),
        (made(), principal(who="dev/alice")),
        (made(who="dev/alice"), principal()),
        (made(who="dev/alice"), principal(who="dev/bob")),
        (made(who="dev/alice"), principal(OTHER, who="dev/alice")),
        (made("2" * 32), principal()),
    ],
    ids=["device", "user of a device", "device of a user", "user", "user elsewhere", "no such decision"],
)
async def test_what_was_decided_on_somebody_else_is_as_unknown_as_what_never_was(
    spool: Spool, tmp_path: Path, of: JsonObject, asks: Principal
) -> None:
    await spool.record(Kind.DECISION, of)
    assert await Lookup(tmp_path / "spool").recall(MADE, asks) is None


async def test_user_finds_what_was_decided_on_this_device(spool: Spool, tmp_path: Path) -> None:
    await spool.record(Kind.DECISION, made(who="dev/alice"))
    assert await Lookup(tmp_path / "spool").recall(MADE, principal(who="dev/alice")) is not None


async def test_after_a_succession_it_is_found_where_it_stands_now(spool: Spool, tmp_path: Path) -> None:
    early, late = DecisionId("3" * 32), DecisionId("4" * 32)
    first = await spool.record(Kind.DECISION, made(early))
    await spool.record(Kind.DECISION, made(late))
    successor = await spool.succeed(1, NOW)
    told = Lookup(tmp_path / "spool")
    stays, moved = await told.recall(early, principal()), await told.recall(late, principal())
    assert stays is not None and moved is not None  # noqa: PT018 - for the type checker
    assert (stays.origin, moved.origin) == (first.origin, successor)
    for found in (stays, moved):
        assert found.receipt is not None
        (reader,) = [each for each in open_readers(tmp_path / "spool") if each.origin == found.origin]
        reader.close()
        assert jwt.get_unverified_header(found.receipt)["kid"] == found.origin.hex()
        key = jwt.PyJWK({"kty": "OKP", "crv": "Ed25519", "x": _base64(reader.receipt_key)}, "EdDSA")
        said = jwt.PyJWS(algorithms=["EdDSA"]).decode(found.receipt, key.key, algorithms=["EdDSA"])
        assert found.leaf.hex().encode() in said


def _base64(raw: bytes) -> str:
    return jwt.utils.base64url_encode(raw).decode()


async def test_without_its_key_an_origin_gives_no_receipt_and_tells_the_rest(spool: Spool, tmp_path: Path) -> None:
    place = await spool.record(Kind.DECISION, made())
    origin_file.key_file(tmp_path / "spool", place.origin).rename(tmp_path / "gone")
    found = await Lookup(tmp_path / "spool").recall(MADE, principal())
    assert found is not None
    assert found.receipt is None


async def test_what_was_pruned_is_unknown(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(keep_days=1)
    await spool.record(Kind.DECISION, made(at=datetime(2026, 1, 1, tzinfo=UTC)))
    await spool.record(Kind.DECISION, made("5" * 32, at=NOW + timedelta(days=30)))
    assert await spool.prune(1, NOW + timedelta(days=30)) == 1
    assert await Lookup(tmp_path / "spool").recall(MADE, principal()) is None


async def test_record_that_was_changed_is_an_alarm_and_no_answer(spool: Spool, tmp_path: Path) -> None:
    place: Durable = await spool.record(Kind.DECISION, made())
    await spool.close()
    tamper(tmp_path / "spool", place.origin, "UPDATE record SET body = replace(body, 'search', 'stores')")
    with pytest.raises(IntegrityError, match="was changed"):
        await Lookup(tmp_path / "spool").recall(MADE, principal())


async def test_few_are_looked_up_at_once_and_the_loop_goes_on(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.record(Kind.DECISION, made())
    inside, most, gate = 0, 0, threading.Event()
    lock = threading.Lock()

    def slow(folder: Path) -> list[object]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        gate.wait(10)
        with lock:
            inside -= 1
        return [current_reader(folder)]

    monkeypatch.setattr(lookup, "open_readers", slow)
    told = Lookup(tmp_path / "spool")
    tasks = [asyncio.create_task(told.recall(MADE, principal())) for _ in range(8)]
    for _ in range(50):
        await asyncio.sleep(0.002)  # turns of the loop, which is free all the while
    gate.set()
    assert all(found is not None for found in await asyncio.gather(*tasks))
    assert most == lookup.AT_ONCE
