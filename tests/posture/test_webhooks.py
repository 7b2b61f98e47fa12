from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ConfigurationError
from proxy.model import PostureReport, Reason, Signed, SiteRequest, Taken, Trust
from proxy.posture import Desk, ManagedSettings, MappedPolicy, PostureStore
from proxy.posture.fleet import read_fleet
from tests.posture.making import (
    NOW,
    REPORT,
    SECRET,
    changed,
    desk,
    details,
    device,
    device_of,
    examined,
    failing,
    managed,
    seconds,
    webhook,
)

PC7 = device_of("urn:pc:pc7")


@pytest.fixture
def made(store: PostureStore) -> Desk:
    return desk(store, managed())


async def sent(
    made: Desk, body: bytes, request: SiteRequest | None = None, now: datetime = NOW
) -> PostureReport | Reason:
    manager = device(number=1)
    return await made.examine(body, manager.peer, manager.principal, request or webhook(body), now)


def taken(found: PostureReport | Reason) -> PostureReport:
    assert isinstance(found, PostureReport), found
    return found


def told(report: PostureReport) -> dict[str, dict[str, Any]]:
    return {each.device: {name: said.value for name, said in each.attributes.items()} for each in report.claims}


async def test_each_host_of_a_failing_policy_fails_it(made: Desk, store: PostureStore) -> None:
    body = failing("Firewall on", "pc7", "pc8")
    report = taken(await sent(made, body))
    assert told(report) == {PC7: {"firewall": False}, device_of("urn:pc:pc8"): {"firewall": False}}
    assert (report.source, report.trust, report.issued_at) == ("fleet", Trust.MANAGED, NOW)
    assert report.sha256 == hashlib.sha256(body).hexdigest()
    assert set(changed(await made.accept(report, NOW))) == {PC7, device_of("urn:pc:pc8")}
    said = store.posture(PC7, NOW).attributes["firewall"]
    assert (said.value, said.source, said.issued_at, said.expires_at) == (False, "fleet", NOW, NOW + seconds(7200))


async def test_details_of_a_host_tell_what_passed_and_failed_and_not_what_did_not_run(made: Desk) -> None:
    body = details({"Firewall on": "pass", "Disk": "fail", "Patched": "", "Somebody else's": "fail"})
    assert told(taken(await sent(made, body))) == {PC7: {"firewall": True, "disk_encryption": False}}


@pytest.mark.parametrize(
    ("responses", "value"),
    [
        ({"Patched": "pass", "Patched at all": "pass"}, 0),
        ({"Patched": "fail", "Patched at all": "pass"}, 999),
        ({"Patched": "pass", "Patched at all": "fail"}, 9999),
    ],
)
async def test_of_several_policies_of_one_attribute_one_that_fails_counts(
    made: Desk, responses: dict[str, str], value: int
) -> None:
    assert told(taken(await sent(made, details(responses)))) == {PC7: {"patch_age_days": value}}


@pytest.mark.parametrize("key", ["hostname", "uuid", "hardware_serial"])
async def test_device_is_called_as_the_site_says(store: PostureStore, key: str) -> None:
    made = desk(store, managed(key=key))
    name = {"hostname": "pc7", "uuid": "u-7", "hardware_serial": "S7"}[key]
    assert told(taken(await sent(made, details({"Disk": "pass"})))) == {
        device_of(f"urn:pc:{name}"): {"disk_encryption": True}
    }


@pytest.mark.parametrize("body", [failing("Unknown", "pc7"), details({}), details({"Unknown": "fail"})])
async def test_what_is_not_mapped_is_taken_and_tells_nothing(made: Desk, body: bytes) -> None:
    report = taken(await sent(made, body))
    assert report.claims == ()
    assert changed(await made.accept(report, NOW)) == []
    assert await sent(made, body) is Reason.WEBHOOK_REPLAYED


async def test_host_whose_name_no_certificate_has_spoils_nothing(made: Desk) -> None:
    assert set(told(taken(await sent(made, failing("Disk", "Somebody's laptop", "", "pc7"))))) == {PC7}


async def test_policy_names_what_the_management_said_beside_what_the_device_says(
    made: Desk, store: PostureStore
) -> None:
    who = device()
    mine = desk(store)
    own = taken(await examined(mine, who.report(mine.nonce(who.principal, NOW)), who))
    await mine.accept(own, NOW)
    by_name = Desk(
        store,
        site="north",
        report_valid_s=900,
        report_skew_s=60,
        report_bytes=65_536,
        managed=managed(),
        device_of=lambda name: who.id,
    )
    assert changed(await by_name.accept(taken(await sent(by_name, failing("Disk", "pc7"))), NOW)) == [who.id]
    said = store.posture(who.id, NOW).attributes["disk_encryption"]
    assert (said.value, said.trust) == (False, Trust.MANAGED)
    assert [(other.value, other.source) for other in said.others] == [(True, "agent")]
    assert store.posture(who.id, NOW).attributes["os_name"].value == "debian"


