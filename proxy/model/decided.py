"""What is decided, and from what (steps 5 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from proxy.model.asked import DicomRequest, Refusal, ResourceContext, SiteRequest
from proxy.model.asking import Arrival, Posture, Principal
from proxy.model.base import NO_POLICY, DecisionId, JsonObject, JsonValue, PolicyDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    type: str
    body: Mapping[str, JsonValue]
    """The whole obligation as policy gave it, ``type`` included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of policy, or of the step that refused before policy was asked."""

    allow: bool
    reasons: tuple[str, ...]
    """Reason codes, sorted; empty if and only if ``allow``."""
    obligations: tuple[Obligation, ...] = ()
    policy: PolicyDigest = NO_POLICY
    policy_as_of: datetime | None = None
    """When these policies were issued, or read where nobody says so; ``None`` where none were asked."""

    def __post_init__(self) -> None:
        if self.allow == bool(self.reasons):
            raise ValueError("a verdict allows, or it has reasons")

    @classmethod
    def denied(cls, *reasons: str, policy: PolicyDigest = NO_POLICY) -> Verdict:
        return cls(allow=False, reasons=tuple(sorted({str(reason) for reason in reasons})), policy=policy)

    def against(self, *reasons: str) -> Verdict:
        """A denial by what came after policy, which names the policies that were asked."""
        return replace(self.denied(*reasons), policy=self.policy, policy_as_of=self.policy_as_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReason:
    """A reason that policies give, as the METADATA beside the rule tells of it."""

    code: str
    title: str
    """One line, for whoever is refused."""
    remedy: str
    """What to do about it."""
    rule: str
    """Package of the rule, without ``data.dicomweb.``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Everything a decision was made from: steps 1 to 5 of the journey, as values."""

    decision: DecisionId
    arrival: Arrival
    principal: Principal
    posture: Posture | None
    request: DicomRequest | SiteRequest | Refusal
    resource: ResourceContext | None
    policy_input: JsonObject | None
    """``None`` where policy was not asked."""
    verdict: Verdict
    policy_generation: int

    @property
    def stamp(self) -> tuple[int, int, int]:
        """Generations of certificates, posture and policy: equal stamps mean equal grounds."""
        return (
            self.principal.generation,
            0 if self.posture is None else self.posture.generation,
            self.policy_generation,
        )

    @property
    def until(self) -> datetime | None:
        """When the first of the grounds ends by itself."""
        ends = [self.principal.expires_at, None if self.posture is None else self.posture.expires_at]
        return min((end for end in ends if end is not None), default=None)
