from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.dev.pki import issue_certificate, make_authority, make_crl
from proxy.errors import ConfigurationError
from proxy.identify import Certificates
from proxy.model import Reason
from tests.identify.building import (
    ACTIONS,
    DAY,
    HOUR,
    NOW,
    Site,
    der,
    extension_twice,
    extensions_without_version,
    issue_with_key,
    judged,
    replaced,
    signature_spoiled,
    signed_with_sha1,
    version_one,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_good_certificate_is_a_device(site: Site) -> None:
    leaf = site.issue()
    principal = judged(site.certificates(), leaf)
    spki = site.authority.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert principal.reasons == ()
    assert principal.device == hashlib.sha256(spki + b"urn:dicomward:device:radiologist").hexdigest()
    assert principal.name == "urn:dicomward:device:radiologist"
    assert principal.subject == "CN=radiologist"
    assert principal.fingerprint == leaf.certificate.fingerprint(hashes.SHA256()).hex()
    assert principal.serial == f"{leaf.certificate.serial_number:x}"
    assert (principal.authority, principal.authority_actions) == ("site", ACTIONS)
    assert (principal.revocation.status, principal.revocation.as_of) == ("good", NOW - HOUR)
    assert principal.expires_at == principal.revocation.expires_at == NOW - HOUR + timedelta(days=7)


def test_no_certificate_is_refused(site: Site) -> None:
    principal = site.certificates().judge(None, NOW)
    assert (principal.reasons, principal.device) == ((Reason.CERTIFICATE_MISSING,), None)


@pytest.mark.parametrize("content", [b"", b"\0", b"-----BEGIN CERTIFICATE-----", b"\x30\x82\xff\xff" + bytes(40)])
def test_junk_is_refused(site: Site, content: bytes) -> None:
    principal = judged(site.certificates(), content)
    assert (principal.reasons, principal.device) == ((Reason.CERTIFICATE_PROFILE,), None)


@pytest.mark.parametrize("cut", range(1, 400, 37))
def test_certificate_cut_short_is_refused(site: Site, cut: int) -> None:
    assert judged(site.certificates(), der(site.issue())[:-cut]).reasons


# --------------------------------------------------------------------------- revocation and time


def test_revoked_certificate_is_refused_and_says_so(site: Site) -> None:
    leaf = site.issue()
    site.revoke(leaf, last_update=NOW - HOUR)
    principal = judged(site.certificates(), leaf)
    assert principal.reasons == (Reason.CERTIFICATE_REVOKED,)
    assert principal.revocation.status == "revoked"
    assert principal.device is not None
    assert judged(site.certificates(), site.issue("other")).reasons == ()


def test_expired_certificate_is_refused(site: Site) -> None:
    leaf = site.issue(not_before=NOW - DAY, not_after=NOW - HOUR)
    assert judged(site.certificates(), leaf).reasons == (Reason.CERTIFICATE_EXPIRED,)


def test_certificate_that_is_not_valid_yet_is_refused_until_it_is(site: Site) -> None:
    leaf = site.issue(not_before=NOW + HOUR)
    certificates = site.certificates()
    assert judged(certificates, leaf).reasons == (Reason.CERTIFICATE_NOT_YET_VALID,)
    assert judged(certificates, leaf, NOW + 2 * HOUR).reasons == ()


def test_stale_revocation_list_denies_everybody(site: Site) -> None:
    site.revoke(last_update=NOW - 2 * DAY, next_update=NOW - DAY)
    principal = judged(site.certificates(), site.issue())
    assert (principal.reasons, principal.revocation.status) == ((Reason.REVOCATION_STALE,), "unknown")


def test_revocation_list_from_the_future_denies_until_it_begins(site: Site) -> None:
    """A clock that is some seconds behind the authority's must not lock devices out for good."""
    site.revoke(last_update=NOW + timedelta(seconds=5))
    certificates, leaf = site.certificates(), site.issue()
    assert judged(certificates, leaf).reasons == (Reason.REVOCATION_STALE,)
    assert judged(certificates, leaf, NOW + timedelta(seconds=6)).reasons == ()


def test_empty_revocation_list_is_one(site: Site) -> None:
    """An empty list is a falsy object: taken for none it would end in an unchecked certificate, or in none at all."""
    content = make_crl(site.authority, [], last_update=NOW - HOUR)
    assert not x509.load_pem_x509_crl(content)
    site.write_crl(content)
    assert judged(site.certificates(), site.issue()).reasons == ()


def test_revocation_list_in_der_is_read(site: Site) -> None:
    leaf = site.issue()
    pem = make_crl(site.authority, [leaf.certificate.serial_number], last_update=NOW - HOUR)
    site.write_crl(x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER))
    assert judged(site.certificates(), leaf).reasons == (Reason.CERTIFICATE_REVOKED,)


