"""The site's configuration: one TOML file, one frozen tree. Nothing else reads files or the environment for settings.

Every key has its unit in its name and a description, from which ``docs/configuration.md`` is generated. Paths
are relative to the file. Unknown keys, missing files and readable-by-others secrets end the start with the
key's name (exit status 2); nothing falls back.
"""

from __future__ import annotations

import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from proxy.errors import ConfigurationError
from proxy.model import Reason


def _existing(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return path if path.is_absolute() else (base / path)


def _located(location: str, info: ValidationInfo) -> str:
    if "://" not in location:
        return str(_existing(Path(location), info))
    parts = urlsplit(location)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("must be a file, or an http or https address without credentials and fragment")
    return location


SitePath = Annotated[Path, AfterValidator(_existing)]
Location = Annotated[str, AfterValidator(_located)]
"""A file, relative to the configuration, or an http or https address."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Action = Literal["search", "metadata", "retrieve", "render", "bulkdata", "store", "report_posture", "manage_posture"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class Listen(Section):
    """Where clients and operators reach the proxy."""

    host: str = Field("127.0.0.1", description="Address of the DICOMweb listener.")
    port: Port = Field(8443, description="Port of the DICOMweb listener, TLS 1.3 with client certificates only.")
    admin_host: str = Field("127.0.0.1", description="Address of metrics and health. Keep it off public networks.")
    admin_port: Port = Field(9464, description="Port of metrics and health, plain HTTP.")
    certificate: SitePath = Field(description="PEM file: server certificate and its chain.")
    key: SitePath = Field(description="PEM file: the server certificate's private key.")
    public_url: str = Field(description="Origin that clients use, for example https://pacs.example:8443.")
    cors_origins: tuple[str, ...] = Field(
        (),
        description=(
            "Origins of web viewers that browsers may let read answers, for example https://viewer.example. With any, "
            "connections without a client certificate are taken, for OPTIONS alone."
        ),
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != origin or "@" in origin:
                raise ValueError("an origin is a scheme and a host, with its port where it has one, and nothing else")
            if origin != origin.lower() or "*" in origin:
                raise ValueError("an origin is in lower case and has no wildcard")
        return value

    @field_validator("host", "admin_host")
    @classmethod
    def _address(cls, value: str) -> str:
        ip_address(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if (
            parts.scheme != "https"
            or not parts.hostname
            or parts.path not in ("", "/")
            or parts.query
            or parts.fragment
        ):
            raise ValueError("must be an https origin without a path")
        return value.rstrip("/")


class Limits(Section):
    """Bounds on everything a peer can send."""

    connections: int = Field(1024, gt=0, description="Open connections, handshakes included.")
    connections_per_address: int = Field(256, gt=0, description="Open connections of one address.")
    handshake_s: Seconds = Field(10, description="Time for the TLS handshake.")
    head_s: Seconds = Field(10, description="Time for a request head, also the keep-alive time of an idle connection.")
    idle_s: Seconds = Field(30, description="Time without a byte taken or sent during a body.")
    line_bytes: int = Field(8190, ge=256, le=65536, description="Longest request line and longest header field.")
    headers: int = Field(64, ge=8, le=256, description="Most header fields of a request.")
    requests_per_s: float = Field(400, gt=0, description="Sustained requests a second of one certificate.")
    burst: int = Field(800, gt=0, description="Requests of one certificate at once.")
    address_requests_per_s: float = Field(800, gt=0, description="Sustained requests a second of one address.")
    address_burst: int = Field(1600, gt=0, description="Requests of one address at once.")
    suppression_window_s: Seconds = Field(10, description="One suppressed record a reason and window.")
    body_bytes: int = Field(16 * 2**30, gt=0, description="Largest body of a store.")
    parts: int = Field(10_000, gt=0, description="Most parts of a store.")
    part_header_bytes: int = Field(2**20, ge=4096, description="Most bytes of one part read to find its identity.")
    search_rows: int = Field(
        1000, gt=0, le=10_000, description="Most rows of one answer to a search, also where it sets no limit."
    )
    search_scan_rows: int = Field(
        20_000, gt=0, description="Most rows of the archive judged for one search; beyond them it is too broad."
    )
    search_bytes: int = Field(32 * 2**20, gt=0, description="Largest page of rows taken from the archive.")


class Authority(Section):
    """A certificate authority whose certificates are heard."""

    name: str = Field(min_length=1, max_length=64, description="Name in policy input, records and metrics.")
    certificate: SitePath = Field(description="PEM file: the self-signed certificate of the authority, and no other.")
    intermediates: tuple[SitePath, ...] = Field(
        (), description="PEM files: certificates of the authorities below it that issue to devices."
    )
    crls: tuple[Location, ...] = Field(
        min_length=1,
        description=(
            "One CRL of each authority in the chain, PEM or DER: a file, or an http or https address that it is "
            "fetched from. Addresses within certificates are not followed."
        ),
    )
    crl_refresh_s: Seconds = Field(300, description="How often CRLs are fetched from their addresses.")
    crl_grace_s: float = Field(
        0,
        ge=0,
        le=604_800,
        description=(
            "How long after a CRL's nextUpdate certificates that it does not name are still taken, with status `grace` "
            "in policy input and record."
        ),
    )
    actions: tuple[Action, ...] = Field(
        default=("search", "metadata", "retrieve", "render", "bulkdata", "store", "report_posture"),
        min_length=1,
        description="What certificates of this authority may ask for, whatever policy says.",
    )
    profile: Literal["compatible", "strong", "cnsa"] = Field(
        "compatible",
        description=(
            "Keys and signatures accepted, in the whole chain. compatible: 112 bits and more (NIST SP 800-57 part 1), "
            "RSA from 2048 bits. strong: 128 bits and more, RSA from 3072 bits. cnsa: P-384 or RSA from 3072 bits, "
            "SHA-384 and longer (CNSA 1.0)."
        ),
    )
    depth: int = Field(2, ge=0, le=8, description="Most intermediate authorities between a certificate and this one.")
    names: tuple[str, ...] = Field(
        (),
        description=(
            "What its certificates may name: beginnings of URIs that end in / or :, endings of DNS names that begin "
            "with a dot, or whole names. Empty: any. With SPIFFE it is how an authority is held to its trust domain."
        ),
    )
    roles_from_organizational_unit: bool = Field(
        False, description="Whether the OU attributes of a certificate's subject are roles of this site."
    )
    users: Literal["none", "optional", "required"] = Field(
        "none",
        description=(
            "Whether an access token says which user asks. none: Authorization is not read. optional: without a token "
            "the certificate's own subject asks. required: without one nothing is allowed but posture reports."
        ),
    )


class Issuer(Section):
    """An OpenID provider whose access tokens are heard: JWTs (RFC 9068) bound to the certificate (RFC 8705)."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$", description="Name in policy input, records and ids of users.")
    issuer: str = Field(min_length=1, max_length=512, description="The claim `iss`, exactly.")
    audience: str = Field(min_length=1, max_length=512, description="What the claim `aud` has to contain.")
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"], ...] = Field(
        ("ES256",), min_length=1, description="Signature algorithms accepted, and no others."
    )
    types: tuple[Literal["at+jwt", "JWT"], ...] = Field(
        ("at+jwt",), min_length=1, description="Values of the header `typ` accepted; RFC 9068 asks for at+jwt."
    )
    jwks: Location = Field(description="JSON Web Key Set of the issuer: a file, or an https address.")
    ca_file: SitePath | None = Field(None, description="PEM file: the authority behind the address of `jwks`.")
    jwks_refresh_s: Seconds = Field(300, description="How often the key set is fetched.")
    jwks_max_age_s: Seconds = Field(3600, description="Without a fetch for so long, its keys verify nothing any more.")
    leeway_s: float = Field(5, ge=0, le=60, description="Difference between clocks forgiven in times of tokens.")
    roles_claim: str | None = Field(
        None, max_length=64, description="Claim that lists roles; none: tokens give no roles."
    )
    purpose_claim: str | None = Field(None, max_length=64, description="Claim that tells the purpose of use.")


