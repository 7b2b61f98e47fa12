"""Everything the journey walks through, as one value. Joined in :mod:`proxy.app`, replaced by simulators in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from proxy.model import DecisionId, DicomRequest, JsonObject, Obligation, Posture, Principal, Reason, ResourceContext
from proxy.ports import (
    Archive,
    Clock,
    Identifier,
    Interpreter,
    MultipartRules,
    Observer,
    PolicyEngine,
    PostureSource,
    Recorder,
    StoreReport,
    Suppressor,
)


class ProblemLike(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class PolicyInput(Protocol):
    def __call__(
        self,
        *,
        decision: DecisionId,
        now: datetime,
        principal: Principal,
        posture: Posture,
        request: DicomRequest,
        resource: ResourceContext | None,
        network: str,
    ) -> JsonObject: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the journey walks through; joined in :mod:`proxy.app`."""

    clock: Clock
    identifier: Identifier
    posture: PostureSource
    interpret: Interpreter
    policy_input: PolicyInput
    engine: PolicyEngine
    unmet: Callable[[Sequence[Obligation]], Reason | None]
    archive: Archive
    multipart: MultipartRules
    rows_of: Callable[[bytes], list[list[str]]]
    store_report: StoreReport
    problem: Callable[[Sequence[str], str], ProblemLike]
    recorder: Recorder
    suppressor: Suppressor
    observer: Observer
    search_rows: int
    search_bytes: int
