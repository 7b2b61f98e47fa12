"""What ``check-config`` reads beyond the configuration file: everything of a start that changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.dev.pki import DevPki
from proxy import app
from proxy.config import Site
from proxy.errors import ConfigurationError
from tests.test_config import ROOT, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    DevPki(tmp_path).prepare()
    return tmp_path


def site(folder: Path) -> Site:
    return load(folder, policy__directory=str(ROOT / "policies"))


def test_site_that_would_start_passes_and_nothing_is_made(folder: Path) -> None:
    before = sorted(folder.iterdir())
    app.check(site(folder))
    assert sorted(folder.iterdir()) == sorted([*before, folder / "site.toml"])


def test_token_that_no_opa_server_could_show_is_named(folder: Path) -> None:
    (folder / "token").write_text("short")
    (folder / "token").chmod(0o600)
    opa = {"url": "http://127.0.0.1:8181", "bundle_token_file": "token"}
    with pytest.raises(ConfigurationError, match="bundle_token_file") as caught:
        app.check(load(folder, policy__directory=str(ROOT / "policies"), policy__engine="opa", policy__opa=opa))
    assert "short" not in caught.value.detail


@pytest.mark.parametrize(
    ("spoilt", "named"), [("ca.crl", "identify.authorities"), ("ca.crt", "identify"), ("server.crt", "listen")]
)
def test_file_that_no_start_could_use_is_named_by_its_key(folder: Path, spoilt: str, named: str) -> None:
    (folder / spoilt).write_bytes(b"junk")
    with pytest.raises(ConfigurationError, match=named):
        app.check(site(folder))


def test_revocation_list_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "ca.crl").unlink()
    with pytest.raises(ConfigurationError, match=r"ca\.crl"):
        app.check(site(folder))


def test_webhook_secret_that_is_none_is_named(folder: Path) -> None:
    (folder / "secret").write_text("c2hvcnQ=")
    (folder / "secret").chmod(0o600)
    managed = {
        "source": "mdm",
        "secret_file": "secret",
        "authority": "site",
        "device": "urn:pc:{}",
        "attributes": [{"policy": "Firewall", "attribute": "firewall"}],
    }
    with pytest.raises(ConfigurationError, match="secret_file") as caught:
        app.check(load(folder, policy__directory=str(ROOT / "policies"), posture__managed=managed))
    assert "c2hvcnQ" not in caught.value.detail


def test_folder_without_policies_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="empty"):
        app.check(load(folder, policy__directory="empty"))
