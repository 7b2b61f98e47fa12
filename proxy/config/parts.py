"""What the other rooms are told."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from proxy.config.base import Port, Seconds, Section, SitePath


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


class RecordSection(Section):
    directory: SitePath = Field(description="Folder of the spool. It holds patient data: encrypt its disk.")
    batch: int = Field(256, ge=1, le=4096, description="Most records of one fsync.")
    queue: int = Field(20_000, ge=1, description="Most records waiting for fsync; more answer 503.")
    reserve: int = Field(
        64 * 2**20,
        ge=0,
        description="Bytes of disk kept beside the spool for what was begun when it fills, 32 MiB or more. 0 for none.",
    )
    keep_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which records may go that are final on the chain and published as evidence. 0: never.",
    )

    @field_validator("reserve")
    @classmethod
    def _enough(cls, value: int) -> int:
        if 0 < value < 32 * 2**20:
            raise ValueError("must hold the spool's log twice: 32 MiB or more, or 0 for none")
        return value


class Ledger(Section):
    """The EVM chain that decisions are anchored in. The proxy uses identity only; the anchor process the rest."""

    chain_id: int = Field(gt=0, description="Chain id.")
    contract: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$", description="Address of DecisionLedger.")
    rpc_urls: tuple[str, ...] = Field(min_length=1, description="JSON-RPC endpoints.")
    writer_key_file: SitePath = Field(
        description="Private key of the writer, hexadecimal or an encrypted keystore, read by the anchor process alone."
    )
    writer_key_password_file: SitePath | None = Field(
        None, description="Password of the keystore, mode 0600. For a key that is encrypted."
    )
    finality: Literal["confirmations", "finalized", "safe"] = Field(
        "confirmations", description="What makes a block final: blocks on top of it, or the chain's own word."
    )
    confirmations: int = Field(2, ge=0, le=1000, description="Blocks on top after which a block counts as final.")
    max_fee_per_gas_gwei: float | None = Field(
        None, ge=0, le=1e9, description="Most that a unit of gas may cost. 0 for a chain without fees."
    )
    max_priority_fee_gwei: float | None = Field(None, ge=0, le=1e9, description="Most that a block's maker is tipped.")
    max_gas: int | None = Field(None, ge=150_000, description="Most gas of one transaction; batches shrink to fit.")
    resend_s: Seconds = Field(30, description="How long nothing may move before it is sent again for more.")
    batch_size: int = Field(1024, ge=1, le=1024, description="Most leaves of one transaction.")
    max_wait_s: Seconds = Field(1, description="How long a batch that is not full waits.")
    status_file: SitePath = Field(description="Where the anchor process tells how far it is.")
    canary_s: float = Field(
        60, ge=0, le=86_400, description="How often an event is recorded that is followed to the chain. 0: never."
    )


class Lease(Section):
    poll_s: Seconds = Field(1, description="How often a stream under way looks whether its grounds still hold.")


class Remedy(Section):
    """What to do about a reason, told in answers beside the built-in text."""

    reason: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="Code of the reason, see docs/reasons.md.")
    text: str = Field(min_length=1, max_length=500, description="What the site wants its users to do.")
    link: str | None = Field(None, pattern=r"^https://[!-~]{1,400}$", description="Where that is explained.")
