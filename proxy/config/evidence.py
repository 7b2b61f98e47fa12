"""Where the encrypted evidence behind the leaves goes, and who may open it."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from proxy.config.base import Seconds, Section, SitePath


class Evidence(Section):
    """Encrypted records for auditors, made and named on the chain by the anchor process."""

    directory: SitePath = Field(description="Folder of the evidence, of its keys in any case. The anchor's user alone.")
    auditors: tuple[SitePath, ...] = Field(
        min_length=1, description="Public key files of who may open it, made by `dicomward evidence new-auditor`."
    )
    store: Literal["folder", "kubo"] = Field("folder", description="Where content goes: the folder, or IPFS.")
    kubo_url: str | None = Field(None, description="RPC address of the Kubo daemon, for example http://127.0.0.1:5001.")
    max_records: int = Field(4096, ge=1, le=65_536, description="Most records of one bundle.")
    max_wait_s: Seconds = Field(60, description="How long records wait for more before a bundle is made of them.")
    timeout_s: Seconds = Field(30, description="How long Kubo may be silent.")
    public_swarm: bool = Field(False, description="Use Kubo although it is, or may be, part of a public network.")

    @field_validator("kubo_url")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port is None or "@" in parts.netloc:
            raise ValueError("must be http or https with host and port, without credentials")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("must have no path")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.store == "kubo") != (self.kubo_url is not None):
            raise ValueError("kubo_url is needed with store = 'kubo', and means nothing without")
        return self
