"""Whatever may be wrong with who asks, or with what is known of the device: refused for its own reason, recorded, and
nothing at the archive. On a stack of its own, whose partner authority and issuers are spoiled one way after another.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.dev import issuer as dev_issuer
from deploy.dev import posture as dev_posture
from deploy.dev import site as dev_site
from deploy.dev.issuer import SigningKey, issuer_folder, issuer_url, take_token
from deploy.dev.layout import DOMAIN, Ports
from deploy.dev.pki import Issued, issue_client, make_authority, make_crl
from proxy.agent.report import make_report
from proxy.model import Kind
from proxy.record.reader import current_reader
from tests.conformance.judge import Judge
from tests.conformance.seen import check_seen
from tests.conformance.wire import Caller, Credentials, request
from tests.identify.issuing import ABSENT, base64url, compact
from tests.laws import check_laws
from tests.stack import GENEROUS, RelayedStack, relayed_stack

SEARCH = request("GET", "/dicom-web/studies?limit=1")
NONCE = request("GET", "/.dicomward/v1/posture/nonce")
EFFECT_S = 5.0
NOBODY = "https://127.0.0.1:1"
"""Where no issuer's keys are ever had from."""


@dataclass(frozen=True, slots=True)
class Partner:
    """An authority with an intermediate one below it that issues to devices, and files that can be spoiled."""

    folder: Path
    root: Issued
    intermediate: Issued
    device: Issued

    @classmethod
    def made(cls, folder: Path) -> Partner:
        folder.mkdir()
        root = make_authority("Partner root")
        intermediate = make_authority("Partner devices", parent=root)
        device = issue_client(intermediate, "radiologist")
        (folder / "root.crt").write_bytes(root.certificate_pem())
        (folder / "devices.crt").write_bytes(intermediate.certificate_pem())
        device.write(folder, "device")
        made = cls(folder, root, intermediate, device)
        made.restore()
        return made

    @property
    def credentials(self) -> Credentials:
        return str(self.folder / "device.crt"), str(self.folder / "device.key")

    def settings(self) -> dict[str, Any]:
        return {
            "name": "partner",
            "certificate": str(self.folder / "root.crt"),
            "intermediates": [str(self.folder / "devices.crt")],
            "crls": [str(self.folder / "root.crl"), str(self.folder / "devices.crl")],
            "depth": 1,
            "names": [DOMAIN],
        }

    def restore(self) -> None:
        self.put("root.crl", self.crl(self.root))
        self.put("devices.crl", self.crl(self.intermediate))

    def crl(self, signer: Issued, *serials: int, age: timedelta = timedelta(), days: float = 7) -> bytes:
        begins = datetime.now(UTC) - age - timedelta(milliseconds=1)
        return make_crl(signer, serials, last_update=begins, next_update=begins + timedelta(days=days))

    def put(self, name: str, content: bytes) -> None:
        draft = self.folder / f"{name}.draft"
        draft.write_bytes(content)
        draft.replace(self.folder / name)


