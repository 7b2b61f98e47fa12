from __future__ import annotations

import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.dev.pki import IDENTITIES, DevPki, Issued, issue_certificate, make_authority, make_crl

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def pki(tmp_path: Path) -> DevPki:
    made = DevPki(tmp_path)
    made.prepare(NOW)
    return made


def revoked_serials(pki: DevPki) -> set[int]:
    crl = x509.load_pem_x509_crl((pki.directory / "ca.crl").read_bytes())
    return {entry.serial_number for entry in crl}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_is_issued_by_the_authority_as_a_client_device(pki: DevPki, name: str) -> None:
    certificate = pki.issued(name).certificate
    certificate.verify_directly_issued_by(pki.authority.certificate)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:dicomward:device:{name}"]
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert certificate.not_valid_before_utc <= NOW < certificate.not_valid_after_utc


def test_server_certificate_names_localhost_and_its_address(pki: DevPki) -> None:
    extensions = pki.issued("server").certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_stranger_comes_from_another_authority(pki: DevPki) -> None:
    with pytest.raises(ValueError, match="Issuer"):
        pki.issued("stranger").certificate.verify_directly_issued_by(pki.authority.certificate)


def test_only_the_revoked_identity_is_on_the_crl(pki: DevPki) -> None:
    crl = x509.load_pem_x509_crl((pki.directory / "ca.crl").read_bytes())
    assert revoked_serials(pki) == {pki.issued("revoked").certificate.serial_number}
    assert crl.is_signature_valid(pki.authority.certificate.public_key())  # type: ignore[arg-type]
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - NOW > timedelta(days=6)


def test_revoking_adds_to_the_crl_and_a_later_run_keeps_it(pki: DevPki) -> None:
    pki.revoke(["radiologist"], now=NOW)
    pki.prepare(NOW + timedelta(days=1))
    assert pki.issued("radiologist").certificate.serial_number in revoked_serials(pki)
    assert pki.issued("revoked").certificate.serial_number in revoked_serials(pki)


def test_certificates_are_kept_over_runs_and_renewed_near_their_end(pki: DevPki) -> None:
    first = pki.issued("radiologist").certificate
    device = pki.device_id("radiologist")
    pki.prepare(NOW + timedelta(days=30))
    assert pki.issued("radiologist").certificate == first
    pki.prepare(NOW + timedelta(days=80))
    assert pki.issued("radiologist").certificate != first
    assert pki.device_id("radiologist") == device


def test_device_id_binds_name_to_authority(pki: DevPki) -> None:
    spki = pki.authority.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert pki.device_id("stale") == hashlib.sha256(spki + b"urn:dicomward:device:stale").hexdigest()


def test_keys_are_for_their_owner_only(pki: DevPki) -> None:
    secrets = [*pki.directory.glob("*.key"), *pki.directory.glob("*.pem")]
    assert len(secrets) == 2 * (len(IDENTITIES) + 5)
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_written_pair_can_be_read_back(tmp_path: Path) -> None:
    authority = make_authority("toy", NOW)
    authority.write(tmp_path, "toy")
    assert Issued.read(tmp_path, "toy").certificate == authority.certificate


def test_odd_certificates_can_be_made_for_tests_of_refusal() -> None:
    authority = make_authority("toy", NOW)
    odd = issue_certificate(
        authority, "odd", not_before=NOW, not_after=NOW, is_ca=None, purposes=None, usages=None, names=(), serial=7
    ).certificate
    present = {type(extension.value) for extension in odd.extensions}
    assert present == {x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier}
    assert odd.serial_number == 7
    expired = x509.load_pem_x509_crl(make_crl(authority, [7], last_update=NOW, next_update=NOW + timedelta(hours=1)))
    assert expired.get_revoked_certificate_by_serial_number(7) is not None


def test_authority_below_another_has_its_bounds(pki: DevPki) -> None:
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("clinic.example")], excluded_subtrees=None)
    middle = make_authority(
        "middle", NOW, parent=pki.authority, path_length=0, constraints=constraints, algorithm=hashes.SHA384()
    ).certificate
    middle.verify_directly_issued_by(pki.authority.certificate)
    basic = middle.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.value.ca, basic.value.path_length, basic.critical) == (True, 0, True)
    stated = middle.extensions.get_extension_for_class(x509.NameConstraints)
    assert (stated.value, stated.critical) == (constraints, True)
    assert isinstance(middle.signature_hash_algorithm, hashes.SHA384)
