"""Each reason for which a report is refused, by the hostile thing itself."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import PostureUnavailableError
from proxy.model import Peer, PostureReport, Reason, SiteRequest, SiteResource, Trust
from proxy.posture import Desk, PostureStore
from proxy.posture.nonces import make_nonce
from proxy.posture.reports import parse_report
from tests.posture.making import (
    ALGORITHMS,
    NOW,
    OTHER,
    REPORT,
    VALUES,
    Device,
    b64,
    changed,
    desk,
    device,
    examined,
    seconds,
    webhook,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(store: PostureStore) -> Desk:
    return desk(store)


async def told(made: Desk, who: Device, now: datetime = NOW, **changes: Any) -> PostureReport | Reason:
    return await examined(made, who.report(made.nonce(who.principal, now), **changes), who, now)


def accepted(found: PostureReport | Reason) -> PostureReport:
    assert isinstance(found, PostureReport), found
    return found


@pytest.mark.parametrize("kind", list(ALGORITHMS))
async def test_report_by_the_key_of_the_certificate_is_taken(made: Desk, store: PostureStore, kind: str) -> None:
    report = accepted(await told(made, device(kind)))
    assert (report.source, report.trust, report.issued_at) == ("agent", Trust.REPORTED, NOW)
    assert changed(await made.accept(report, NOW)) == [device(kind).id]
    attributes = store.posture(device(kind).id, NOW).attributes
    assert {name: each.value for name, each in attributes.items()} == VALUES
    assert {each.expires_at for each in attributes.values()} == {NOW + seconds(900)}


async def test_report_tells_the_digest_of_what_was_sent(made: Desk) -> None:
    import hashlib

    body = device().report(made.nonce(device().principal, NOW))
    assert accepted(await examined(made, body, device())).sha256 == hashlib.sha256(body).hexdigest()


# Form.


@pytest.mark.parametrize(
    "payload",
    [
        {"aud": ...},
        {"iat": ...},
        {"nonce": ...},
        {"posture": ...},
        {"sub": "device"},
        {"aud": ["north"]},
        {"aud": None},
        {"iat": "1"},
        {"iat": True},
        {"iat": -1},
        {"iat": 2**33},
        {"iat": 10**400},
        {"iat": 1e300},
        {"iat": None},
        {"nonce": 7},
        {"exp": "1"},
        {"exp": None},
        {"exp": False},
        {"posture": []},
        {"posture": None},
        {"posture": {"Firewall": True}},
        {"posture": {"": True}},
        {"posture": {"a" * 65: True}},
        {"posture": {"fire wall": True}},
        {"posture": {"firewall\n": True}},
        {"posture": {f"a{number}": True for number in range(65)}},
        {"posture": {"own": 1.0}},
        {"posture": {"own": None}},
        {"posture": {"own": [True]}},
        {"posture": {"own": {"a": True}}},
        {"posture": {"own": 2**53}},
        {"posture": {"own": -(2**53)}},
        {"posture": {"own": "x" * 257}},
        {"posture": {"own": "é"}},
        {"posture": {"own": "\ud800"}},
        {"posture": {f"a{number:02}": "x" * 247 for number in range(16)}},
        {"posture": {"own": "a\u0000"}},
        {"posture": {"firewall": 1}},
        {"posture": {"firewall": "true"}},
        {"posture": {"os_name": True}},
        {"posture": {"patch_age_days": True}},
        {"posture": {"patch_age_days": "3"}},
        {"posture": {"patch_age_days": -1}},
    ],
    ids=lambda change: json.dumps(change, default=lambda _: "absent")[:60],
)
async def test_payload_of_another_form_is_malformed(made: Desk, payload: dict[str, Any]) -> None:
    assert await told(made, device(), **payload) is Reason.REPORT_MALFORMED


@pytest.mark.parametrize(
    "posture",
    [
        {},
        {f"a{number}": True for number in range(64)},
        {"own": 2**53 - 1, "a" * 64: -(2**53) + 1},
        {"own": "x" * 256, "empty": ""},
        {f"a{number:02}": "x" * (247 - (number == 0)) for number in range(16)},
        {"patch_age_days": 0},
    ],
    ids=["empty", "64", "integers", "texts", "4096 bytes", "today"],
)
async def test_form_is_accepted_up_to_its_bounds(made: Desk, posture: dict[str, Any]) -> None:
    report = accepted(await told(made, device(), posture=posture))
    assert {name: each.value for name, each in report.claims[0].attributes.items()} == posture


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "1"},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"jwk": {}},
        {"x5c": []},
        {"alg": ...},
        {"typ": ...},
        {"x5t#S256": ...},
        {"alg": 7},
        {"typ": None},
        {"x5t#S256": []},
    ],
    ids=str,
)
async def test_header_of_another_form_is_malformed(made: Desk, header: dict[str, Any]) -> None:
    who = device()
    told_header = json.dumps(who.header(**header)).encode()
    payload = {"aud": "north", "iat": NOW.timestamp(), "nonce": "n", "posture": {}}
    assert await examined(made, who.sign(told_header, json.dumps(payload).encode()), who) is Reason.REPORT_MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        '{"aud": "north", "aud": "south", "iat": 1, "nonce": "n", "posture": {}}',
        '{"aud": "north", "iat": 1, "nonce": "n", "posture": {"firewall": false, "firewall": true}}',
        '{"aud": "north", "iat": NaN, "nonce": "n", "posture": {}}',
        '{"aud": "north", "iat": Infinity, "nonce": "n", "posture": {}}',
        '{"aud": "north", "iat": 1, "nonce": "n", "posture": {}} x',
        '{"aud": "north", "iat": 1, "nonce": "n", "posture": {"a": ' + "[" * 5000 + "]" * 5000 + "}}",
        '{"aud": "north", "iat": ' + "1" * 5000 + ', "nonce": "n", "posture": {}}',
        '{"aud": "north", "iat": 1e999, "nonce": "n", "posture": {}}',
        "[]",
        "7",
        "",
        "\ufeff{}",
    ],
    ids=["aud", "attribute", "NaN", "Infinity", "more", "deep", "digits", "1e999", "list", "number", "empty", "bom"],
)
async def test_payload_that_two_readers_could_understand_differently_is_malformed(made: Desk, text: str) -> None:
    who = device()
    body = who.sign(json.dumps(who.header()).encode(), text.encode())
    assert await examined(made, body, who) is Reason.REPORT_MALFORMED


async def test_bytes_that_are_no_utf8_are_malformed(made: Desk) -> None:
    who = device()
    assert (
        await examined(made, who.sign(json.dumps(who.header()).encode(), b'{"\xff": 1}'), who)
        is Reason.REPORT_MALFORMED
    )


async def test_report_cut_off_anywhere_is_refused(made: Desk) -> None:
    who = device()
    body = who.report(made.nonce(who.principal, NOW))
    for length in [*range(0, len(body), 7), *range(len(body) - 90, len(body))]:
        found = await examined(made, body[:length], who)
        assert found in (Reason.REPORT_MALFORMED, Reason.REPORT_SIGNATURE), length


@pytest.mark.parametrize("frame", ["{}\n", " {}", "{}=", "{}.", ".{}", '"{}"', "{}\u00e9", "{}.{}"])
async def test_compact_form_with_anything_around_it_is_malformed(made: Desk, frame: str) -> None:
    who = device()
    body = who.report(made.nonce(who.principal, NOW)).decode()
    assert await examined(made, frame.replace("{}", body).encode(), who) is Reason.REPORT_MALFORMED


async def test_json_form_of_jws_with_an_unprotected_header_is_malformed(made: Desk) -> None:
    who = device()
    head, payload, signature = who.report(made.nonce(who.principal, NOW)).decode().split(".")
    body = {"payload": payload, "protected": head, "header": {"alg": "ES256"}, "signature": signature}
    assert await examined(made, json.dumps(body).encode(), who) is Reason.REPORT_MALFORMED


async def test_base64_with_bits_that_belong_to_nothing_is_malformed(made: Desk) -> None:
    """The last character of 64 bytes carries two bits: the same signature in another spelling."""
    who = device()
    body = who.report(made.nonce(who.principal, NOW)).decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    again = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1]
    assert await examined(made, again.encode(), who) is Reason.REPORT_MALFORMED


@given(st.binary(max_size=400))
def test_anything_at_all_is_parsed_or_refused(body: bytes) -> None:
    assert parse_report(body) is None


# Algorithm and type.


async def test_unsigned_report_is_refused(made: Desk) -> None:
    who = device()
    whole = who.report(made.nonce(who.principal, NOW)).decode().split(".")
    none = b64(json.dumps(who.header(alg="none")).encode())
    assert await examined(made, f"{none}.{whole[1]}.".encode(), who) is Reason.REPORT_ALGORITHM
    assert await examined(made, f"{whole[0]}.{whole[1]}.".encode(), who) is Reason.REPORT_SIGNATURE


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "ES384", "EdDSA", "PS256", "RS256", "es256", "ES256K", ""])
async def test_other_algorithm_than_the_keys_own_is_refused(made: Desk, alg: str) -> None:
    assert await told(made, device(), header={"alg": alg}) is Reason.REPORT_ALGORITHM


async def test_public_key_taken_for_a_shared_secret_is_refused(made: Desk) -> None:
    import hashlib
    import hmac

    who = device()
    header = b64(json.dumps(who.header(alg="HS256")).encode())
    payload = who.report(made.nonce(who.principal, NOW)).decode().split(".")[1]
    for form in (Encoding.PEM, Encoding.DER):
        public = who.key.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        mac = hmac.new(public, f"{header}.{payload}".encode(), hashlib.sha256).digest()
        assert await examined(made, f"{header}.{payload}.{b64(mac)}".encode(), who) is Reason.REPORT_ALGORITHM


async def test_rs256_by_an_rsa_key_is_refused(made: Desk) -> None:
    who = device("RSA")
    header = json.dumps(who.header(alg="RS256")).encode()
    payload = {"aud": "north", "iat": NOW.timestamp(), "nonce": made.nonce(who.principal, NOW), "posture": {}}
    assert await examined(made, who.sign(header, json.dumps(payload).encode(), "RS256"), who) is Reason.REPORT_ALGORITHM


@pytest.mark.parametrize("kind", ["Ed448", "RSA-1024"])
@pytest.mark.parametrize("alg", ["ES512", "EdDSA", "PS256", "ES256"])
async def test_key_that_reports_are_not_signed_with_is_refused(made: Desk, kind: str, alg: str) -> None:
    who = device(kind)
    header = b64(json.dumps(who.header(alg=alg)).encode())
    payload = b64(json.dumps({"aud": "north", "iat": 1, "nonce": "n", "posture": {}}).encode())
    assert await examined(made, f"{header}.{payload}.AAAA".encode(), who) is Reason.REPORT_ALGORITHM


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "", "dicomward-posture+JWT", "application/dicomward-posture+jwt"])
async def test_other_thing_the_same_key_signed_is_no_report(made: Desk, typ: str) -> None:
    assert await told(made, device(), header={"typ": typ}) is Reason.REPORT_ALGORITHM


# Certificate and signature.


async def test_report_of_another_device_is_refused(made: Desk) -> None:
    """What a second device signed rightly, brought over the connection of the first."""
    mine, theirs = device(), device(number=1)
    body = theirs.report(made.nonce(mine.principal, NOW))
    assert await examined(made, body, mine) is Reason.REPORT_OF_ANOTHER_DEVICE
    assert await told(made, mine, header={"x5t#S256": ""}) is Reason.REPORT_OF_ANOTHER_DEVICE


async def test_report_without_certificate_or_device_is_refused(made: Desk) -> None:
    from dataclasses import replace

    who = device()
    body = who.report(made.nonce(who.principal, NOW))
    nobody = Peer(certificate=None, address="192.0.2.1", connection=1)
    assert await made.examine(body, nobody, who.principal, REPORT, NOW) is Reason.REPORT_OF_ANOTHER_DEVICE
    nameless = replace(who.principal, device=None)
    assert await made.examine(body, who.peer, nameless, REPORT, NOW) is Reason.REPORT_OF_ANOTHER_DEVICE


async def test_report_by_another_key_is_refused(made: Desk) -> None:
    assert await told(made, device(), key=device(number=1).key) is Reason.REPORT_SIGNATURE


@pytest.mark.parametrize("kind", list(ALGORITHMS))
async def test_signature_with_a_bit_flipped_or_a_byte_more_or_less_is_refused(made: Desk, kind: str) -> None:
    import base64

    who = device(kind)
    head, payload, signature = who.report(made.nonce(who.principal, NOW)).decode().split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    wrong = [
        bytes([raw[0] ^ 1]) + raw[1:],
        raw[:-1] + bytes([raw[-1] ^ 0x80]),
        raw[:-1],
        raw + b"\0",
        b"",
        bytes(len(raw)),
    ]
    for each in wrong:
        assert await examined(made, f"{head}.{payload}.{b64(each)}".encode(), who) is Reason.REPORT_SIGNATURE


async def test_payload_changed_after_signing_is_refused(made: Desk) -> None:
    who = device()
    nonce = made.nonce(who.principal, NOW)
    head, payload, _ = who.report(nonce).decode().split(".")
    other = who.report(nonce, posture={"disk_encryption": False}).decode().split(".")[2]
    assert await examined(made, f"{head}.{payload}.{other}".encode(), who) is Reason.REPORT_SIGNATURE


# Audience and time.


@pytest.mark.parametrize("aud", ["south", "", "North", "north "])
async def test_report_for_another_site_is_refused(made: Desk, aud: str) -> None:
    assert await told(made, device(), aud=aud) is Reason.REPORT_AUDIENCE


@pytest.mark.parametrize("ahead_s", [-3600, -60.001, 60.001, 3600])
async def test_report_of_another_time_is_refused(made: Desk, ahead_s: float) -> None:
    assert await told(made, device(), iat=NOW.timestamp() + ahead_s) is Reason.REPORT_NOT_CURRENT


@pytest.mark.parametrize(("ahead_s", "end_s"), [(-60, 840), (-0.001, 899.999), (60, 900)])
async def test_clock_within_what_is_forgiven_gains_nothing(made: Desk, ahead_s: float, end_s: float) -> None:
    report = accepted(await told(made, device(), iat=NOW.timestamp() + ahead_s))
    assert {each.expires_at for each in report.claims[0].attributes.values()} == {NOW + seconds(end_s)}


async def test_device_may_end_its_report_earlier_and_not_later(made: Desk) -> None:
    for exp_s, end_s in ((5, 5), (899.5, 899.5), (901, 900), (10**9, 900)):
        report = accepted(await told(made, device(), exp=NOW.timestamp() + exp_s))
        assert report.claims[0].attributes["os_name"].expires_at == NOW + seconds(end_s)


@pytest.mark.parametrize("exp_s", [0, -0.001, -59, -(10**9)])
async def test_report_that_has_ended_is_refused(made: Desk, exp_s: float) -> None:
    assert await told(made, device(), exp=NOW.timestamp() + exp_s) is Reason.REPORT_NOT_CURRENT


async def test_report_older_than_the_sites_limit_is_refused(store: PostureStore) -> None:
    made = desk(store, report_valid_s=30)
    assert await told(made, device(), iat=NOW.timestamp() - 30) is Reason.REPORT_NOT_CURRENT


# Nonce and single use.


async def test_nonce_that_is_not_ours_is_refused(made: Desk) -> None:
    who, fingerprint = device(), device().fingerprint
    for nonce in (
        "",
        "n",
        make_nonce(b"x" * 32, fingerprint, NOW),
        made.nonce(device(number=1).principal, NOW),
        made.nonce(who.principal, NOW - seconds(60.001)),
        made.nonce(who.principal, NOW + seconds(1)),
    ):
        assert await examined(made, who.report(nonce), who) is Reason.REPORT_NONCE


async def test_report_sent_twice_is_refused(made: Desk) -> None:
    who = device()
    body = who.report(made.nonce(who.principal, NOW))
    await made.accept(accepted(await examined(made, body, who)), NOW)
    assert await examined(made, body, who, NOW + seconds(1)) is Reason.REPORT_REPLAYED


async def test_report_sent_twice_before_the_first_is_in_force_is_refused(made: Desk) -> None:
    who = device()
    body = who.report(made.nonce(who.principal, NOW))
    accepted(await examined(made, body, who))
    assert await examined(made, body, who) is Reason.REPORT_REPLAYED


async def test_report_sent_again_to_another_process_is_refused(made: Desk, path: Path) -> None:
    who = device()
    body = who.report(made.nonce(who.principal, NOW))
    program = (
        "import asyncio, sys; from tests.posture.making import *; from pathlib import Path\n"
        "who = Device(); who.certificate = bytes.fromhex(sys.argv[2])\n"
        "found = asyncio.run(examined(desk(PostureStore(Path(sys.argv[1]))), sys.argv[3].encode(), who))\n"
        "print(found if isinstance(found, Reason) else 'taken')"
    )
    command = [sys.executable, "-c", program, str(path), who.certificate.hex(), body.decode()]
    first, second = (
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip() for _ in range(2)
    )
    assert (first, second) == ("taken", "report-replayed")
    assert await examined(made, body, who) is Reason.REPORT_REPLAYED


async def test_nonce_is_spent_whatever_else_is_wrong(made: Desk) -> None:
    who = device()
    nonce = made.nonce(who.principal, NOW)
    assert await examined(made, who.report(nonce, aud="south"), who) is Reason.REPORT_AUDIENCE
    assert await examined(made, who.report(nonce), who) is Reason.REPORT_REPLAYED


@pytest.mark.parametrize("earlier_s", [0, 0.001, 30])
async def test_report_that_was_held_back_is_refused_once_a_later_one_is_in_force(made: Desk, earlier_s: float) -> None:
    """It was never sent, so its nonce is new: it is time that goes forward only."""
    who = device()
    held = who.report(made.nonce(who.principal, NOW), iat=NOW.timestamp() - earlier_s)
    await made.accept(accepted(await told(made, who)), NOW)
    assert await examined(made, held, who) is Reason.REPORT_REPLAYED


async def test_of_two_examined_together_the_earlier_cannot_come_into_force_last(
    made: Desk, store: PostureStore
) -> None:
    who = device()
    bad = accepted(await told(made, who, iat=NOW.timestamp() + 1, posture={"disk_encryption": False}))
    good = accepted(await told(made, who))
    assert changed(await made.accept(bad, NOW)) == [who.id]
    assert await made.accept(good, NOW) is Reason.REPORT_REPLAYED
    assert store.posture(who.id, NOW).attributes["disk_encryption"].value is False


async def test_first_of_all_that_is_wrong_is_what_is_told(made: Desk) -> None:
    mine, theirs = device(), device(number=1)
    wrong: dict[str, Any] = {"aud": "south", "iat": 1}
    steps: list[tuple[Reason, bytes]] = [
        (
            Reason.REPORT_MALFORMED,
            mine.report("n", header={"alg": "none", "kid": "1"}, key=theirs.key, nonce=1, **wrong),
        ),
        (Reason.REPORT_ALGORITHM, mine.report("n", **wrong, header={"alg": "none", "x5t#S256": "x"}, key=theirs.key)),
        (Reason.REPORT_OF_ANOTHER_DEVICE, mine.report("n", **wrong, header={"x5t#S256": "x"}, key=theirs.key)),
        (Reason.REPORT_SIGNATURE, mine.report("n", **wrong, key=theirs.key)),
        (Reason.REPORT_AUDIENCE, mine.report("n", **wrong)),
        (Reason.REPORT_NOT_CURRENT, mine.report("n", iat=1)),
        (Reason.REPORT_NONCE, mine.report("n")),
    ]
    for reason, body in steps:
        assert await examined(made, body, mine) is reason


async def test_devices_are_told_apart(made: Desk, store: PostureStore) -> None:
    for each in (device(), device(number=1)):
        await made.accept(accepted(await told(made, each)), NOW)
    later = accepted(await told(made, device(), NOW + seconds(1), iat=NOW.timestamp() + 1, posture={}))
    assert changed(await made.accept(later, NOW)) == [device().id]
    assert store.posture(device().id, NOW).attributes == {}
    assert len(store.posture(OTHER, NOW).attributes) == len(VALUES)


async def test_report_that_changes_no_value_tells_of_no_device(made: Desk) -> None:
    await made.accept(accepted(await told(made, device())), NOW)
    assert changed(await made.accept(accepted(await told(made, device(), iat=NOW.timestamp() + 1)), NOW)) == []


async def test_what_is_not_a_report_is_no_resource_of_the_desk(made: Desk) -> None:
    who = device()
    asked = SiteRequest(action=REPORT.action, resource=SiteResource.POSTURE_NONCE, method="GET")
    assert await made.examine(b"", who.peer, who.principal, asked, NOW) is Reason.UNKNOWN_ROUTE
    assert await made.examine(b"{}", who.peer, who.principal, webhook(b"{}"), NOW) is Reason.UNKNOWN_ROUTE


async def test_store_that_cannot_be_used_stops_a_report_and_takes_nothing(made: Desk, store: PostureStore) -> None:
    who = device()
    body = who.report(made.nonce(who.principal, NOW))
    report = accepted(await told(made, who))
    store._reader.close()
    store._writer._connection.close()
    with pytest.raises(PostureUnavailableError):
        await examined(made, body, who)
    with pytest.raises(PostureUnavailableError):
        await made.accept(report, NOW)


def test_tokens_of_the_same_key_are_not_verified_by_another_name() -> None:
    """The library the signature is checked with knows the algorithms that are demanded here."""
    assert set(ALGORITHMS.values()) <= set(jwt.PyJWS().get_algorithms())
