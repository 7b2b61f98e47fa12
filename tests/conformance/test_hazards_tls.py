"""TLS: what OpenSSL lets through and we do not, and revocation that must not wait for a new handshake."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.dev.layout import DOMAIN
from deploy.dev.pki import SKEW, Issued, issue_certificate, issue_client, make_authority, make_crl
from tests.conformance.judge import Judge
from tests.conformance.wire import Credentials, EndedError, Wire, client_context, request

pytestmark = pytest.mark.real

SEARCH = request("GET", "/dicom-web/studies?limit=1")
RELOADED_S = 15.0
URI = x509.UniformResourceIdentifier
NOW = datetime.now(UTC)
RADIOLOGIST = (URI(f"{DOMAIN}radiologist"),)
"""A second certificate of that device: policy and posture would let it in."""


def _credentials(issued: Issued, folder: Path) -> Credentials:
    issued.write(folder, "presented")
    return str(folder / "presented.crt"), str(folder / "presented.key")


@pytest.fixture
def authority(judge: Judge) -> Issued:
    return judge.stack.dev.pki.authority


# ------------------------------------------------------------------------------------------ refused with an answer


BAD_PROFILES = {
    "leaf that is an authority": {"is_ca": True},
    "no purpose": {"purposes": None},
    "no name": {"names": ()},
    "a DNS name": {"names": (x509.DNSName("radiologist"),)},
    "a mail address": {"names": (x509.RFC822Name("radiologist@example.org"),)},
    "two names": {"names": (*RADIOLOGIST, URI(f"{DOMAIN}technologist"))},
    "the same name twice": {"names": RADIOLOGIST * 2},
}


@pytest.mark.parametrize("case", BAD_PROFILES)
def test_certificate_of_another_profile_is_refused(judge: Judge, authority: Issued, tmp_path: Path, case: str) -> None:
    settings = {"names": RADIOLOGIST, **BAD_PROFILES[case]}
    issued = issue_certificate(authority, "presented", not_before=NOW - SKEW, **settings)  # type: ignore[arg-type]
    judge.refused(SEARCH, 403, "certificate-profile", who=_credentials(issued, tmp_path))


def test_version_1_certificate_is_refused(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    issued = issue_certificate(authority, "radiologist", not_before=NOW - SKEW)
    old = _version_1(issued.certificate, authority)
    judge.refused(SEARCH, 403, "certificate-profile", who=_credentials(Issued(old, issued.key), tmp_path))


def test_expired_certificate_is_told_so(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    issued = issue_certificate(
        authority,
        "presented",
        not_before=NOW - timedelta(days=90),
        not_after=NOW - timedelta(seconds=1),
        names=RADIOLOGIST,
    )
    judge.refused(SEARCH, 403, "certificate-expired", who=_credentials(issued, tmp_path))


def test_certificate_of_tomorrow_is_told_so(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    issued = issue_certificate(authority, "presented", not_before=NOW + timedelta(days=1), names=RADIOLOGIST)
    judge.refused(SEARCH, 403, "certificate-not-yet-valid", who=_credentials(issued, tmp_path))


def test_certificate_that_ends_while_its_connection_is_open_is_refused(
    judge: Judge, authority: Issued, tmp_path: Path
) -> None:
    end = datetime.now(UTC) + timedelta(seconds=2)
    issued = issue_certificate(authority, "presented", not_before=NOW - SKEW, not_after=end, names=RADIOLOGIST)
    with judge.caller.connected(_credentials(issued, tmp_path)) as wire:
        wire.send(SEARCH)
        assert wire.read().status == 200
        time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.1)
        before = judge.stack.relay.count
        wire.send(SEARCH)
        judge.is_refusal(wire.read(), 403, "certificate-expired", since=before)


def test_device_that_nobody_knows_is_refused_by_policy(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    issued = issue_client(authority, "nobody")
    decision = judge.refused(SEARCH, 403, "subject-unknown", "posture-missing", who=_credentials(issued, tmp_path))
    assert decision["asked"]


def test_name_that_only_looks_like_a_known_one_is_another_device(
    judge: Judge, authority: Issued, tmp_path: Path
) -> None:
    for name, code in (
        (f"{DOMAIN}Radiologist", "subject-unknown"),
        (f"{DOMAIN}radiologist/", "subject-unknown"),
        (f"{DOMAIN}radiologist ", "certificate-profile"),
    ):
        issued = issue_certificate(authority, "presented", not_before=NOW - SKEW, names=(URI(name),))
        judge.refused(SEARCH, 403, code, who=_credentials(issued, tmp_path))


def test_subject_names_nobody(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    """Only the SAN does: a subject that says radiologist is not the radiologist."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "radiologist")])
    issued = issue_certificate(
        authority, "nobody", not_before=NOW - SKEW, subject=subject, names=(URI(f"{DOMAIN}nobody"),)
    )
    judge.refused(SEARCH, 403, "subject-unknown", who=_credentials(issued, tmp_path))


