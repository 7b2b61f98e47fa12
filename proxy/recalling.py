"""A decision told again to whoever it was made on (our own resource, steps 5 to 11).

5.  Policy says whether this certificate may read its own decisions.
6.  That it asks is a decision of its own, durable before the spool is looked through.
8.  What was decided on somebody else is as unknown as what was never decided: both are looked for alike.
10. The answer says what was asked and decided, what left, where it stands in the ledger, and signs for it anew.
"""

from __future__ import annotations

import json
from typing import Any, Final

from proxy.errors import DicomwardError
from proxy.model import DecisionId, Grounds, JsonObject, Kind, OutcomeStatus, Reason, Recalled
from proxy.ports import Exchange
from proxy.rooms import Rooms
from proxy.sending import Sending, decision_record

JSON: Final = "application/json"
BARE: Final = frozenset({"mask", "limit", "hide"})
"""Obligations that this answer meets as it is: it has nothing of an object but UIDs that its reader once sent."""


class Recalling:
    def __init__(self, rooms: Rooms, grounds: Grounds, about: DecisionId, exchange: Exchange) -> None:
        self._rooms = rooms
        self._grounds = grounds
        self._about = about
        self._exchange = exchange

    async def walk(self) -> None:
        """:raises SpoolError: the decision to tell is not durable"""
        recording = self._rooms.recorder.record(Kind.DECISION, decision_record(self._grounds))
        self._exchange.decided = True
        answer = Sending(self._rooms, self._grounds, await recording, self._exchange)
        try:
            await self._tell(answer)
        finally:
            answer.close(())

    async def _tell(self, answer: Sending) -> None:
        try:
            found = await self._rooms.lookup.recall(self._about, self._grounds.principal)
        except DicomwardError as error:
            await answer.problem(Reason(error.code), OutcomeStatus.FAILED)
            return
        if found is None:
            await answer.problem(Reason.DECISION_UNKNOWN)
            return
        told = told_of(found, self._rooms.standing(found.origin, found.index))
        await answer.whole(200, JSON, json.dumps(told).encode())


def told_of(found: Recalled, standing: str) -> JsonObject:
    """Of the policy's input only what the reader asked: the rest, of devices and objects, policy may withhold."""
    decision, verdict = found.decision, found.decision["verdict"]
    request, obligations = decision["input"]["request"], {each["type"] for each in verdict["obligations"]}
    # What was answered as if there were no such object is told so for ever.
    hidden = not verdict["allow"] and "hide" in obligations
    return {
        "decision": decision["id"],
        "time": decision["time"],
        "action": request.get("action"),
        "asked": {name: request.get(name) for name in ("method", "level", "study", "series", "instance")},
        "allow": verdict["allow"],
        "reasons": [Reason.RESOURCE_UNKNOWN.value] if hidden else verdict["reasons"],
        "obligations": [] if hidden else sorted(obligations),
        "policy": verdict["policy"],
        "outcome": None if found.outcome is None else _left(found.outcome),
        "parts": [_stored(part) for part in found.parts],
        "ledger": {
            "chain_id": found.chain_id,
            "contract": "0x" + found.contract.hex(),
            "origin": found.origin.hex(),
            "index": found.index,
            "leaf": found.leaf.hex(),
            "standing": standing,
        },
        "receipt": found.receipt,
    }


def _left(outcome: dict[str, Any]) -> JsonObject:
    return {name: outcome.get(name) for name in ("status", "http_status", "bytes", "sha256", "reason", "time")}


def _stored(part: dict[str, Any]) -> JsonObject:
    """Why a part was refused stands in the store's own answer, which knows what its sender may learn."""
    uids = part["uids"] or {}
    return {"part": part["part"], "instance": uids.get("instance"), "allow": part["verdict"]["allow"]}
