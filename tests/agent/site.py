"""A site on loopback that speaks the protocol of reports, and devices with keys of every kind."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.dev.pki import issue_certificate, make_authority
from proxy.agent.report import DeviceKey

KEYS: dict[str, Any] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
}
"""Makes a key, by the algorithm it signs with."""


@dataclass(frozen=True, kw_only=True)
class Device:
    certificate: x509.Certificate
    key: DeviceKey

    def write(self, folder: Path, name: str = "device") -> tuple[Path, Path]:
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.touch(mode=0o600)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


AUTHORITY = make_authority("authority of the test")
NOW = datetime.now(UTC)


def make_device(algorithm: str = "ES256") -> Device:
    key = KEYS[algorithm]()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    builder = x509.CertificateBuilder(AUTHORITY.certificate.subject, name, key.public_key(), 7)
    builder = builder.not_valid_before(NOW - timedelta(hours=1)).not_valid_after(NOW + timedelta(days=1))
    return Device(certificate=builder.sign(AUTHORITY.key, hashes.SHA256()), key=key)


@dataclass
class FakeSite:
    """What it answers, and what it was sent."""

    url: str
    ca: Path
    nonce: tuple[int, str, bytes] = (200, "application/json", b'{"nonce": "n-1", "expires_in": 60, "site": "north"}')
    answer: tuple[int, str, bytes] = (
        200,
        "application/json",
        b'{"accepted": true, "attributes": 2, "expires_at": "2026-11-22T12:15:00.000Z"}',
    )
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    """Method, path, headers in lower case, body."""
    connections: int = 0


def refusal(status: int, *reasons: dict[str, str]) -> tuple[int, str, bytes]:
    body = {"type": "x", "title": "x", "status": status, "reasons": list(reasons), "decision": "d"}
    return status, "application/problem+json", json.dumps(body).encode()


@contextmanager
def fake_site(folder: Path, *, name: str = "127.0.0.1", most: ssl.TLSVersion | None = None) -> Iterator[FakeSite]:
    """:param name: address that the server's certificate is for"""
    issue_certificate(
        AUTHORITY,
        "site",
        not_before=NOW - timedelta(hours=1),
        purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
        names=(x509.IPAddress(ipaddress.ip_address(name)),),
    ).write(folder, "site")
    ca = folder / "ca.crt"
    ca.write_bytes(AUTHORITY.certificate_pem())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if most is not None:
        tls.maximum_version = most
    tls.load_cert_chain(folder / "site.crt", folder / "site.key")
    tls.load_verify_locations(ca)
    tls.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            site.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self._tell(site.nonce, b"")

        def do_POST(self) -> None:
            self._tell(site.answer, self.rfile.read(int(self.headers["Content-Length"])))

        def _tell(self, told: tuple[int, str, bytes], body: bytes) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            site.asked.append((self.command, self.path, headers, body))
            status, kind, content = told
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[Any, Any]:
            connection, address = self.socket.accept()
            connection.settimeout(10)
            return tls.wrap_socket(connection, server_side=True), address

        def handle_error(self, request: object, client_address: object) -> None:
            return

    server = Server(("127.0.0.1", 0), Handler)
    site = FakeSite(url=f"https://127.0.0.1:{server.server_port}", ca=ca)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