def test_each_dev_identity_that_may_not_is_told_why(judge: Judge) -> None:
    judge.refused(SEARCH, 403, "certificate-revoked", who="revoked")
    judge.refused(SEARCH, 403, "posture-stale", who="stale")
    judge.refused(SEARCH, 403, "posture-disk-unencrypted", "posture-malware-protection-off", who="rooted")


# ------------------------------------------------------------------------------------------ refused in the handshake


def test_certificate_of_another_authority_ends_in_the_handshake(judge: Judge, tmp_path: Path) -> None:
    _ends_in_handshake(judge, judge.stack.dev.client("stranger"), "untrusted")
    same_name = make_authority("Dicomward dev authority")
    forged = issue_client(same_name, "radiologist")
    _ends_in_handshake(judge, _credentials(forged, tmp_path), "untrusted")
    alone = issue_certificate(None, "radiologist", not_before=NOW - SKEW)
    _ends_in_handshake(judge, _credentials(alone, tmp_path), "untrusted")


def test_certificate_issued_by_a_client_ends_in_the_handshake(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    client = judge.stack.dev.pki.issued("radiologist")
    issued = issue_client(client, "radiologist")
    crt, key = _credentials(issued, tmp_path)
    Path(crt).write_bytes(issued.certificate_pem() + client.certificate_pem())
    _ends_in_handshake(judge, (crt, key), "untrusted")


def test_certificate_for_servers_ends_in_the_handshake(judge: Judge, authority: Issued, tmp_path: Path) -> None:
    purposes = (ExtendedKeyUsageOID.SERVER_AUTH,)
    issued = issue_certificate(authority, "presented", not_before=NOW - SKEW, names=RADIOLOGIST, purposes=purposes)
    _ends_in_handshake(judge, _credentials(issued, tmp_path), "untrusted")


def test_no_certificate_ends_in_the_handshake(judge: Judge) -> None:
    _ends_in_handshake(judge, None, "no-certificate")


def test_tls_1_2_ends_in_the_handshake(judge: Judge) -> None:
    context = client_context(judge.caller.ca, judge.stack.dev.client("radiologist"))
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    failed = judge.stack.metric("handshakes_total", result="protocol")
    with pytest.raises(ssl.SSLError):
        Wire(judge.caller.port, context)
    assert judge.stack.metric("handshakes_total", result="protocol") == failed + 1


def test_plain_http_gets_no_answer(judge: Judge) -> None:
    requests = judge.stack.metric("requests_total")
    with socket.create_connection(("127.0.0.1", judge.caller.port), timeout=5) as plain:
        plain.sendall(SEARCH)
        heard = plain.recv(1000)
    assert not heard.startswith(b"HTTP/")
    assert judge.stack.metric("requests_total") == requests


def test_only_http_1_1_is_negotiated(judge: Judge) -> None:
    context = client_context(judge.caller.ca, judge.stack.dev.client("radiologist"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Wire(judge.caller.port, context) as wire:
        assert wire.socket.version() == "TLSv1.3"
        assert wire.socket.selected_alpn_protocol() == "http/1.1"


# ------------------------------------------------------------------------------------------ revocation


@pytest.fixture
def revocable(authority: Issued, tmp_path: Path) -> tuple[Credentials, int]:
    """A second certificate of the radiologist's device, to be revoked."""
    issued = issue_certificate(authority, "presented", not_before=NOW - SKEW, names=RADIOLOGIST)
    return _credentials(issued, tmp_path), issued.certificate.serial_number


def test_no_session_survives_revocation(judge: Judge, revocable: tuple[Credentials, int]) -> None:
    """No tickets are issued, so there is nothing to resume; a resumed handshake would skip the certificate."""
    credentials, serial = revocable
    context = client_context(judge.caller.ca, credentials)
    with Wire(judge.caller.port, context) as wire:
        wire.send(SEARCH)
        assert wire.read().status == 200
        session = wire.socket.session
        assert session is not None
        assert not session.has_ticket
    judge.stack.dev.pki.revoke((), anew=[serial])
    _until_reloaded(judge)
    with Wire(judge.caller.port, context, session=session) as wire:
        before = judge.stack.relay.count
        wire.send(SEARCH)
        judge.is_refusal(wire.read(), 403, "certificate-revoked", since=before)
        assert not wire.socket.session_reused


def test_revocation_reaches_an_open_connection(judge: Judge, revocable: tuple[Credentials, int]) -> None:
    credentials, serial = revocable
    with judge.caller.connected(credentials) as wire, judge.caller.connected() as other:
        wire.send(SEARCH)
        assert wire.read().status == 200
        judge.stack.dev.pki.revoke((), anew=[serial])
        deadline = time.monotonic() + RELOADED_S
        while True:
            before = judge.stack.relay.count
            wire.send(SEARCH)
            reply = wire.read()
            if reply.status != 200:
                break
            assert time.monotonic() < deadline, "a revoked certificate is still served"
            time.sleep(0.1)
        judge.is_refusal(reply, 403, "certificate-revoked", since=before)
        other.send(SEARCH)
        assert other.read().status == 200


def test_revocation_list_that_ended_denies_everybody_until_it_is_renewed(judge: Judge, authority: Issued) -> None:
    """The list is the newest there is, and has ended already: an older one would not be believed."""
    pki = judge.stack.dev.pki
    path = judge.stack.dev.layout.pki / "ca.crl"
    draft = path.with_suffix(".ended")
    now = datetime.now(UTC)  # a second back, as the stack signs them: the renewed list must not be the older one
    draft.write_bytes(make_crl(authority, (), last_update=now - timedelta(seconds=1), next_update=now))
    try:
        draft.replace(path)
        _until(judge, 403)
        judge.refused(SEARCH, 403, "revocation-stale")
    finally:
        pki.revoke(["revoked"])
        _until(judge, 200)


def test_revocation_list_that_ends_while_it_is_in_force_denies_everybody(judge: Judge) -> None:
    pki = judge.stack.dev.pki
    path = judge.stack.dev.layout.pki / "ca.crl"
    end = datetime.now(UTC) + timedelta(seconds=4)
    draft = path.with_suffix(".short")
    draft.write_bytes(make_crl(pki.authority, (), last_update=datetime.now(UTC), next_update=end))
    try:
        draft.replace(path)
        _until_reloaded(judge)
        assert judge.caller.ask(SEARCH).status == 200
        time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.1)
        judge.refused(SEARCH, 403, "revocation-stale")
    finally:
        pki.revoke(["revoked"])
        _until(judge, 200)


def test_list_that_another_authority_signed_revokes_nobody_and_admits_nobody(judge: Judge) -> None:
    """A list that is not the authority's says nothing: without a list of its own, everybody is denied."""
    path = judge.stack.dev.layout.pki / "ca.crl"
    kept = path.read_bytes()
    draft = path.with_suffix(".foreign")
    draft.write_bytes(make_crl(make_authority("Dicomward dev authority"), (), last_update=datetime.now(UTC)))
    try:
        draft.replace(path)
        _until(judge, 403)
        for who in ("radiologist", "revoked"):
            reply = judge.caller.ask(SEARCH, who)
            assert reply.status == 403
            assert not judge.decision(reply)["verdict"]["allow"]
    finally:
        path.write_bytes(kept)
        _until(judge, 200)


def test_list_that_cannot_be_read_leaves_the_last_one_in_force(judge: Judge) -> None:
    path = judge.stack.dev.layout.pki / "ca.crl"
    kept = path.read_bytes()
    try:
        path.write_bytes(kept[: len(kept) // 2])
        time.sleep(1.5)
        assert judge.caller.ask(SEARCH).status == 200
        judge.refused(SEARCH, 403, "certificate-revoked", who="revoked")
    finally:
        path.write_bytes(kept)


def _until(judge: Judge, status: int) -> None:
    deadline = time.monotonic() + RELOADED_S
    while (reply := judge.caller.ask(SEARCH)).status != status:
        assert time.monotonic() < deadline, reply.status
        time.sleep(0.1)


def _until_reloaded(judge: Judge) -> None:
    time.sleep(2.2)  # identify.reload_s is 1


def _ends_in_handshake(judge: Judge, credentials: Credentials | None, result: str) -> None:
    """Under TLS 1.3 the client has finished when the server refuses: the refusal is the first thing it reads."""
    failed, asked = judge.stack.metric("handshakes_total", result=result), judge.stack.metric("requests_total")
    recorded = judge.stack.metric("records_total", kind="decision")
    context = client_context(judge.caller.ca, credentials)
    with pytest.raises((ssl.SSLError, EndedError, ConnectionError)):
        _answered(judge.caller.port, context)
    assert judge.stack.metric("handshakes_total", result=result) == failed + 1
    assert judge.stack.metric("requests_total") == asked
    assert judge.stack.metric("records_total", kind="decision") == recorded


def _answered(port: int, context: ssl.SSLContext) -> None:
    with Wire(port, context) as wire:
        wire.send(SEARCH)
        wire.read()


# ------------------------------------------------------------------------------------------ version 1


def _version_1(certificate: x509.Certificate, authority: Issued) -> x509.Certificate:
    """The same certificate as X.509 v1: without version and extensions, signed anew."""
    outer = _elements(certificate.public_bytes(Encoding.DER))[0][1]
    body, algorithm, _ = _elements(outer)
    fields = [whole for tag, _, whole in _elements(body[1]) if tag not in (0xA0, 0xA3)]
    to_sign = _der(0x30, b"".join(fields))
    signature = authority.key.sign(to_sign, ec.ECDSA(hashes.SHA256()))
    made = x509.load_der_x509_certificate(_der(0x30, to_sign + algorithm[2] + _der(0x03, b"\0" + signature)))
    assert made.version is x509.Version.v1
    return made


def _elements(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Tag, content and whole of each DER element in a row."""
    found = []
    while data:
        length, start = data[1], 2
        if length & 0x80:
            start = 2 + (length & 0x7F)
            length = int.from_bytes(data[2:start], "big")
        found.append((data[0], data[start : start + length], data[: start + length]))
        data = data[start + length :]
    return found


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = bytes([size]) if size < 0x80 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content