def test_revocation_list_signed_by_another_key_counts_for_nothing(site: Site) -> None:
    impostor = make_authority("site", NOW)
    site.revoke(signer=impostor, last_update=NOW - HOUR)
    assert judged(site.certificates(), site.issue()).reasons == (Reason.REVOCATION_UNTRUSTED,)


def test_revocation_list_with_a_spoiled_signature_counts_for_nothing(site: Site) -> None:
    leaf = site.issue()
    crl = x509.load_pem_x509_crl(make_crl(site.authority, [], last_update=NOW - HOUR))
    spoiled = bytearray(crl.public_bytes(Encoding.DER))
    spoiled[-1] ^= 1
    site.write_crl(bytes(spoiled))
    principal = judged(site.certificates(), leaf)
    assert (principal.reasons, principal.revocation.status) == ((Reason.REVOCATION_UNTRUSTED,), "unknown")


def test_list_of_the_root_alone_does_not_speak_for_an_intermediate(site: Site) -> None:
    middle = site.below("middle")
    leaf = issue_certificate(middle, "radiologist", not_before=NOW - HOUR)
    whole = site.certificates()
    assert judged(whole, leaf).reasons == ()
    assert judged(whole, leaf).device == judged(whole, site.issue()).device  # the root's SPKI names both
    alone = Certificates([replace(site.files, crls=(str(site.crl),))], "uri")
    assert judged(alone, leaf).reasons == (Reason.REVOCATION_MISSING,)
    assert judged(alone, site.issue()).reasons == ()
    site.revoke(middle, last_update=NOW - HOUR)
    assert judged(site.certificates(), leaf).reasons == (Reason.CERTIFICATE_REVOKED,)


# -------------------------------------------------------------------------------------- the profile


@pytest.mark.parametrize(
    "settings",
    [
        {"is_ca": True},
        {"purposes": None},
        {"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"usages": ("key_encipherment",)},
        {"names": ()},
        {"names": (x509.DNSName("radiologist.example"),)},
        {"names": (x509.UniformResourceIdentifier("urn:a"), x509.UniformResourceIdentifier("urn:b"))},
        {"names": (x509.UniformResourceIdentifier(""),)},
        {"key": ec.generate_private_key(ec.SECP192R1())},
        {"key": ec.generate_private_key(ec.SECP256K1())},
    ],
    ids=[
        "leaf-is-a-ca",
        "no-purpose",
        "server-only",
        "any-purpose",
        "may-not-sign",
        "no-name",
        "name-of-another-kind",
        "two-names",
        "empty-name",
        "p-192",
        "secp256k1",
    ],
)
def test_leaf_out_of_profile_is_refused(site: Site, settings: dict[str, Any]) -> None:
    principal = judged(site.certificates(), site.issue(**settings))
    assert Reason.CERTIFICATE_PROFILE in principal.reasons


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), False),
        (lambda: rsa.generate_private_key(65537, 2048), True),
        (lambda: dsa.generate_private_key(2048), False),
        (lambda: ed25519.Ed25519PrivateKey.generate(), True),
        (lambda: ed448.Ed448PrivateKey.generate(), False),
        (lambda: ec.generate_private_key(ec.SECP384R1()), True),
    ],
    ids=["rsa-1024", "rsa-2048", "dsa", "ed25519", "ed448", "p-384"],
)
def test_key_of_a_leaf(site: Site, key: Callable[[], Any], fits: bool) -> None:
    leaf = issue_with_key(site.authority, key())
    assert (Reason.CERTIFICATE_PROFILE in judged(site.certificates(), leaf).reasons) is not fits