class Identify(Section):
    authorities: tuple[Authority, ...] = Field(min_length=1, description="The authorities, at least one.")
    device_san: Literal["uri", "dns", "spiffe"] = Field(
        "uri",
        description="Kind of subject alternative name that names a device; spiffe: the one URI, a SPIFFE ID.",
    )
    reload_s: Seconds = Field(
        1,
        description="How often files of authorities, CRLs, issuers, the directory and the server are looked at.",
    )
    crl_cache: SitePath | None = Field(
        None,
        description="Folder for CRLs that were fetched, needed where some are: a start must not depend on a network.",
    )
    issuers: tuple[Issuer, ...] = Field((), description="OpenID providers, where certificates come with users.")
    directory: SitePath | None = Field(
        None, description="JSON file of roles, by user id and by device name; read again when it changes."
    )


class ManagedAttribute(Section):
    """What one policy of the management system says of a device."""

    policy: str = Field(min_length=1, max_length=256, description="Name of the policy there, exactly.")
    attribute: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="The attribute it tells.")
    passing: bool | int | str = Field(True, description="Value where the policy passes.")
    failing: bool | int | str = Field(False, description="Value where it fails.")


class Managed(Section):
    """A management system that tells posture of its devices by a signed webhook (Standard Webhooks 1.0)."""

    shape: Literal["fleet"] = Field("fleet", description="What its bodies look like: fleet is Fleet (fleetdm.com).")
    source: str = Field(pattern=r"^[a-z0-9-]{1,32}$", description="Name in policy input and records.")
    secret_file: SitePath = Field(description="File with the shared secret in Base64, at least 24 bytes, mode 0600.")
    authority: str = Field(description="Name of the authority that issues its devices' certificates.")
    device: str = Field(description="Name of a device, with {} for what the system calls it, for example urn:pc:{}.")
    key: Literal["hostname", "uuid", "hardware_serial"] = Field(
        "hostname", description="By what the system calls a device in the names above."
    )
    valid_s: Seconds = Field(7200, description="How long what it says holds.")
    tolerance_s: Seconds = Field(300, description="Oldest timestamp of a webhook that is taken.")
    attributes: tuple[ManagedAttribute, ...] = Field(min_length=1, description="Which of its policies tell what.")

    @field_validator("device")
    @classmethod
    def _template(cls, value: str) -> str:
        if value.count("{}") != 1 or "{" in value.replace("{}", "") or "}" in value.replace("{}", ""):
            raise ValueError("has {} exactly once and no other braces")
        return value