# Signature, time, single use.


async def test_webhook_by_another_secret_is_refused(made: Desk) -> None:
    body = failing("Disk", "pc7")
    assert await sent(made, body, webhook(body, secrets=(b"x" * 32,))) is Reason.WEBHOOK_SIGNATURE
    assert await sent(made, body, webhook(body, secrets=(b"",))) is Reason.WEBHOOK_SIGNATURE
    assert await sent(made, body, webhook(body, secrets=())) is Reason.WEBHOOK_SIGNATURE


async def test_webhook_changed_after_signing_is_refused(made: Desk) -> None:
    body = failing("Disk", "pc7")
    request = webhook(body)
    signed = request.signed
    assert signed is not None
    assert await sent(made, failing("Disk", "pc8"), request) is Reason.WEBHOOK_SIGNATURE
    assert await sent(made, body + b" ", request) is Reason.WEBHOOK_SIGNATURE
    assert await sent(made, body[:-1], request) is Reason.WEBHOOK_SIGNATURE
    for other in (
        replace(signed, id="msg_2"),
        replace(signed, timestamp=signed.timestamp + 1),
        replace(signed, signatures=(bytes([signed.signatures[0][0] ^ 1]) + signed.signatures[0][1:],)),
        replace(signed, signatures=(signed.signatures[0][:-1],)),
        replace(signed, signatures=(bytes(32),)),
    ):
        assert await sent(made, body, replace(request, signed=other)) is Reason.WEBHOOK_SIGNATURE


async def test_while_a_secret_changes_either_is_enough(store: PostureStore) -> None:
    old, new = b"o" * 32, b"n" * 32
    body = failing("Disk", "pc7")
    both = desk(store, managed(secrets=(old, new)))
    for secrets in ((old,), (new,), (b"x" * 32, new), (old, new)):
        taken(await sent(both, body, webhook(body, secrets=secrets)))
    taken(await sent(desk(store, managed(secrets=(new,))), body, webhook(body, secrets=(old, new))))


@pytest.mark.parametrize("late_s", [-301, 301, 86_400])
async def test_webhook_of_another_time_is_refused(made: Desk, late_s: int) -> None:
    body = failing("Disk", "pc7")
    assert await sent(made, body, webhook(body, at=NOW - seconds(late_s))) is Reason.WEBHOOK_NOT_CURRENT


@pytest.mark.parametrize("late_s", [-300, 0, 300])
async def test_webhook_within_the_tolerance_is_taken(made: Desk, late_s: int) -> None:
    body = failing("Disk", "pc7")
    taken(await sent(made, body, webhook(body, at=NOW - seconds(late_s))))


async def test_time_of_twelve_digits_is_refused(made: Desk) -> None:
    import hmac

    body = failing("Disk", "pc7")
    mac = hmac.new(SECRET, b"m.999999999999." + body, hashlib.sha256).digest()
    request = replace(webhook(body), signed=Signed(id="m", timestamp=999_999_999_999, signatures=(mac,)))
    assert await sent(made, body, request) is Reason.WEBHOOK_NOT_CURRENT


async def test_webhook_sent_twice_is_refused_also_by_another_worker(made: Desk, path: Path) -> None:
    body = failing("Disk", "pc7")
    await made.accept(taken(await sent(made, body)), NOW)
    assert await sent(made, body) is Reason.WEBHOOK_REPLAYED
    other = PostureStore(path)
    assert await sent(desk(other, managed()), body, now=NOW + seconds(299)) is Reason.WEBHOOK_REPLAYED
    later = failing("Disk", "pc8")
    assert await sent(made, later, webhook(later)) is Reason.WEBHOOK_REPLAYED  # the same id with something else
    other.close()


async def test_of_two_copies_examined_together_one_comes_into_force(made: Desk) -> None:
    body = failing("Disk", "pc7")
    first, second = taken(await sent(made, body)), taken(await sent(made, body))
    assert changed(await made.accept(first, NOW)) == [PC7]
    assert await made.accept(second, NOW) is Reason.WEBHOOK_REPLAYED


async def test_webhook_that_met_a_failure_of_ours_may_be_sent_again(made: Desk) -> None:
    body = failing("Disk", "pc7")
    taken(await sent(made, body))  # and then the record could not be made durable, so it was not accepted
    again = webhook(body, at=NOW + seconds(5))
    assert changed(await made.accept(taken(await sent(made, body, again, NOW + seconds(5))), NOW)) == [PC7]


