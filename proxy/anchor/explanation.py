"""One decision in words: who, on what, asked for what, when, what was answered and why, where it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.failing import Failing, failing
from proxy.model import JsonObject, JsonValue, Kind, RecordRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one record of a decision stands."""

    origin: bytes
    row: RecordRow
    anchored: bytes | None = None
    """The chain's leaf at this index, ``None`` where it does not reach so far."""
    block: int | None = None
    transaction: str | None = None
    final: bool = False

    @property
    def intact(self) -> bool:
        """The record gives its leaf, and the chain's where there is one."""
        computed = commitment.leaf_of(self.row.salt, self.row.body)
        return computed == self.row.leaf and self.anchored in (None, computed)

    def to_wire(self) -> JsonObject:
        body: JsonValue = None
        with suppress(orjson.JSONDecodeError):
            body = orjson.loads(self.row.body)
        return {
            "origin": self.origin.hex(),
            "index": self.row.index,
            "leaf": self.row.leaf.hex(),
            "intact": self.intact,
            "anchored": self.anchored is not None,
            "block": self.block,
            "transaction": self.transaction,
            "final": self.final,
            "record": body,
        }


def place(origin: bytes, row: RecordRow, batches: Iterable[AnchoredBatch], final_block: int) -> Place:
    """Find a row among the events of its origin."""
    for batch in batches:
        if batch.first <= row.index < batch.end:
            return Place(
                origin=origin,
                row=row,
                anchored=batch.leaf(row.index),
                block=batch.block,
                transaction=batch.transaction,
                final=batch.block <= final_block,
            )
    return Place(origin=origin, row=row)


Line = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said about a reason: what it means, and what the site wants done."""

    sentence: str
    remedy: str
    link: str | None = None


def explain(places: Iterable[Place], reasons: Mapping[str, Told]) -> Iterator[Line]:
    """Pairs of what and how, in reading order. ``reasons`` has every code."""
    for each in places:
        try:
            body = orjson.loads(each.row.body)
            kind = body["kind"]
            if kind == Kind.DECISION:
                yield from _decision(body, reasons)
            elif kind == Kind.PART:
                yield from _part(body, reasons)
            elif kind == Kind.OUTCOME:
                yield from _outcome(body)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            yield "record", f"{each.row.index} cannot be read"
        yield "stands at", _standing(each)


def _decision(body: dict[str, Any], reasons: Mapping[str, Told]) -> Iterator[Line]:
    asked = body["input"]
    certificate = asked["subject"].get("certificate", asked["subject"])
    request = asked.get("request", {})
    yield "decision", body["id"]
    yield "when", body["time"]
    yield "who", " ".join(_words(certificate, "name", "subject")) or "nobody known"
    if user := asked["subject"].get("user"):
        yield "user", _flat(user)
    for role in asked["subject"].get("roles") or ():
        yield "role", f"{role['name']} (by {role['source']})"
    yield from _revocation(asked["subject"].get("revocation") or {})
    device = asked.get("device", {})
    yield "device", str(device.get("id") or "not identified")
    shown = _words(request, "method", "action", "level", "study", "series", "instance", "target")
    yield "what", " ".join(shown) or body["http"]["method"]
    if purpose := request.get("purpose"):
        yield "purpose", _flat(purpose)
    yield from _verdict("verdict", body["verdict"], reasons, device.get("posture") or {}, body["time"])
    if refusal := body.get("refusal"):
        yield "refused before policy", _flat(refusal)
    for name, attribute in sorted((device.get("posture") or {}).items()):
        yield "posture", f"{name} = {_said(attribute)}"
        for other in attribute.get("others", ()):
            yield "", f"{name} = {_said(other)}"
    if report := body.get("report"):
        yield "report", f"{report['trust']} by {report['source']}, SHA-256 {report['sha256']}"
    if "rows" in body:
        yield "rows shown", str(len(body["rows"]))


def _part(body: dict[str, Any], reasons: Mapping[str, Told]) -> Iterator[Line]:
    uids = body.get("uids") or {}
    yield f"part {body['part']}", " ".join(_words(uids, "study", "series", "instance")) or "unreadable"
    yield from _verdict(f"part {body['part']}", body["verdict"], reasons)


def _outcome(body: dict[str, Any]) -> Iterator[Line]:
    why = f" because of {body['reason']}" if body.get("reason") else ""
    yield "outcome", f"{body['status']}{why}: status {body.get('http_status')}, {body.get('bytes')} bytes left"
    yield "digest", f"SHA-256 {body.get('sha256')}"


def _verdict(
    label: str,
    verdict: dict[str, Any],
    reasons: Mapping[str, Told],
    posture: Mapping[str, Any] | None = None,
    time: str = "",
) -> Iterator[Line]:
    yield label, "allowed" if verdict["allow"] else "denied"
    for code in verdict["reasons"]:
        told = reasons.get(code)
        yield "because", f"{code}: {'a reason this version does not know' if told is None else told.sentence}"
        for each in failing(code, posture or {}, time):
            yield "attribute", f"{each.name}: {_failed(each)}"
        if told is not None:
            yield "what to do", told.remedy + (f" {told.link}" if told.link else "")
    for obligation in verdict["obligations"]:
        yield "under", _flat(obligation)
    yield "policy", verdict["policy"] or "not asked"


def _revocation(revocation: Mapping[str, Any]) -> Iterator[Line]:
    if revocation:
        yield "revocation", f"{revocation['status']}, as of {revocation['as_of']}, until {revocation['expires_at']}"


def _said(claim: Mapping[str, Any]) -> str:
    return f"{claim['value']} ({claim['trust']} by {claim['source']}, until {claim['expires_at']})"


def _failed(each: Failing) -> str:
    if not each.said:
        return "nothing is known"
    return (
        f"{each.said['value']}, {each.said['trust']} by {each.said['source']} {each.age_s} s before,"
        f" until {each.said['expires_at']}"
    )


def _standing(each: Place) -> str:
    where = f"record {each.row.index} of origin {each.origin.hex()[:16]}"
    if not each.intact:
        return f"{where}: IT WAS CHANGED, it does not give the leaf it was recorded with"
    if each.anchored is None:
        return f"{where}, not on the chain yet"
    return f"{where}, block {each.block}{' (final)' if each.final else ' (not final yet)'}, {each.transaction}"


def _words(source: Mapping[str, Any], *names: str) -> list[str]:
    return [str(source[name]) for name in names if source.get(name)]


def _flat(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {inner}" for name, inner in value.items())