def test_signature_over_sha1_is_refused(site: Site) -> None:
    leaf = signed_with_sha1(site.issue(), site.authority)
    assert Reason.CERTIFICATE_PROFILE in judged(site.certificates(), leaf).reasons


@pytest.mark.parametrize("make", [version_one, extensions_without_version, extension_twice])
def test_certificate_that_no_library_builds_is_refused(site: Site, make: Callable[..., bytes]) -> None:
    principal = judged(site.certificates(), make(site.issue(), site.authority))
    assert Reason.CERTIFICATE_PROFILE in principal.reasons


def test_certificate_of_an_unknown_key_algorithm_is_refused(site: Site) -> None:
    curve = bytes.fromhex("06082a8648ce3d030107")  # P-256 becomes a curve that nobody knows
    leaf = replaced(site.issue(), curve, bytes.fromhex("06082a8648ce3d030163"), site.authority)
    principal = judged(site.certificates(), leaf)
    assert Reason.CERTIFICATE_PROFILE in principal.reasons


def test_device_name_may_be_configured_to_be_a_dns_name(site: Site) -> None:
    leaf = site.issue(names=(x509.DNSName("one.example"), x509.UniformResourceIdentifier("urn:a")))
    principal = judged(site.certificates(device_san="dns"), leaf)
    assert (principal.reasons, principal.name) == ((), "one.example")


# ----------------------------------------------------------------------------------- the authority


def test_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    principal = judged(site.certificates(), Site(tmp_path, "other").issue())
    assert principal.reasons == (Reason.CERTIFICATE_UNTRUSTED,)
    assert (principal.device, principal.authority, principal.authority_actions) == (None, "", ())


def test_certificate_that_signs_itself_is_refused(site: Site) -> None:
    leaf = issue_certificate(None, "radiologist", not_before=NOW - HOUR)
    assert judged(site.certificates(), leaf).reasons == (Reason.CERTIFICATE_UNTRUSTED,)


def test_certificate_issued_by_a_leaf_is_refused(site: Site) -> None:
    leaf = issue_certificate(site.issue(), "radiologist", not_before=NOW - HOUR)
    principal = judged(site.certificates(), leaf)
    assert principal.reasons == (Reason.CERTIFICATE_UNTRUSTED,)
    assert principal.device is None


def test_forged_signature_is_of_no_authority(site: Site) -> None:
    principal = judged(site.certificates(), signature_spoiled(site.issue()))
    assert principal.reasons == (Reason.CERTIFICATE_UNTRUSTED,)
    assert (principal.device, principal.authority) == (None, "")


def test_equal_names_under_two_authorities_are_two_devices(site: Site, tmp_path: Path) -> None:
    partner = Site(tmp_path, "partner")
    certificates = site.certificates(partner)
    ours, theirs = judged(certificates, site.issue()), judged(certificates, partner.issue())
    assert ours.name == theirs.name
    assert (ours.authority, theirs.authority) == ("site", "partner")
    assert (ours.reasons, theirs.reasons) == ((), ())
    assert ours.device != theirs.device


def test_authority_of_the_same_name_but_another_key_does_not_answer_for_the_first(tmp_path: Path) -> None:
    ours, theirs = Site(tmp_path / "a", "ours"), Site(tmp_path / "b", "theirs")
    twin = Site(tmp_path / "c", "twin", authority=make_authority("ours", NOW))
    certificates = twin.certificates(ours, theirs)
    assert judged(certificates, ours.issue()).authority == "ours"
    assert judged(certificates, twin.issue()).authority == "twin"
    # Without an authority key identifier only the signature tells the two apart.
    bare = issue_with_key(ours.authority, ec.generate_private_key(ec.SECP256R1()))
    assert (judged(certificates, bare).authority, judged(certificates, bare).reasons) == ("ours", ())


