"""What several sources say of one device, merged into what policy sees (pure).

For each attribute

1. the unexpired claim of the highest trust wins; of equal trust the newest, then the first source by name;
2. unless one of a higher trust has expired that said something else: what has ended may be confirmed by those that are
   trusted less, and not contradicted, so it stands there itself with its times, and policy says *stale*;
3. where every claim has expired the one of the highest trust that ended last stands there likewise: *stale*, and not
   *missing*.

What the others say and has not expired stays visible beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import orjson

from proxy.model import MAX_INTEGER, DeviceId, Posture, PostureAttribute, PostureReport, Taken, Trust

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
    """Devices of which no attribute is stale."""
    expired: int
    shortest_s: float | None
    """Of the fresh devices, until the first of their attributes is stale; ``None`` where there is none."""
    median_s: float | None


class ClaimStore(Protocol):
    """Where claims are kept, for all workers. Each method raises PostureUnavailableError where it cannot be used."""

    def posture(self, device: DeviceId, now: datetime) -> Posture: ...

    async def put(self, report: PostureReport, now: datetime) -> Taken | None:
        """Put a report in force, all of it that is not older than what its source said before, or nothing.

        ``None``: its ``once`` is spent, or the device itself said something later before. From its return on
        :meth:`posture` knows of it; the write is finished even where the caller is cancelled.
        """
        ...

    def reported_at(self, device: DeviceId) -> datetime | None:
        """When the last report of its own that was put in force was issued."""
        ...

    def is_spent(self, once: str) -> bool: ...

    async def spend(self, once: str, until: datetime, now: datetime) -> bool:
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
    ended = min((claim for claim in claims if claim.expires_at <= now), key=_precedence_of_ended, default=None)
    if ended is not None and (not live or _is_contradicted(ended, live[0])):
        return replace(ended, others=tuple(live))
    return replace(live[0], others=tuple(live[1:]))


def _precedence(claim: PostureAttribute) -> tuple[int, int, str]:
    return -claim.trust.rank, -to_milliseconds(claim.issued_at), claim.source


def _precedence_of_ended(claim: PostureAttribute) -> tuple[int, int, str]:
    return -claim.trust.rank, -to_milliseconds(claim.expires_at), claim.source


def _is_contradicted(ended: PostureAttribute, live: PostureAttribute) -> bool:
    """By somebody who is trusted less. ``True`` and ``1`` are two values."""
    return ended.trust.rank > live.trust.rank and (type(ended.value), ended.value) != (type(live.value), live.value)


def next_expiry(said: Said, now: datetime) -> datetime | None:
    """When the merge next comes out differently by time alone."""
    ends = (claim.expires_at for by_source in said.values() for claim in by_source.values())
    return min((end for end in ends if end > now), default=None)


def fresh_until(said: Said) -> datetime:
    """When the first attribute is stale, by the rules of :func:`merge`; 1970 where nothing is told at all."""
    return min((_stale_from(tuple(by_source.values())) for by_source in said.values() if by_source), default=_EPOCH)


def _stale_from(claims: tuple[PostureAttribute, ...]) -> datetime:
    """Only an end makes it so, and the last one always does."""
    ends = [claim.expires_at for claim in claims]
    if len({(type(claim.value), claim.value) for claim in claims}) == 1:
        return max(ends)  # nobody contradicts: the usual case, and the costly way comes out the same
    return min(end for end in ends if _merged(claims, end).expires_at <= end)


def not_older(said: Said, source: str, told: Mapping[str, PostureAttribute]) -> Mapping[str, PostureAttribute]:
    """What of ``told`` was not issued before what ``source`` said last of the same attribute."""
    last = {name: by_source[source].issued_at for name, by_source in said.items() if source in by_source}
    return {name: claim for name, claim in told.items() if name not in last or last[name] <= claim.issued_at}


def updated(said: Said, source: str, told: Mapping[str, PostureAttribute], *, whole: bool) -> Said:
    """``said`` with what ``source`` tells now.

    :param whole: it tells all that it knows, so that what it said before and says no more is gone
    """
    made = {name: dict(by_source) for name, by_source in said.items()}
    if whole:
        for by_source in made.values():
            by_source.pop(source, None)
    for name, claim in told.items():
        made.setdefault(name, {})[source] = claim
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
