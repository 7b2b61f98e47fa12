"""The bodies of records, version 1. Pure: what a decision, a part, an outcome and an event say, in one place.

Every body has ``v``, ``kind`` and ``time``; those about a request carry its decision id as ``id``. They go to the
spool, which holds patient data, and their salted hash to the chain, which holds none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from proxy.model import (
    Arrival,
    DecisionId,
    JsonObject,
    JsonValue,
    Kind,
    OutcomeStatus,
    PartHeader,
    Posture,
    PostureReport,
    Principal,
    Refusal,
    Verdict,
    wire_time,
)

TARGET_SHOWN: Final = 512
"""Characters of a refused target that a record keeps: enough to see what was tried."""


def new_decision_id(now: datetime) -> DecisionId:
    """48 bits of milliseconds, so that ids sort by time and index cheaply, then 80 random bits."""
    return DecisionId(f"{int(now.timestamp() * 1000):012x}{os.urandom(10).hex()}")


def verdict_wire(verdict: Verdict) -> JsonObject:
    return {
        "allow": verdict.allow,
        "reasons": list(verdict.reasons),
        "obligations": [dict(obligation.body) for obligation in verdict.obligations],
        "policy": verdict.policy,
        "policy_as_of": None if verdict.policy_as_of is None else wire_time(verdict.policy_as_of),
    }


def decision(
    identity: DecisionId,
    arrival: Arrival,
    principal: Principal,
    posture: Posture | None,
    policy_input: JsonObject | None,
    refusal: Refusal | None,
    verdict: Verdict,
    rows: Sequence[Sequence[str]] | None = None,
    scanned: int = 0,
    report: PostureReport | None = None,
) -> JsonObject:
    """``input`` is the whole policy input, or, where policy was not asked, what is known of who asked for what.

    Of a search ``rows`` names the objects shown, and ``scanned`` counts those of the archive that were judged for it.
    ``report`` is what is taken in of devices.
    """
    body: JsonObject = {
        "v": 1,
        "kind": Kind.DECISION.value,
        "id": identity,
        "time": wire_time(arrival.at),
        "http": {
            "method": _printable(arrival.method)[:16],
            "target_sha256": hashlib.sha256(arrival.target.encode("utf-8", "surrogateescape")).hexdigest(),
            "address": arrival.peer.address,
            "connection": arrival.peer.connection,
        },
        "input": policy_input if policy_input is not None else _unasked(arrival, principal, posture),
        "asked": policy_input is not None,
        "verdict": verdict_wire(verdict),
    }
    if refusal is not None:
        body["refusal"] = {"reason": refusal.reason.value, "detail": refusal.detail}
    if rows is not None:
        body["rows"] = [list(row) for row in rows]
        body["scanned"] = scanned
    if report is not None:
        body["report"] = report.to_wire()
    return body


def _unasked(arrival: Arrival, principal: Principal, posture: Posture | None) -> JsonObject:
    return {
        "version": 1,
        "time": wire_time(arrival.at),
        "request": {"method": _printable(arrival.method)[:16], "target": _printable(arrival.target)[:TARGET_SHOWN]},
        "subject": principal.to_wire(),
        "device": {"id": principal.device, "posture": None if posture is None else posture.to_wire()},
    }


def _printable(text: str) -> str:
    """Bytes that are not printable ASCII as ``\\xNN``: no control byte reaches a terminal through a record."""
    return "".join(c if " " <= c <= "~" else f"\\x{ord(c) & 0xFF:02x}" for c in text[:TARGET_SHOWN])


def part(
    identity: DecisionId,
    number: int,
    header: PartHeader | None,
    policy_input: JsonObject | None,
    verdict: Verdict,
    now: datetime,
) -> JsonObject:
    """One part of a store, before its bytes go on. ``header`` is ``None`` where it could not be read."""
    return {
        "v": 1,
        "kind": Kind.PART.value,
        "id": identity,
        "time": wire_time(now),
        "part": number,
        "uids": None
        if header is None
        else {
            "study": header.study,
            "series": header.series,
            "instance": header.instance,
            "sop_class": header.sop_class,
        },
        "input": policy_input,
        "verdict": verdict_wire(verdict),
    }


def outcome(
    identity: DecisionId,
    status: OutcomeStatus,
    http_status: int,
    sent: int,
    sha256: str,
    now: datetime,
    reason: str | None = None,
) -> JsonObject:
    """What really left: ``bytes`` and ``sha256`` are of the content handed to the connection, so at most."""
    body: JsonObject = {
        "v": 1,
        "kind": Kind.OUTCOME.value,
        "id": identity,
        "time": wire_time(now),
        "status": status.value,
        "http_status": http_status,
        "bytes": sent,
        "sha256": sha256,
    }
    if reason is not None:
        body["reason"] = reason
    return body


def event(name: str, now: datetime, **details: JsonValue) -> JsonObject:
    return {"v": 1, "kind": Kind.EVENT.value, "time": wire_time(now), "event": name, **details}
