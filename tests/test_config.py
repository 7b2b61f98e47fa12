from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.dev.site import to_toml
from proxy.config import Site, load_site, site_path
from proxy.errors import ConfigurationError

ROOT = Path(__file__).parents[1]

GOOD: dict[str, Any] = {
    "site": "north",
    "listen": {"certificate": "server.crt", "key": "server.key", "public_url": "https://pacs.example:8443"},
    "identify": {"authorities": [{"name": "site", "certificate": "ca.crt", "crls": ["ca.crl"]}]},
    "posture": {"store": "posture.db"},
    "archive": {"url": "http://127.0.0.1:8042/dicom-web/"},
    "policy": {"directory": "policies", "store": "kept"},
    "record": {"directory": "spool"},
    "ledger": {
        "chain_id": 31337,
        "contract": "0x" + "ab" * 20,
        "rpc_urls": ["http://127.0.0.1:8545"],
        "writer_key_file": "writer.key",
        "status_file": "status.json",
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("server.crt", "server.key", "ca.crt", "ca.crl"):
        (tmp_path / name).write_text("content")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "policies").mkdir()
    return tmp_path


def load(folder: Path, **changes: Any) -> Site:
    """The good site with changes; ``section__key=value``, and ``None`` takes a key away."""
    settings = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, key = path.split("__")
        table = settings
        for name in above:
            table = table[name][0] if isinstance(table.get(name), list) else table.setdefault(name, {})
        if value is None:
            del table[key]
        else:
            table[key] = value
    text = to_toml(settings).replace(" = Infinity", " = inf").replace(" = NaN", " = nan")
    (folder / "site.toml").write_text(text)
    return load_site(folder / "site.toml")


def test_good_site_is_read_with_paths_beside_the_file(folder: Path) -> None:
    site = load(folder)
    assert site.listen.certificate == folder / "server.crt"
    assert site.identify.authorities[0].crls == (str(folder / "ca.crl"),)
    assert site.archive.url == "http://127.0.0.1:8042/dicom-web"
    assert site.limits.connections == 1024


def test_absolute_paths_stay(folder: Path) -> None:
    assert load(folder, record__directory="/var/lib/spool").record.directory == Path("/var/lib/spool")


def test_tree_is_frozen(folder: Path) -> None:
    site = load(folder)
    with pytest.raises(ValidationError):
        site.limits.connections = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unknown", 1),
        ("listen__prot", 8443),
        ("limits__conections", 5),
        ("identify__authorities__crl", "ca.crl"),
        ("archive__password", "secret"),
        ("ledger__registrar_key_file", "registrar.key"),
    ],
)
def test_unknown_key_is_refused_by_name(folder: Path, key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=key.rpartition("__")[2]):
        load(folder, **{key: value})


@pytest.mark.parametrize(
    "key",
    [
        "site",
        "listen",
        "listen__key",
        "identify",
        "identify__authorities__crls",
        "posture__store",
        "archive__url",
        "policy__store",
        "record__directory",
        "ledger__contract",
        "ledger__chain_id",
    ],
)
def test_missing_key_is_refused_by_name(folder: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match=key.replace("__", r"\.(\d\.)?")):
        load(folder, **{key: None})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site", "North Hospital"),
        ("site", ""),
        ("listen__port", 0),
        ("listen__port", 65536),
        ("listen__host", "localhost"),
        ("listen__public_url", "http://pacs.example"),
        ("listen__public_url", "https://pacs.example/dicom"),
        ("limits__handshake_s", 0),
        ("limits__idle_s", -1),
        ("limits__requests_per_s", float("inf")),
        ("limits__requests_per_s", float("nan")),
        ("limits__headers", 10_000),
        ("identify__authorities", []),
        ("identify__authorities__crls", []),
        ("identify__authorities__actions", []),
        ("identify__authorities__actions", ["delete"]),
        ("identify__device_san", "email"),
        ("archive__url", "ftp://archive"),
        ("archive__url", "http://user:password@archive/dicom-web"),
        ("archive__url", "http://archive/dicom-web?x=1"),
        ("archive__context_cache_s", 31),
        ("policy__engine", "opal"),
        ("record__batch", 0),
        ("ledger__chain_id", 0),
        ("ledger__contract", "0x1234"),
        ("ledger__contract", "0x" + "ab" * 20 + "\n"),
        ("ledger__rpc_urls", []),
        ("ledger__batch_size", 1025),
        ("lease__poll_s", 0),
    ],
)
def test_wrong_value_is_refused_by_name(folder: Path, key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=key.replace("__", r"\.(\d\.)?")):
        load(folder, **{key: value})


ISSUER: dict[str, Any] = {
    "name": "clinic",
    "issuer": "https://login.example",
    "audience": "pacs",
    "jwks": "https://login.example/jwks",
}
AUTHORITY: dict[str, Any] = GOOD["identify"]["authorities"][0]
MANAGED: dict[str, Any] = {
    "source": "mdm",
    "secret_file": "server.key",
    "authority": "site",
    "device": "urn:pc:{}",
    "attributes": [{"policy": "Firewall", "attribute": "firewall"}],
}


