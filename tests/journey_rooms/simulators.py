"""Ports of the journey, simulated: each can be told to be late, wrong or absent.

``Trace`` is what all of them write to, so that a test can say what happened before what.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from proxy import commitment
from proxy.answer import problem_of
from proxy.errors import ArchiveError, BodyError, DicomwardError, PeerGoneError, SpoolError
from proxy.fulfil import Fulfilling, StoreReports
from proxy.journey import Journey
from proxy.model import (
    Action,
    Arrival,
    Capabilities,
    DecisionId,
    DeviceClaims,
    DeviceId,
    DicomRequest,
    Durable,
    InstanceUid,
    JsonObject,
    Kind,
    Level,
    Obligation,
    PartHeader,
    Peer,
    PolicyDigest,
    PolicyReason,
    Posture,
    PostureAttribute,
    PostureReport,
    Principal,
    Query,
    Reason,
    Recalled,
    Refusal,
    Representation,
    ResourceContext,
    Revocation,
    Row,
    SeriesContext,
    SeriesUid,
    SiteRequest,
    SiteResource,
    StudyContext,
    StudyUid,
    Taken,
    Trust,
    User,
    Verdict,
)
from proxy.ports import ArchiveAnswer, Recoder
from proxy.rooms import Rooms

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEVICE = DeviceId("ab" * 32)
STUDY, SERIES = StudyUid("1.2.3"), SeriesUid("1.2.3.4")
DIGEST = PolicyDigest("cd" * 32)


def rows_of(*studies: str) -> bytes:
    """A search's page of the archive: these studies."""
    return json.dumps([{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in studies]).encode()


ROWS = rows_of("1.2.3", "1.2.4")

RETRIEVE = DicomRequest(
    action=Action.RETRIEVE, level=Level.STUDY, method="GET", representation=Representation.DICOM, study=STUDY
)
METADATA = DicomRequest(
    action=Action.METADATA, level=Level.STUDY, method="GET", representation=Representation.JSON, study=STUDY
)
SEARCH = DicomRequest(
    action=Action.SEARCH, level=Level.STUDY, method="GET", representation=Representation.JSON, query=Query(limit=10)
)
STORE = DicomRequest(
    action=Action.STORE, level=Level.STUDY, method="POST", representation=Representation.JSON, boundary="b"
)


NONCE = SiteRequest(action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE_NONCE, method="GET")
REPORT = SiteRequest(action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE, method="POST")
ABOUT = DecisionId("12" * 16)
RECALL = SiteRequest(action=Action.READ_DECISION, resource=SiteResource.DECISION, method="GET", about=ABOUT)
MANAGED = SiteRequest(action=Action.MANAGE_POSTURE, resource=SiteResource.MANAGED_POSTURE, method="POST")


class Trace(list[str]):
    """Names of what happened, in order."""

    def before(self, first: str, second: str) -> bool:
        return first in self and second in self and self.index(first) < self.index(second)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Identifier:
    generation: int = 0
    reasons: tuple[Reason, ...] = ()
    user: User | None = None
    heard: list[tuple[bytes, ...]] = field(default_factory=list)
    """Authorization values that came in."""
    device: DeviceId | None = DEVICE
    expires_at: datetime | None = NOW + timedelta(hours=1)

    def identify(self, peer: Peer, authorization: Sequence[bytes], now: datetime) -> Principal:
        self.heard.append(tuple(authorization))
        return Principal(
            device=self.device,
            name="urn:dicomward:device:radiologist",
            subject="CN=radiologist",
            fingerprint="ef" * 32,
            serial="1",
            authority="site",
            authority_actions=("search", "metadata", "retrieve", "store"),
            not_after=self.expires_at,
            revocation=Revocation(status="good", as_of=NOW, expires_at=self.expires_at),
            generation=self.generation,
            expires_at=self.expires_at,
            reasons=self.reasons,
            user=self.user,
        )


@dataclass
class PostureSource:
    generation: int = 1
    error: DicomwardError | None = None
    expires_at: datetime = NOW + timedelta(hours=1)

    def posture(self, device: DeviceId, now: datetime) -> Posture:
        if self.error is not None:
            raise self.error
        firewall = PostureAttribute(
            value=True, source="mdm", trust=Trust.MANAGED, issued_at=NOW, expires_at=self.expires_at
        )
        return Posture(attributes={"firewall": firewall}, generation=self.generation)


@dataclass
class Desk:
    """Takes any body as a report of one device; ``refusal``, ``late`` and ``error`` are for what may go wrong."""

    trace: Trace
    most: int = 1000
    """Bytes of a body."""
    refusal: Reason | None = None
    late: Reason | None = None
    """What ``accept`` answers."""
    error: DicomwardError | None = None
    accept_error: DicomwardError | None = None
    changed: tuple[DeviceId, ...] = (DEVICE,)
    examined: list[bytes] = field(default_factory=list)
    accepted: list[PostureReport] = field(default_factory=list)

    def longest(self, request: SiteRequest) -> int:
        return self.most

    def nonce(self, principal: Principal, now: datetime) -> str:
        return f"nonce for {principal.fingerprint[:4]}"

    async def examine(
        self, body: bytes, peer: Peer, principal: Principal, request: SiteRequest, now: datetime
    ) -> PostureReport | Reason:
        self.examined.append(body)
        if self.error is not None:
            raise self.error
        if self.refusal is not None:
            return self.refusal
        firewall = PostureAttribute(
            value=True, source="agent", trust=Trust.REPORTED, issued_at=NOW, expires_at=NOW + timedelta(minutes=15)
        )
        return PostureReport(
            source="agent",
            trust=Trust.REPORTED,
            sha256="aa" * 32,
            issued_at=NOW,
            claims=(DeviceClaims(device=DEVICE, attributes={"firewall": firewall}),),
        )

    async def accept(self, report: PostureReport, now: datetime) -> Taken | Reason:
        self.trace.append("accept")
        if self.accept_error is not None:
            raise self.accept_error
        if self.late is not None:
            return self.late
        self.accepted.append(report)
        return Taken(changed=self.changed, attributes=1)


@dataclass
class Engine:
    """Allows, until told otherwise. ``by_input`` may judge each question by itself."""

    generation: int = 0
    reasons: Mapping[str, PolicyReason] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=lambda: Verdict(allow=True, reasons=(), policy=DIGEST))
    error: Exception | None = None
    by_input: Callable[[JsonObject], Verdict] | None = None
    sees: Callable[[Any], bool] = lambda row: True
    """Which rows are visible."""
    asked: list[JsonObject] = field(default_factory=list)
    shown: list[JsonObject] = field(default_factory=list)
    """Questions to ``visible``."""

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        await asyncio.sleep(0)
        self.shown.append(policy_input)
        if self.error is not None:
            raise self.error
        rows: Any = policy_input["rows"]
        return frozenset(index for index, row in enumerate(rows) if self.sees(row))

    async def decide(self, policy_input: JsonObject) -> Verdict:
        await asyncio.sleep(0)
        self.asked.append(policy_input)
        if self.error is not None:
            raise self.error
        return self.verdict if self.by_input is None else self.by_input(policy_input)

    def deny(self, *reasons: str) -> None:
        self.verdict = Verdict.denied(*reasons, policy=DIGEST)
        self.generation += 1

    def demand(self, *demanded: str | JsonObject) -> None:
        bodies = [each if isinstance(each, dict) else {"type": each} for each in demanded]
        obligations = tuple(Obligation(type=str(body["type"]), body=body) for body in bodies)
        self.verdict = Verdict(allow=True, reasons=(), obligations=obligations, policy=DIGEST)
        self.generation += 1