@dataclass(frozen=True, slots=True)
class Site:
    stack: RelayedStack
    judge: Judge
    partner: Partner

    def refused(self, raw: bytes, status: int, code: str, *, who: str | Credentials = "radiologist") -> dict[str, Any]:
        return self.judge.refused(raw, status, code, who=who)

    @property
    def pki(self) -> Path:
        return self.stack.dev.layout.pki

    def issued(self, name: str) -> Issued:
        return Issued.read(self.pki, name)

    def nonce(self, who: str = "technologist") -> str:
        reply = self.judge.caller.ask(NONCE, who)
        assert reply.status == 200, reply.reasons
        return str(reply.json["nonce"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("identity")
    partner = Partner.made(folder / "partner")
    ports = Ports.free()
    own = dev_site.identify_settings(ports)
    down = {**own["issuers"][0], "name": "down", "issuer": NOBODY, "jwks": f"{NOBODY}/jwks"}
    overrides: dict[str, dict[str, Any]] = {
        "limits": dict(GENEROUS),
        "identify": {
            "authorities": [{**own["authorities"][0], "names": [DOMAIN]}, partner.settings()],
            "issuers": [*own["issuers"], down],
        },
    }
    with relayed_stack(folder / "stack", overrides, ports) as running:
        caller = Caller(running.dev.ports.proxy, running.dev.ca, running.dev.layout.pki)
        yield Site(running, Judge(running, caller), partner)
        check_laws(running.dev)
        check_seen(running)


# ------------------------------------------------------------------------------------------------ posture


def report(at: Site, name: str = "technologist", *, key: Any = None, **changes: Any) -> str:
    """A good report of a device, but for what is changed."""
    own = at.issued(name)
    return make_report(
        **{
            "values": dev_posture.COMPLIANT,
            "site": "dev",
            "nonce": changes.pop("nonce", None) or at.nonce(name),
            "certificate": own.certificate,
            "key": key or own.key,
            "now": datetime.now(UTC),
            **changes,
        }
    )


def post(content: str) -> bytes:
    return request("POST", "/.dicomward/v1/posture", "Content-Type: application/jose", body=content.encode())


def unsigned(site: Site) -> str:
    header, payload, _ = report(site).split(".")
    told = json.loads(jwt.utils.base64url_decode(header))
    return f"{base64url(json.dumps({**told, 'alg': 'none'}).encode())}.{payload}."


def another_type(site: Site) -> str:
    """Signed by the device's key for something else."""
    own = site.issued("technologist")
    thumbprint = base64url(hashlib.sha256(own.certificate.public_bytes(Encoding.DER)).digest())
    payload = {
        "aud": "dev",
        "iat": datetime.now(UTC).timestamp(),
        "nonce": site.nonce(),
        "posture": {"firewall": True},
    }
    return jwt.encode(payload, own.key, algorithm="ES256", headers={"typ": "JWT", "x5t#S256": thumbprint})


HOUR = timedelta(hours=1)

HOSTILE_REPORTS: dict[str, tuple[Callable[[Site], str], str]] = {
    "wrong key": (lambda site: report(site, key=ec.generate_private_key(ec.SECP256R1())), "report-signature"),
    "other device's": (lambda site: report(site, "radiologist"), "report-of-another-device"),
    "truncated": (lambda site: report(site)[:200], "report-malformed"),
    # A length that no base64url has; one character more would decode by chance.
    "truncated signature": (lambda site: report(site)[:-9], "report-malformed"),
    "future-dated": (lambda site: report(site, now=datetime.now(UTC) + HOUR), "report-not-current"),
    "old": (lambda site: report(site, now=datetime.now(UTC) - HOUR), "report-not-current"),
    "unsigned": (unsigned, "report-algorithm"),
    "of another type": (another_type, "report-algorithm"),
    "for another site": (lambda site: report(site, site="south"), "report-audience"),
    "made-up nonce": (lambda site: report(site, nonce=base64url(bytes(56))), "report-nonce"),
    "another's nonce": (lambda site: report(site, nonce=site.nonce("radiologist")), "report-nonce"),
    "not a report": (lambda site: "{}", "report-malformed"),
}


@pytest.mark.parametrize("case", HOSTILE_REPORTS)
def test_hostile_report_has_no_effect_and_a_reason_of_its_own(site: Site, case: str) -> None:
    make, code = HOSTILE_REPORTS[case]
    content = make(site)
    status = 400 if code in ("report-malformed", "report-algorithm") else 403
    decision = site.refused(post(content), status, code, who="technologist")
    assert decision["verdict"]["reasons"] == [code]
    assert site.judge.caller.ask(SEARCH, "technologist").status == 200


def test_report_is_taken_once(site: Site) -> None:
    good = report(site)
    reply = site.judge.caller.ask(post(good), "technologist")
    assert (reply.status, reply.json["accepted"]) == (200, True)
    assert site.judge.decision(reply)["report"]["source"] == "agent"
    site.refused(post(good), 409, "report-replayed", who="technologist")


def test_missing_posture_is_refused(site: Site) -> None:
    new = issue_client(site.issued("ca"), "brand-new")
    new.write(site.pki, "brand-new")
    decision = site.refused(SEARCH, 403, "posture-missing", who="brand-new")
    assert decision["input"]["device"]["posture"] == {}


def test_expired_posture_is_refused_and_told_with_source_and_age(site: Site) -> None:
    reply = site.judge.caller.ask(SEARCH, "stale")
    assert (reply.status, reply.reasons) == (403, ["posture-stale"])
    (told,) = reply.json["reasons"]
    firewall = next(each for each in told["attributes"] if each["name"] == "firewall")
    assert (firewall["source"], firewall["trust"]) == ("agent", "reported")
    assert firewall["age_s"] >= 1
    assert told["remedy"]


def test_failing_attribute_is_told(site: Site) -> None:
    reply = site.judge.caller.ask(SEARCH, "rooted")
    told = {each["code"]: each for each in reply.json["reasons"]}
    assert set(told) == {"posture-disk-unencrypted", "posture-malware-protection-off"}
    assert [each["name"] for each in told["posture-disk-unencrypted"]["attributes"]] == ["disk_encryption"]


# ------------------------------------------------------------------------------------------ revocation lists


def spoil_and_restore(site: Site, spoil: Callable[[Partner], None], code: str) -> None:
    """Good before, refused within seconds, good again: each is seen on one connection."""
    until(site, None)
    try:
        spoil(site.partner)
        until(site, code)
        decision = site.refused(SEARCH, 403, code, who=site.partner.credentials)
        assert decision["verdict"]["reasons"] == [code]
    finally:
        site.partner.restore()
    until(site, None)


def until(site: Site, code: str | None) -> None:
    """Until the partner's device is refused for ``code``, or by policy alone: its name is a radiologist's, and its
    device has told nothing of itself."""
    deadline = time.monotonic() + EFFECT_S
    while True:
        reasons = site.judge.caller.ask(SEARCH, site.partner.credentials).reasons
        if reasons == ([code] if code else ["posture-missing", "posture-stale"]) or (
            code is None and reasons == ["posture-missing"]
        ):
            return
        assert time.monotonic() < deadline, reasons
        time.sleep(0.1)


def _unlink(partner: Partner, name: str) -> None:
    (partner.folder / name).unlink()


SPOILED: dict[str, tuple[Callable[[Partner], None], str]] = {
    "unreadable": (lambda p: p.put("devices.crl", b"\x30\x82garbage"), "revocation-unreadable"),
    "gone": (lambda p: _unlink(p, "devices.crl"), "revocation-unreadable"),
    "wrong signer": (
        lambda p: p.put("devices.crl", p.crl(make_authority("Partner devices"))),
        "revocation-untrusted",
    ),
    "missing": (lambda p: p.put("devices.crl", p.crl(p.root)), "revocation-missing"),
    "intermediate's missing": (lambda p: p.put("root.crl", p.crl(p.intermediate)), "revocation-incomplete"),
    "intermediate's unreadable": (lambda p: p.put("root.crl", b""), "revocation-incomplete"),
    "revoked": (
        lambda p: p.put("devices.crl", p.crl(p.intermediate, p.device.certificate.serial_number)),
        "certificate-revoked",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_revocation_data_that_cannot_be_had_denies_with_its_own_reason(site: Site, case: str) -> None:
    spoil_and_restore(site, *SPOILED[case])


def test_list_that_ends_denies_from_that_moment(site: Site) -> None:
    """A newer list that ends in three seconds: good until then, stale after, without any file that changes."""
    spoil_and_restore(site, lambda p: p.put("devices.crl", p.crl(p.intermediate, days=3 / 86_400)), "revocation-stale")


def test_older_list_does_not_take_a_revocation_back(site: Site) -> None:
    until(site, None)
    other = issue_client(site.partner.intermediate, "radiologist")
    other.write(site.partner.folder, "other")
    credentials = str(site.partner.folder / "other.crt"), str(site.partner.folder / "other.key")
    before = (site.partner.folder / "devices.crl").read_bytes()
    site.partner.put("devices.crl", site.partner.crl(site.partner.intermediate, other.certificate.serial_number))
    deadline = time.monotonic() + EFFECT_S
    while site.judge.caller.ask(SEARCH, credentials).reasons != ["certificate-revoked"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    site.partner.put("devices.crl", before)
    time.sleep(3)
    site.refused(SEARCH, 403, "certificate-revoked", who=credentials)
    site.partner.restore()
    until(site, None)


# ------------------------------------------------------------------------------------------------- tokens


def minted(site: Site, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token as the dev issuer would give the workstation, but for what is changed, signed by its key."""
    dev = site.stack.dev
    signing = SigningKey(issuer_folder(dev.layout))
    moment = int(time.time())
    claims = {
        "iss": issuer_url(dev.ports),
        "sub": "clinician",
        "aud": "dev",
        "client_id": "workstation",
        "iat": moment,
        "exp": moment + 300,
        "cnf": {"x5t#S256": bound_to(site, "workstation")},
        **changes,
    }
    payload = {name: value for name, value in claims.items() if value is not ABSENT}
    return jwt.encode(
        payload,
        signing.private,
        algorithm=dev_issuer.ALGORITHM,
        headers={"typ": "at+jwt", "kid": signing.kid, **(header or {})},
    )


def bound_to(site: Site, name: str) -> str:
    return base64url(hashlib.sha256(site.issued(name).certificate.public_bytes(Encoding.DER)).digest())


def none_signed(site: Site) -> str:
    header, payload, _ = (jwt.utils.base64url_decode(part) for part in minted(site).split("."))
    return compact(json.dumps({**json.loads(header), "alg": "none"}).encode(), payload)


HOSTILE_TOKENS: dict[str, tuple[Callable[[Site], str], int, str]] = {
    "JWKS down": (lambda site: minted(site, iss=NOBODY), 503, "token-keys-unavailable"),
    "alg none": (none_signed, 401, "token-algorithm"),
    "wrong audience": (lambda site: minted(site, aud="another site"), 401, "token-audience"),
    "expired": (lambda site: minted(site, exp=int(time.time()) - 60), 401, "token-expired"),
    "not yet": (lambda site: minted(site, nbf=int(time.time()) + 600), 401, "token-not-yet-valid"),
    "unbound": (lambda site: minted(site, cnf=ABSENT), 401, "token-unbound"),
    "bound to another": (
        lambda site: minted(site, cnf={"x5t#S256": bound_to(site, "radiologist")}),
        403,
        "token-of-another-device",
    ),
    "other issuer": (lambda site: minted(site, iss="https://elsewhere.example"), 401, "token-issuer"),
    "ID token": (lambda site: minted(site, header={"typ": "JWT"}), 401, "token-algorithm"),
    "unknown key": (lambda site: minted(site, header={"kid": "../../etc/passwd"}), 401, "token-signature"),
    "no token at all": (lambda site: "xyz", 401, "token-malformed"),
}


@pytest.mark.parametrize("case", HOSTILE_TOKENS)
def test_hostile_token_is_refused_with_its_own_reason(site: Site, case: str) -> None:
    make, status, code = HOSTILE_TOKENS[case]
    token = make(site)
    raw = request("GET", "/dicom-web/studies?limit=1", f"Authorization: Bearer {token}")
    decision = site.refused(raw, status, code, who="workstation")
    assert decision["verdict"]["reasons"] == [code]
    assert decision["input"]["subject"]["user"] is None
    assert_secret(site, token)


def test_user_on_the_device_is_who_asks(site: Site) -> None:
    token = take_token(site.stack.dev.ports, site.stack.dev.pki, "workstation")
    raw = request("GET", "/dicom-web/studies?limit=1", f"Authorization: Bearer {token}")
    before = site.stack.relay.count
    reply = site.judge.caller.ask(raw, "workstation")
    assert reply.status == 200
    subject = site.judge.decision(reply)["input"]["subject"]
    assert (subject["user"]["id"], subject["user"]["issuer"]) == ("dev/clinician", "dev")
    seen = site.stack.relay.since(before)
    assert seen
    assert all(token.encode() not in asked.head for asked in seen)
    assert_secret(site, token)


def test_without_its_user_the_workstation_may_nothing(site: Site) -> None:
    reply = site.judge.caller.ask(SEARCH, "workstation")
    assert reply.status == 403
    assert site.judge.decision(reply)["input"]["subject"]["user"] is None


def test_token_of_another_device_raises_an_alarm(site: Site) -> None:
    token = take_token(site.stack.dev.ports, site.stack.dev.pki, "workstation")
    before = site.stack.metric("alarms_total", reason="token-of-another-device")
    raw = request("GET", "/dicom-web/studies?limit=1", f"Authorization: Bearer {token}")
    site.refused(raw, 403, "token-of-another-device", who="radiologist")
    assert site.stack.metric("alarms_total", reason="token-of-another-device") == before + 1


def test_two_tokens_are_none(site: Site) -> None:
    token = take_token(site.stack.dev.ports, site.stack.dev.pki, "workstation")
    fields = [f"Authorization: Bearer {token}"] * 2
    reply = site.judge.caller.ask(request("GET", "/dicom-web/studies?limit=1", *fields), "workstation")
    assert reply.status in (400, 401)


def assert_secret(site: Site, token: str) -> None:
    """It stands in no log and no record."""
    signature = token.rpartition(".")[2].encode() or token.encode()
    if len(signature) < 20:
        return
    layout = site.stack.dev.layout
    for path in [*layout.log.iterdir(), *layout.spool.rglob("*")]:
        if path.is_file():
            assert signature not in path.read_bytes(), path.name


# ------------------------------------------------------------------------------------------------ the rest


def test_devices_of_two_authorities_with_one_name_differ(site: Site) -> None:
    own = site.judge.decision(site.judge.caller.ask(SEARCH))
    partner = site.judge.decision(site.judge.caller.ask(SEARCH, site.partner.credentials))
    assert own["input"]["subject"]["certificate"]["name"] == DOMAIN + "radiologist"
    assert partner["input"]["subject"]["certificate"]["name"] == DOMAIN + "radiologist"
    assert own["input"]["device"]["id"] != partner["input"]["device"]["id"]


def test_change_of_posture_is_an_event_and_its_repetition_none(site: Site) -> None:
    def told(values: dict[str, Any]) -> list[str]:
        reply = site.judge.caller.ask(post(report(site, values=values)), "technologist")
        assert reply.status == 200
        time.sleep(0.5)
        return events_of(site, reply.decision)

    changed = {**dev_posture.COMPLIANT, "patch_age_days": 7}
    assert told(changed) == [site.stack.dev.pki.device_id("technologist")]
    assert told(changed) == []
    assert told(dict(dev_posture.COMPLIANT)) != []


def events_of(site: Site, decision: str) -> list[str]:
    reader = current_reader(site.stack.dev.layout.spool)
    try:
        bodies = [json.loads(row.body) for row in reader.rows(0, reader.count()) if row.kind == Kind.EVENT]
    finally:
        reader.close()
    told = [body for body in bodies if body["event"] == "posture" and body["decision"] == decision]
    return [device for body in told for device in body["devices"]]


def test_certificates_of_today_carry_what_the_tests_say(site: Site) -> None:
    """The partner's device is of an intermediate authority, so that the chain is really built."""
    assert site.partner.device.certificate.issuer == site.partner.intermediate.certificate.subject
    names = site.partner.device.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [DOMAIN + "radiologist"]
