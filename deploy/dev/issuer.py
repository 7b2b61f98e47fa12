"""The stack's own issuer of access tokens, small and real: a clinician logs in by the workstation's certificate.

``python -m deploy.dev.issuer --dir STACKDIR --port P`` serves over TLS, with client certificates of the dev authority:

- ``GET /.well-known/openid-configuration`` and ``GET /jwks``, to anybody;
- ``POST /token``, client credentials (RFC 6749 4.4) with mutual-TLS client authentication (RFC 8705 2.1): an access
  token (RFC 9068) bound to the certificate that was presented (RFC 8705 3), five minutes long.

It asks nobody for a password: who sits at the workstation is its user. A real issuer authenticates people.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import ssl
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jwt
import requests
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.utils import base64url_encode

from deploy.dev.layout import DOMAIN, ROOT, Layout, Ports, StackError, write_secret
from deploy.dev.pki import DevPki, Issued
from deploy.dev.process import Child

ALGORITHM: Final = "ES256"
TOKEN_S: Final = 300
MOST_BYTES: Final = 16_384
SITE: Final = "dev"
"""Name of the dev stack's site: the tokens' audience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevUser:
    subject: str
    roles: tuple[str, ...]


USERS: Final = {"workstation": DevUser(subject="clinician", roles=("radiologist",))}
"""Who sits at which device."""


class RefusedError(Exception):
    """A token request is refused with this error code (RFC 6749 5.2)."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class SigningKey:
    """The issuer's key, made at the first start, and the set that publishes it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True, mode=0o700)
        path = folder / "signing.key"
        if not path.exists():
            private = ec.generate_private_key(ec.SECP256R1())
            form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            write_secret(path, private.private_bytes(*form))
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise StackError(f"{path} holds no key of an elliptic curve; remove it.")
        self.private = loaded
        public = ECAlgorithm.to_jwk(loaded.public_key(), as_dict=True)
        self.kid = thumbprint(public)
        self.jwks = json.dumps({"keys": [{**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}]}).encode()
        write_secret(folder / "jwks.json", self.jwks)


def thumbprint(public: dict[str, Any]) -> str:
    """Of an elliptic-curve JWK (RFC 7638 3)."""
    needed = {name: public[name] for name in ("crv", "kty", "x", "y")}
    content = json.dumps(needed, sort_keys=True, separators=(",", ":")).encode()
    return base64url_encode(hashlib.sha256(content).digest()).decode()


class DevIssuer:
    def __init__(self, layout: Layout, url: str, audience: str = SITE) -> None:
        self._layout = layout
        self._url = url
        self._audience = audience
        self._authority = Issued.read(layout.pki, "ca").certificate
        self._key = SigningKey(issuer_folder(layout))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_post("/token", self._token)
        return app

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self._url,
                "jwks_uri": f"{self._url}/jwks",
                "token_endpoint": f"{self._url}/token",
                "grant_types_supported": ["client_credentials"],
                "response_types_supported": [],
                "subject_types_supported": ["public"],
                "token_endpoint_auth_methods_supported": ["tls_client_auth"],
                "tls_client_certificate_bound_access_tokens": True,
            }
        )

    async def _jwks(self, request: web.Request) -> web.Response:
        return web.Response(body=self._key.jwks, content_type="application/jwk-set+json")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            if form.getall("grant_type", []) != ["client_credentials"]:
                raise RefusedError("unsupported_grant_type", 400)
            device, certificate = self._client(request)
            if form.getall("client_id", []) != [device]:
                raise RefusedError("invalid_client", 401)
            user = USERS.get(device)
            if user is None:
                raise RefusedError("unauthorized_client", 400)
            answer, status = self._issue(device, user, certificate), 200
        except RefusedError as error:
            answer, status = {"error": error.code}, error.status
        return web.json_response(answer, status=status, headers={"Cache-Control": "no-store"})

    def _client(self, request: web.Request) -> tuple[str, bytes]:
        """The device whose certificate was presented, and its DER; the handshake proved key and authority."""
        connection = None if request.transport is None else request.transport.get_extra_info("ssl_object")
        der = None if connection is None else connection.getpeercert(True)
        if der is None:
            raise RefusedError("invalid_client", 401)
        certificate = x509.load_der_x509_certificate(der)
        name = device_of(certificate)
        if name is None or self._revoked(certificate):
            raise RefusedError("invalid_client", 401)
        return name, der

    def _revoked(self, certificate: x509.Certificate) -> bool:
        """By the list as it is now. One that is not the authority's or has ended revokes everybody."""
        crl = x509.load_pem_x509_crl((self._layout.pki / "ca.crl").read_bytes())
        key = self._authority.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not crl.is_signature_valid(key):
            return True
        if crl.next_update_utc is None or crl.next_update_utc < datetime.now(UTC):
            return True
        return crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None

    def _issue(self, device: str, user: DevUser, certificate: bytes) -> dict[str, object]:
        moment = int(time.time())
        claims = {
            "iss": self._url,
            "sub": user.subject,
            "aud": self._audience,
            "client_id": device,
            "iat": moment,
            "exp": moment + TOKEN_S,
            "jti": secrets.token_hex(16),
            "roles": list(user.roles),
            "cnf": {"x5t#S256": base64url_encode(hashlib.sha256(certificate).digest()).decode()},
        }
        headers = {"typ": "at+jwt", "kid": self._key.kid}
        token = jwt.encode(claims, self._key.private, algorithm=ALGORITHM, headers=headers)
        return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_S}


