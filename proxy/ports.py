"""What the journey needs of each room, as Protocols. Rooms implement them, simulators in tests implement them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from proxy.model import (
    Arrival,
    DeviceId,
    DicomRequest,
    Durable,
    JsonObject,
    Kind,
    PartHeader,
    Peer,
    Posture,
    Principal,
    RecordRow,
    Refusal,
    ResourceContext,
    StudyUid,
    Verdict,
)

Clock = Callable[[], datetime]
"""Aware UTC now."""


class Body(Protocol):
    """The client's body, pulled: nothing is read that nobody asked for."""

    async def read(self) -> bytes:
        """Next bytes, ``b""`` at the end.

        :raises PeerGoneError: the connection was lost or the deadline passed
        :raises BodyTooLargeError: more came than the site accepts
        """
        ...


class Exchange(Protocol):
    """The client's side of one request. Whoever writes to it has a durable decision."""

    body: Body
    decided: bool
    """Set once a decision record is on its way: from then on this request is no longer to be counted as suppressed."""

    async def proceed(self) -> None:
        """Send ``100 Continue``."""
        ...

    async def start(self, status: int, headers: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send status and headers.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        ...

    async def write(self, chunk: bytes) -> None:
        """Send body bytes, waiting for the peer to take them.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        ...

    async def finish(self) -> None:
        """End the body.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        ...

    def abort(self) -> None:
        """Close the connection so that the peer sees the answer is not whole."""
        ...


class Identifier(Protocol):
    def identify(self, peer: Peer, now: datetime) -> Principal:
        """Judge the certificate now. Never raises for what a peer can cause: reasons are in the value."""
        ...


class PostureSource(Protocol):
    def posture(self, device: DeviceId, now: datetime) -> Posture:
        """What is known of the device.

        :raises PostureUnavailableError: the store could not be read
        """
        ...


class Interpreter(Protocol):
    def __call__(self, arrival: Arrival) -> DicomRequest | Refusal: ...


class PolicyEngine(Protocol):
    async def decide(self, policy_input: JsonObject) -> Verdict:
        """One evaluation of ``data.dicomweb.authz.decision``.

        :raises PolicyUnavailableError: undefined, malformed, late or no answer; never an allow
        """
        ...

    @property
    def generation(self) -> int:
        """Counts up when other policies or data come into force."""
        ...


class ArchiveAnswer(Protocol):
    """An answer of the archive whose head was checked against what was asked."""

    status: int
    content_type: str
    length: int | None

    def chunks(self) -> AsyncIterator[bytes]:
        """Body bytes.

        :raises ArchiveError: the body ended early
        """
        ...


class Archive(Protocol):
    def fetch(self, request: DicomRequest) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask for what ``request`` says, rebuilt.

        :raises ArchiveError: no answer, or one of another type than asked for
        """
        ...

    def store(
        self, request: DicomRequest, body: AsyncIterator[bytes], boundary: str
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Send a re-encoded multipart body, once: a write is never tried again.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    def forget(self, study: StudyUid) -> None:
        """Attributes of this study may have changed."""
        ...

    async def context(self, request: DicomRequest, now: datetime) -> ResourceContext:
        """Attributes of the object a request names, at most 30 s old.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...


class PartReader(Protocol):
    """Takes the client's multipart body apart (pure, push). Made anew for each store."""

    def feed(self, data: bytes) -> Sequence[PartEvent]:
        """:raises BodyError: the body is not the strict form of RFC 2046 5.1 that this site accepts"""
        ...

    def end(self) -> None:
        """:raises BodyError: the body ended before its close-delimiter"""
        ...


class PartEvent(Protocol):
    """``header`` opens a part, ``data`` continues it, ``ends`` closes it."""

    @property
    def header(self) -> PartHeader | None: ...

    @property
    def data(self) -> bytes: ...

    @property
    def ends(self) -> bool: ...


class MultipartRules(Protocol):
    """How a store's body is taken apart and written anew."""

    def reader(self, boundary: str) -> PartReader: ...

    def opening(self, boundary: str, first: bool) -> bytes:
        """Delimiter and header of a part, up to its first byte."""
        ...

    def closing(self, boundary: str) -> bytes: ...


class StoreReport(Protocol):
    def __call__(
        self, archive: bytes | None, accepted: Sequence[PartHeader], refused: Sequence[tuple[PartHeader, str]]
    ) -> tuple[int, bytes]:
        """Status and DICOM JSON body of a store (PS3.18 10.5.3): what the archive stored, what was refused and why.

        :raises ArchiveError: the archive's own report cannot be read
        """
        ...


class Recorder(Protocol):
    def record(self, kind: Kind, body: JsonObject) -> Awaitable[Durable]:
        """Queue a record at once; awaiting returns after fsync.

        :raises SpoolError: it is not durable (from the call or from awaiting)
        """
        ...

    def record_later(self, kind: Kind, body: JsonObject) -> None:
        """Queue a record whose durability nobody waits for (outcomes). Loss in a crash shows as *unknown*."""
        ...

    def receipt(self, decision: str, durable: Durable, now: datetime) -> str:
        """Signed receipt, a compact JWS (RFC 7515)."""
        ...


class SpoolReader(Protocol):
    """One origin's records as another process sees them, read-only. Only durable rows are visible."""

    origin: bytes
    predecessor: bytes | None
    agreed: int | None
    """With ``predecessor``: how many of its leaves this site still stands by."""
    chain_id: int
    contract: bytes
    receipt_key: bytes
    """Raw Ed25519 public key, 32 bytes, under which this origin's receipts verify."""

    def count(self) -> int:
        """Number of records; the highest index is one less."""
        ...

    def head(self, count: int) -> bytes | None:
        """Head after the first ``count`` records, as stored; ``None`` where the spool has fewer."""
        ...

    def rows(self, first: int, count: int) -> list[RecordRow]:
        """Rows with ``first <= index < first + count`` in order, as stored and not judged."""
        ...

    def find(self, decision: str) -> list[RecordRow]:
        """Every record that carries this decision id, in order."""
        ...


class Suppressor(Protocol):
    def suppress(self, reason: str, now: datetime) -> None:
        """Count a request that gets no decision record; a window later one ``suppressed`` record tells how many."""
        ...


class Observer(Protocol):
    """Where rooms report what happened. Labels are from closed sets; nothing of a patient passes here."""

    def count(self, name: str, labels: Mapping[str, str] | None = None, amount: int = 1) -> None: ...

    def seconds(self, room: str, elapsed: float) -> None: ...