def test_renewed_certificate_is_the_same_device(site: Site) -> None:
    certificates = site.certificates()
    first, second = site.issue(), site.issue(not_before=NOW - timedelta(minutes=1))
    assert first.certificate.public_key() != second.certificate.public_key()
    assert judged(certificates, first).device == judged(certificates, second).device
    assert judged(certificates, first).fingerprint != judged(certificates, second).fingerprint


# ----------------------------------------------------------------------------- memory and reloading


def test_judgement_does_not_outlive_the_certificate(site: Site) -> None:
    certificates, leaf = site.certificates(), site.issue(not_after=NOW + HOUR)
    assert judged(certificates, leaf).reasons == ()
    assert judged(certificates, leaf, NOW + HOUR - timedelta(seconds=1)).reasons == ()
    assert judged(certificates, leaf, NOW + HOUR + timedelta(seconds=1)).reasons == (Reason.CERTIFICATE_EXPIRED,)


def test_judgement_does_not_outlive_the_revocation_list(site: Site) -> None:
    site.revoke(last_update=NOW - HOUR, next_update=NOW + HOUR)
    certificates, leaf = site.certificates(), site.issue()
    assert judged(certificates, leaf).reasons == ()
    assert judged(certificates, leaf, NOW + HOUR + timedelta(seconds=1)).reasons == (Reason.REVOCATION_STALE,)


def test_judgement_does_not_outlive_the_authority(tmp_path: Path) -> None:
    ends = NOW + HOUR
    authority = issue_certificate(
        None,
        "site",
        not_before=NOW - DAY,
        not_after=ends,
        is_ca=True,
        purposes=None,
        names=(),
        usages=("crl_sign", "key_cert_sign"),
    )
    site = Site(tmp_path, authority=authority)
    certificates, leaf = site.certificates(), site.issue()
    assert judged(certificates, leaf).expires_at == ends
    assert judged(certificates, leaf, ends + HOUR).reasons == (Reason.CERTIFICATE_EXPIRED,)


def test_each_judgement_is_of_its_own_time(site: Site) -> None:
    """A store of OpenSSL keeps the first time that it is given."""
    certificates = site.certificates()
    short = site.issue(not_after=NOW + HOUR)
    assert judged(certificates, site.issue("other"), NOW).reasons == ()
    assert judged(certificates, short, NOW + 2 * HOUR).reasons == (Reason.CERTIFICATE_EXPIRED,)
    assert judged(certificates, site.issue("third"), NOW + 30 * DAY).reasons == (Reason.REVOCATION_STALE,)
    assert judged(certificates, site.issue("fourth"), NOW).reasons == ()


def test_good_judgement_is_remembered(site: Site) -> None:
    certificates, leaf = site.certificates(), site.issue()
    assert judged(certificates, leaf) is judged(certificates, leaf, NOW + HOUR)


def test_reload_takes_up_a_new_list_and_counts_up(site: Site) -> None:
    certificates, leaf = site.certificates(), site.issue()
    before = judged(certificates, leaf)
    assert certificates.reload() is False
    site.revoke(leaf, last_update=NOW - timedelta(minutes=1))
    assert certificates.reload() is True
    after = judged(certificates, leaf)
    assert after.reasons == (Reason.CERTIFICATE_REVOKED,)
    assert (before.generation, after.generation, certificates.generation) == (0, 1, 1)
    assert certificates.revocation_expires == {"site": NOW - timedelta(minutes=1) + timedelta(days=7)}


