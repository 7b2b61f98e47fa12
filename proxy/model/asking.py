"""Who asks: the peer, its certificate and token as judged, its device as known (steps 0 to 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from proxy.model.base import DeviceId, JsonObject, JsonValue, wire_time
from proxy.model.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who holds the other end of the TLS connection, before anything is believed of it."""

    certificate: bytes | None
    """DER of the client's leaf; its key is proven by the handshake, nothing else is."""
    address: str
    connection: int
    """Number of the connection within this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request head exactly as the parser delivered it. Nothing here is trusted."""

    peer: Peer
    method: str
    target: str
    """Request target as sent, not decoded."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Names and values as sent, in order, duplicates kept."""
    at: datetime
    parser_error: str | None = None
    """Set when the parser refused the head; method and target are then empty."""
    foreign: bool = False
    """A web page of an origin that this site does not list made the browser send it (Fetch 3.1)."""

    @property
    def authorization(self) -> tuple[bytes, ...]:
        """Values of ``Authorization`` as sent. A secret: it goes to step 1 and nowhere else, no record and no log."""
        return tuple(value for name, value in self.headers if name.lower() == b"authorization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    status: str
    """``good``, ``grace`` (good by lists that have ended, within what the site grants), ``revoked`` or ``unknown``."""
    as_of: datetime | None
    expires_at: datetime | None

    def to_wire(self) -> JsonObject:
        return {
            "status": self.status,
            "as_of": None if self.as_of is None else wire_time(self.as_of),
            "expires_at": None if self.expires_at is None else wire_time(self.expires_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role that somebody outside of policy says the subject has."""

    name: str
    source: str
    """``certificate``, ``token`` or ``directory``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The person an access token speaks for, bound to the certificate it came with (RFC 8705 3)."""

    id: str
    """Configured name of the issuer, ``/``, the token's ``sub``: two issuers never name the same user."""
    issuer: str
    """Configured name."""
    subject: str
    """``sub`` as the issuer wrote it."""
    roles: tuple[str, ...]
    """What the token's claim of roles says, where the site asks for one; sorted."""
    purpose: str | None
    """Purpose of use by the token's claim."""
    expires_at: datetime
    """The earliest of the token's end and that of the keys it was verified with."""

    def to_wire(self) -> JsonObject:
        return {
            "id": self.id,
            "issuer": self.issuer,
            "subject": self.subject,
            "expires_at": wire_time(self.expires_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The device a certificate names, its user, and how both were judged now.

    ``reasons`` not empty: it may do nothing.
    """

    device: DeviceId | None
    name: str
    """The configured SAN, for example ``urn:dicomward:device:radiologist``; empty where there is none."""
    subject: str
    """RFC 4514 subject name."""
    fingerprint: str
    """SHA-256 of the certificate's DER, lower-case hexadecimal."""
    serial: str
    """Lower-case hexadecimal."""
    authority: str
    """Configured name of the issuing authority; empty where none of ours issued it."""
    authority_actions: tuple[str, ...]
    """The actions that certificates of this authority may ask for."""
    not_after: datetime | None
    revocation: Revocation
    generation: int
    """Counts up when authorities, revocation data, issuers' keys or the directory change: a lease ends with it."""
    expires_at: datetime | None
    """The earliest of the certificate's end, the revocation data's and the user's."""
    reasons: tuple[Reason, ...] = ()
    user: User | None = None
    """``None``: the certificate's subject itself is who asks."""
    roles: tuple[Role, ...] = ()
    """In order of name and source. Policy adds what its own data says."""
    _wire: JsonObject = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wire", self._made_wire())

    def to_wire(self) -> JsonObject:
        """Made once, since one value serves many requests; not to be changed."""
        return self._wire

    def _made_wire(self) -> JsonObject:
        return {
            "certificate": {
                "name": self.name,
                "subject": self.subject,
                "fingerprint": self.fingerprint,
                "serial": self.serial,
                "authority": self.authority,
                "authority_actions": list(self.authority_actions),
                "not_after": None if self.not_after is None else wire_time(self.not_after),
            },
            "revocation": self.revocation.to_wire(),
            "user": None if self.user is None else self.user.to_wire(),
            "roles": [{"name": role.name, "source": role.source} for role in self.roles],
        }


class Trust(StrEnum):
    """Where what is said of a device comes from, from the least to the most that it proves."""

    REPORTED = "reported"
    """The device said it of itself: proven is who said it, not that it is true."""
    MANAGED = "managed"
    """A management system that the site configured said it."""
    ATTESTED = "attested"
    """Hardware vouches for it. Nothing here makes such yet."""

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {Trust.REPORTED: 0, Trust.MANAGED: 1, Trust.ATTESTED: 2}


REPORT_TYPE: Final = "dicomward-posture+jwt"
"""``typ`` of a device's report, so that nothing else the device's key signs can be taken for one (RFC 8725 3.11)."""
REPORT_MEDIA_TYPE: Final = "application/jose"

ATTRIBUTES: Final[Mapping[str, type[bool | int | str]]] = {
    "disk_encryption": bool,
    "firewall": bool,
    "malware_protection": bool,
    "os_name": str,
    "os_version": str,
    "patch_age_days": int,
    "screen_lock": bool,
    "secure_boot": bool,
}
"""What the agent of this product tells, and of which type. A site may have others of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureAttribute:
    """What one source says of one attribute of a device."""

    value: bool | int | str
    source: str
    """Who said it: ``agent``, or the configured name of a management system."""
    trust: Trust
    issued_at: datetime
    expires_at: datetime
    others: tuple[PostureAttribute, ...] = ()
    """What other sources say of it and has not expired, each with its own trust; theirs are empty.

    Policy sees them, so that a device that reports itself in bad order is not covered by a management that has not
    noticed yet.
    """

    def to_wire(self) -> JsonObject:
        wire = self._own_wire()
        wire["others"] = [other._own_wire() for other in self.others]
        return wire

    def _own_wire(self) -> dict[str, JsonValue]:
        return {
            "value": self.value,
            "source": self.source,
            "trust": self.trust.value,
            "issued_at": wire_time(self.issued_at),
            "expires_at": wire_time(self.expires_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """What is known of one device. Empty where nothing is: policy denies, it does not guess."""

    attributes: Mapping[str, PostureAttribute]
    generation: int
    """Counts up whenever this device's attributes change."""
    _wire: JsonObject = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wire", {name: attribute.to_wire() for name, attribute in self.attributes.items()})

    def to_wire(self) -> JsonObject:
        """Made once, since one value serves many requests; not to be changed."""
        return self._wire

    @property
    def expires_at(self) -> datetime | None:
        """When the first of all that is said here ends."""
        ends = [said.expires_at for each in self.attributes.values() for said in (each, *each.others)]
        return min(ends, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClaims:
    """What one report says of one device."""

    device: DeviceId
    attributes: Mapping[str, PostureAttribute]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureReport:
    """A report whose signature, time and single use were checked: of a device about itself, or of a management."""

    source: str
    trust: Trust
    sha256: str
    """Of the body as sent, lower-case hexadecimal: what was signed can be shown again."""
    issued_at: datetime
    claims: tuple[DeviceClaims, ...]
    once: tuple[str, datetime] | None = None
    """An id that must not be put in force twice, and until when it is remembered.

    It is spent together with that: a management whose webhook met a failure of ours may send it again.
    """

    def to_wire(self) -> JsonObject:
        return {
            "source": self.source,
            "trust": self.trust.value,
            "sha256": self.sha256,
            "issued_at": wire_time(self.issued_at),
            "devices": [claim.device for claim in self.claims],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a report."""

    changed: tuple[DeviceId, ...]
    """Devices of which a value is another than before, and not its times alone."""
    attributes: int
    """Claims put in force; what is older than what the same source said before is not."""
