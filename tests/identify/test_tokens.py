"""Access tokens: one hostile token a reason, and whatever else may be sent in their place."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy import strict
from proxy.identify import tokens
from proxy.identify.keys import KeyCache
from proxy.identify.tokens import BadToken
from proxy.model import Reason, User
from tests.identify.issuing import (
    ABSENT,
    AUDIENCE,
    LAPTOP,
    NOW,
    SECOND,
    URL,
    WORKSTATION,
    Clock,
    Issuer,
    base64url,
    bearer,
    claims,
    compact,
    jwks,
    put,
    settings,
    sign,
    sign_with_secret,
    thumbprint,
)

MOMENT = int(NOW.timestamp())
FINGERPRINT = hashlib.sha256(WORKSTATION).hexdigest()


class Site:
    """One issuer, its settings, and what a token is judged to be."""

    def __init__(
        self, folder: Path, issuer: Issuer | None = None, published: bytes | None = None, **changes: Any
    ) -> None:
        self.issuer = issuer or Issuer()
        self.path = folder / "jwks.json"
        put(self.path, jwks(self.issuer.jwk()) if published is None else published)
        self.clock = Clock()
        changes.setdefault("algorithms", (self.issuer.algorithm,))
        self.keys = KeyCache(settings(self.path, **changes), self.clock)

    def judge(self, token: str) -> User | BadToken:
        return self.judge_as_sent(*bearer(token))

    def judge_as_sent(self, *authorization: bytes) -> User | BadToken:
        return tokens.judge(authorization, {URL: self.keys}, FINGERPRINT, self.clock.now)

    def reason(self, token: str) -> Reason:
        found = self.judge(token)
        assert isinstance(found, BadToken), found
        return found.reason


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "RS256", "PS256"])
def test_good_token_names_its_user(tmp_path: Path, algorithm: str) -> None:
    issuer = Issuer(algorithm)
    user = Site(tmp_path, issuer).judge(issuer.token())
    assert user == User(
        id="clinic/4711",
        issuer="clinic",
        subject="4711",
        roles=(),
        purpose=None,
        expires_at=datetime.fromtimestamp(MOMENT + 305, UTC),
    )


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER   "])
def test_scheme_is_compared_without_case(site: Site, scheme: bytes) -> None:
    assert isinstance(site.judge_as_sent(scheme + site.issuer.token().encode()), User)


# ----------------------------------------------------------------------------------------- form


def test_two_values_of_authorization_are_malformed(site: Site) -> None:
    value = bearer(site.issuer.token())
    assert site.judge_as_sent(*value, *value) == BadToken(reason=Reason.TOKEN_MALFORMED)


@pytest.mark.parametrize("scheme", [b"Basic ", b"DPoP ", b"", b"Bearer", b"Bearer\t", b" Bearer ", b"Bearer Bearer "])
def test_another_scheme_is_malformed(site: Site, scheme: bytes) -> None:
    assert site.judge_as_sent(scheme + site.issuer.token().encode()) == BadToken(reason=Reason.TOKEN_MALFORMED)


def spoiled(token: str) -> list[str]:
    header, payload, signature = token.split(".")
    return [
        "",
        "..",
        f"{header}.{payload}",
        f"{token}.",
        f"{token}.{signature}",
        f"{token}=",
        f"{header}.{payload[:-1]}.{signature}",
        f"{header}.{payload}.{signature} ",
        f"{header}.{payload}.{signature}\n",
        f"{header}.{payload}.{signature[:-1]}+",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}.{signature}, Bearer {token}",
        "A" * 17_000 + f".{payload}.{signature}",
    ]


@pytest.mark.parametrize("number", range(13))
def test_token_not_in_compact_form_is_malformed(site: Site, number: int) -> None:
    assert site.reason(spoiled(site.issuer.token())[number]) is Reason.TOKEN_MALFORMED


def test_token_longer_than_is_read_is_malformed_though_signed(site: Site) -> None:
    value = f"Bearer  {site.issuer.token(note='a' * 5_400)}".encode()
    assert len(value) < 8_000, "what the grammar of requests takes"
    most = value.replace(b" ", b" " * (8_001 - len(value)), 1)
    assert len(most) == 8_000
    assert isinstance(site.judge_as_sent(most), User)
    assert site.judge_as_sent(b"Bearer " + most[6:]) == BadToken(reason=Reason.TOKEN_MALFORMED)


def test_second_spelling_of_the_same_signature_is_malformed(site: Site) -> None:
    token = site.issuer.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(token[-1])
    assert last % 16 == 0  # 64 bytes leave four bits that encoders set to zero
    assert site.reason(token[:-1] + alphabet[last + 1]) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"iss":1}',
        b"\xff\xfe",
        json.dumps(claims()).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(claims()).encode(),
        json.dumps(claims()).encode().replace(b'"aud"', b'"aud":"pacs-south","aud"'),
        json.dumps(claims()).encode().replace(b'"aud"', b'"aud":"pacs-north","\\u0061ud"'),
        json.dumps(claims()).encode().replace(b'{"x5t', b'{"x5t#S256":"A","x5t'),
        json.dumps(claims()).encode()[:-1] + b',"x":NaN}',
        json.dumps(claims()).encode()[:-1] + b',"x":' + b"9" * 5000 + b"}",
        json.dumps(claims()).encode()[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=lambda payload: repr(payload[:12]) + str(len(payload)),
)
def test_payload_that_is_not_plain_json_is_malformed_though_signed(site: Site, payload: bytes) -> None:
    assert site.reason(site.issuer.sign(payload)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}",
        b'{"alg":null,"typ":"at+jwt"}',
        b'{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"k1"}',
        b'{"alg":"ES256","typ":"at+jwt","kid":"k1","kid":"k2"}',
        b'{"alg":"ES256","typ":"at+jwt","kid":1}',
        b'{"alg":"ES256","typ":"at+jwt","kid":""}',
        b'{"alg":"ES256","typ":["at+jwt"],"kid":"k1"}',
        b'{"alg":"ES256","typ":"at+jwt","kid":"k1","crit":["exp"],"exp":1}',
        b'{"alg":"ES256","typ":"at+jwt","kid":"k1","crit":[]}',
        b'{"alg":"ES256","typ":"at+jwt","kid":"k1","crit":["b64"],"b64":false}',
    ],
)
def test_header_that_is_ill_formed_or_critical_is_malformed(site: Site, header: bytes) -> None:
    token = sign("ES256", site.issuer.key, header, json.dumps(claims()).encode())
    assert site.reason(token) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("iss", [ABSENT, None, 1, "", ["a"], "a" * 600]),
        ("sub", [ABSENT, None, 7, "", "a" * 257, "a\nb", "a\u0000", "a\u202eb", "\ud800", {}]),
        ("aud", [ABSENT, None, 1, [], [1], [AUDIENCE, None], {"a": 1}, [[AUDIENCE]], [AUDIENCE] * 65]),
        ("exp", [ABSENT, None, "1", True, -1, 1e300, MOMENT * 1000, [MOMENT]]),
        ("iat", [ABSENT, None, "1", False, -1, MOMENT * 1000]),
        ("nbf", [None, "1", True, -5, MOMENT * 1000]),
        (
            "cnf",
            [
                None,
                "text",
                [],
                thumbprint(WORKSTATION),
                {"x5t#S256": None},
                {"x5t#S256": 5},
                {"x5t#S256": ""},
                {"x5t#S256": [thumbprint(WORKSTATION)]},
                {"x5t#S256": thumbprint(WORKSTATION) + "="},
                {"x5t#S256": "é" * 43},
                {"x5t#S256": FINGERPRINT},
                {"x5t#S256": base64url(b"short")},
            ],
        ),
    ],
)
def test_claim_that_is_missing_or_of_another_type_is_malformed(site: Site, name: str, values: list[Any]) -> None:
    for value in values:
        assert site.reason(site.issuer.token(**{name: value})) is Reason.TOKEN_MALFORMED, value


def test_infinite_end_is_malformed(site: Site) -> None:
    payload = json.dumps(claims()).encode().replace(f'"exp": {MOMENT + 300}'.encode(), b'"exp": 1e999')
    assert b"1e999" in payload
    assert site.reason(site.issuer.sign(payload)) is Reason.TOKEN_MALFORMED


# ----------------------------------------------------------------------------------------- issuer and algorithm


@pytest.mark.parametrize("issuer", [URL + "/", URL.upper(), "https://evil.example", "clinic"])
def test_another_issuer_is_unknown(site: Site, issuer: str) -> None:
    assert site.reason(site.issuer.token(iss=issuer)) is Reason.TOKEN_ISSUER


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "RS256", "ES384", "ES256K", "es256", "ES256 "])
def test_algorithm_that_is_not_pinned_is_refused(site: Site, algorithm: str) -> None:
    payload = json.dumps(claims()).encode()
    assert site.reason(compact(site.issuer.header(alg=algorithm), payload)) is Reason.TOKEN_ALGORITHM
    signed = sign("ES256", site.issuer.key, site.issuer.header(alg=algorithm), payload)
    assert site.reason(signed) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_hmac_with_the_public_key_as_secret_is_refused(tmp_path: Path, algorithm: str) -> None:
    issuer = Issuer(algorithm)
    site, public = Site(tmp_path, issuer), issuer.key.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.jwk()).encode(),
        b"",
    ]
    for secret in secrets:
        token = sign_with_secret(secret, issuer.header(alg="HS256"), json.dumps(claims()).encode())
        assert site.reason(token) is Reason.TOKEN_ALGORITHM


def test_settings_that_name_hmac_still_verify_nothing_with_it(tmp_path: Path) -> None:
    site = Site(tmp_path, algorithms=("HS256", "none"))
    secret = site.issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    payload = json.dumps(claims()).encode()
    assert site.reason(sign_with_secret(secret, site.issuer.header(alg="HS256"), payload)) is Reason.TOKEN_ALGORITHM
    assert site.reason(compact(site.issuer.header(alg="none"), payload)) is Reason.TOKEN_ALGORITHM


def test_good_signature_of_an_algorithm_that_is_not_pinned_is_refused(tmp_path: Path) -> None:
    issuer = Issuer("RS256")
    site = Site(tmp_path, issuer, algorithms=("ES256",))
    assert site.reason(issuer.token()) is Reason.TOKEN_ALGORITHM


def test_key_of_another_type_than_the_algorithm_is_refused(tmp_path: Path) -> None:
    by_rsa, by_ec = Issuer("RS256", kid="rsa"), Issuer("ES256", kid="ec")
    site = Site(tmp_path, by_ec, jwks(by_rsa.jwk(), by_ec.jwk()), algorithms=("ES256", "RS256", "PS256"))
    assert site.reason(by_ec.token(header={"kid": "rsa"})) is Reason.TOKEN_ALGORITHM
    # The set says RS256 of this key; the same key under PS256 is another algorithm.
    rsa_as_pss = sign("PS256", by_rsa.key, by_rsa.header(alg="PS256"), json.dumps(claims()).encode())
    assert site.reason(rsa_as_pss) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("kind", [ABSENT, "JWT", "id_token+jwt", "logout+jwt", "dicomward-posture+jwt", "at+jw"])
def test_another_type_of_token_is_refused(site: Site, kind: Any) -> None:
    assert site.reason(site.issuer.token(header={"typ": kind})) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("kind", ["at+jwt", "application/at+jwt", "AT+JWT"])
def test_spellings_of_the_type_are_one(site: Site, kind: str) -> None:
    assert isinstance(site.judge(site.issuer.token(header={"typ": kind})), User)


def test_plain_type_is_taken_where_the_site_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, types=("JWT",))
    assert isinstance(site.judge(site.issuer.token(header={"typ": "JWT"})), User)
    assert site.reason(site.issuer.token()) is Reason.TOKEN_ALGORITHM


# ----------------------------------------------------------------------------------------- keys and signature


def test_key_of_another_issuer_does_not_verify(site: Site) -> None:
    assert site.reason(Issuer().token()) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    "kid", ["k2", "K1", "../../../../dev/null", "k1\u0000", "' OR 1=1 --", "https://evil.example/k1"]
)
def test_unknown_key_id_does_not_verify(site: Site, kid: str) -> None:
    assert site.reason(site.issuer.token(header={"kid": kid})) is Reason.TOKEN_SIGNATURE


def test_headers_that_bring_or_point_to_a_key_are_not_followed(site: Site) -> None:
    attacker = Issuer()
    for header in (
        {"jwk": attacker.jwk()},
        {"jku": "http://127.0.0.1:1/jwks"},
        {"x5u": "http://127.0.0.1:1/certificate"},
        {"x5c": [base64url(b"certificate")]},
    ):
        assert site.reason(attacker.token(header=header)) is Reason.TOKEN_SIGNATURE
        assert isinstance(site.judge(site.issuer.token(header=header)), User)


def test_signature_left_out_or_in_another_form_does_not_verify(site: Site) -> None:
    signed, _, signature = site.issuer.token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for spoiled_signature in (b"", raw[:-1], raw + b"\0", bytes(64), raw[32:] + raw[:32], b"\x30" + raw):
        assert site.reason(f"{signed}.{base64url(spoiled_signature)}") is Reason.TOKEN_SIGNATURE


def test_payload_of_another_token_does_not_verify(site: Site) -> None:
    header, _, signature = site.issuer.token().split(".")
    assert (
        site.reason(f"{header}.{base64url(json.dumps(claims(sub='1')).encode())}.{signature}") is Reason.TOKEN_SIGNATURE
    )


def test_token_without_key_id_needs_a_set_of_one_key(tmp_path: Path) -> None:
    first, second = Issuer(kid="k1"), Issuer(kid="k2")
    one = Site(tmp_path, first)
    assert isinstance(one.judge(first.token(header={"kid": ABSENT})), User)
    two = Site(tmp_path, first, jwks(first.jwk(), second.jwk()))
    assert two.reason(first.token(header={"kid": ABSENT})) is Reason.TOKEN_SIGNATURE
    assert isinstance(two.judge(second.token()), User)


@pytest.mark.parametrize(
    "published",
    [b"", b"garbage", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[],"keys":[]}', b'{"keys":[1,null,{}]}'],
)
def test_without_a_usable_key_set_nothing_can_be_verified(tmp_path: Path, published: bytes) -> None:
    site = Site(tmp_path, published=published)
    assert site.reason(site.issuer.token()) is Reason.TOKEN_KEYS_UNAVAILABLE
    assert (site.keys.failures, site.keys.generation) == (1, 0)


def test_weak_foreign_or_private_keys_are_left_out(tmp_path: Path) -> None:
    issuer = Issuer()
    weak = rsa.generate_private_key(65537, 1024)
    rsa_issuer = Issuer("RS256")
    rsa_issuer.key = weak
    secret = {"kty": "oct", "k": base64url(b"s" * 32), "kid": "k1", "alg": "HS256"}
    huge = {**Issuer("RS256").jwk(), "n": base64url((2**8199 + 1).to_bytes(1025, "big"))}
    private = {**issuer.jwk(), "d": base64url(b"\1" * 32)}
    ed448_key = {
        "kty": "OKP",
        "crv": "Ed448",
        "kid": "k1",
        "x": base64url(ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()),
    }
    unusable = [
        rsa_issuer.jwk(),
        secret,
        huge,
        private,
        ed448_key,
        issuer.jwk(use="enc"),
        issuer.jwk(use=["sig"]),
        issuer.jwk(key_ops=["sign"]),
        issuer.jwk(key_ops="verify"),
        issuer.jwk(kid=7),
        issuer.jwk(alg="ES384"),
        issuer.jwk(alg=None),
        issuer.jwk(crv="secp256k1"),
        issuer.jwk(crv="P-521"),
        issuer.jwk(x=base64url(b"\1" * 32)),
        issuer.jwk(x=5),
        issuer.jwk(y=ABSENT),
        {**Issuer("RS256").jwk(), "e": "AA"},
        {**Issuer("RS256").jwk(), "n": ["AQAB"]},
        {**Issuer("EdDSA").jwk(), "x": base64url(b"short")},
    ]
    for key in unusable:
        site = Site(tmp_path, published=jwks(key), algorithms=("ES256", "RS256", "EdDSA", "HS256"))
        assert site.reason(issuer.token()) is Reason.TOKEN_KEYS_UNAVAILABLE, key
    beside = Site(
        tmp_path, issuer, jwks(*[{**key, "kid": str(number)} for number, key in enumerate(unusable)], issuer.jwk())
    )
    assert isinstance(beside.judge(issuer.token()), User)


def test_set_of_too_many_keys_is_unusable(tmp_path: Path) -> None:
    issuer = Issuer()
    site = Site(tmp_path, issuer, jwks(issuer.jwk(), *[issuer.jwk(kid=str(number)) for number in range(64)]))
    assert site.reason(issuer.token()) is Reason.TOKEN_KEYS_UNAVAILABLE


def test_two_keys_of_one_id_make_the_set_unusable(tmp_path: Path) -> None:
    issuer = Issuer()
    for other in (Issuer().jwk(), Issuer("RS256").jwk(use="enc")):
        site = Site(tmp_path, issuer, jwks(issuer.jwk(), other))
        assert site.reason(issuer.token()) is Reason.TOKEN_KEYS_UNAVAILABLE


# ----------------------------------------------------------------------------------------- times, audience, binding


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": MOMENT - 3600}, Reason.TOKEN_EXPIRED),
        ({"exp": MOMENT - 5}, Reason.TOKEN_EXPIRED),
        ({"exp": 0}, Reason.TOKEN_EXPIRED),
        ({"nbf": MOMENT + 6}, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": MOMENT + 6}, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": MOMENT + 3600, "nbf": 0}, Reason.TOKEN_NOT_YET_VALID),
        ({"aud": "pacs-south"}, Reason.TOKEN_AUDIENCE),
        ({"aud": AUDIENCE.upper()}, Reason.TOKEN_AUDIENCE),
        ({"aud": ["account", AUDIENCE + "2"]}, Reason.TOKEN_AUDIENCE),
        ({"cnf": ABSENT}, Reason.TOKEN_UNBOUND),
        ({"cnf": {}}, Reason.TOKEN_UNBOUND),
        ({"cnf": {"jkt": thumbprint(WORKSTATION)}}, Reason.TOKEN_UNBOUND),
        ({"cnf": {"x5t#s256": thumbprint(WORKSTATION)}}, Reason.TOKEN_UNBOUND),
        ({"cnf": {"x5t#S256": thumbprint(LAPTOP)}}, Reason.TOKEN_OF_ANOTHER_DEVICE),
        ({"cnf": {"x5t#S256": thumbprint(LAPTOP)}, "exp": 0}, Reason.TOKEN_EXPIRED),
        ({"cnf": ABSENT, "aud": "pacs-south"}, Reason.TOKEN_AUDIENCE),
    ],
)
def test_signed_token_out_of_its_time_place_or_device(site: Site, changes: dict[str, Any], reason: Reason) -> None:
    found = site.judge(site.issuer.token(**changes))
    assert isinstance(found, BadToken)
    assert (found.reason, found.issuer) == (reason, "clinic")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": MOMENT - 4},
        {"exp": MOMENT + 0.5},
        {"nbf": MOMENT + 5, "iat": MOMENT + 5},
        {"aud": ["account", AUDIENCE]},
        {"cnf": {"jkt": "x", "x5t#S256": thumbprint(WORKSTATION)}},
        {"sub": "Müller, Jürgen"},
    ],
)
def test_signed_token_within_what_is_forgiven_is_taken(site: Site, changes: dict[str, Any]) -> None:
    assert isinstance(site.judge(site.issuer.token(**changes)), User)


def test_forged_token_is_told_nothing_of_its_claims(site: Site) -> None:
    forger = Issuer()
    for changes in ({"exp": 0}, {"aud": "x"}, {"cnf": ABSENT}):
        found = site.judge(forger.token(**changes))
        assert found == BadToken(reason=Reason.TOKEN_SIGNATURE, until=NOW + 3600 * SECOND)


# ----------------------------------------------------------------------------------------- roles and purpose


@pytest.mark.parametrize(
    ("path", "changes", "roles"),
    [
        ("roles", {"roles": ["b", "a", "b"]}, ("a", "b")),
        ("roles", {"roles": "b a"}, ("a", "b")),
        ("roles", {"roles": []}, ()),
        ("roles", {}, ()),
        ("realm_access.roles", {"realm_access": {"roles": ["radiologist"]}}, ("radiologist",)),
        ("realm_access.roles", {"realm_access": {}}, ()),
        ("https://clinic.example/roles", {"https://clinic.example/roles": ["a"]}, ("a",)),
        (None, {"roles": ["a"]}, ()),
    ],
)
def test_roles_of_the_claim(tmp_path: Path, path: str | None, changes: dict[str, Any], roles: tuple[str, ...]) -> None:
    site = Site(tmp_path, roles_claim=path)
    user = site.judge(site.issuer.token(**changes))
    assert isinstance(user, User)
    assert user.roles == roles


@pytest.mark.parametrize(
    "value", [1, {"a": 1}, [1], [""], ["a\n"], "", "a  b", ["a" * 129], [str(number) for number in range(129)], [["a"]]]
)
def test_roles_of_another_form_are_malformed(tmp_path: Path, value: Any) -> None:
    site = Site(tmp_path, roles_claim="roles")
    assert site.reason(site.issuer.token(roles=value)) is Reason.TOKEN_MALFORMED


def test_path_through_something_that_is_no_object_is_malformed(tmp_path: Path) -> None:
    site = Site(tmp_path, roles_claim="realm_access.roles")
    assert site.reason(site.issuer.token(realm_access=["roles"])) is Reason.TOKEN_MALFORMED


def test_purpose_of_the_claim(tmp_path: Path) -> None:
    site = Site(tmp_path, purpose_claim="purpose")
    user = site.judge(site.issuer.token(purpose="TREAT"))
    assert isinstance(user, User)
    assert user.purpose == "TREAT"
    silent = site.judge(site.issuer.token())
    assert isinstance(silent, User)
    assert silent.purpose is None
    for value in ("treat", "", "A" * 17, "TREAT\n", ["TREAT"], 5, "TRÉAT"):
        assert site.reason(site.issuer.token(purpose=value)) is Reason.TOKEN_MALFORMED


# ----------------------------------------------------------------------------------------- whatever is sent


PLACES = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), min_size=1, max_size=6)


@hypothesis_settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES)
def test_changed_bytes_never_name_another_user(site: Site, places: list[tuple[int, int]]) -> None:
    token = site.issuer.token()
    good = site.judge(token)
    spoiled_token = bytearray(token.encode())
    for place, change in places:
        spoiled_token[place % len(spoiled_token)] ^= change
    found = site.judge_as_sent(b"Bearer " + bytes(spoiled_token))
    assert isinstance(found, BadToken) or (found == good and bytes(spoiled_token) == token.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "cnf", "roles", "purpose"])


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=3))
@example({"roles": None, "purpose": None})
def test_claims_of_any_type_are_judged_without_an_error(site: Site, changes: dict[str, Any]) -> None:
    found = site.judge(site.issuer.token(**changes))
    if isinstance(found, User):
        assert found.subject == changes.get("sub", "4711")
        assert "cnf" not in changes
        assert "iss" not in changes


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_as_json_are_read_or_refused(content: bytes) -> None:
    value: object = ABSENT
    with suppress(ValueError):
        value = strict.loads(content)
    if value is not ABSENT:
        assert json.loads(content) == value


def test_nothing_of_a_token_is_in_what_is_returned_or_shown(site: Site) -> None:
    token = site.issuer.token(aud="elsewhere")
    signature = token.rpartition(".")[2]
    read = tokens.token_form.read(bearer(token))
    for shown in (repr(site.judge(token)), repr(read), repr(site.keys)):
        assert signature not in shown
        assert token.split(".")[1] not in shown
    with pytest.raises(ValueError, match="is not JSON") as refused:
        strict.loads(b'{"secret": tru')
    assert "secret" not in str(refused.value)


def test_end_is_that_of_token_or_keys_whichever_is_first(tmp_path: Path) -> None:
    site = Site(tmp_path, jwks_max_age_s=60)
    user = site.judge(site.issuer.token())
    assert isinstance(user, User)
    assert user.expires_at == NOW + 60 * SECOND
