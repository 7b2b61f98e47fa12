"""The client before a site on loopback: what it sends, whom it believes, what it makes of answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from deploy.dev.pki import issue_client, make_authority
from proxy.agent import Identity, ReportClient, ReportRefusedError, SiteUnreachableError, load_identity
from proxy.errors import ConfigurationError
from tests.agent.site import AUTHORITY, KEYS, Device, FakeSite, fake_site, make_device, refusal

VALUES: dict[str, bool | int | str] = {"disk_encryption": True, "patch_age_days": 3}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    with fake_site(tmp_path) as running:
        yield running


def identity(folder: Path, device: Device | None = None, authority: Path | None = None) -> Identity:
    certificate, key = (device or make_device()).write(folder)
    return load_identity(certificate=certificate, key=key, authority=authority or folder / "ca.crt")


@pytest.mark.parametrize("algorithm", KEYS)
def test_report_for_the_nonce_goes_out_signed_over_one_connection(
    site: FakeSite, tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    device = make_device(algorithm)
    accepted = ReportClient(site.url, identity(tmp_path, device)).report(VALUES, site="north")
    assert (accepted.site, accepted.attributes, accepted.expires_at) == ("north", 2, "2026-11-22T12:15:00.000Z")
    (get, nonce_path, _, _), (post, report_path, headers, body) = site.asked
    assert (get, nonce_path) == ("GET", "/.dicomward/v1/posture/nonce")
    assert (post, report_path) == ("POST", "/.dicomward/v1/posture")
    assert headers["content-type"] == "application/jose"
    public: Any = device.certificate.public_key()
    said = jwt.decode(body, public, algorithms=[algorithm], audience="north")
    assert (said["nonce"], said["posture"]) == ("n-1", VALUES)
    assert site.connections == 1


def test_name_of_the_site_is_its_own_word_where_none_is_demanded(site: FakeSite, tmp_path: Path) -> None:
    assert ReportClient(site.url, identity(tmp_path)).report(VALUES).site == "north"


def test_other_site_gets_no_report(site: FakeSite, tmp_path: Path) -> None:
    with pytest.raises(SiteUnreachableError, match="'north' and not 'south'"):
        ReportClient(site.url, identity(tmp_path)).report(VALUES, site="south")
    assert [method for method, *_ in site.asked] == ["GET"]


def test_refusal_is_told_with_what_to_do(site: FakeSite, tmp_path: Path) -> None:
    site.answer = refusal(
        403,
        {"code": "report-nonce", "title": "It answers no question", "remedy": "Again.", "link": "https://help.example"},
        {"code": "other\x1b[2J", "title": "Second", "remedy": "Two."},
    )
    with pytest.raises(ReportRefusedError) as refused:
        ReportClient(site.url, identity(tmp_path)).report(VALUES)
    assert refused.value.status == 403
    assert refused.value.detail == (
        "report-nonce: It answers no question. Again. See https://help.example / other[2J: Second. Two."
    )


def test_refusal_of_the_nonce_sends_nothing_more(site: FakeSite, tmp_path: Path) -> None:
    site.nonce = refusal(403, {"code": "certificate-revoked", "title": "Revoked", "remedy": "Ask your site."})
    with pytest.raises(ReportRefusedError, match="certificate-revoked"):
        ReportClient(site.url, identity(tmp_path)).report(VALUES)
    assert len(site.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"reasons": 7}', b'{"reasons": [7]}', b"[" * 60_000])
def test_refusal_without_reasons_is_told_by_its_status(site: FakeSite, tmp_path: Path, body: bytes) -> None:
    site.answer = (502, "text/html", body)
    with pytest.raises(ReportRefusedError, match="status 502"):
        ReportClient(site.url, identity(tmp_path)).report(VALUES)


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"[]", b"{}", b'{"accepted": false}', b'{"accepted": true, "attributes": 1}', b" " * 70_000],
)
def test_answer_of_another_form_is_no_acceptance(site: FakeSite, tmp_path: Path, body: bytes) -> None:
    site.answer = (200, "application/json", body)
    with pytest.raises(SiteUnreachableError, match="not of this protocol"):
        ReportClient(site.url, identity(tmp_path)).report(VALUES)
    site.nonce = (200, "application/json", body)
    with pytest.raises(SiteUnreachableError, match="not of this protocol"):
        ReportClient(site.url, identity(tmp_path)).report(VALUES)


def test_redirect_is_not_followed(site: FakeSite, tmp_path: Path) -> None:
    site.nonce = (307, "text/plain", b"")
    with pytest.raises(ReportRefusedError, match="status 307"):
        ReportClient(site.url, identity(tmp_path)).report(VALUES)
    assert len(site.asked) == 1


def test_site_of_another_authority_gets_no_request(site: FakeSite, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(make_authority("somebody else").certificate_pem())
    with pytest.raises(SiteUnreachableError, match="not to be believed"):
        ReportClient(site.url, identity(tmp_path, authority=other)).report(VALUES)
    assert site.asked == []


def test_site_with_the_certificate_of_another_address_gets_no_request(tmp_path: Path) -> None:
    with fake_site(tmp_path, name="192.0.2.1") as site:
        with pytest.raises(SiteUnreachableError, match="not to be believed"):
            ReportClient(site.url, identity(tmp_path)).report(VALUES)
        assert site.asked == []


def test_device_that_the_site_does_not_know_is_told_so(site: FakeSite, tmp_path: Path) -> None:
    unknown = issue_client(make_authority("somebody else"), "device")
    with pytest.raises(SiteUnreachableError, match="this device"):
        ReportClient(site.url, identity(tmp_path, Device(certificate=unknown.certificate, key=unknown.key))).report(
            VALUES
        )
    assert site.asked == []


def test_older_tls_is_not_spoken(tmp_path: Path) -> None:
    with fake_site(tmp_path, most=ssl.TLSVersion.TLSv1_2) as site:
        with pytest.raises(SiteUnreachableError):
            ReportClient(site.url, identity(tmp_path)).report(VALUES)
        assert site.asked == []


def test_nobody_there_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate_pem())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(SiteUnreachableError, match="check --url"):
            ReportClient(url, identity(tmp_path)).report(VALUES)


def test_site_that_hangs_is_left(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate_pem())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SiteUnreachableError):
            ReportClient(url, identity(tmp_path), timeout_s=0.3).report(VALUES)


@pytest.mark.parametrize(
    "url",
    [
        "http://pacs.example",
        "https://",
        "pacs.example:8443",
        "https://user@pacs.example",
        "https://pacs.example/path",
        "https://pacs.example?x=1",
        "https://pacs.example:99999",
        "https://[::1",
    ],
)
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate_pem())
    with pytest.raises(ConfigurationError, match="--url"):
        ReportClient(url, identity(tmp_path))


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    certificate, key = make_device().write(tmp_path)
    for mode in (0o640, 0o604, 0o666):
        key.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            load_identity(certificate=certificate, key=key, authority=certificate)


def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = make_device().write(tmp_path, "one")
    _, key = make_device().write(tmp_path, "two")
    with pytest.raises(ConfigurationError, match="is not the key of"):
        load_identity(certificate=certificate, key=key, authority=certificate)


def test_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    device = make_device()
    certificate, key = device.write(tmp_path)
    key.write_bytes(device.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigurationError, match="encrypted"):
        load_identity(certificate=certificate, key=key, authority=certificate)


@pytest.mark.parametrize(
    ("broken", "flag"), [("device.crt", "--certificate"), ("device.key", "--key"), ("ca.crt", "--ca")]
)
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None])
def test_files_of_another_form_are_named(tmp_path: Path, broken: str, flag: str, content: bytes | None) -> None:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate_pem())
    certificate, key = make_device().write(tmp_path)
    if content is None:
        (tmp_path / broken).unlink()
    else:
        (tmp_path / broken).write_bytes(content)
    with pytest.raises(ConfigurationError, match=flag):
        load_identity(certificate=certificate, key=key, authority=tmp_path / "ca.crt")


def test_key_is_in_no_representation(site: FakeSite, tmp_path: Path) -> None:
    shown = repr(identity(tmp_path))
    assert "key" not in shown
