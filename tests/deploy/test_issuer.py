"""The dev stack's issuer as a process, over real mutual TLS."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.dev.issuer import SITE, issuer_child, issuer_folder, issuer_url, take_token
from deploy.dev.layout import Layout, StackError
from deploy.dev.pki import DevPki, issue_client
from deploy.dev.process import Child
from proxy.identify import tokens
from proxy.identify.keys import IssuerSettings, KeyCache
from proxy.identify.tokens import BadToken
from proxy.model import Reason, User


@dataclass(frozen=True, slots=True)
class IssuerPorts:
    issuer: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def utc_now() -> datetime:
    return datetime.now(UTC)


class Running:
    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.layout.prepare()
        self.pki = DevPki(self.layout.pki)
        self.pki.prepare()
        for name in ("workstation", "lost", "kiosk"):
            issue_client(self.pki.authority, name).write(self.pki.directory, name)
        self.ports: Any = IssuerPorts(free_port())
        self.url = issuer_url(self.ports)
        self.child: Child = issuer_child(self.layout, self.ports)

    def token(self, name: str = "workstation") -> str:
        return take_token(self.ports, self.pki, name)

    def ask(self, method: str, path: str, name: str | None = None, **settings: Any) -> requests.Response:
        cert = None if name is None else tuple(str(self.layout.pki / f"{name}.{kind}") for kind in ("crt", "key"))
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self.url + path, cert=cert, verify=str(self.layout.pki / "ca.crt"), timeout=10, **settings
            )

    def fingerprint(self, name: str) -> str:
        der = self.pki.issued(name).certificate.public_bytes(Encoding.DER)
        return hashlib.sha256(der).hexdigest()

    def settings(self, jwks: str, ca_file: Path | None = None) -> IssuerSettings:
        return IssuerSettings(
            name="dev",
            issuer=self.url,
            audience=SITE,
            algorithms=("ES256",),
            types=("at+jwt",),
            jwks=jwks,
            ca_file=ca_file,
            jwks_refresh_s=300,
            jwks_max_age_s=3600,
            leeway_s=5,
            roles_claim="roles",
            purpose_claim=None,
        )

    def judge(self, token: str, name: str) -> User | BadToken:
        path = issuer_folder(self.layout) / "jwks.json"
        return self.judge_by(KeyCache(self.settings(str(path)), utc_now), token, name)

    def judge_by(self, keys: KeyCache, token: str, name: str) -> User | BadToken:
        authorization = (b"Bearer " + token.encode(),)
        return tokens.judge(authorization, {self.url: keys}, self.fingerprint(name), utc_now())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("issuer"))
    made.child.start()
    try:
        yield made
    finally:
        made.child.stop()


def test_token_is_one_the_proxy_takes_on_that_device_alone(running: Running) -> None:
    token = running.token()
    user = running.judge(token, "workstation")
    assert isinstance(user, User)
    assert (user.id, user.roles) == ("dev/clinician", ("radiologist",))
    assert user.expires_at - datetime.now(UTC) < timedelta(seconds=306)
    stolen = running.judge(token, "radiologist")
    assert stolen == BadToken(reason=Reason.TOKEN_OF_ANOTHER_DEVICE, issuer="dev", until=user.expires_at)


def test_token_has_what_rfc_9068_asks_for(running: Running) -> None:
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in running.token().split("."))
    assert json.loads(base64.urlsafe_b64decode(header))["typ"] == "at+jwt"
    claims = json.loads(base64.urlsafe_b64decode(payload))
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "cnf"} <= set(claims)
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (running.url, SITE, "workstation")
    assert claims["exp"] - claims["iat"] == 300


def test_key_set_is_public_and_the_private_key_is_not(running: Running) -> None:
    published = running.ask("GET", "/jwks").json()
    assert [set(key) for key in published["keys"]] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}]
    folder = issuer_folder(running.layout)
    assert json.loads((folder / "jwks.json").read_bytes()) == published
    assert (folder / "signing.key").stat().st_mode & 0o777 == 0o600


def test_discovery_names_its_addresses(running: Running) -> None:
    told = running.ask("GET", "/.well-known/openid-configuration").json()
    assert told["issuer"] == running.url
    assert told["tls_client_certificate_bound_access_tokens"] is True
    assert running.ask("GET", told["jwks_uri"].removeprefix(running.url)).status_code == 200


def test_without_a_certificate_there_is_no_token(running: Running) -> None:
    form = {"grant_type": "client_credentials", "client_id": "workstation"}
    answer = running.ask("POST", "/token", data=form)
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})


def test_certificate_of_another_authority_ends_in_the_handshake(running: Running) -> None:
    form = {"grant_type": "client_credentials", "client_id": "stranger"}
    with pytest.raises(requests.ConnectionError):
        running.ask("POST", "/token", "stranger", data=form)


def test_revoked_certificate_is_refused_at_once(running: Running) -> None:
    with pytest.raises(StackError, match="unauthorized_client"):
        running.token("lost")  # good, and nobody sits there
    running.pki.revoke(["lost"])
    with pytest.raises(StackError, match="invalid_client"):
        running.token("lost")
    with pytest.raises(StackError, match="invalid_client"):
        running.token("revoked")


def test_revocation_list_that_is_not_the_authoritys_refuses_everybody(running: Running) -> None:
    path = running.layout.pki / "ca.crl"
    good = path.read_bytes()
    stranger = DevPki(running.layout.directory / "other")
    stranger.directory.mkdir()
    stranger.prepare()
    try:
        path.write_bytes((stranger.directory / "ca.crl").read_bytes())
        with pytest.raises(StackError, match="invalid_client"):
            running.token()
    finally:
        path.write_bytes(good)
    assert running.token()


def test_device_without_a_user_and_name_of_another_are_refused(running: Running) -> None:
    with pytest.raises(StackError, match="unauthorized_client"):
        running.token("kiosk")
    form = {"grant_type": "client_credentials", "client_id": "workstation"}
    answer = running.ask("POST", "/token", "kiosk", data=form)
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    answer = running.ask("POST", "/token", "workstation", data={**form, "grant_type": "password"})
    assert (answer.status_code, answer.json()) == (400, {"error": "unsupported_grant_type"})


def test_key_stays_over_a_restart(running: Running) -> None:
    token, published = running.token(), running.ask("GET", "/jwks").json()
    running.child.stop()
    running.child.start()
    assert running.ask("GET", "/jwks").json() == published
    assert isinstance(running.judge(token, "workstation"), User)


async def test_key_set_is_fetched_over_tls_from_a_pinned_authority(running: Running) -> None:
    keys = KeyCache(running.settings(f"{running.url}/jwks", running.layout.pki / "ca.crt"), utc_now)
    token = running.token()
    assert running.judge_by(keys, token, "workstation") == BadToken(reason=Reason.TOKEN_KEYS_UNAVAILABLE)
    try:
        assert await keys.refresh()
        assert isinstance(running.judge_by(keys, token, "workstation"), User)
    finally:
        await keys.close()


@pytest.mark.parametrize("authority", ["stranger-ca.crt", None])
async def test_key_set_from_a_server_of_another_authority_is_not_taken(running: Running, authority: str | None) -> None:
    ca_file = None if authority is None else running.layout.pki / authority
    keys = KeyCache(running.settings(f"{running.url}/jwks", ca_file), utc_now)
    try:
        assert not await keys.refresh()
    finally:
        await keys.close()
    assert keys.failures == 1
    found = running.judge_by(keys, running.token(), "workstation")
    assert found == BadToken(reason=Reason.TOKEN_KEYS_UNAVAILABLE)