def device_of(certificate: x509.Certificate) -> str | None:
    """Name of the dev device that a certificate is of."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or not uris[0].startswith(DOMAIN):
        return None
    return uris[0].removeprefix(DOMAIN)


def issuer_folder(layout: Layout) -> Path:
    """Holds ``signing.key`` and ``jwks.json``."""
    return layout.directory / "issuer"


def issuer_url(ports: Ports) -> str:
    """The claim ``iss``, and the base of its addresses."""
    return f"https://127.0.0.1:{ports.issuer}"


def issuer_child(layout: Layout, ports: Ports) -> Child:
    ca = str(layout.pki / "ca.crt")
    return Child(
        name="issuer",
        command=[
            *(sys.executable, "-m", "deploy.dev.issuer"),
            *("--dir", str(layout.directory), "--port", str(ports.issuer)),
        ],
        log=layout.log / "issuer.log",
        environment={"PYTHONPATH": str(ROOT)},
        healthy=lambda: _serves(issuer_url(ports), ca),
    )


def take_token(at: Ports | str, pki: DevPki, name: str) -> str:
    """An access token over the certificate of a dev device.

    :param at: the stack's ports, or the issuer's address
    :raises StackError: it is refused; the message names the issuer's error code
    """
    url = at if isinstance(at, str) else issuer_url(at)
    with _session(str(pki.directory / "ca.crt")) as session:
        session.cert = (str(pki.directory / f"{name}.crt"), str(pki.directory / f"{name}.key"))
        form = {"grant_type": "client_credentials", "client_id": name}
        answer = session.post(f"{url}/token", data=form, timeout=10)
    told = answer.json()
    if answer.status_code != 200:
        raise StackError(f"The issuer gives {name} no token: {told.get('error')}.")
    return str(told["access_token"])


def _session(ca: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = ca
    return session


def _serves(url: str, ca: str) -> bool:
    try:
        with _session(ca) as session:
            return session.get(f"{url}/jwks", timeout=5).ok
    except requests.RequestException:
        return False


def tls(layout: Layout) -> ssl.SSLContext:
    """Client certificates are asked for, not demanded: the key set is for everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_cert_chain(layout.pki / "server.crt", layout.pki / "server.key")
    context.load_verify_locations(layout.pki / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def main() -> None:
    arguments = argparse.ArgumentParser(description="The dev stack's issuer of access tokens.")
    arguments.add_argument("--dir", type=Path, required=True, help="folder of the stack")
    arguments.add_argument("--port", type=int, required=True, help="port on the loopback address")
    given = arguments.parse_args()
    layout = Layout(given.dir.resolve())
    issuer = DevIssuer(layout, f"https://127.0.0.1:{given.port}")
    web.run_app(issuer.app(), host="127.0.0.1", port=given.port, ssl_context=tls(layout), print=None, access_log=None)


if __name__ == "__main__":
    main()
