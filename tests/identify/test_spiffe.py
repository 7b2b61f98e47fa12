"""SPIFFE IDs by the grammar of SPIFFE-ID 2, X.509-SVIDs by X509-SVID 2, 4 and 5."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.identify.names import is_spiffe_id
from proxy.model import Reason
from tests.identify.building import Site, judged

WORKLOAD = "spiffe://clinic.example/device/pc7"
DOMAIN = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=60)
SEGMENT = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=30).filter(
    lambda each: each not in (".", "..")
)
PATH = st.lists(SEGMENT, min_size=1, max_size=6)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def uris(*names: str) -> tuple[x509.UniformResourceIdentifier, ...]:
    return tuple(x509.UniformResourceIdentifier(name) for name in names)


@given(DOMAIN, PATH)
def test_every_name_by_the_grammar_is_one(domain: str, path: list[str]) -> None:
    assert is_spiffe_id(f"spiffe://{domain}/{'/'.join(path)}")


@given(DOMAIN, PATH, st.characters(exclude_characters=string.ascii_letters + string.digits + "._-/"), st.data())
@example("d", ["a"], "\n", None)
def test_no_name_has_another_character(domain: str, path: list[str], strange: str, data: Any) -> None:
    whole = f"spiffe://{domain}/{'/'.join(path)}"
    place = len(whole) if data is None else data.draw(st.integers(len("spiffe://"), len(whole)))
    assert not is_spiffe_id(whole[:place] + strange + whole[place:])


@given(st.text(max_size=80))
def test_nothing_is_one_by_accident(name: str) -> None:
    if is_spiffe_id(name):
        assert name.startswith("spiffe://")
        assert all(name.removeprefix("spiffe://").split("/"))


BAD = [
    "spiffe://clinic.example",
    "spiffe://clinic.example/",
    "spiffe://clinic.example/device/",
    "spiffe://clinic.example//device",
    "spiffe://clinic.example/./device",
    "spiffe://clinic.example/../device",
    "spiffe://clinic.example/device?x=1",
    "spiffe://clinic.example/device#x",
    "spiffe://clinic.example:443/device",
    "spiffe://user@clinic.example/device",
    "spiffe://Clinic.example/device",
    "SPIFFE://clinic.example/device",
    "spiffe:///device",
    "spiffe:/clinic.example/device",
    "spiffe://clinic.example/dev%69ce",
    "https://clinic.example/device",
    "spiffe://" + "a" * 256 + "/device",
    "spiffe://clinic.example/" + "a" * 2048,
]


@pytest.mark.parametrize("name", BAD)
def test_name_that_is_no_spiffe_id_names_no_device(site: Site, name: str) -> None:
    assert not is_spiffe_id(name)
    principal = judged(site.certificates(device_san="spiffe"), site.issue(names=uris(name)))
    assert (principal.reasons, principal.device, principal.name) == ((Reason.CERTIFICATE_PROFILE,), None, "")


def test_longest_name_is_one() -> None:
    name = "spiffe://clinic.example/"
    assert is_spiffe_id(name + "a" * (2048 - len(name)))
    assert not is_spiffe_id(name + "a" * (2049 - len(name)))


def test_workload_is_a_device(site: Site) -> None:
    principal = judged(site.certificates(device_san="spiffe"), site.issue(names=uris(WORKLOAD)))
    assert (principal.reasons, principal.name) == ((), WORKLOAD)
    beside = site.issue(names=(*uris(WORKLOAD), x509.DNSName("pc7.clinic.example")))
    assert judged(site.certificates(device_san="spiffe"), beside).reasons == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"names": uris(WORKLOAD, "https://clinic.example/")},
        {"names": uris(WORKLOAD, WORKLOAD)},
        {"names": (x509.DNSName("pc7.clinic.example"),)},
        {"usages": None},
        {"usages": ("digital_signature", "crl_sign")},
        {"usages": ("digital_signature", "key_cert_sign")},
        {"usages": ("key_agreement",)},
        {"is_ca": True},
    ],
    ids=["another-uri", "twice", "no-uri", "no-usage", "signs-lists", "signs-certificates", "no-signatures", "a-ca"],
)
def test_what_is_no_svid_is_refused(site: Site, settings: dict[str, Any]) -> None:
    leaf = site.issue(**{"names": uris(WORKLOAD), **settings})
    assert judged(site.certificates(device_san="spiffe"), leaf).reasons == (Reason.CERTIFICATE_PROFILE,)


def test_authority_is_held_to_its_trust_domain(site: Site) -> None:
    site.files = replace(site.files, names=("spiffe://clinic.example/",))
    certificates = site.certificates(device_san="spiffe")
    assert judged(certificates, site.issue(names=uris(WORKLOAD))).reasons == ()
    for name in ("spiffe://clinic.example.evil/device/pc7", "spiffe://evil/clinic.example/device"):
        assert judged(certificates, site.issue(names=uris(name))).reasons == (Reason.CERTIFICATE_NAME,)
