"""Where policies come from, and what evaluates them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from proxy.config.base import Seconds, Section, SitePath


def _http(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an http or https address without credentials, query or fragment")
    return value


class Client(Section):
    """How the proxy shows itself to a server it asks."""

    ca_file: SitePath | None = Field(None, description="PEM file: the only authority that the server is held to.")
    certificate: SitePath | None = Field(None, description="PEM file: the proxy's client certificate and its chain.")
    key: SitePath | None = Field(None, description="PEM file: that certificate's private key, mode 0600.")
    token_file: SitePath | None = Field(None, description="Bearer token sent to the server, mode 0600.")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key stand together")
        return self


class Bundle(Client):
    """Signed OPA bundles from a server, instead of a folder."""

    url: str = Field(description="Address of the bundle, for example https://policy.example/bundles/dicomward.tar.gz.")
    verification_keys: tuple[SitePath, ...] = Field(
        min_length=1, description="PEM files: public keys, one of which has to have signed the bundle."
    )
    poll_s: Seconds = Field(30, description="How often the server is asked for a newer bundle.")
    timeout_s: Seconds = Field(20, description="Time for one fetch.")

    _address = field_validator("url")(_http)


class OpaServer(Client):
    """An OPA server that evaluates the policies. It fetches them from this proxy's admin port."""

    url: str = Field(description="Base address of the OPA server, for example http://127.0.0.1:8181.")
    deadline_s: Seconds = Field(1, description="Time for one evaluation, connecting included.")
    connections: int = Field(32, gt=0, description="Connections kept to the OPA server.")
    bundle_token_file: SitePath = Field(
        description="Bearer token by which the OPA server fetches policies, mode 0600: they may name patients."
    )

    @field_validator("url")
    @classmethod
    def _base(cls, value: str) -> str:
        if urlsplit(_http(value)).path not in ("", "/"):
            raise ValueError("must be an address without a path")
        return value.rstrip("/")


class Network(Section):
    """A name that policies know a network by."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Value of environment.network in policy input.")
    addresses: tuple[str, ...] = Field(min_length=1, description="Networks in CIDR notation.")

    @field_validator("addresses")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ip_network(each)
        return value


class PolicySection(Section):
    """Either ``directory`` or ``[policy.bundle]`` says where policies come from."""

    engine: Literal["embedded", "opa"] = Field("embedded", description="What evaluates policies.")
    directory: SitePath | None = Field(None, description="Folder of Rego rules and data.")
    store: SitePath = Field(
        description="Folder where every set of policies that was in force is kept, by digest. Workers share it."
    )
    reload_s: Seconds = Field(1, description="How often the folder is looked at.")
    compile_s: Seconds = Field(20, description="Time a candidate may take to compile and answer in its child process.")
    max_age_s: float | None = Field(
        None,
        gt=0,
        le=31_536_000,
        description="Age of policies, since a bundle was signed, beyond which every decision denies. Bundles need it.",
    )
    heartbeat_s: Seconds = Field(
        10, description="Time without a sign of life after which a worker is ended and started again."
    )
    timezone: str = Field("UTC", description="IANA name of the site's time zone, for rules about working hours.")
    bundle: Bundle | None = None
    opa: OpaServer | None = None
    networks: tuple[Network, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is no time zone of the IANA database that this system has") from error
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.directory is None) == (self.bundle is None):
            raise ValueError("give either directory or [policy.bundle]")
        if self.bundle is not None and self.max_age_s is None:
            raise ValueError("bundles need max_age_s: after it decisions deny")
        if (self.engine == "opa") != (self.opa is not None):
            raise ValueError('engine = "opa" and [policy.opa] stand together')
        if len({network.name for network in self.networks}) != len(self.networks):
            raise ValueError("two networks bear one name")
        return self