def test_site_with_users_managed_posture_and_remedies_is_read(folder: Path) -> None:
    site = load(
        folder,
        identify__issuers=[ISSUER],
        identify__authorities__users="required",
        posture__managed=MANAGED,
        remedies=[{"reason": "posture-stale", "text": "Open the app.", "link": "https://intranet.example"}],
    )
    assert site.identify.issuers[0].algorithms == ("ES256",)
    assert site.posture.managed is not None
    assert (site.posture.managed.attributes[0].passing, site.posture.managed.attributes[0].failing) == (True, False)


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("no issuer", {"identify__authorities__users": "required"}),
        ("same name", {"identify__authorities": [AUTHORITY, AUTHORITY]}),
        ("needs names", {"identify__authorities": [{**AUTHORITY, "names": ["a/"]}, {**AUTHORITY, "name": "other"}]}),
        ("two have the same name", {"identify__issuers": [ISSUER, ISSUER]}),
        ("over https", {"identify__issuers": [{**ISSUER, "jwks": "http://login.example/jwks"}]}),
        ("algorithms", {"identify__issuers": [{**ISSUER, "algorithms": ["none"]}]}),
        ("algorithms", {"identify__issuers": [{**ISSUER, "algorithms": ["HS256"]}]}),
        ("crl_cache", {"identify__authorities__crls": ["http://crl.example/ca.crl"]}),
        ("crls", {"identify__authorities__crls": ["ftp://crl.example/ca.crl"]}),
        ("crls", {"identify__authorities__crls": ["https://user:hunter2@crl.example/ca.crl"]}),
        ("managed.authority", {"posture__managed": {**MANAGED, "authority": "elsewhere"}}),
        ("device", {"posture__managed": {**MANAGED, "device": "urn:pc"}}),
        ("device", {"posture__managed": {**MANAGED, "device": "urn:{}:{}"}}),
        ("secret_file", {"posture__managed": {**MANAGED, "secret_file": "gone"}}),
        ("link", {"remedies": [{"reason": "posture-stale", "text": "No.", "link": "javascript:alert(1)"}]}),
    ],
)
def test_identity_that_does_not_fit_together_is_refused(folder: Path, named: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        load(folder, **changes)
    assert "hunter2" not in caught.value.detail


def test_webhook_secret_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "secret").write_text("content")
    (folder / "secret").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"posture\.managed\.secret_file"):
        load(folder, posture__managed={**MANAGED, "secret_file": "secret"})


def test_refusal_does_not_repeat_the_value(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, archive__url="http://user:hunter2@archive")
    assert "hunter2" not in caught.value.detail


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("listen.certificate", "server.crt"),
        ("listen.key", "server.key"),
        (r"identify.authorities.0.certificate", "ca.crt"),
    ],
)
def test_file_that_is_not_there_is_refused_by_key(folder: Path, key: str, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=key):
        load(folder)


def test_policies_that_are_not_there_are_refused_by_key(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.directory"):
        load(folder, policy__directory="elsewhere")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    (folder / "server.key").chmod(mode)
    with pytest.raises(ConfigurationError, match=r"listen\.key.*chmod 600"):
        load(folder)


def test_archive_credentials_that_others_can_read_are_refused(folder: Path) -> None:
    credentials = folder / "archive.json"
    with pytest.raises(ConfigurationError, match=r"archive\.credentials_file"):
        load(folder, archive__credentials_file="archive.json")
    credentials.write_text("{}")
    credentials.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"archive\.credentials_file.*chmod 600"):
        load(folder, archive__credentials_file="archive.json")
    credentials.chmod(0o600)
    assert load(folder, archive__credentials_file="archive.json").archive.credentials_file == credentials


@pytest.mark.parametrize("content", [b"site = ", b"\xff\xfe", b"[listen]\n[listen]\n", b"not toml"])
def test_file_that_is_not_toml_is_refused(folder: Path, content: bytes) -> None:
    (folder / "site.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"site\.toml"):
        load_site(folder / "site.toml")


def test_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_site(folder)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_site(folder / "nowhere.toml")


def test_a_site_is_named_by_its_file_or_its_folder(tmp_path: Path) -> None:
    assert site_path(tmp_path / "a.toml", None) == tmp_path / "a.toml"
    assert site_path(None, tmp_path) == tmp_path / "dicomward.toml"
    for both in ((None, None), (tmp_path, tmp_path)):
        with pytest.raises(ConfigurationError):
            site_path(*both)


# ------------------------------------------------------------------------------------ documentation


@pytest.fixture(scope="module")
def generate() -> Any:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_key_says_what_it_means(generate: Any) -> None:
    silent = [
        f"{path}.{name}"
        for path, section, _ in generate.sections(Site, "")
        for name, field in section.model_fields.items()
        if generate._section(field) is None and not field.description
    ]
    assert silent == []


@pytest.mark.parametrize("page", ["configuration.md", "policy-reference.md", "reasons.md"])
def test_committed_page_is_what_the_code_says(generate: Any, page: str) -> None:
    written = (ROOT / "docs" / page).read_text("utf-8")
    pages: Callable[[], dict[str, str]] = generate.pages
    assert written == pages()[page], "run python docs/generate.py"


def test_page_on_configuration_names_every_key(generate: Any) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for path, section, _ in generate.sections(Site, ""):
        for name, field in section.model_fields.items():
            if generate._section(field) is None:
                assert f"\n| `{name}` | " in page, f"{path}.{name}"


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.example",
        "viewer.example",
        "https://viewer.example/",
        "https://viewer.example/page",
        "https://Viewer.example",
        "https://user@viewer.example",
        "null",
        "file://viewer",
        "",
    ],
)
def test_listed_origin_is_exactly_what_a_browser_sends(folder: Path, origin: str) -> None:
    with pytest.raises(ConfigurationError, match="cors_origins"):
        load(folder, listen__cors_origins=[origin])


def test_origins_are_listed_or_there_are_none(folder: Path) -> None:
    assert load(folder).listen.cors_origins == ()
    listed = ["https://viewer.example", "http://localhost:3000"]
    assert load(folder, listen__cors_origins=listed).listen.cors_origins == tuple(listed)
