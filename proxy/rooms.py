"""Everything the journey walks through, as one value. Joined in :mod:`proxy.app`, replaced by simulators in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from proxy.model import (
    Capabilities,
    DecisionId,
    DicomRequest,
    JsonObject,
    Posture,
    Principal,
    ResourceContext,
    Row,
    SiteRequest,
)
from proxy.ports import (
    Archive,
    Clock,
    Counting,
    Fulfilment,
    Identifier,
    Interpreter,
    Lookup,
    MultipartRules,
    Observer,
    PolicyEngine,
    PostureDesk,
    PostureSource,
    Recorder,
    Standing,
    StoreReport,
    Suppressor,
)


class ProblemLike(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class Problem(Protocol):
    def __call__(
        self, reasons: Sequence[str], decision: str, posture: Posture | None = None, now: datetime | None = None
    ) -> ProblemLike:
        """Status and body of a refusal.

        :param posture: of the device that asks, so that it is told what was found wrong with it
        """
        ...


class PolicyInput(Protocol):
    def __call__(
        self,
        *,
        decision: DecisionId,
        now: datetime,
        principal: Principal,
        posture: Posture,
        request: DicomRequest | SiteRequest,
        resource: ResourceContext | None,
        network: str,
        rows: Sequence[Row] = (),
    ) -> JsonObject: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the journey walks through; joined in :mod:`proxy.app`."""

    site: str
    clock: Clock
    identifier: Identifier
    posture: PostureSource
    desk: PostureDesk
    interpret: Interpreter
    policy_input: PolicyInput
    engine: PolicyEngine
    counting: Counting
    fulfilment: Fulfilment
    archive: Archive
    multipart: MultipartRules
    store_report: StoreReport
    problem: Problem
    recorder: Recorder
    lookup: Lookup
    standing: Standing
    suppressor: Suppressor
    observer: Observer
    capabilities: Callable[[Capabilities], bytes]
    search_rows: int
    search_scan: int
    search_bytes: int
