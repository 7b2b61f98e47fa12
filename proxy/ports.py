"""What the journey needs of each room, as Protocols. Rooms implement them, simulators in tests implement them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from proxy.model import (
    Arrival,
    Capabilities,
    DeviceId,
    DicomRequest,
    Durable,
    InstanceUid,
    JsonObject,
    Kind,
    Obligation,
    PartHeader,
    Peer,
    Posture,
    PostureReport,
    Principal,
    Query,
    Reason,
    RecordRow,
    Refusal,
    ResourceContext,
    SeriesUid,
    SiteRequest,
    StudyContext,
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

    report_bytes: int
    """Longest body of a report."""

    def nonce(self, principal: Principal, now: datetime) -> str:
        """What the device must sign with its next report: good for a minute, for this certificate and once."""
        ...

    def examine(
        self, body: bytes, peer: Peer, principal: Principal, request: SiteRequest, now: datetime
    ) -> PostureReport | Reason:
        """Check a report. Its nonce is spent, whatever comes of it.

        :raises PostureUnavailableError: the store could not be read or written
        """
        ...

    def accept(self, report: PostureReport, now: datetime) -> Sequence[DeviceId] | Reason:
        """Put what was examined in force: the devices of which a value changed.

        ``Reason.REPORT_REPLAYED`` where a later report came in meanwhile.

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


class ArchiveAnswer(Protocol):
    """An answer of the archive whose head was checked against what was asked."""

    status: int
    """200; 204 of a search without rows; 404."""
    content_type: str
    """Media type in lower case, for an image the one it really is; empty where the status is not 200."""
    boundary: str
    """Of a multipart answer; else empty."""
    length: int | None
    more: bool
    """Of a search: the archive says that it holds back rows (``Warning: 299``, PS3.18 8.3.4.4)."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Body bytes.

        :raises ArchiveError: the body ended early
        """
        ...


class Archive(Protocol):
    def fetch(self, request: DicomRequest) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask for what ``request`` says, rebuilt: JSON where XML is wanted, multipart where one part is.

        :raises ArchiveError: no answer, or one of another type than asked for
        :raises ArchiveRefusedError: the object is there and cannot be given in this form
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

    async def studies(self, studies: Sequence[StudyUid], now: datetime) -> Mapping[StudyUid, StudyContext]:
        """Attributes of each study and of its series, at most 30 s old; what is not cached is asked for together.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    async def places(self, instance: InstanceUid) -> frozenset[tuple[StudyUid, SeriesUid]]:
        """The studies and series in which the archive holds an instance of this UID, asked now.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...

    async def holders(self, series: SeriesUid) -> frozenset[StudyUid]:
        """The studies in which the archive holds a series of this UID, asked now.

        :raises ArchiveError: as for :meth:`fetch`
        """
        ...


Dataset = dict[str, Any]
"""One object of DICOM JSON (PS3.18 F.2): elements by eight upper-case hexadecimal digits."""


class Recoder(Protocol):
    """Makes a client's answer from the archive's body (pure, push). Made anew for each answer."""

    @property
    def content_type(self) -> str:
        """Known once something was fed."""
        ...

    @property
    def length(self) -> int | None:
        """Bytes of the whole answer, where they are known once something was fed."""
        ...

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """What may leave after this chunk, in order; nothing of an object that was not held to its obligations.

        :raises ArchiveError: the body is not what its type says
        """
        ...

    def end(self) -> bytes:
        """:raises ArchiveError: the body ended early"""
        ...


class RowShaper(Protocol):
    """Makes the answer to one search from pages of the archive's rows (pure). Made anew for each search."""

    content_type: str

    def read(self, page: bytes) -> list[Dataset]:
        """Rows of one page, which are shown before the next is read.

        :raises ArchiveError: it is not a DICOM JSON list, or a row does not name the object that it is"""
        ...

    def place(self, row: Dataset) -> tuple[StudyUid, SeriesUid | None]:
        """The study a row belongs to, and its series below study level."""
        ...

    def uids(self, row: Dataset) -> list[str]:
        """Study, series and instance as far as the level of the search goes: what the record names.

        Empty where one is no UID (old devices make such): nobody could ask for that object, so it is not shown.
        """
        ...

    def counts(self, row: Dataset) -> bool:
        """Whether a row tells anything that is gathered from all series of its study."""
        ...

    def show(self, row: Dataset, study: StudyContext | None, seen: frozenset[SeriesUid]) -> None:
        """Add a row that may be seen.

        :param study: what its study is; ``None`` where rows are not filtered, and counts are the archive's
        :param seen: those of the study's series that may be seen; counts are held to them
        """
        ...

    def answer(self) -> bytes:
        """The whole body; empty where no row is shown and the representation has no form for that."""
        ...


class Fulfilment(Protocol):
    """Step 8: what policy demands of an answer."""

    def unmet(self, request: DicomRequest, obligations: Sequence[Obligation]) -> Reason | None:
        """The reason to deny for, ``None`` where every obligation can be met for this request."""
        ...

    def recoder(self, request: DicomRequest, obligations: Sequence[Obligation], answer: ArchiveAnswer) -> Recoder:
        """How a read's answer is made, with links that are ours and masks applied.

        :raises ArchiveError: the answer's head does not fit the request
        """
        ...

    def rows(self, request: DicomRequest, obligations: Sequence[Obligation]) -> RowShaper: ...

    def narrowed(self, query: Query, obligations: Sequence[Obligation]) -> Query | None:
        """The query with what ``match`` demands pushed down to the archive; ``None`` where no row can match."""
        ...

    def admits(self, study: StudyUid, resource: ResourceContext, obligations: Sequence[Obligation]) -> bool:
        """Whether a row is within what ``match`` demands, pushed down or not."""
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
        self, archive: bytes | None, accepted: Sequence[PartHeader], refused: Sequence[tuple[PartHeader, Reason]]
    ) -> tuple[int, bytes]:
        """Status and DICOM JSON body of a store (PS3.18 10.5.3): what the archive stored, what was refused and why.

        :param refused: with the reason that the storer may know
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
