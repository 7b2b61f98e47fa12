"""Who asks, and on what device: authorities, issuers, posture."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from proxy.config.base import Action, Location, Seconds, Section, SitePath


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
        default=("search", "metadata", "retrieve", "render", "bulkdata", "store", "read_decision", "report_posture"),
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
            "with a dot, or whole names. Empty: any, where there is one authority; of several each has to say, since "
            "policy gives rights by name. With SPIFFE it is how an authority is held to its trust domain."
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

    @field_validator("jwks")
    @classmethod
    def _private(cls, value: str) -> str:
        if value.startswith("http://"):
            raise ValueError("keys are fetched over https, or read from a file")
        return value


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
    body_bytes: int = Field(4 * 2**20, ge=1024, le=64 * 2**20, description="Longest body of a webhook.")
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
