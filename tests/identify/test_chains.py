"""What an authority is held to: depth, names, constraints in its certificates, keys and signatures of the chain."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.dev.pki import Issued, issue_certificate, make_authority
from proxy.identify import Certificates
from proxy.model import Reason, Role
from tests.identify.building import DAY, HOUR, NOW, Site, judged, signed_with_sha1

P256, P384 = ec.SECP256R1(), ec.SECP384R1()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def uri(name: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(name)


def below(authority: Issued, *names: x509.GeneralName, **settings: Any) -> Issued:
    return issue_certificate(authority, "radiologist", **{"not_before": NOW - HOUR, "names": names or None, **settings})


# ------------------------------------------------------------------------------------------------ depth


@pytest.mark.parametrize(("between", "depth"), [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (8, 8)])
def test_more_authorities_between_than_configured_are_refused(site: Site, between: int, depth: int) -> None:
    lowest = site.authority
    for number in range(between):
        lowest = site.below(f"middle-{number}", parent=lowest)
    site.files = replace(site.files, depth=depth)
    expected = (Reason.CERTIFICATE_DEPTH,) if between > depth else ()
    assert judged(site.certificates(), below(lowest)).reasons == expected


def test_path_length_of_an_authority_is_kept(tmp_path: Path) -> None:
    site = Site(tmp_path, authority=make_authority("site", NOW, path_length=0))
    middle = site.below()
    principal = judged(site.certificates(), below(middle))
    assert (principal.reasons, principal.device) == ((Reason.CERTIFICATE_DEPTH,), None)
    assert judged(site.certificates(), site.issue()).reasons == ()


def test_intermediate_that_is_not_configured_issues_to_nobody(site: Site) -> None:
    middle = make_authority("middle", NOW, parent=site.authority)
    assert judged(site.certificates(), below(middle)).reasons == (Reason.CERTIFICATE_UNTRUSTED,)


def test_intermediate_of_another_root_is_not_trusted_for_being_configured(site: Site) -> None:
    foreign = make_authority("foreign", NOW)
    middle = site.below("middle", parent=foreign)
    principal = judged(site.certificates(), below(middle))
    assert (principal.reasons, principal.authority) == ((Reason.CERTIFICATE_UNTRUSTED,), "")


def test_expired_intermediate_ends_what_is_below_it(site: Site, tmp_path: Path) -> None:
    middle = site.below()
    short = issue_certificate(
        site.authority,
        "middle",
        not_before=NOW - DAY,
        not_after=NOW + HOUR,
        is_ca=True,
        purposes=None,
        names=(),
        usages=("key_cert_sign", "crl_sign"),
        key=middle.key,
    )
    (tmp_path / "middle.crt").write_bytes(short.certificate_pem())
    certificates = site.certificates()
    good = judged(certificates, below(middle))
    assert (good.reasons, good.expires_at) == ((), NOW + HOUR)
    assert judged(certificates, below(middle), NOW + 2 * HOUR).reasons == (Reason.CERTIFICATE_EXPIRED,)


def test_intermediate_for_servers_alone_issues_to_no_client(site: Site, tmp_path: Path) -> None:
    middle = site.below()
    narrow = issue_certificate(
        site.authority,
        "middle",
        not_before=NOW - DAY,
        is_ca=True,
        purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
        names=(),
        usages=("key_cert_sign", "crl_sign"),
        key=middle.key,
    )
    (tmp_path / "middle.crt").write_bytes(narrow.certificate_pem())
    assert judged(site.certificates(), below(middle)).reasons == (Reason.CERTIFICATE_PROFILE,)


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("permitted", "name", "fits"),
    [
        ((), "urn:anything", True),
        (("urn:pc:",), "urn:pc:7", True),
        (("urn:pc:",), "urn:pcx:7", False),
        (("urn:pc:",), "urn:pc:", False),
        (("urn:pc",), "urn:pc:7", False),
        (("urn:pc:7",), "urn:pc:7", True),
        (("urn:a:", "https://devices.example/"), "https://devices.example/7", True),
        (("https://devices.example/",), "https://devices.example.evil/7", False),
        (("https://devices.example/",), "HTTPS://devices.example/7", False),
    ],
)
def test_authority_names_no_device_beyond_its_names(
    site: Site, permitted: tuple[str, ...], name: str, fits: bool
) -> None:
    site.files = replace(site.files, names=permitted)
    expected = () if fits else (Reason.CERTIFICATE_NAME,)
    assert judged(site.certificates(), site.issue(names=(uri(name),))).reasons == expected


@pytest.mark.parametrize(
    ("permitted", "name", "fits"),
    [
        ((".clinic.example",), "pc7.clinic.example", True),
        ((".clinic.example",), "PC7.Clinic.Example", True),
        ((".clinic.example",), "pc7.evilclinic.example", False),
        ((".clinic.example",), "clinic.example", False),
        (("pc7.clinic.example",), "pc7.clinic.example", True),
        (("clinic.example",), "pc7.clinic.example", False),
    ],
)
def test_authority_names_no_host_beyond_its_names(
    site: Site, permitted: tuple[str, ...], name: str, fits: bool
) -> None:
    site.files = replace(site.files, names=permitted)
    expected = () if fits else (Reason.CERTIFICATE_NAME,)
    leaf = site.issue(names=(x509.DNSName(name),))
    assert judged(site.certificates(device_san="dns"), leaf).reasons == expected


@pytest.mark.parametrize("name", ["*.clinic.example", "pc 7", "pc7\n", "\x00"])
def test_name_that_is_none_of_one_device_is_refused(site: Site, name: str) -> None:
    leaf = site.issue(names=(x509.DNSName(name),))
    assert judged(site.certificates(device_san="dns"), leaf).reasons == (Reason.CERTIFICATE_PROFILE,)


def directory(unit: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, unit)]))


@pytest.mark.parametrize(
    ("permitted", "excluded", "leaf", "fits"),
    [
        ([x509.DNSName("clinic.example")], None, x509.DNSName("pc7.clinic.example"), True),
        ([x509.DNSName("clinic.example")], None, x509.DNSName("pc7.evil.example"), False),
        (None, [x509.DNSName("evil.example")], x509.DNSName("pc7.evil.example"), False),
        ([uri("clinic.example")], None, uri("https://clinic.example/pc7"), True),
        ([uri("clinic.example")], None, uri("https://evil.example/pc7"), False),
        ([uri("clinic.example")], None, uri("urn:pc:7"), False),
        ([directory("Clinic")], None, uri("urn:pc:7"), False),
        ([x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))], None, uri("urn:pc:7"), True),
    ],
    ids=["dns", "dns-other", "dns-excluded", "uri", "uri-other", "uri-without-host", "subject", "of-another-kind"],
)
def test_name_constraints_of_an_intermediate_are_kept(
    site: Site,
    permitted: list[x509.GeneralName] | None,
    excluded: list[x509.GeneralName] | None,
    leaf: x509.GeneralName,
    fits: bool,
) -> None:
    constraints = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded)
    middle = site.below(constraints=constraints)
    kind = "dns" if isinstance(leaf, x509.DNSName) else "uri"
    principal = judged(site.certificates(device_san=kind), below(middle, leaf))
    assert principal.reasons == (() if fits else (Reason.CERTIFICATE_NAME,))
    assert principal.authority == "site"


# ------------------------------------------------------------------------------------------------ roles


def with_units(site: Site, *units: str) -> Issued:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    return site.issue(subject=x509.Name(attributes))


def test_units_of_the_subject_are_roles_where_the_site_says_so(site: Site) -> None:
    leaf = with_units(site, "research", "mammography", "research")
    assert judged(site.certificates(), leaf).roles == ()
    site.files = replace(site.files, roles_from_organizational_unit=True)
    principal = judged(site.certificates(), leaf)
    assert principal.roles == (
        Role(name="mammography", source="certificate"),
        Role(name="research", source="certificate"),
    )
    assert judged(site.certificates(), site.issue()).roles == ()


@pytest.mark.parametrize(
    "units",
    [["röntgen"], ["a\nb"], [f"role-{number}" for number in range(33)]],
    ids=["not-ascii", "control", "too-many"],
)
def test_units_that_are_no_roles_are_refused(site: Site, units: list[str]) -> None:
    leaf = with_units(site, *units)
    assert judged(site.certificates(), leaf).reasons == ()
    site.files = replace(site.files, roles_from_organizational_unit=True)
    principal = judged(site.certificates(), leaf)
    assert (principal.reasons, principal.roles) == ((Reason.CERTIFICATE_PROFILE,), ())


# --------------------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize(
    ("profile", "authority", "leaf", "algorithm", "fits"),
    [
        ("strong", P256, P256, hashes.SHA256(), True),
        ("strong", P256, P256, hashes.SHA224(), False),
        ("compatible", P256, P256, hashes.SHA224(), True),
        ("cnsa", P384, P384, hashes.SHA384(), True),
        ("cnsa", P384, P384, hashes.SHA512(), True),
        ("cnsa", P384, P384, hashes.SHA256(), False),
        ("cnsa", P384, P256, hashes.SHA384(), False),
        ("cnsa", P256, P384, hashes.SHA384(), False),
        ("cnsa", P384, ec.SECP521R1(), hashes.SHA384(), False),
        ("strong", P256, ec.SECP521R1(), hashes.SHA512(), True),
    ],
)
def test_profile_holds_for_curves_and_hashes(
    tmp_path: Path,
    profile: str,
    authority: ec.EllipticCurve,
    leaf: ec.EllipticCurve,
    algorithm: hashes.HashAlgorithm,
    fits: bool,
) -> None:
    made = make_authority("site", NOW, key=ec.generate_private_key(authority), algorithm=hashes.SHA384())
    site = Site(tmp_path, authority=made)
    site.files = replace(site.files, profile=profile)
    certificates = Certificates([site.files], "uri")
    presented = site.issue(key=ec.generate_private_key(leaf), algorithm=algorithm)
    reasons = judged(certificates, presented).reasons
    assert (Reason.CERTIFICATE_PROFILE in reasons) is not fits


@pytest.mark.parametrize("profile", ["compatible", "strong", "cnsa"])
def test_profile_holds_for_the_whole_chain(tmp_path: Path, profile: str) -> None:
    made = make_authority("site", NOW, key=ec.generate_private_key(P384), algorithm=hashes.SHA384())
    site = Site(tmp_path, authority=made)
    middle = site.below("middle", algorithm=hashes.SHA384())  # its key is of P-256
    site.files = replace(site.files, profile=profile)
    leaf = below(middle, key=ec.generate_private_key(P384), algorithm=hashes.SHA384())
    assert (Reason.CERTIFICATE_PROFILE in judged(site.certificates(), leaf).reasons) is (profile == "cnsa")


def test_intermediate_signed_over_sha1_is_refused_with_all_below_it(site: Site, tmp_path: Path) -> None:
    middle = site.below()
    weak = x509.load_der_x509_certificate(signed_with_sha1(middle, site.authority))
    (tmp_path / "middle.crt").write_bytes(weak.public_bytes(Encoding.PEM))
    assert judged(site.certificates(), below(middle)).reasons == (Reason.CERTIFICATE_PROFILE,)


class Root:
    """An authority with a key of another kind than the dev stack makes."""

    def __init__(self, folder: Path, key: Any, sign: Callable[[Any, Any], Any]) -> None:
        self.key, self._sign, self._name = key, sign, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        self.site = Site(folder)
        self.site.write(self.issue(self._name, key.public_key(), is_ca=True).public_bytes(Encoding.PEM))
        crl = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(NOW - HOUR)
        self.site.write_crl(sign(crl.next_update(NOW + DAY), key).public_bytes(Encoding.PEM))

    def issue(self, subject: x509.Name, key: Any, *, is_ca: bool = False) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - HOUR)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([uri("urn:pc:7")]), critical=False)
        )
        made: x509.Certificate = self._sign(builder, self.key)
        return made

    def judged(self, profile: str) -> tuple[Reason, ...]:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        leaf = self.issue(subject, ec.generate_private_key(P384).public_key())
        return judged(Certificates([replace(self.site.files, profile=profile)], "uri"), leaf).reasons


@pytest.mark.parametrize(("profile", "fits"), [("compatible", True), ("strong", True), ("cnsa", False)])
def test_authority_with_an_ed25519_key(tmp_path: Path, profile: str, fits: bool) -> None:
    root = Root(tmp_path, ed25519.Ed25519PrivateKey.generate(), lambda builder, key: builder.sign(key, None))
    assert (root.judged(profile) == ()) is fits


@pytest.mark.parametrize(
    ("bits", "hashed", "profile", "fits"),
    [
        (2048, hashes.SHA256(), "compatible", True),
        (2048, hashes.SHA256(), "strong", False),
        (3072, hashes.SHA256(), "strong", True),
        (3072, hashes.SHA256(), "cnsa", False),
        (3072, hashes.SHA384(), "cnsa", True),
    ],
)
def test_authority_that_signs_with_rsa_pss(
    tmp_path: Path, bits: int, hashed: hashes.HashAlgorithm, profile: str, fits: bool
) -> None:
    salted = padding.PSS(padding.MGF1(hashed), padding.PSS.DIGEST_LENGTH)
    root = Root(
        tmp_path,
        rsa.generate_private_key(65537, bits),
        lambda builder, key: builder.sign(key, hashed, rsa_padding=salted),
    )
    assert (root.judged(profile) == ()) is fits
