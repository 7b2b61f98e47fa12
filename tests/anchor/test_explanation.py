"""A decision in words, from records as the journey writes them."""

from __future__ import annotations

from proxy import commitment
from proxy.anchor.chain_values import AnchoredBatch
from proxy.anchor.explanation import Place, Told, explain, place
from proxy.model import JsonObject, RecordRow
from tests.anchor.spools import TIME, decision, identity

ORIGIN = b"\1" * 32
REASONS = {
    "posture-stale": Told(
        sentence="The device's posture is too old.", remedy="Report again.", link="https://intranet.example/posture"
    )
}


def row(body: JsonObject | bytes, index: int = 0) -> RecordRow:
    encoded = body if isinstance(body, bytes) else commitment.canonical(body)
    leaf = commitment.leaf_of(bytes(32), encoded)
    return RecordRow(index=index, kind="decision", id="", salt=bytes(32), body=encoded, leaf=leaf, head=bytes(32))


def told(*bodies: JsonObject | bytes) -> list[tuple[str, str]]:
    return list(explain([Place(origin=ORIGIN, row=row(body)) for body in bodies], REASONS))


def test_denial_names_its_reasons_in_sentences() -> None:
    lines = told(decision(identity(1), allow=False))
    assert ("verdict", "denied") in lines
    assert ("because", "posture-stale: The device's posture is too old.") in lines
    assert ("stands at", f"record 0 of origin {ORIGIN.hex()[:16]}, not on the chain yet") in lines


def test_denial_for_posture_names_the_attribute_its_source_its_age_and_what_to_do() -> None:
    body = decision(identity(1), allow=False)
    said = {
        "value": True,
        "source": "agent",
        "trust": "reported",
        "issued_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-01-01T00:15:00.000Z",
    }
    other = {**said, "source": "mdm", "trust": "managed", "value": False}
    body["time"] = "2026-01-01T00:20:00.000Z"
    body["input"]["device"] = {"id": "ab", "posture": {"firewall": {**said, "others": [other]}}}  # type: ignore[index,call-overload]
    body["input"]["subject"]["roles"] = [{"name": "radiologist", "source": "token"}]  # type: ignore[index,call-overload]
    lines = told(body)
    assert ("attribute", "firewall: True, reported by agent 1200 s before, until 2026-01-01T00:15:00.000Z") in lines
    assert ("what to do", "Report again. https://intranet.example/posture") in lines
    assert ("", "firewall = False (managed by mdm, until 2026-01-01T00:15:00.000Z)") in lines
    assert ("role", "radiologist (by token)") in lines


def test_refusal_before_policy_is_told_with_what_is_known() -> None:
    lines = told(
        {
            "v": 1,
            "kind": "decision",
            "id": identity(2),
            "time": TIME,
            "http": {"method": "GET", "target_sha256": "00" * 32},
            "asked": False,
            "input": {
                "request": {"method": "GET", "target": "/etc/passwd"},
                "subject": {"certificate": {"name": "", "subject": ""}, "user": None},
                "device": {"id": None, "posture": None},
            },
            "refusal": {"reason": "unknown-route", "detail": "no such route"},
            "verdict": {"allow": False, "reasons": ["unknown-route"], "obligations": [], "policy": ""},
        }
    )
    assert ("who", "nobody known") in lines
    assert ("device", "not identified") in lines
    assert ("what", "GET /etc/passwd") in lines
    assert ("policy", "not asked") in lines
    assert ("because", "unknown-route: a reason this version does not know") in lines


def test_parts_and_outcomes_are_told() -> None:
    verdict: JsonObject = {"allow": True, "reasons": [], "obligations": [{"type": "seal"}], "policy": "ab"}
    lines = told(
        {"v": 1, "kind": "part", "part": 2, "uids": None, "verdict": verdict},
        {"v": 1, "kind": "outcome", "status": "aborted", "reason": "lease-ended", "http_status": 200, "bytes": 7},
    )
    assert ("part 2", "unreadable") in lines
    assert ("under", "type seal") in lines
    assert ("outcome", "aborted because of lease-ended: status 200, 7 bytes left") in lines


def test_record_that_is_no_record_is_said_to_be_none() -> None:
    for nonsense in (b"\xff", b"[]", b"{}", b'{"kind":"decision"}'):
        assert ("record", "0 cannot be read") in told(nonsense)
        assert Place(origin=ORIGIN, row=row(nonsense)).to_wire()["intact"] is True


def test_place_says_block_and_finality_and_notices_change() -> None:
    good = row(decision(identity(3)), index=5)
    batch = AnchoredBatch(first=4, head=bytes(32), leaves=b"\2" * 32 + good.leaf, block=10, transaction="0xab")
    found = place(ORIGIN, good, [batch], final_block=10)
    assert (found.block, found.final, found.intact) == (10, True, True)
    assert not place(ORIGIN, good, [batch], final_block=9).final
    other = place(ORIGIN, row(decision(identity(4)), index=5), [batch], final_block=10)
    assert not other.intact
    assert any("IT WAS CHANGED" in text for _, text in explain([other], REASONS))
    assert place(ORIGIN, row(decision(identity(3)), index=6), [batch], final_block=10).anchored is None
