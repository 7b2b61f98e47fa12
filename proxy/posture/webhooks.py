"""Webhooks of a management system: who sent them, and when (Standard Webhooks 1.0; pure but for the secret's file).

What is signed is ``id.timestamp.body``, HMAC-SHA-256, over the body as sent. While a secret is being changed the file
holds two and a sender may send two signatures: one that fits is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from proxy.errors import ConfigurationError
from proxy.model import ATTRIBUTES, Reason, Signed
from proxy.posture.claims import AGENT, from_milliseconds, legal_value, to_milliseconds

SECRET_BYTES: Final = 24
"""Fewest, by the standard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedPolicy:
    """What one policy of the management system says of a device."""

    policy: str
    attribute: str
    passing: bool | int | str
    failing: bool | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedSettings:
    """What the site says of its management system: see ``[posture.managed]`` in docs/configuration.md."""

    source: str
    secrets: tuple[bytes, ...] = field(repr=False)
    device: str
    """Name of a device, with ``{}`` for what the system calls it."""
    key: str
    """``hostname``, ``uuid`` or ``hardware_serial``."""
    valid: timedelta
    tolerance: timedelta
    body_bytes: int
    """Longest body: a webhook may name thousands of hosts."""
    attributes: tuple[MappedPolicy, ...]

    @classmethod
    def load(
        cls,
        *,
        source: str,
        secret_file: Path,
        device: str,
        key: str,
        valid_s: float,
        tolerance_s: float,
        body_bytes: int,
        attributes: Sequence[MappedPolicy],
    ) -> ManagedSettings:
        """:raises ConfigurationError: names the key; never a secret"""
        if source == AGENT:
            raise ConfigurationError(f"posture.managed.source: {AGENT} is what devices say of themselves")
        for each in attributes:
            _check_values(each)
        return cls(
            source=source,
            secrets=_secrets(secret_file),
            device=device,
            key=key,
            valid=timedelta(seconds=valid_s),
            tolerance=timedelta(seconds=tolerance_s),
            body_bytes=body_bytes,
            attributes=tuple(attributes),
        )


def judge_webhook(signed: Signed, body: bytes, settings: ManagedSettings, now: datetime) -> Reason | None:
    """Whether it was signed with a secret of ours, now. Whether it came before is judged where there is memory."""
    if not _is_signed(signed, body, settings.secrets):
        return Reason.WEBHOOK_SIGNATURE
    if abs(now - signed_at(signed)) > settings.tolerance:
        return Reason.WEBHOOK_NOT_CURRENT
    return None


def signed_at(signed: Signed) -> datetime:
    """By the sender's clock. Seconds of twelve digits, which the grammar lets pass, are kept within the calendar."""
    return from_milliseconds(min(signed.timestamp, 2**33) * 1000)


def issued_at(signed: Signed, now: datetime) -> datetime:
    """By both clocks: what a sender says whose clock is ahead neither holds longer nor outlasts its own next word."""
    return from_milliseconds(min(to_milliseconds(signed_at(signed)), to_milliseconds(now)))


def _is_signed(signed: Signed, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    message = f"{signed.id}.{signed.timestamp}.".encode() + body
    wanted = [hmac.new(secret, message, hashlib.sha256).digest() for secret in secrets]
    return any(hmac.compare_digest(each, found) for each in wanted for found in signed.signatures)


def _secrets(path: Path) -> tuple[bytes, ...]:
    problem = "posture.managed.secret_file: holds one or two secrets of at least 24 bytes in Base64, each on its line"
    try:
        lines = path.read_text("ascii").split()
        found = tuple(base64.b64decode(line.removeprefix("whsec_"), validate=True) for line in lines)
    except OSError as error:
        raise ConfigurationError(f"posture.managed.secret_file: {path}: {error.strerror}") from error
    except ValueError:
        raise ConfigurationError(problem) from None  # its error may hold the secret
    if len(found) not in (1, 2) or any(len(secret) < SECRET_BYTES for secret in found):
        raise ConfigurationError(problem)
    return found


def _check_values(mapped: MappedPolicy) -> None:
    for name, value in (("passing", mapped.passing), ("failing", mapped.failing)):
        key = f"posture.managed.attributes: {mapped.attribute}: {name}"
        try:
            legal_value(value)
        except ValueError as error:
            raise ConfigurationError(f"{key}: {error}") from error
        wanted = ATTRIBUTES.get(mapped.attribute, type(value))
        if type(value) is not wanted:
            raise ConfigurationError(f"{key}: has to be of type {wanted.__name__}")
