"""Certificates and tokens together: who is asked for what, what is kept for how long, what is alarmed."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy.errors import ConfigurationError
from proxy.identify import identification
from proxy.identify.identification import Identification
from proxy.model import Reason, Role
from tests.identify.building import Site, der
from tests.identify.issuing import (
    ABSENT,
    LAPTOP,
    NOW,
    SECOND,
    WORKSTATION,
    Desk,
    Issuer,
    JudgedCertificates,
    bearer,
    jwks,
    peer,
    put,
    settings,
    thumbprint,
)

DIRECTORY = b'{"users": {"clinic/4711": ["radiologist"]}, "devices": {"urn:pc:%s": ["kiosk"]}}'


def device_name(certificate: bytes = WORKSTATION) -> str:
    return JudgedCertificates().judge(certificate, NOW).name


def test_good_token_makes_a_user_beside_the_device(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    principal = desk.ask(desk.issuer.token())
    assert principal.reasons == ()
    assert principal.user is not None
    assert principal.user.id == "clinic/4711"
    assert principal.device == desk.certificates.judge(WORKSTATION, NOW).device
    assert principal.expires_at == NOW + 305 * SECOND
    wire = principal.to_wire()
    assert wire["user"] == {
        "id": "clinic/4711",
        "issuer": "clinic",
        "subject": "4711",
        "expires_at": "2026-11-22T12:05:05.000Z",
    }


def test_refused_certificate_is_the_whole_answer(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token(cnf={"x5t#S256": thumbprint(LAPTOP)})
    assert desk.ask(desk.issuer.token()).user is not None
    desk.certificates.revoke(WORKSTATION)
    principal = desk.ask(token)
    assert principal.reasons == (Reason.CERTIFICATE_REVOKED,)
    assert principal.user is None
    assert desk.identification.alarms == {"token-of-another-device": 0}
    assert desk.reasons(desk.issuer.token()) == (Reason.CERTIFICATE_REVOKED,)
    assert desk.ask(token, None).reasons == (Reason.CERTIFICATE_MISSING,)


def test_authority_of_devices_alone_has_no_ear_for_tokens(tmp_path: Path) -> None:
    desk = Desk(tmp_path, users="none")
    for authorization in ((), bearer(desk.issuer.token()), (b"Basic eDp5",), (b"\xff", b"\xff")):
        principal = desk.ask_with(authorization)
        assert (principal.reasons, principal.user) == ((), None)


def test_optional_user_is_heard_and_never_guessed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, users="optional")
    assert (desk.ask().reasons, desk.ask().user) == ((), None)
    found = desk.ask(desk.issuer.token())
    assert found.user is not None
    for authorization in ((b"Basic eDp5",), (b"",), bearer("a.b.c")):
        principal = desk.ask_with(authorization)
        assert (principal.reasons, principal.user) == ((Reason.TOKEN_MALFORMED,), None)


def test_required_user_that_is_missing_refuses(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    principal = desk.ask()
    assert principal.reasons == (Reason.TOKEN_MISSING,)
    assert principal.device is not None


def test_authority_that_nothing_is_said_of_is_held_to_the_most(tmp_path: Path) -> None:
    desk = Desk(tmp_path, users="none")
    desk.certificates.authority = "another"
    assert desk.reasons() == (Reason.TOKEN_MISSING,)
    assert desk.ask(desk.issuer.token()).user is not None


def test_roles_come_from_certificate_token_and_directory(tmp_path: Path) -> None:
    desk = Desk(tmp_path, users="optional", roles_claim="roles", directory=DIRECTORY % device_name()[7:].encode())
    desk.certificates.roles = (Role(name="radiologist", source="certificate"),)
    roles = desk.ask(desk.issuer.token(roles=["night", "radiologist"])).roles
    assert [(role.name, role.source) for role in roles] == [
        ("night", "token"),
        ("radiologist", "certificate"),
        ("radiologist", "directory"),
        ("radiologist", "token"),
    ]
    alone = desk.ask().roles
    assert [(role.name, role.source) for role in alone] == [("kiosk", "directory"), ("radiologist", "certificate")]
    other = desk.ask(desk.issuer.token(sub="1")).roles
    assert [(role.name, role.source) for role in other] == [("radiologist", "certificate")]


def test_directory_that_changes_is_in_force_and_ends_leases(tmp_path: Path) -> None:
    desk = Desk(tmp_path, directory=b'{"users": {"clinic/4711": ["radiologist"]}}')
    token = desk.issuer.token()
    before = desk.ask(token)
    assert [role.name for role in before.roles] == ["radiologist"]
    put(desk.directory, b'{"users": {}}')
    assert desk.identification.reload()
    after = desk.ask(token)
    assert after.roles == ()
    assert after.generation > before.generation
    put(desk.directory, b"{")
    assert not desk.identification.reload()
    assert desk.identification.directory_failed


# ----------------------------------------------------------------------------------------- with real certificates


def test_user_stands_beside_a_real_certificate_until_it_is_revoked(tmp_path: Path) -> None:
    site, issuer = Site(tmp_path), Issuer()
    put(tmp_path / "jwks.json", jwks(issuer.jwk()))
    certificates = site.certificates()
    identify = Identification(
        certificates,
        issuers=[settings(tmp_path / "jwks.json")],
        users={"site": "required"},
        directory=None,
        clock=lambda: NOW,
    ).identify
    device, other = site.issue("workstation"), site.issue("other")
    renewed = site.issue("workstation")
    authorization = bearer(issuer.token(cnf={"x5t#S256": thumbprint(der(device))}))
    principal = identify(peer(der(device)), authorization, NOW)
    assert (principal.reasons, principal.name) == ((), "urn:dicomward:device:workstation")
    assert principal.user is not None
    assert identify(peer(der(device)), authorization, NOW) is principal
    assert identify(peer(der(other)), authorization, NOW).reasons == (Reason.TOKEN_OF_ANOTHER_DEVICE,)
    assert identify(peer(der(renewed)), authorization, NOW).reasons == (Reason.TOKEN_OF_ANOTHER_DEVICE,)
    assert identify(peer(None), authorization, NOW).reasons == (Reason.CERTIFICATE_MISSING,)
    assert identify(peer(b"no certificate"), authorization, NOW).reasons == (Reason.CERTIFICATE_PROFILE,)
    site.revoke(device)
    assert certificates.reload()
    refused = identify(peer(der(device)), authorization, NOW)
    assert refused.reasons == (Reason.CERTIFICATE_REVOKED,)
    assert refused.user is None
    assert refused.generation == principal.generation + 1


# ----------------------------------------------------------------------------------------- what is kept


def test_same_token_is_judged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token()
    first = desk.ask(token)
    monkeypatch.setattr(identification.tokens, "judge", None)
    assert desk.ask(token) is first


def test_token_that_was_good_and_ended_is_judged_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token()
    assert desk.reasons(token) == ()
    desk.clock.now = NOW + 305 * SECOND
    ended = desk.ask(token)
    monkeypatch.setattr(identification.tokens, "judge", None)
    assert desk.ask(token) is ended


def test_warm_answer_costs_little(tmp_path: Path) -> None:
    desk = Desk(tmp_path, directory=b"{}")
    token = desk.issuer.token()
    asked = bearer(token)
    desk.ask_with(asked)
    begun = time.process_time()
    for _ in range(2000):
        desk.ask_with(asked)
    assert (time.process_time() - begun) / 2000 < 50e-6


def test_kept_answer_ends_with_the_token(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token()
    assert desk.reasons(token) == ()
    desk.clock.now = NOW + 304 * SECOND
    assert desk.reasons(token) == ()
    desk.clock.now = NOW + 305 * SECOND
    assert desk.reasons(token) == (Reason.TOKEN_EXPIRED,)


def test_kept_answer_ends_with_the_keys_that_verified_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, jwks_max_age_s=100)
    token = desk.issuer.token()
    assert desk.ask(token).expires_at == NOW + 100 * SECOND
    desk.jwks.unlink()
    desk.clock.now = NOW + 99 * SECOND
    desk.identification.reload()
    assert desk.reasons(token) == ()
    desk.clock.now = NOW + 100 * SECOND
    assert desk.reasons(token) == (Reason.TOKEN_KEYS_UNAVAILABLE,)
    put(desk.jwks, jwks(desk.issuer.jwk()))
    desk.identification.reload()
    assert desk.reasons(token) == ()


def test_kept_answer_ends_when_keys_are_rotated(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    token, other = desk.issuer.token(), Issuer(kid="k2")
    before = desk.ask(token)
    assert desk.reasons(other.token()) == (Reason.TOKEN_SIGNATURE,)
    put(desk.jwks, jwks(other.jwk()))
    assert desk.identification.reload()
    assert desk.reasons(token) == (Reason.TOKEN_SIGNATURE,)
    assert desk.reasons(other.token()) == ()
    assert desk.ask(token).generation > before.generation


def test_kept_answer_serves_no_other_certificate(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token()
    assert desk.reasons(token) == ()
    stolen = desk.ask(token, LAPTOP)
    assert stolen.reasons == (Reason.TOKEN_OF_ANOTHER_DEVICE,)
    assert stolen.user is None
    assert desk.reasons(token) == ()


def test_kept_answer_serves_no_two_values_and_no_changed_ones(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    value = bearer(desk.issuer.token())
    assert desk.ask_with(value).reasons == ()
    assert desk.ask_with(value + value).reasons == (Reason.TOKEN_MALFORMED,)
    assert desk.ask_with((value[0][:60], value[0][60:])).reasons == (Reason.TOKEN_MALFORMED,)
    assert desk.ask_with(value).reasons == ()


def test_kept_refusal_ends_with_the_token_it_is_about(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token(cnf={"x5t#S256": thumbprint(LAPTOP)})
    assert desk.reasons(token) == (Reason.TOKEN_OF_ANOTHER_DEVICE,)
    desk.clock.now = NOW + 305 * SECOND
    assert desk.reasons(token) == (Reason.TOKEN_EXPIRED,)
    assert desk.identification.alarms == {"token-of-another-device": 1}


def test_kept_refusal_ends_with_the_keys_it_was_found_with(tmp_path: Path) -> None:
    desk = Desk(tmp_path, jwks_max_age_s=60)
    tokens = (Issuer().token(), desk.issuer.token(exp=1))
    assert [desk.reasons(token) for token in tokens] == [(Reason.TOKEN_SIGNATURE,), (Reason.TOKEN_EXPIRED,)]
    desk.clock.now = NOW + 60 * SECOND
    assert [desk.reasons(token) for token in tokens] == [(Reason.TOKEN_KEYS_UNAVAILABLE,)] * 2


def test_token_of_the_future_is_taken_when_its_time_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token(nbf=int(NOW.timestamp()) + 60)
    assert desk.reasons(token) == (Reason.TOKEN_NOT_YET_VALID,)
    desk.clock.now = NOW + 55 * SECOND
    assert desk.reasons(token) == ()


def test_refusal_of_a_certificate_counts_its_generation_with_all_others(tmp_path: Path) -> None:
    # A lease compares generations: a refusal must not look like the answer that an allowed stream was begun with.
    desk = Desk(tmp_path)
    allowed = desk.ask(desk.issuer.token())
    desk.certificates.revoke(WORKSTATION)
    refused = desk.ask(desk.issuer.token())
    assert refused.generation == desk.identification.generation == allowed.generation + 1


def test_made_up_tokens_do_not_push_out_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "REMEMBERED", 5)
    desk = Desk(tmp_path)
    token = desk.issuer.token()
    first = desk.ask(token)
    for number in range(20):
        assert desk.reasons(f"a.{number}.c") == (Reason.TOKEN_MALFORMED,)
    monkeypatch.setattr(identification.tokens, "judge", None)
    assert desk.ask(token) is first


STEPS = st.lists(
    st.sampled_from(["good", "laptop", "laptop", "spoiled", "two", "none", "later", "rotate", "revoke"]), max_size=12
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(STEPS)
def test_what_is_kept_never_differs_from_what_is_judged_anew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("desk")
    desk = Desk(folder)
    token, first_key = desk.issuer.token(), desk.issuer.jwk()
    rotated = False
    for step in steps:
        match step:
            case "later":
                desk.clock.now += 120 * SECOND
                continue
            case "rotate":
                rotated = not rotated
                put(desk.jwks, jwks(Issuer().jwk() if rotated else first_key))
                desk.identification.reload()
                continue
            case "revoke":
                desk.certificates.revoke(LAPTOP)
                continue
        value = bearer(token)
        asked = {"spoiled": bearer(token[:-2] + "AA"), "two": value * 2, "none": ()}.get(step, value)
        certificate = LAPTOP if step == "laptop" else WORKSTATION
        fresh = Identification(
            desk.certificates,  # type: ignore[arg-type]
            issuers=[settings(desk.jwks)],
            users={"site": "required"},
            directory=None,
            clock=desk.clock,
        )
        kept = desk.ask_with(asked, certificate)
        anew = fresh.identify(peer(certificate), asked, desk.clock.now)
        assert replace(kept, generation=0, expires_at=None, user=None) == replace(
            anew, generation=0, expires_at=None, user=None
        )
        assert (kept.user and kept.user.id) == (anew.user and anew.user.id)


# ----------------------------------------------------------------------------------------- alarms


def test_token_of_another_device_is_alarmed_and_told_once_in_ten_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path)
    token = desk.issuer.token(sub="night-doctor", cnf={"x5t#S256": thumbprint(LAPTOP)})
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            assert desk.reasons(token) == (Reason.TOKEN_OF_ANOTHER_DEVICE,)
        assert len(caplog.records) == 1
        desk.ask(desk.issuer.token(), LAPTOP)
        assert len(caplog.records) == 2
        desk.clock.now += 10 * SECOND
        desk.ask(token)
        assert len(caplog.records) == 3
    assert desk.identification.alarms == {"token-of-another-device": 22}
    told = vars(caplog.records[0])
    assert (told["levelname"], told["issuer"]) == ("WARNING", "clinic")
    assert told["device"] == desk.certificates.judge(WORKSTATION, NOW).device
    for secret in (token.rpartition(".")[2], "night-doctor"):
        assert secret not in str(told)


def test_forged_token_of_another_device_alarms_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.reasons(Issuer().token(cnf={"x5t#S256": thumbprint(LAPTOP)})) == (Reason.TOKEN_SIGNATURE,)
    assert desk.identification.alarms == {"token-of-another-device": 0}


def test_nothing_of_a_token_is_in_principal_log_or_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path)
    with caplog.at_level(logging.DEBUG):
        for changes in ({}, {"aud": "x"}, {"cnf": ABSENT}, {"exp": 1}, {"iss": "x"}, {"sub": 1}):
            token = desk.issuer.token(**changes)
            shown = repr(desk.ask(token)) + str(desk.ask(token).to_wire()) + repr(vars(desk.identification))
            for part in token.split("."):
                assert part not in shown
                assert part not in str([vars(record) for record in caplog.records])


# ----------------------------------------------------------------------------------------- life


def test_two_issuers_that_are_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="same issuer"):
        Identification(
            JudgedCertificates(),  # type: ignore[arg-type]
            issuers=[settings(tmp_path / "a"), settings(tmp_path / "b", name="other")],
            users={},
            directory=None,
        )


def test_users_of_two_issuers_are_never_one(tmp_path: Path) -> None:
    ours, theirs = Issuer(), Issuer()
    put(tmp_path / "ours", jwks(ours.jwk()))
    put(tmp_path / "theirs", jwks(theirs.jwk()))
    both = Identification(
        JudgedCertificates(),  # type: ignore[arg-type]
        issuers=[
            settings(tmp_path / "ours"),
            settings(tmp_path / "theirs", name="partner", issuer="https://partner.example"),
        ],
        users={"site": "required"},
        directory=None,
        clock=lambda: NOW,
    )

    def ask(token: str) -> str | tuple[Reason, ...]:
        found = both.identify(peer(), bearer(token), NOW)
        return found.reasons or (found.user.id if found.user else "")

    assert ask(ours.token()) == "clinic/4711"
    assert ask(theirs.token(iss="https://partner.example")) == "partner/4711"
    assert ask(theirs.token()) == (Reason.TOKEN_SIGNATURE,)
    assert ask(ours.token(iss="https://partner.example")) == (Reason.TOKEN_SIGNATURE,)


async def test_watch_reloads_and_close_closes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, directory=b"{}")
    watch = asyncio.create_task(desk.identification.watch(0.01))
    generation = desk.identification.generation
    put(desk.directory, b'{"users": {"clinic/4711": ["radiologist"]}}')
    put(desk.jwks, jwks(desk.issuer.jwk(), Issuer(kid="k2").jwk()))
    async with asyncio.timeout(10):
        while desk.identification.generation < generation + 2:
            await asyncio.sleep(0.01)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    await desk.identification.close()
    assert desk.certificates.closed
    assert desk.identification.keys_age(desk.clock.now) == {"clinic": 0.0}
    assert desk.identification.key_failures == {"clinic": 0}


async def test_watch_fails_when_a_part_of_it_fails(tmp_path: Path) -> None:
    desk = Desk(tmp_path, directory=b"{}")
    desk.certificates.watch_fails = True
    async with asyncio.timeout(10):
        with pytest.raises(ExceptionGroup) as failed:
            await desk.identification.watch(0.01)
    assert failed.group_contains(RuntimeError, match="certificates")
