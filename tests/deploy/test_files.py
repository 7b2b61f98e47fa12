"""The files a dev stack writes: the site's configuration, the archive's settings, the postures."""

from __future__ import annotations

import base64
import json
import tomllib
from pathlib import Path

import pytest

from deploy.dev.archive import orthanc_settings
from deploy.dev.layout import ROOT, Layout, Ports, StackError
from deploy.dev.pki import IDENTITIES, DevPki
from deploy.dev.posture import COMPLIANT, SILENT, values_of
from deploy.dev.process import end_leftovers
from deploy.dev.site import MANAGED_POLICIES, Overrides, site_settings, to_toml
from proxy.agent import checked_values
from proxy.config import load_site
from proxy.model import ATTRIBUTES


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.prepare()
    DevPki(made.pki).prepare()
    return made


def write(layout: Layout, overrides: Overrides | None = None) -> None:
    orthanc_settings(layout, Ports(), Path("plugin.so"))
    settings = site_settings(
        layout,
        Ports(),
        archive="http://127.0.0.1:8042/dicom-web",
        with_credentials=True,
        policies=ROOT / "policies",
        contract="0x" + "ab" * 20,
        chain_id=31337,
        overrides=overrides,
    )
    text = to_toml(settings)
    assert tomllib.loads(text) == settings
    layout.config.write_text(text)


def test_site_file_is_one_the_product_accepts(layout: Layout) -> None:
    write(layout)
    site = load_site(layout.config)
    assert site.listen.port == 8443
    assert site.identify.authorities[0].crls == (str(layout.pki / "ca.crl"),)
    assert site.archive.credentials_file == layout.credentials


def test_overrides_reach_the_site(layout: Layout) -> None:
    write(layout, {"limits": {"burst": 7}, "archive": {"url": "http://127.0.0.1:1/dicom-web"}})
    site = load_site(layout.config)
    assert (site.limits.burst, site.archive.url) == (7, "http://127.0.0.1:1/dicom-web")


def test_archive_is_on_loopback_behind_a_password_and_speaks_no_dimse(layout: Layout) -> None:
    settings = orthanc_settings(layout, Ports.at(21000), Path("plugin.so"))
    assert settings["HttpPort"] == 21000
    assert (settings["RemoteAccessAllowed"], settings["DicomServerEnabled"]) == (False, False)
    assert settings["AuthenticationEnabled"] is True
    secret = json.loads(layout.credentials.read_text())
    assert settings["RegisteredUsers"] == {secret["username"]: secret["password"]}
    assert layout.credentials.stat().st_mode & 0o777 == 0o600


def test_dev_authority_may_manage_and_has_users_of_the_dev_issuer(layout: Layout) -> None:
    write(layout)
    identify = load_site(layout.config).identify
    assert "manage_posture" in identify.authorities[0].actions
    assert identify.authorities[0].users == "optional"
    (issuer,) = identify.issuers
    assert (issuer.issuer, issuer.jwks) == ("https://127.0.0.1:9443", "https://127.0.0.1:9443/jwks")
    assert issuer.ca_file == layout.pki / "ca.crt"


def test_management_tells_known_attributes_by_a_secret_of_this_stack(layout: Layout, tmp_path: Path) -> None:
    write(layout)
    managed = load_site(layout.config).posture.managed
    assert managed is not None
    assert {one.policy: one.attribute for one in managed.attributes} == MANAGED_POLICIES
    assert set(MANAGED_POLICIES.values()) <= set(ATTRIBUTES)
    assert managed.secret_file.stat().st_mode & 0o777 == 0o600
    secret = managed.secret_file.read_bytes()
    assert len(base64.b64decode(secret)) == 32
    other = Layout(tmp_path / "other")
    other.prepare()
    assert other.webhook_secret.read_bytes() != secret
    layout.prepare()
    assert layout.webhook_secret.read_bytes() == secret


def test_reports_hold_as_long_as_the_stack_says(layout: Layout) -> None:
    write(layout)
    assert load_site(layout.config).posture.report_valid_s == 7200
    write(layout, {"posture": {"report_valid_s": 900}})
    assert load_site(layout.config).posture.report_valid_s == 900


def test_dev_identities_say_what_the_agent_could() -> None:
    failing = {name: sorted(key for key, value in values_of(name).items() if value is False) for name in IDENTITIES}
    assert failing == {**{name: [] for name in IDENTITIES}, "rooted": ["disk_encryption", "malware_protection"]}
    assert COMPLIANT.keys() == ATTRIBUTES.keys()
    assert all(checked_values(values_of(name)) for name in IDENTITIES)
    assert set(SILENT) < set(IDENTITIES)


def test_port_base_moves_every_port() -> None:
    assert Ports.at(21000) == Ports(archive=21000, chain=21001, proxy=21002, admin=21003, issuer=21004, opa=21005)
    assert Ports.free().taken() == []


@pytest.mark.parametrize("base", [0, 80, 65_530])
def test_port_base_without_room_is_refused(base: int) -> None:
    with pytest.raises(StackError) as refused:
        Ports.at(base)
    assert refused.value.status == 2


@pytest.mark.parametrize("content", ["", "[]", "[[999999999, 1.0]]"])
def test_notes_of_processes_that_are_gone_end_nothing(tmp_path: Path, content: str) -> None:
    notes = tmp_path / "processes.json"
    notes.write_text(content)
    assert end_leftovers(notes) == 0
