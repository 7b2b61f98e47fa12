"""What several sources say of one device, merged into what policy sees (pure).

For each attribute the unexpired claim of the highest trust wins; of equal trust the newest, then the first source by
name. What the others say and has not expired stays visible beside it. Where every claim has expired the one of
the highest trust that ended last stands there with its times, so that policy says *stale* and not *missing*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import orjson

from proxy.model import MAX_INTEGER, DeviceId, Posture, PostureAttribute, PostureReport, Trust

AGENT: Final = "agent"
"""The source of what devices say of themselves. No management system may have this name."""

Said = Mapping[str, Mapping[str, PostureAttribute]]
"""Claims by attribute and source. Their ``others`` are empty."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingLife:
    """How long what is known of devices still holds, for metrics."""

    fresh: int
    """Devices of which every attribute is told by something unexpired."""
    expired: int
    shortest_s: float | None
    """Of the fresh devices, until the first of their attributes is stale; ``None`` where there is none."""
    median_s: float | None


class ClaimStore(Protocol):
    """Where claims are kept, for all workers. Each method raises PostureUnavailableError where it cannot be used."""

    def posture(self, device: DeviceId, now: datetime) -> Posture: ...

    def put(self, report: PostureReport, now: datetime) -> Sequence[DeviceId] | None:
        """Put a report in force, all of it or nothing: the devices of which a value changed.

        ``None``: its ``once`` is spent, or the device itself said something later before.
        """
        ...

    def reported_at(self, device: DeviceId) -> datetime | None:
        """When the last report of its own that was put in force was issued."""
        ...

    def is_spent(self, once: str) -> bool: ...

    def spend(self, once: str, until: datetime, now: datetime) -> bool:
        """Use up something that is good once, and remember that until it would have ended. False: it was spent."""
        ...

    def nonce_key(self) -> bytes:
        """32 bytes, the same for all workers. A secret."""
        ...

    def remaining(self, now: datetime) -> RemainingLife: ...


def merge(said: Said, now: datetime) -> dict[str, PostureAttribute]:
    """What policy sees of each attribute at ``now``."""
    return {name: _merged(tuple(by_source.values()), now) for name, by_source in said.items() if by_source}


def _merged(claims: tuple[PostureAttribute, ...], now: datetime) -> PostureAttribute:
    if len(claims) == 1:
        return claims[0]
    live = sorted((claim for claim in claims if claim.expires_at > now), key=_precedence)
    if not live:
        return min(claims, key=lambda claim: (-claim.trust.rank, -to_milliseconds(claim.expires_at), claim.source))
    return replace(live[0], others=tuple(live[1:])) if len(live) > 1 else live[0]


def _precedence(claim: PostureAttribute) -> tuple[int, int, str]:
    return -claim.trust.rank, -to_milliseconds(claim.issued_at), claim.source


def next_expiry(said: Said, now: datetime) -> datetime | None:
    """When the merge next comes out differently by time alone."""
    ends = (claim.expires_at for by_source in said.values() for claim in by_source.values())
    return min((end for end in ends if end > now), default=None)


def fresh_until(said: Said) -> datetime:
    """When the first attribute is no longer told by anything unexpired; 1970 where nothing is told at all."""
    ends = [max(claim.expires_at for claim in by_source.values()) for by_source in said.values() if by_source]
    return min(ends, default=_EPOCH)


def updated(said: Said, source: str, told: Mapping[str, PostureAttribute], *, whole: bool) -> Said:
    """``said`` with what ``source`` tells now. Of one attribute it never goes back to something issued earlier.

    :param whole: it tells all that it knows, so that what it said before and says no more is gone
    """
    made = {name: dict(by_source) for name, by_source in said.items()}
    if whole:
        for by_source in made.values():
            by_source.pop(source, None)
    for name, claim in told.items():
        by_source = made.setdefault(name, {})
        before = by_source.get(source)
        if before is None or before.issued_at <= claim.issued_at:
            by_source[source] = claim
    return {name: by_source for name, by_source in made.items() if by_source}


def values(said: Said) -> dict[tuple[str, str], tuple[type, bool | int | str]]:
    """Values without times, by attribute and source. ``True`` and ``1`` are two."""
    return {
        (name, source): (type(claim.value), claim.value)
        for name, by_source in said.items()
        for source, claim in by_source.items()
    }


def encode(said: Said) -> bytes:
    """JSON for :func:`decode`. Times are milliseconds since 1970, which is all that policy and records see."""
    return orjson.dumps(
        {
            name: {
                source: [
                    claim.value,
                    claim.trust.value,
                    to_milliseconds(claim.issued_at),
                    to_milliseconds(claim.expires_at),
                ]
                for source, claim in by_source.items()
            }
            for name, by_source in said.items()
        }
    )


def decode(content: bytes | str) -> Said:
    """:raises ValueError, TypeError, AttributeError, OverflowError: it is not what :func:`encode` writes"""
    found = orjson.loads(content)
    if not all(name.isascii() for name in found):
        raise ValueError("names are ASCII")
    return {
        name: {source: _claim(source, *each) for source, each in by_source.items()} for name, by_source in found.items()
    }


def _claim(source: str, value: object, trust: object, issued: object, expires: object) -> PostureAttribute:
    if type(issued) is not int or type(expires) is not int or type(trust) is not str:
        raise ValueError("times are integers")
    return PostureAttribute(
        value=legal_value(value),
        source=source,
        trust=Trust(trust),
        issued_at=from_milliseconds(issued),
        expires_at=from_milliseconds(expires),
    )


def legal_value(value: object) -> bool | int | str:
    """:raises ValueError: it is no boolean, integer below 2^53 or printable ASCII text of 256 at most"""
    if type(value) is bool:
        return value
    if type(value) is int and abs(value) <= MAX_INTEGER:
        return value
    if type(value) is str and len(value) <= 256 and value.isascii() and value.isprintable():
        return value
    raise ValueError("a value is a boolean, an integer or a short printable text")


def to_milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(number: int) -> datetime:
    """:raises OverflowError: it is beyond the calendar"""
    return _EPOCH + timedelta(milliseconds=number)