async def test_older_webhook_that_comes_late_does_not_undo_a_newer_one(made: Desk, store: PostureStore) -> None:
    bad, good = details({"Disk": "fail"}), details({"Disk": "pass"})
    await made.accept(taken(await sent(made, bad, webhook(bad, identity="b", at=NOW))), NOW)
    late = webhook(good, identity="a", at=NOW - seconds(9))
    assert await made.accept(taken(await sent(made, good, late)), NOW) is Reason.WEBHOOK_REPLAYED
    assert store.posture(PC7, NOW).attributes["disk_encryption"].value is False
    assert await sent(made, good, late) is Reason.WEBHOOK_REPLAYED  # its id is spent


async def test_of_a_late_webhook_what_is_news_is_put_in_force_and_counted(made: Desk, store: PostureStore) -> None:
    new = details({"Disk": "fail"})
    old = details({"Disk": "pass", "Firewall on": "pass"})
    assert await made.accept(taken(await sent(made, new)), NOW) == Taken(changed=(PC7,), attributes=1)
    late = webhook(old, identity="a", at=NOW - seconds(9))
    assert await made.accept(taken(await sent(made, old, late)), NOW) == Taken(changed=(PC7,), attributes=1)
    found = store.posture(PC7, NOW).attributes
    assert {name: each.value for name, each in found.items()} == {"disk_encryption": False, "firewall": True}


async def test_management_whose_clock_is_ahead_does_not_outlast_its_own_next_word(
    made: Desk, store: PostureStore
) -> None:
    good, bad = details({"Disk": "pass"}), details({"Disk": "fail"})
    ahead = taken(await sent(made, good, webhook(good, identity="a", at=NOW + seconds(300))))
    assert ahead.issued_at == NOW
    await made.accept(ahead, NOW)
    said = store.posture(PC7, NOW).attributes["disk_encryption"]
    assert (said.issued_at, said.expires_at) == (NOW, NOW + seconds(7200))
    second = NOW + seconds(1)  # its clock was set right meanwhile
    assert changed(
        await made.accept(taken(await sent(made, bad, webhook(bad, identity="b", at=second), second)), second)
    )
    assert store.posture(PC7, second).attributes["disk_encryption"].value is False


async def test_id_of_a_webhook_from_ahead_is_remembered_for_as_long_as_its_time_is_let_pass(made: Desk) -> None:
    body = details({"Disk": "pass"})
    ahead = webhook(body, at=NOW + seconds(300))
    await made.accept(taken(await sent(made, body, ahead)), NOW)
    for later_s in (301, 599, 600):  # each write forgets what has ended
        now = NOW + seconds(later_s)
        other = webhook(body, identity=f"msg_{later_s}", at=now)
        await made.accept(taken(await sent(made, body, other, now)), now)
        assert await sent(made, body, ahead, now) is Reason.WEBHOOK_REPLAYED
    assert await sent(made, body, ahead, NOW + seconds(601)) is Reason.WEBHOOK_NOT_CURRENT


# Form.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b"{",
        b'{"host": 1}',
        b'{"host": {}}',
        b'{"host": {"hostname": "pc7"}}',
        b'{"host": {"hostname": "pc7", "policies": {}}}',
        b'{"host": {"hostname": "pc7", "policies": [7]}}',
        details({"Disk": "passed"}),
        details({"Disk": "PASS"}),
        details({"Disk": None}),  # type: ignore[dict-item]
        details({"Disk": True}),  # type: ignore[dict-item]
        details({"Disk": "pass"}, hostname=7),
        details({}, policies=[{"response": "pass"}]),
        details({}, policies=[{"name": "Disk"}]),
        details({}, policies=[{"name": "Disk", "response": "pass"}, {"name": "Disk", "response": "fail"}]),
        b'{"host": {"hostname": "pc7", "policies": []}, "policy": {"name": "Disk"}, "hosts": []}',
        b'{"policy": {"name": "Disk"}}',
        b'{"policy": {"name": "Disk"}, "hosts": {}}',
        b'{"policy": {"name": 7}, "hosts": []}',
        b'{"policy": {}, "hosts": []}',
        b'{"policy": "Disk", "hosts": []}',
        b'{"policy": {"name": "Disk"}, "hosts": [7]}',
        b'{"policy": {"name": "Disk"}, "hosts": [{"id": 7}]}',
        b'{"policy": {"name": "Disk"}, "hosts": [{"hostname": null}]}',
        b'{"policy": {"name": "Disk"}, "hosts": [{"hostname": "pc7", "hostname": "pc8"}]}',
        b'{"policy": {"name": "Disk"}, "hosts": [{"hostname": "pc7", "x": NaN}]}',
        b'{"policy": {"name": "Disk"}, "hosts": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"policy": {"name": "Disk"}, "hosts": [{"hostname": "\xff"}]}',
        failing("Disk", *["pc7"] * 10_001),
    ],
)
async def test_body_of_another_form_is_malformed_and_may_be_sent_again(made: Desk, body: bytes) -> None:
    assert await sent(made, body) is Reason.WEBHOOK_MALFORMED
    assert isinstance(await sent(made, failing("Disk", "pc7"), webhook(failing("Disk", "pc7"))), PostureReport)


