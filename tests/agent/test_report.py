"""The report, held against another implementation of its check; and values of somebody else."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from proxy.agent import algorithm_of, checked_values, make_report
from proxy.errors import ConfigurationError
from tests.agent.site import KEYS, make_device

MOMENT = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
VALUES: dict[str, bool | int | str] = {"disk_encryption": True, "patch_age_days": 3, "os_name": "debian"}


@pytest.mark.parametrize("algorithm", KEYS)
def test_report_verifies_by_the_certificates_key_and_says_just_what_it_must(algorithm: str) -> None:
    device = make_device(algorithm)
    made = make_report(
        VALUES, site="north", nonce="n-1", certificate=device.certificate, key=device.key, now=MOMENT, valid_s=1.5
    )
    digest = hashlib.sha256(device.certificate.public_bytes(Encoding.DER)).digest()
    assert jwt.get_unverified_header(made) == {
        "alg": algorithm,
        "typ": "dicomward-posture+jwt",
        "x5t#S256": base64.urlsafe_b64encode(digest).decode().rstrip("="),
    }
    public: Any = device.certificate.public_key()
    loose = {"verify_exp": False, "verify_iat": False}
    said = jwt.decode(made, public, algorithms=[algorithm], audience="north", options=loose)
    seconds = 1795348800.123
    assert said == {"aud": "north", "iat": seconds, "nonce": "n-1", "posture": VALUES, "exp": round(seconds + 1.5, 3)}
    other: Any = make_device(algorithm).certificate.public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(made, other, algorithms=[algorithm], audience="north", options=loose)


def test_end_is_told_only_where_it_is_asked_for() -> None:
    device = make_device()
    made = make_report(VALUES, site="n", nonce="n", certificate=device.certificate, key=device.key, now=MOMENT)
    assert set(json.loads(base64.urlsafe_b64decode(made.split(".")[1] + "=="))) == {"aud", "iat", "nonce", "posture"}


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 1024),
        "a key",
    ],
    ids=["secp256k1", "Ed448", "RSA 1024", "text"],
)
def test_other_keys_are_refused(key: object) -> None:
    with pytest.raises(ConfigurationError, match="P-256"):
        algorithm_of(key)


@pytest.mark.parametrize(
    ("read", "why"),
    [
        ([], "not a JSON object"),
        ({}, "not a JSON object"),
        ({"Firewall": True}, "no name"),
        ({"a" * 65: True}, "no name"),
        ({"firewall": "yes"}, "firewall is not of type bool"),
        ({"firewall": 1}, "firewall is not of type bool"),
        ({"patch_age_days": True}, "patch_age_days is not of type int"),
        ({"own": 1.5}, "own is not"),
        ({"own": None}, "own is not"),
        ({"own": [True]}, "own is not"),
        ({"own": 2**53}, "too long"),
        ({"own": "x" * 129}, "too long"),
        ({f"a{n}": True for n in range(65)}, "more than 64"),
    ],
)
def test_values_that_are_none_are_refused_by_name(read: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        checked_values(read)


@given(
    st.dictionaries(
        st.from_regex(r"own_[a-z0-9_]{0,20}", fullmatch=True),
        st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=128),
        min_size=1,
        max_size=64,
    )
)
def test_values_of_a_site_of_its_own_are_taken_as_they_are(values: dict[str, bool | int | str]) -> None:
    assert checked_values(values) == values