@pytest.mark.parametrize(
    "spoil",
    [lambda site: site.write(b"junk"), lambda site: site.files.certificate.unlink()],
    ids=["junk", "gone"],
)
def test_authority_that_cannot_be_read_any_more_stays_in_force(site: Site, spoil: Callable[[Site], None]) -> None:
    leaf, revoked = site.issue(), site.issue("revoked")
    site.revoke(revoked, last_update=NOW - HOUR)
    certificates = site.certificates()
    assert not certificates.reload_failed
    spoil(site)
    assert certificates.reload() is False
    assert certificates.reload_failed
    assert certificates.generation == 0
    assert judged(certificates, leaf).reasons == ()
    assert judged(certificates, revoked).reasons == (Reason.CERTIFICATE_REVOKED,)
    site.write(site.authority.certificate_pem())
    certificates.reload()
    assert not certificates.reload_failed


def test_start_without_an_authority_is_refused_and_names_it(site: Site) -> None:
    site.files.certificate.unlink()
    with pytest.raises(ConfigurationError, match=r"identify\.authorities: site"):
        site.certificates()


def test_anchor_and_intermediates_in_one_file_are_refused_with_what_to_do(site: Site) -> None:
    middle = make_authority("middle", NOW, parent=site.authority)
    site.write(site.authority.certificate_pem() + middle.certificate_pem())
    with pytest.raises(ConfigurationError, match="intermediates"):
        site.certificates()


def test_anchor_that_another_signed_is_refused_with_what_to_do(site: Site) -> None:
    site.write(make_authority("middle", NOW, parent=site.authority).certificate_pem())
    with pytest.raises(ConfigurationError, match="not self-signed: name the root"):
        site.certificates()


@pytest.mark.parametrize(
    "spoil", [b"junk", None, "leaf", "no-cert-sign"], ids=["junk", "gone", "no-authority", "may-not-sign"]
)
def test_intermediate_that_cannot_be_one_is_refused_at_start(site: Site, spoil: bytes | str | None) -> None:
    site.below("middle")
    path = site.files.intermediates[0]
    path.unlink()
    if spoil == "leaf":
        path.write_bytes(site.issue().certificate_pem())
    elif spoil == "no-cert-sign":
        path.write_bytes(site.issue(is_ca=True, purposes=None, usages=("crl_sign",)).certificate_pem())
    elif isinstance(spoil, bytes):
        path.write_bytes(spoil)
    with pytest.raises(ConfigurationError, match=r"identify\.authorities: site"):
        site.certificates()


# ------------------------------------------------------------------------------ clocks and spellings


@pytest.mark.parametrize("reason", [Reason.CERTIFICATE_EXPIRED, Reason.REVOCATION_STALE])
def test_denial_of_a_clock_that_was_ahead_ends_when_it_is_set_back(site: Site, reason: Reason) -> None:
    ends = NOW + HOUR if reason is Reason.CERTIFICATE_EXPIRED else NOW + 30 * DAY
    certificates, leaf = site.certificates(), site.issue(not_after=ends)
    ahead = judged(certificates, leaf, NOW + (DAY if reason is Reason.CERTIFICATE_EXPIRED else 20 * DAY))
    assert ahead.reasons == (reason,)
    back = judged(certificates, leaf, NOW)
    assert back.reasons == ()
    assert judged(certificates, leaf, NOW) is back


def test_dns_name_is_one_device_however_it_is_spelt(site: Site) -> None:
    site.files = replace(site.files, names=(".Example",))
    certificates = site.certificates(device_san="dns")
    spelt = [judged(certificates, site.issue(names=(x509.DNSName(name),))) for name in ("One.EXAMPLE", "one.example")]
    assert [(each.reasons, each.name) for each in spelt] == [((), "one.example")] * 2
    assert {each.device for each in spelt} == {certificates.device_id("site", "ONE.example")}


def test_uris_that_are_spelt_otherwise_are_other_devices(site: Site) -> None:
    certificates = site.certificates()
    names = ("urn:PC:one", "urn:pc:one")
    spelt = [judged(certificates, site.issue(names=(x509.UniformResourceIdentifier(name),))) for name in names]
    assert [each.name for each in spelt] == list(names)
    assert [each.device for each in spelt] == [certificates.device_id("site", name) for name in names]
    assert spelt[0].device != spelt[1].device