class PostureSection(Section):
    """What is known of devices, and how it is told."""

    store: SitePath = Field(description="SQLite file of device posture.")
    report_valid_s: Seconds = Field(900, description="How long a device's own report holds at most.")
    report_skew_s: float = Field(60, gt=0, le=600, description="Difference between a device's clock and ours forgiven.")
    report_bytes: int = Field(65_536, ge=1024, le=2**20, description="Longest body of a report.")
    managed: Managed | None = None


class Remedy(Section):
    """What to do about a reason, told in answers beside the built-in text."""

    reason: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Code of the reason, see docs/reasons.md.")
    text: str = Field(min_length=1, max_length=500, description="What the site wants its users to do.")
    link: str | None = Field(None, pattern=r"^https://[!-~]{1,400}$", description="Where that is explained.")


class ArchiveSection(Section):
    """The DICOMweb archive, which stays as it is."""

    url: str = Field(description="Base of DICOMweb at the archive, for example http://127.0.0.1:8042/dicom-web.")
    credentials_file: SitePath | None = Field(None, description="JSON file with username and password, mode 0600.")
    ca_file: SitePath | None = Field(None, description="PEM file: the authority that signs the archive's certificate.")
    connect_s: Seconds = Field(5, description="Time to connect.")
    idle_s: Seconds = Field(60, description="Time without a byte during a body.")
    connections: int = Field(64, gt=0, description="Connections kept to the archive.")
    withheld_frame_types: tuple[str, ...] = Field(
        ("image/jls",),
        description=(
            "Media types that the archive is never asked to make frames as. Orthanc 1.10 can crash when it makes "
            "JPEG-LS. Frames stored so are had with application/octet-stream and transfer-syntax=*."
        ),
    )
    context_cache_s: float = Field(30, ge=0, le=30, description="How old attributes of a study may be.")
    context_cache_entries: int = Field(10_000, gt=0, description="Studies and series whose attributes are kept.")

    @field_validator("url")
    @classmethod
    def _base(cls, value: str) -> str:
        parts = urlsplit(value)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise ValueError("must be an http or https address without credentials, query or fragment")
        return value.rstrip("/")


class PolicySection(Section):
    engine: Literal["embedded"] = Field("embedded", description="Policy engine.")
    directory: SitePath = Field(description="Folder of Rego rules and data.")
    reload_s: Seconds = Field(1, description="How often the folder is looked at.")
    compile_s: Seconds = Field(20, description="Time a candidate may take to compile and answer in its child process.")


class RecordSection(Section):
    directory: SitePath = Field(description="Folder of the spool. It holds patient data: encrypt its disk.")
    batch: int = Field(256, ge=1, le=4096, description="Most records of one fsync.")
    queue: int = Field(20_000, ge=1, description="Most records waiting for fsync; more answer 503.")


