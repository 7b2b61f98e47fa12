"""What is wrong with a revocation list has a reason of its own, and nobody passes by it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pki import Issued, issue_certificate, make_authority
from proxy.identify import Certificates
from proxy.identify.authorities import load_certificates
from proxy.identify.profile import PROFILES
from proxy.identify.revocation import Failure, RevocationList, examine, read
from proxy.model import Reason
from tests.identify.building import (
    DAY,
    HOUR,
    NOW,
    Site,
    judged,
    list_of,
    list_of_many,
    list_signed_with_sha1,
    list_with,
    list_with_spoiled_signature,
    list_without_end,
)

SECOND = timedelta(seconds=1)
EPOCH = datetime.fromtimestamp(0, UTC)
OTHER = make_authority("other", NOW)
IMPOSTOR = make_authority("site", NOW)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def part(**settings: object) -> x509.IssuingDistributionPoint:
    usual: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**usual, **settings})  # type: ignore[arg-type]


SOME_REASONS = part(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")

WRONG: dict[str, tuple[Callable[[Issued], bytes | None], Reason]] = {
    "gone": (lambda ca: None, Reason.REVOCATION_UNREADABLE),
    "empty": (lambda ca: b"", Reason.REVOCATION_UNREADABLE),
    "junk": (lambda ca: b"junk", Reason.REVOCATION_UNREADABLE),
    "der-junk": (lambda ca: b"\x30\x82\xff\xff" + bytes(40), Reason.REVOCATION_UNREADABLE),
    "cut-short": (lambda ca: list_of(ca)[:-60], Reason.REVOCATION_UNREADABLE),
    "a-certificate": (lambda ca: ca.certificate_pem(), Reason.REVOCATION_UNREADABLE),
    "two-in-one": (lambda ca: list_of(ca) + list_of(ca), Reason.REVOCATION_UNREADABLE),
    "no-end": (list_without_end, Reason.REVOCATION_UNREADABLE),
    "delta": (lambda ca: list_with(ca, (x509.DeltaCRLIndicator(1), True)), Reason.REVOCATION_UNREADABLE),
    "indirect": (lambda ca: list_with(ca, (part(indirect_crl=True), True)), Reason.REVOCATION_UNREADABLE),
    "some-reasons": (lambda ca: list_with(ca, (SOME_REASONS, True)), Reason.REVOCATION_UNREADABLE),
    "attributes": (
        lambda ca: list_with(ca, (part(only_contains_attribute_certs=True), True)),
        Reason.REVOCATION_UNREADABLE,
    ),
    "authorities-only": (
        lambda ca: list_with(ca, (part(only_contains_ca_certs=True), True)),
        Reason.REVOCATION_UNREADABLE,
    ),
    "strange-extension": (lambda ca: list_with(ca, (STRANGE, True)), Reason.REVOCATION_UNREADABLE),
    "impostor": (lambda ca: list_of(IMPOSTOR), Reason.REVOCATION_UNTRUSTED),
    "stranger": (lambda ca: list_of(OTHER), Reason.REVOCATION_UNTRUSTED),
    "spoiled": (list_with_spoiled_signature, Reason.REVOCATION_UNTRUSTED),
    "sha-1": (list_signed_with_sha1, Reason.REVOCATION_UNTRUSTED),
    "ended": (lambda ca: list_of(ca, last_update=NOW - 8 * DAY), Reason.REVOCATION_STALE),
    "not-begun": (lambda ca: list_of(ca, last_update=NOW + SECOND), Reason.REVOCATION_STALE),
}


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
        return
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)


@pytest.mark.parametrize("wrong", WRONG)
def test_list_that_is_wrong_denies_with_its_own_reason_and_does_not_stop_the_start(site: Site, wrong: str) -> None:
    make, reason = WRONG[wrong]
    put(site.crl, make(site.authority))
    certificates = site.certificates()
    principal = judged(certificates, site.issue())
    assert principal.reasons == (reason,)
    assert principal.revocation.status == "unknown"
    if reason is not Reason.REVOCATION_STALE and wrong != "authorities-only":
        assert certificates.revocation_expires == {"site": EPOCH}
    site.revoke(last_update=NOW - SECOND)
    if wrong != "not-begun":
        assert certificates.reload()
        assert judged(certificates, site.issue()).reasons == ()


@pytest.mark.parametrize("wrong", WRONG)
def test_list_about_an_intermediate_that_is_wrong_leaves_the_chain_incomplete(site: Site, wrong: str) -> None:
    middle = site.below()
    leaf = issue_certificate(middle, "radiologist", not_before=NOW - HOUR)
    assert judged(site.certificates(), leaf).reasons == ()
    if wrong == "authorities-only":
        return  # that one does speak about an intermediate
    put(site.crl, WRONG[wrong][0](site.authority))
    assert judged(site.certificates(), leaf).reasons == (Reason.REVOCATION_INCOMPLETE,)


@pytest.mark.parametrize("wrong", [name for name in WRONG if name != "not-begun"])
def test_file_that_becomes_wrong_gets_one_more_look_and_then_denies(site: Site, wrong: str) -> None:
    make, reason = WRONG[wrong]
    certificates, leaf = site.certificates(), site.issue()
    before = judged(certificates, leaf)
    put(site.crl, make(site.authority))
    assert certificates.reload() is False
    assert judged(certificates, leaf) is before
    certificates.reload()
    if wrong in ("ended", "authorities-only"):
        # It is of the right key, and older than the one in force or without a number: it takes no place.
        assert judged(certificates, leaf).reasons == ()
        return
    after = judged(certificates, leaf)
    assert after.reasons == (reason,)
    assert after.generation == certificates.generation == before.generation + 1
    site.revoke(last_update=NOW)
    assert certificates.reload()
    assert judged(certificates, leaf).reasons == ()


def test_copy_under_way_denies_nobody(site: Site) -> None:
    certificates, leaf = site.certificates(), site.issue()
    whole = list_of(site.authority, leaf, last_update=NOW - SECOND)
    site.crl.write_bytes(whole[:100])
    assert certificates.reload() is False
    assert judged(certificates, leaf).reasons == ()
    site.crl.write_bytes(whole)
    assert certificates.reload() is True
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)


def test_no_list_for_the_issuer_of_a_leaf(site: Site) -> None:
    middle = site.below()
    leaf = issue_certificate(middle, "radiologist", not_before=NOW - HOUR)
    site.files = replace(site.files, crls=site.files.crls[:1])
    certificates = site.certificates()
    assert judged(certificates, leaf).reasons == (Reason.REVOCATION_MISSING,)
    assert judged(certificates, site.issue()).reasons == ()
    assert certificates.revocation_expires == {"site": EPOCH}


def test_no_list_about_an_intermediate(site: Site) -> None:
    middle = site.below()
    leaf = issue_certificate(middle, "radiologist", not_before=NOW - HOUR)
    site.files = replace(site.files, crls=site.files.crls[1:])
    assert judged(site.certificates(), leaf).reasons == (Reason.REVOCATION_INCOMPLETE,)


def test_revoked_intermediate_takes_all_below_it_along(site: Site) -> None:
    middle = site.below()
    leaf = issue_certificate(middle, "radiologist", not_before=NOW - HOUR)
    site.revoke(middle, last_update=NOW - SECOND)
    principal = judged(site.certificates(), leaf)
    assert (principal.reasons, principal.revocation.status) == ((Reason.CERTIFICATE_REVOKED,), "revoked")
    assert judged(site.certificates(), site.issue()).reasons == ()


def test_lists_of_two_authorities_do_not_speak_for_each_other(site: Site, tmp_path: Path) -> None:
    partner = Site(tmp_path, "partner")
    put(partner.crl, b"junk")
    certificates = site.certificates(partner)
    assert judged(certificates, site.issue()).reasons == ()
    principal = judged(certificates, partner.issue())
    assert (principal.reasons, principal.authority) == ((Reason.REVOCATION_UNREADABLE,), "partner")


def test_authority_of_the_same_name_without_a_list_does_not_answer_for_the_other(tmp_path: Path) -> None:
    """OpenSSL looks at lists before it looks who signed: the twin would be asked, and have none."""
    twin, ours = Site(tmp_path / "a", "twin", authority=IMPOSTOR), Site(tmp_path / "b")
    put(twin.crl, None)
    certificates = twin.certificates(ours)
    principal = judged(certificates, ours.issue())
    assert (principal.authority, principal.reasons) == ("site", ())


def test_authority_that_may_not_sign_lists_has_none(tmp_path: Path) -> None:
    authority = issue_certificate(
        None, "site", not_before=NOW - HOUR, is_ca=True, purposes=None, names=(), usages=("key_cert_sign",)
    )
    site = Site(tmp_path, authority=authority)
    assert judged(site.certificates(), site.issue()).reasons == (Reason.REVOCATION_UNTRUSTED,)


# --------------------------------------------------------------------------------------------- older lists


def test_restored_backup_does_not_give_back_what_was_revoked(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    leaf = site.issue()
    backup = site.crl.read_bytes()
    certificates = site.certificates()
    site.revoke(leaf, last_update=NOW - SECOND)
    assert certificates.reload()
    put(site.crl, backup)
    assert certificates.reload() is False
    assert "a newer revocation list stays in force" in caplog.text
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)
    assert judged(certificates, site.issue()).reasons == ()


def test_backup_restored_after_the_file_was_gone_does_not_either(site: Site) -> None:
    leaf = site.issue()
    backup = site.crl.read_bytes()
    certificates = site.certificates()
    site.revoke(leaf, last_update=NOW - SECOND)
    certificates.reload()
    site.crl.unlink()
    certificates.reload()
    certificates.reload()
    assert judged(certificates, leaf).reasons == (Reason.REVOCATION_UNREADABLE,)
    put(site.crl, backup)
    assert certificates.reload()
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)


def test_number_breaks_the_tie_of_two_lists_of_one_moment(site: Site) -> None:
    leaf = site.issue()
    serial = leaf.certificate.serial_number
    put(site.crl, list_with(site.authority, (x509.CRLNumber(8), False), serials=[serial]))
    certificates = site.certificates()
    put(site.crl, list_with(site.authority, (x509.CRLNumber(7), False)))
    certificates.reload()
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)
    put(site.crl, list_with(site.authority, (x509.CRLNumber(9), False)))
    certificates.reload()
    assert judged(certificates, leaf).reasons == ()


def test_of_two_equally_new_lists_the_longer_counts(site: Site) -> None:
    leaf = site.issue()
    put(site.crl, list_with(site.authority))
    certificates = site.certificates()
    put(site.crl, list_with(site.authority, serials=[leaf.certificate.serial_number]))
    assert certificates.reload()
    put(site.crl, list_with(site.authority))
    assert certificates.reload() is False
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)


@pytest.mark.parametrize("swapped", [False, True])
def test_newest_of_several_sources_counts(site: Site, tmp_path: Path, swapped: bool) -> None:
    leaf = site.issue()
    (tmp_path / "second.crl").write_bytes(list_of(site.authority, leaf, last_update=NOW - SECOND))
    crls = (*site.files.crls, str(tmp_path / "second.crl"))
    site.files = replace(site.files, crls=tuple(reversed(crls)) if swapped else crls)
    certificates = site.certificates()
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)
    # One of them that breaks leaves the other to speak.
    put(tmp_path / "second.crl", b"junk")
    certificates.reload()
    certificates.reload()
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)
    assert judged(certificates, site.issue()).reasons == ()


# ----------------------------------------------------------------------------------------------- grace


def grace(site: Site, seconds: float = 7200) -> Certificates:
    site.files = replace(site.files, crl_grace_s=seconds)
    return site.certificates(clock=lambda: NOW + HOUR)


def test_within_grace_a_certificate_is_taken_and_it_shows(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.revoke(last_update=NOW - DAY, next_update=NOW)
    certificates, leaf = grace(site), site.issue()
    good = judged(certificates, leaf, NOW)
    assert (good.revocation.status, good.reasons, good.expires_at) == ("good", (), NOW)
    with caplog.at_level(logging.WARNING):
        late = judged(certificates, leaf, NOW + SECOND)
        judged(certificates, site.issue("other"), NOW + SECOND)
    assert (late.revocation.status, late.reasons) == ("grace", ())
    assert late.expires_at == late.revocation.expires_at == NOW + 2 * HOUR
    assert [each.message for each in caplog.records] == [
        "a revocation list has ended, its certificates are still taken"
    ]
    assert certificates.revocation_grace == {"site": True}
    assert certificates.revocation_expires == {"site": NOW}
    over = judged(certificates, leaf, NOW + 2 * HOUR + SECOND)
    assert (over.revocation.status, over.reasons) == ("unknown", (Reason.REVOCATION_STALE,))


def test_within_grace_what_the_list_names_stays_revoked(site: Site) -> None:
    leaf = site.issue()
    site.revoke(leaf, last_update=NOW - DAY, next_update=NOW)
    assert judged(grace(site), leaf, NOW + SECOND).reasons == (Reason.CERTIFICATE_REVOKED,)


def test_grace_holds_for_lists_about_intermediates_and_ends_for_them(site: Site) -> None:
    middle = site.below()
    leaf = issue_certificate(middle, "radiologist", not_before=NOW - HOUR)
    site.revoke(last_update=NOW - DAY, next_update=NOW)
    certificates = grace(site)
    assert judged(certificates, leaf, NOW + SECOND).revocation.status == "grace"
    assert judged(certificates, leaf, NOW + 3 * HOUR).reasons == (Reason.REVOCATION_INCOMPLETE,)


def test_new_list_ends_grace(site: Site) -> None:
    site.revoke(last_update=NOW - DAY, next_update=NOW)
    certificates, leaf = grace(site), site.issue()
    assert judged(certificates, leaf, NOW + SECOND).revocation.status == "grace"
    site.revoke(last_update=NOW)
    certificates.reload()
    assert judged(certificates, leaf, NOW + SECOND).revocation.status == "good"
    assert certificates.revocation_grace == {"site": False}


def test_without_grace_there_is_none(site: Site) -> None:
    site.revoke(last_update=NOW - DAY, next_update=NOW)
    certificates = site.certificates(clock=lambda: NOW + SECOND)
    assert certificates.revocation_grace == {"site": False}
    assert judged(certificates, site.issue(), NOW + SECOND).reasons == (Reason.REVOCATION_STALE,)


# -------------------------------------------------------------------------------------------- the rest


def test_new_key_of_the_authority_wants_a_list_by_that_key(site: Site) -> None:
    certificates = site.certificates()
    renewed = make_authority("site", NOW)
    site.authority = renewed
    site.write(renewed.certificate_pem())
    assert certificates.reload()
    assert judged(certificates, site.issue()).reasons == (Reason.REVOCATION_UNTRUSTED,)
    site.revoke(last_update=NOW - SECOND)
    assert certificates.reload()
    assert judged(certificates, site.issue()).reasons == ()


def test_intermediate_that_is_replaced_is_taken_up(site: Site) -> None:
    middle = site.below()
    certificates = site.certificates()
    renewed = make_authority("middle", NOW, parent=site.authority, key=middle.key)
    put(site.files.intermediates[0], renewed.certificate_pem())
    site.revoke(middle, last_update=NOW - SECOND)
    assert certificates.reload()
    leaf = issue_certificate(renewed, "radiologist", not_before=NOW - HOUR)
    assert judged(certificates, leaf).reasons == ()


def test_folder_in_the_place_of_a_list_is_unreadable(site: Site) -> None:
    site.crl.unlink()
    site.crl.mkdir()
    certificates = site.certificates()
    assert judged(certificates, site.issue()).reasons == (Reason.REVOCATION_UNREADABLE,)
    site.crl.rmdir()
    site.revoke(last_update=NOW - SECOND)
    assert certificates.reload()
    assert judged(certificates, site.issue()).reasons == ()


def test_list_of_a_hundred_thousand_is_judged(site: Site) -> None:
    leaf = site.issue()
    serials = [*range(10**6, 10**6 + 100_000), leaf.certificate.serial_number]
    site.write_crl(list_of_many(site.authority, serials))
    certificates = site.certificates()
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)
    assert judged(certificates, site.issue("other")).reasons == ()
    assert judged(certificates, site.issue("third", serial=10**6 + 99_999)).reasons == (Reason.CERTIFICATE_REVOKED,)


@given(st.binary(max_size=300))
def test_no_content_is_a_list_by_accident(content: bytes) -> None:
    judgement = read(content)
    assert isinstance(judgement, Failure)
    assert judgement.reason is Reason.REVOCATION_UNREADABLE


@pytest.fixture(scope="module")
def unchanging(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("unchanging"))


@given(st.data())
def test_list_with_a_changed_byte_is_never_taken(unchanging: Site, data: st.DataObject) -> None:
    cas = load_certificates(unchanging.files)
    changed = bytearray(x509.load_pem_x509_crl(unchanging.crl.read_bytes()).public_bytes(Encoding.DER))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    crl = read(bytes(changed))
    judgement = crl if isinstance(crl, Failure) else examine(crl, cas, PROFILES["compatible"])
    assert not isinstance(judgement, RevocationList)


# --------------------------------------------------------------------------------------- lists that begin later


def test_file_that_begins_later_waits_while_the_list_in_force_is_good(site: Site) -> None:
    leaf, now = site.issue(), [NOW]
    certificates = site.certificates(clock=lambda: now[0])
    site.revoke(leaf, last_update=NOW + HOUR)
    assert certificates.reload() is False
    assert judged(certificates, leaf).reasons == ()
    now[0] = NOW + HOUR
    assert certificates.reload() is True
    assert judged(certificates, leaf, now[0]).reasons == (Reason.CERTIFICATE_REVOKED,)


def test_file_that_begins_later_waits_for_no_list_that_has_ended(site: Site) -> None:
    leaf = site.issue()
    site.revoke(last_update=NOW - DAY, next_update=NOW - HOUR)
    certificates = site.certificates()
    site.revoke(leaf, last_update=NOW + HOUR)
    assert certificates.reload() is True
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_REVOKED,)
    assert judged(certificates, site.issue("other")).reasons == (Reason.REVOCATION_STALE,)
