"""Spools of decisions made by real policies on made-up requests, for the tests and the bench of replaying."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from proxy import records
from proxy.authoring import PERFECT, Asked, Loaded, Supposed, question
from proxy.decide.example import _principal
from proxy.model import Arrival, JsonObject, Kind, Peer, Reason, Refusal, Trust, Verdict
from proxy.record import Spool

POLICIES = Path(__file__).parents[2] / "policies"
STUDY = "/dicom-web/studies/1.2.3"
TARGETS = (STUDY, f"{STUDY}/metadata", f"{STUDY}/series/1.2.3.4", "/dicom-web/studies?PatientID=P1")


def asked(target: str, supposed: Supposed, method: str = "GET") -> JsonObject:
    found = question(method, target, None, supposed)
    assert isinstance(found, Asked), found
    return found.policy_input


def mixture(count: int, begin: datetime, step: timedelta, seed: int = 7) -> Iterator[JsonObject]:
    """Nine of ten are allowed: radiologists, technologists at North Hospital, researchers; some firewalls are off."""
    chance = random.Random(seed)
    for number in range(count):
        at = begin + number * step
        good = chance.random() > 0.1
        name = chance.choices(("radiologist", "technologist", "researcher"), (6, 3, 1))[0]
        supposed = Supposed(
            at=at,
            name=name,
            patient=f"P{chance.randrange(200)}",
            institutions=("North Hospital",),
            departments=(chance.choice(("Radiology", "Psychiatry")),),
            modalities=(chance.choice(("CT", "MR", "SR")),),
            posture=PERFECT if good else {**PERFECT, "firewall": False},
            trust=chance.choice((Trust.REPORTED, Trust.MANAGED)),
        )
        yield asked(TARGETS[1 if name == "researcher" else number % len(TARGETS)], supposed)


def body(policy_input: JsonObject | None, verdict: Verdict, at: datetime) -> JsonObject:
    """A record as the journey writes it; without input, one that was refused before policy was asked."""
    arrival = Arrival(
        peer=Peer(certificate=b"", address="192.0.2.1", connection=1), method="GET", target=STUDY, headers=(), at=at
    )
    refusal = None if policy_input is not None else Refusal(reason=Reason.UNKNOWN_ROUTE, detail="no such resource")
    identity = records.new_decision_id(at)
    principal = _principal("urn:dicomward:device:radiologist", None)
    return records.decision(identity, arrival, principal, None, policy_input, refusal, verdict)


def part(policy_input: JsonObject | None, verdict: Verdict, at: datetime) -> JsonObject:
    return records.part(records.new_decision_id(at), 1, None, policy_input, verdict, at)


def judged(loaded: Loaded, inputs: Iterable[JsonObject]) -> Iterator[JsonObject]:
    for each in inputs:
        verdict = replace(loaded.engine.decide_now(each), policy_as_of=None)
        yield body(each, verdict, datetime.fromisoformat(str(each["time"])))


async def write_spool(folder: Path, bodies: Iterable[JsonObject]) -> None:
    spool = Spool(folder, chain_id=1, contract=bytes(20), batch=256, limit=20_000)
    try:
        for number, each in enumerate(bodies):
            spool.record_later(Kind(str(each["kind"])), each)
            if number % 5_000 == 4_999:
                await spool.drain()
        await spool.drain()
    finally:
        await spool.close()


__all__ = ["POLICIES", "STUDY", "TARGETS", "asked", "body", "judged", "mixture", "part", "write_spool"]