@dataclass
class Counting:
    decided_of: list[tuple[str, bool]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def before(self, principal: Principal, resource: ResourceContext | None, now: datetime) -> Mapping[str, int]:
        return {}

    def decided(self, principal: Principal, resource: ResourceContext | None, allowed: bool, now: datetime) -> None:
        self.decided_of.append((principal.name, allowed))

    def left(self, principal: Principal, sent: int, now: datetime) -> None:
        self.sent.append(sent)


@dataclass
class Found:
    """An answer of the archive: ``parts`` are bytes, errors to raise, or events to wait for."""

    status: int = 200
    content_type: str = "multipart/related"
    boundary: str = "a"
    length: int | None = None
    more: bool = False
    parts: Sequence[bytes | Exception | asyncio.Event] = (b"pixels", b"and more")

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            await asyncio.sleep(0)
            if isinstance(part, Exception):
                raise part
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                yield part


@dataclass
class Archive:
    trace: Trace
    found: Found = field(default_factory=Found)
    error: Exception | None = None
    context_error: Exception | None = None
    store_error: Exception | None = None
    """Raised without reading the body."""
    asked: list[DicomRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    finished: list[bool] = field(default_factory=list)
    """Of each store: whether its body came to its end."""
    forgotten: list[str] = field(default_factory=list)
    pages: list[Found] = field(default_factory=list)
    """Answers to searches, one after another; then ``found``."""
    known: dict[str, StudyContext] = field(default_factory=dict)
    """Studies; one that is not here is of North Hospital, with one series."""
    held: dict[str, frozenset[StudyUid]] = field(default_factory=dict)
    placed: dict[str, frozenset[tuple[StudyUid, SeriesUid]]] = field(default_factory=dict)
    open: int = 0

    @asynccontextmanager
    async def fetch(self, request: DicomRequest) -> AsyncIterator[Found]:
        self.asked.append(request)
        self.trace.append("fetch")
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.open += 1
        try:
            yield self.pages.pop(0) if self.pages else self.found
        finally:
            self.open -= 1

    @asynccontextmanager
    async def store(self, request: DicomRequest, body: AsyncIterator[bytes], boundary: str) -> AsyncIterator[Found]:
        self.asked.append(request)
        self.trace.append("store")
        if self.store_error is not None:
            raise self.store_error
        self.bodies.append(b"")
        self.finished.append(False)
        # As the real client: the body is written by a task of its own, whose failure is one of the connection.
        try:
            await asyncio.create_task(self._take(body))
        except DicomwardError as error:
            raise ArchiveError("the connection was lost") from error
        self.finished[-1] = True
        instances = [part.split(b"|")[1].decode() for part in self.bodies[-1].split(b"<part>")[1:]]
        items = [{"00081155": {"vr": "UI", "Value": [each]}} for each in instances]
        report = json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()
        yield self.found if self.found.parts != Found.parts else Found(parts=[report])

    async def _take(self, body: AsyncIterator[bytes]) -> None:
        async for chunk in body:
            self.trace.append("sent")
            self.bodies[-1] += chunk

    def forget(self, study: StudyUid) -> None:
        self.forgotten.append(study)

    async def context(self, request: DicomRequest, now: datetime) -> ResourceContext:
        if self.context_error is not None:
            raise self.context_error
        return study_context(now).resource

    async def studies(self, studies: Sequence[StudyUid], now: datetime) -> Mapping[StudyUid, StudyContext]:
        if self.context_error is not None:
            raise self.context_error
        return {uid: self.known.get(uid) or study_context(now) for uid in studies}

    async def places(self, instance: InstanceUid) -> frozenset[tuple[StudyUid, SeriesUid]]:
        return self.placed.get(instance, frozenset())

    async def holders(self, series: SeriesUid) -> frozenset[StudyUid]:
        return self.held.get(series, frozenset())


def study_context(now: datetime, **series: str) -> StudyContext:
    """A study of North Hospital with one series, or with series of institutions as given: ``s1="South Clinic"``."""
    places = {SeriesUid(f"9.{name[1:]}"): place for name, place in series.items()} or {SERIES: "North Hospital"}
    resource = ResourceContext(
        known=True,
        as_of=now,
        patient_id="P1",
        accession_number="A1",
        modalities=("CT",),
        institutions=tuple(sorted(set(places.values()))),
        departments=("",),
        study_date="20200131",
    )
    return StudyContext(
        resource=resource,
        series={
            uid: SeriesContext(resource=replace(resource, institutions=(place,)), instances=3)
            for uid, place in places.items()
        },
    )


@dataclass
class Recorder:
    """``delay`` turns of the loop until a record is durable; ``fail_from`` the number of the first that is not."""

    trace: Trace
    delay: int = 5
    fail_from: int | None = None
    refuse: bool = False
    """Refuse at the call, as a full queue does."""
    records: list[JsonObject] = field(default_factory=list)
    durable: list[JsonObject] = field(default_factory=list)

    def record(self, kind: Kind, body: JsonObject) -> asyncio.Future[Durable]:
        if self.refuse:
            raise SpoolError("the spool takes no more records")
        commitment.canonical(body)
        assert body["kind"] == kind.value
        self.records.append(body)
        return asyncio.ensure_future(self._write(len(self.records) - 1, body))

    async def _write(self, number: int, body: JsonObject) -> Durable:
        for _ in range(self.delay):
            await asyncio.sleep(0)
        if self.fail_from is not None and number >= self.fail_from:
            raise SpoolError("no space left")
        self.durable.append(body)
        self.trace.append(f"durable {body['kind']}")
        return Durable(origin=bytes(32), index=number, leaf=bytes([number]) * 32, head=bytes(32))

    def record_later(self, kind: Kind, body: JsonObject) -> None:
        commitment.canonical(body)
        self.records.append(body)
        self.durable.append(body)

    def receipt(self, decision: str, durable: Durable, now: datetime) -> str:
        return f"receipt of {decision} at {durable.index}"

    def of(self, kind: str) -> list[Any]:
        return [body for body in self.durable if body["kind"] == kind]


@dataclass
class Lookup:
    """One decision, of whoever asks, or an error."""

    trace: Trace
    found: Recalled | None = None
    error: Exception | None = None
    asked: list[tuple[DecisionId, str | None]] = field(default_factory=list)

    async def recall(self, decision: DecisionId, principal: Principal) -> Recalled | None:
        self.trace.append("recall")
        self.asked.append((decision, principal.device))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.found


@dataclass
class Suppressor:
    suppressed: list[str] = field(default_factory=list)

    def suppress(self, reason: str, now: datetime) -> None:
        self.suppressed.append(reason)


@dataclass
class Observer:
    counts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    rooms: set[str] = field(default_factory=set)

    def count(self, name: str, labels: Mapping[str, str] | None = None, amount: int = 1) -> None:
        self.counts.append((name, dict(labels or {})))

    def seconds(self, room: str, elapsed: float) -> None:
        assert elapsed >= 0
        self.rooms.add(room)


class Body:
    """What the client sends: bytes, errors to raise, events to wait for."""

    def __init__(self, *parts: bytes | Exception | asyncio.Event) -> None:
        self._parts = list(parts)

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        while self._parts:
            part = self._parts.pop(0)
            if isinstance(part, Exception):
                raise part
            if not isinstance(part, asyncio.Event):
                return part
            await part.wait()
        return b""


class Exchange:
    """The client's side. ``gone_at`` names the call at which the peer turns out to be gone, for example ``write``."""

    def __init__(self, trace: Trace, *body: bytes | Exception | asyncio.Event) -> None:
        self.body = Body(*body)
        self.decided = False
        self.gone_at: str | None = None
        self.gone_after = 0
        self.stall: asyncio.Event | None = None
        """What a write waits for, as for a peer that takes nothing."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.length: int | None = None
        self.sent = b""
        self.finished = False
        self.aborted = False
        self.continued = False
        self._trace = trace

    def _step(self, name: str) -> None:
        self._trace.append(name)
        if self.aborted:
            raise PeerGoneError("aborted")
        if self.gone_at == name:
            if self.gone_after == 0:
                raise PeerGoneError("gone")
            self.gone_after -= 1

    async def proceed(self) -> None:
        self._step("proceed")
        self.continued = True

    async def start(self, status: int, headers: Sequence[tuple[str, str]], length: int | None) -> None:
        assert not self.status, "an answer begins once"
        self._step("start")
        await asyncio.sleep(0)
        self.status, self.headers, self.length = status, dict(headers), length

    async def write(self, chunk: bytes) -> None:
        assert self.status
        self._step("write")
        await asyncio.sleep(0)
        if self.stall is not None:
            await self.stall.wait()
        self.sent += chunk

    async def finish(self) -> None:
        self._step("finish")
        await asyncio.sleep(0)
        self.finished = True

    def abort(self) -> None:
        self._trace.append("abort")
        self.aborted = True

    def reasons(self) -> list[str]:
        assert self.headers["Content-Type"] == "application/problem+json"
        return [each["code"] for each in json.loads(self.sent)["reasons"]]


@dataclass(frozen=True)
class PartEvent:
    header: PartHeader | None
    data: bytes
    ends: bool


class PartReader:
    """One part a chunk: ``study|instance|content``. ``bad`` breaks the body, ``end`` closes it."""

    def __init__(self) -> None:
        self._closed = False

    def feed(self, data: bytes) -> Sequence[PartEvent]:
        if data == b"bad":
            raise BodyError("not multipart")
        if data == b"end":
            self._closed = True
            return []
        study, instance, content = data.decode().split("|")
        header = part_header(study, instance)
        return [
            PartEvent(header, f"|{instance}|".encode(), False),
            PartEvent(None, content.encode(), True),
        ]

    def end(self) -> None:
        if not self._closed:
            raise BodyError("the body ends before its close-delimiter")


def part_header(study: str, instance: str) -> PartHeader:
    return PartHeader(
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        instance=InstanceUid(instance),
        study=StudyUid(study),
        series=SERIES,
        transfer_syntax="1.2.840.10008.1.2.1",
        patient_id="P1",
        accession_number="A1",
        modality="CT",
        institution="North Hospital",
        department="",
        study_date="20200131",
    )


class MultipartRules:
    def reader(self, boundary: str) -> PartReader:
        assert boundary == "b"
        return PartReader()

    def opening(self, boundary: str, first: bool) -> bytes:
        return b"<part>"

    def closing(self, boundary: str) -> bytes:
        return b"<end>"


def policy_input(
    *,
    decision: DecisionId,
    now: datetime,
    principal: Principal,
    posture: Posture,
    request: DicomRequest | SiteRequest,
    resource: ResourceContext | None,
    network: str,
    rows: Sequence[Row] = (),
) -> JsonObject:
    return {
        "rows": [row.to_wire() for row in rows],
        "version": 1,
        "request": {"id": decision, **request.to_wire()},
        "device": {"posture": posture.to_wire()},
        "resource": None if resource is None else resource.to_wire(),
    }


@dataclass
class PassThrough:
    """A recoder that changes nothing. ``error`` is raised at the first chunk, ``late`` at the end."""

    content_type: str = "application/dicom"
    length: int | None = None
    error: Exception | None = None
    late: Exception | None = None

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        if self.error is not None:
            raise self.error
        return [chunk]

    def end(self) -> bytes:
        if self.late is not None:
            raise self.late
        return b""


class Fulfilment(Fulfilling):
    """The real rules of rows and obligations; what a read answers passes through ``recoding``."""

    def __init__(self) -> None:
        super().__init__("https://pacs.example")
        self.recoding: PassThrough | Exception = PassThrough()

    def recoder(self, request: DicomRequest, obligations: Sequence[Obligation], answer: ArchiveAnswer) -> Recoder:
        if isinstance(self.recoding, Exception):
            raise self.recoding
        return self.recoding


class World:
    """A journey among simulators."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.clock = Clock()
        self.identifier = Identifier()
        self.posture = PostureSource()
        self.desk = Desk(self.trace)
        self.engine = Engine()
        self.archive = Archive(self.trace)
        self.recorder = Recorder(self.trace)
        self.lookup = Lookup(self.trace)
        self.suppressor = Suppressor()
        self.observer = Observer()
        self.counting = Counting()
        self.fulfilment = Fulfilment()
        self.request: DicomRequest | SiteRequest | Capabilities | Refusal = RETRIEVE
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.certificate: bytes | None = b"der"
        self.rooms = Rooms(
            site="here",
            clock=self.clock,
            identifier=self.identifier,
            posture=self.posture,
            desk=self.desk,
            interpret=lambda arrival: self.request,
            policy_input=policy_input,
            engine=self.engine,
            counting=self.counting,
            fulfilment=self.fulfilment,
            archive=self.archive,
            multipart=MultipartRules(),
            store_report=StoreReports("https://pacs.example"),
            problem=problem_of,
            recorder=self.recorder,
            lookup=self.lookup,
            standing=lambda origin, index: f"standing of {origin.hex()[:4]} at {index}",
            suppressor=self.suppressor,
            observer=self.observer,
            capabilities=lambda asked: b"{}",
            search_rows=1000,
            search_scan=5000,
            search_bytes=100_000,
        )
        self.journey = Journey(self.rooms)

    def exchange(self, *body: bytes | Exception | asyncio.Event) -> Exchange:
        return Exchange(self.trace, *body)

    @property
    def peer(self) -> Peer:
        return Peer(certificate=self.certificate, address="192.0.2.1", connection=1)

    def arrival(self, method: str = "GET") -> Arrival:
        return Arrival(
            peer=self.peer, method=method, target="/dicom-web/studies/1.2.3", headers=self.headers, at=self.clock()
        )

    async def walk(self, exchange: Exchange | None = None, method: str = "GET") -> Exchange:
        exchange = exchange or self.exchange()
        async with asyncio.timeout(10):
            await self.journey.walk(self.arrival(method), exchange)
        self.check(exchange, method)
        return exchange

    def check(self, exchange: Exchange, method: str = "GET") -> None:
        """Laws of every walk, whatever failed in it."""
        decisions = self.recorder.of("decision")
        assert exchange.decided
        assert len(decisions) + len(self.suppressor.suppressed) == 1
        assert len(self.recorder.of("outcome")) == len(decisions)
        assert self.archive.open == 0
        if exchange.status and not self.suppressor.suppressed:
            assert self.trace.before("durable decision", "start")
            assert exchange.headers["Decision-Id"] == decisions[0]["id"]
            assert exchange.headers["Decision-Receipt"].startswith("receipt of ")
        if exchange.length is not None and exchange.finished and method != "HEAD":
            assert exchange.length == len(exchange.sent)

    @property
    def decision(self) -> Any:
        (decision,) = self.recorder.of("decision")
        return decision

    @property
    def outcome(self) -> Any:
        (outcome,) = self.recorder.of("outcome")
        return outcome