async def test_shape_without_what_the_site_calls_devices_by_is_malformed(store: PostureStore) -> None:
    """Fleet's failing policies name hosts by hostname alone: a failure must not pass unseen."""
    assert await sent(desk(store, managed(key="uuid")), failing("Disk", "pc7")) is Reason.WEBHOOK_MALFORMED


async def test_most_hosts_are_taken(made: Desk) -> None:
    assert len(taken(await sent(made, failing("Disk", *(f"pc{n}" for n in range(10_000))))).claims) == 10_000


async def test_request_without_signature_is_malformed(made: Desk) -> None:
    body = failing("Disk", "pc7")
    assert await sent(made, body, replace(webhook(body), signed=None)) is Reason.WEBHOOK_MALFORMED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["host", "hosts", "policy", "name"]), inner),
)


@given(st.one_of(st.binary(), json_values.map(lambda value: json.dumps(value).encode())))
def test_anything_at_all_is_read_or_refused(body: bytes) -> None:
    try:
        found = read_fleet(body, managed())
    except ValueError:
        return
    assert all(name.startswith("urn:pc:") for name in found)


def test_webhook_of_many_hosts_may_be_longer_than_a_report(store: PostureStore) -> None:
    made = desk(store, managed(body_bytes=2**22))
    assert (made.longest(webhook(b"{}")), made.longest(REPORT)) == (2**22, 65_536)
    assert desk(store).longest(webhook(b"{}")) == 65_536


# Settings.


def load(tmp_path: Path, content: str | None, **changes: Any) -> ManagedSettings:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    given: dict[str, Any] = {
        "source": "fleet",
        "secret_file": secret,
        "device": "urn:pc:{}",
        "key": "hostname",
        "valid_s": 7200,
        "tolerance_s": 300,
        "body_bytes": 2**20,
        "attributes": [MappedPolicy(policy="Disk", attribute="disk_encryption", passing=True, failing=False)],
        **changes,
    }
    return ManagedSettings.load(**given)


def text(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def test_one_or_two_secrets_are_read(tmp_path: Path) -> None:
    assert load(tmp_path, text(SECRET) + "\n").secrets == (SECRET,)
    assert load(tmp_path, f"whsec_{text(SECRET)}\nwhsec_{text(b'n' * 24)}\n").secrets == (SECRET, b"n" * 24)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "not base64!",
        text(b"x" * 23),
        f"{text(SECRET)} {text(b'x')}",
        "\n".join([text(SECRET)] * 3),
        "é",
        None,
    ],
)
def test_secret_that_is_none_ends_the_start_and_is_not_shown(tmp_path: Path, content: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"posture\.managed\.secret_file") as caught:
        load(tmp_path, content)
    assert not content or not content.strip() or content.strip() not in str(caught.value)


def test_settings_do_not_show_their_secret(tmp_path: Path) -> None:
    assert repr(SECRET) not in repr(load(tmp_path, text(SECRET)))
    assert "secret" not in repr(load(tmp_path, text(SECRET))).lower()


def test_management_cannot_be_called_as_devices_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"posture\.managed\.source"):
        load(tmp_path, text(SECRET), source="agent")


@pytest.mark.parametrize(
    ("attribute", "passing", "failing"),
    [
        ("disk_encryption", 1, False),
        ("disk_encryption", True, "no"),
        ("patch_age_days", True, 99),
        ("os_name", "debian", False),
        ("own", 2**53, 0),
        ("own", "é", "a"),
    ],
)
def test_value_of_another_type_than_the_attribute_ends_the_start(
    tmp_path: Path, attribute: str, passing: Any, failing: Any
) -> None:
    mapped = MappedPolicy(policy="P", attribute=attribute, passing=passing, failing=failing)
    with pytest.raises(ConfigurationError, match=rf"posture\.managed\.attributes: {attribute}"):
        load(tmp_path, text(SECRET), attributes=[mapped])
