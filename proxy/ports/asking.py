"""Who asks for what, and what policy says (steps 1, 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from proxy.model import (
    Arrival,
    Capabilities,
    DeviceId,
    DicomRequest,
    JsonObject,
    Peer,
    PolicyReason,
    Posture,
    PostureReport,
    Principal,
    Reason,
    Refusal,
    ResourceContext,
    SiteRequest,
    Taken,
    Verdict,
)


class Identifier(Protocol):
    def identify(self, peer: Peer, authorization: Sequence[bytes], now: datetime) -> Principal:
        """Judge certificate and access token now. Never raises for what a peer can cause: reasons are in the value.

        :param authorization: values of ``Authorization`` as sent; a secret, never repeated in what is returned
        """
        ...


class PostureSource(Protocol):
    def posture(self, device: DeviceId, now: datetime) -> Posture:
        """What is known of the device.

        :raises PostureUnavailableError: the store could not be read
        """
        ...


class PostureDesk(Protocol):
    """Takes in what is said of devices: reports of their own, and those of a management system."""

    def longest(self, request: SiteRequest) -> int:
        """Most bytes of a body that is read for this request."""
        ...

    def nonce(self, principal: Principal, now: datetime) -> str:
        """What the device must sign with its next report: good for a minute, for this certificate and once."""
        ...

    async def examine(
        self, body: bytes, peer: Peer, principal: Principal, request: SiteRequest, now: datetime
    ) -> PostureReport | Reason:
        """Check a report. Its nonce is spent, whatever comes of it.

        :raises PostureUnavailableError: the store could not be read or written
        """
        ...

    async def accept(self, report: PostureReport, now: datetime) -> Taken | Reason:
        """Put what was examined in force.

        A reason where a later report came in meanwhile, or nothing of it is newer than what is known.

        :raises PostureUnavailableError: the store could not be written
        """
        ...


class Interpreter(Protocol):
    def __call__(self, arrival: Arrival) -> DicomRequest | SiteRequest | Capabilities | Refusal: ...


class PolicyEngine(Protocol):
    async def decide(self, policy_input: JsonObject) -> Verdict:
        """One evaluation of ``data.dicomweb.authz.decision``.

        :raises PolicyUnavailableError: undefined, malformed, late or no answer; never an allow
        """
        ...

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        """One evaluation of ``data.dicomweb.authz.visible``: indices into ``rows`` of what may be seen.

        :raises PolicyUnavailableError: as for :meth:`decide`
        """
        ...

    @property
    def generation(self) -> int:
        """Counts up when other policies or data come into force."""
        ...

    @property
    def reasons(self) -> Mapping[str, PolicyReason]:
        """By code: what the METADATA of the policies in force says of the reasons they give."""
        ...


class PolicyShelf(Protocol):
    """Where an OPA server finds the policies that it is to decide by."""

    async def take(self, known: str, wait_s: float) -> tuple[str, bytes]:
        """Digest and OPA bundle; both empty where there are none yet.

        :param known: the digest that the asker has: as long as it is still that, wait
        """
        ...


class Counting(Protocol):
    """How much a subject asks for. Local to a worker and forgotten with it: a signal for policy, no quota."""

    def before(self, principal: Principal, resource: ResourceContext | None, now: datetime) -> Mapping[str, int]:
        """The ``counters`` of policy input, without the request at hand."""
        ...

    def decided(self, principal: Principal, resource: ResourceContext | None, allowed: bool, now: datetime) -> None: ...

    def left(self, principal: Principal, sent: int, now: datetime) -> None:
        """Bytes of content that were answered."""
        ...
