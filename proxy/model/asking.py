"""Who asks: the peer, its certificate as judged, its device as known (steps 0 to 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from proxy.model.base import DeviceId, JsonObject, wire_time
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    status: str
    """``good``, ``revoked`` or ``unknown``."""
    as_of: datetime | None
    expires_at: datetime | None

    def to_wire(self) -> JsonObject:
        return {
            "status": self.status,
            "as_of": None if self.as_of is None else wire_time(self.as_of),
            "expires_at": None if self.expires_at is None else wire_time(self.expires_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The device a certificate names and how it was judged now. ``reasons`` not empty: it may do nothing."""

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
    """Counts up when authorities or revocation data change: a lease ends with it."""
    expires_at: datetime | None
    """The earliest of the certificate's end and the revocation data's ``nextUpdate``."""
    reasons: tuple[Reason, ...] = ()
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
            "user": None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureAttribute:
    value: bool | int | str
    source: str
    trust: str
    """``attested``, ``managed`` or ``reported``."""
    issued_at: datetime
    expires_at: datetime

    def to_wire(self) -> JsonObject:
        return {
            "value": self.value,
            "source": self.source,
            "trust": self.trust,
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
        return min((a.expires_at for a in self.attributes.values()), default=None)