class Ledger(Section):
    """The EVM chain that decisions are anchored in. The proxy uses identity only; the anchor process the rest."""

    chain_id: int = Field(gt=0, description="Chain id.")
    contract: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$", description="Address of DecisionLedger.")
    rpc_urls: tuple[str, ...] = Field(min_length=1, description="JSON-RPC endpoints.")
    writer_key_file: SitePath = Field(
        description="Hexadecimal private key of the writer, read by the anchor process alone."
    )
    confirmations: int = Field(2, ge=0, le=1000, description="Blocks on top after which a block counts as final.")
    batch_size: int = Field(1024, ge=1, le=1024, description="Most leaves of one transaction.")
    max_wait_s: Seconds = Field(1, description="How long a batch that is not full waits.")
    status_file: SitePath = Field(description="Where the anchor process tells how far it is.")


class Lease(Section):
    poll_s: Seconds = Field(1, description="How often a stream under way looks whether its grounds still hold.")


class Site(Section):
    """A whole site."""

    site: str = Field(pattern=r"^[a-z0-9-]{1,32}$", description="Name of the site in policy input and records.")
    listen: Listen
    limits: Limits = Limits()
    identify: Identify
    posture: PostureSection
    archive: ArchiveSection
    policy: PolicySection
    record: RecordSection
    ledger: Ledger
    lease: Lease = Lease()
    remedies: tuple[Remedy, ...] = Field((), description="What to do about a refusal, in the site's own words.")

    @model_validator(mode="after")
    def _whole(self) -> Site:
        identify = self.identify
        names = [authority.name for authority in identify.authorities]
        if len(set(names)) != len(names):
            raise ValueError("identify.authorities: two have the same name")
        if len({issuer.name for issuer in identify.issuers}) != len(identify.issuers):
            raise ValueError("identify.issuers: two have the same name")
        if not identify.issuers and any(authority.users != "none" for authority in identify.authorities):
            raise ValueError("identify.issuers: an authority has users, and no issuer is there")
        if identify.crl_cache is None and any("://" in crl for each in identify.authorities for crl in each.crls):
            raise ValueError("identify.crl_cache: is needed where CRLs are fetched")
        managed = self.posture.managed
        if managed is not None and managed.authority not in names:
            raise ValueError("posture.managed.authority: there is no authority of that name")
        for remedy in self.remedies:
            if remedy.reason not in {reason.value for reason in Reason}:
                raise ValueError(f"remedies: there is no reason {remedy.reason}")
        return self


def load_site(path: Path) -> Site:
    """Read and check a configuration file.

    :raises ConfigurationError: naming the key and what is wrong with it
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    try:
        site = Site.model_validate(raw, context={"base": path.resolve().parent})
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False)]
        raise ConfigurationError(f"{path}:\n  " + "\n  ".join(lines)) from error
    _check_files(site)
    return site


def _check_files(site: Site) -> None:
    needed: list[tuple[str, Path]] = [
        ("listen.certificate", site.listen.certificate),
        ("listen.key", site.listen.key),
    ]
    for number, authority in enumerate(site.identify.authorities):
        needed.append((f"identify.authorities.{number}.certificate", authority.certificate))
        needed += [(f"identify.authorities.{number}.intermediates", path) for path in authority.intermediates]
    for number, issuer in enumerate(site.identify.issuers):
        if issuer.ca_file is not None:
            needed.append((f"identify.issuers.{number}.ca_file", issuer.ca_file))
    if site.identify.directory is not None:
        needed.append(("identify.directory", site.identify.directory))
    secrets: list[tuple[str, Path]] = [("listen.key", site.listen.key)]
    if site.posture.managed is not None:
        needed.append(("posture.managed.secret_file", site.posture.managed.secret_file))
        secrets.append(("posture.managed.secret_file", site.posture.managed.secret_file))
    if site.archive.credentials_file is not None:
        needed.append(("archive.credentials_file", site.archive.credentials_file))
        secrets.append(("archive.credentials_file", site.archive.credentials_file))
    if site.archive.ca_file is not None:
        needed.append(("archive.ca_file", site.archive.ca_file))
    for key, path in needed:
        if not path.is_file():
            raise ConfigurationError(f"{key}: {path} is not a file")
    for key, path in secrets:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{key}: {path} can be read by others; chmod 600")
    if not site.policy.directory.is_dir():
        raise ConfigurationError(f"policy.directory: {site.policy.directory} is not a folder")


def site_path(config: Path | None, directory: Path | None) -> Path:
    """The file that ``--config FILE`` or, for a dev stack, ``--dir DIR`` names.

    :raises ConfigurationError: both or neither were given
    """
    if (config is None) == (directory is None):
        raise ConfigurationError("give --config FILE, or --dir DIR of a dev stack")
    if config is not None:
        return config
    assert directory is not None  # noqa: S101 - narrowing, settled above
    return directory / "dicomward.toml"
