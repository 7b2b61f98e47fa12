"""An archive on loopback that answers what it is told, byte by byte where HTTP is to be broken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from proxy import interpret
from proxy.forward import ArchiveClient
from proxy.forward.archive_client import ArchiveSettings
from proxy.model import (
    Action,
    DicomRequest,
    InstanceUid,
    Level,
    Query,
    Rendering,
    Representation,
    SeriesUid,
    StudyUid,
)

STUDY = StudyUid("1.2.3")
MULTIPART = 'multipart/related; type="application/dicom"; boundary=abc'
RETRIEVE = DicomRequest(
    action=Action.RETRIEVE, level=Level.STUDY, method="GET", representation=Representation.DICOM, study=STUDY
)
METADATA = DicomRequest(
    action=Action.METADATA,
    level=Level.SERIES,
    method="GET",
    representation=Representation.JSON,
    study=STUDY,
    series=SeriesUid("1.2.3.4"),
)
PIXELS = DicomRequest(
    action=Action.RETRIEVE,
    level=Level.INSTANCE,
    method="GET",
    representation=Representation.PIXELS,
    study=STUDY,
    series=SeriesUid("1.2.3.4"),
    instance=InstanceUid("1.2.3.4.5"),
    frames=(1, 2),
)
BULK = replace(
    PIXELS, action=Action.BULKDATA, representation=Representation.BULK, media_type="", frames=(), bulk=("7fe00010",)
)
IMAGE = replace(
    PIXELS,
    action=Action.RENDER,
    representation=Representation.IMAGE,
    media_type="image/png",
    frames=(),
    rendering=Rendering(),
)
SEARCH = DicomRequest(
    action=Action.SEARCH,
    level=Level.STUDY,
    method="GET",
    representation=Representation.JSON,
    query=Query(match=(("00100020", "A&B #1/ü"),), limit=10),
)
STORE = DicomRequest(
    action=Action.STORE, level=Level.STUDY, method="POST", representation=Representation.JSON, boundary="x"
)

Answer = Callable[["Conversation"], Awaitable[None]]


class Conversation:
    """One request as it came over the wire, and the way back."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = [tuple(line.split(": ", 1)) for line in lines]
        self.body = b""
        self.body_complete = False
        self.reader = reader
        self.writer = writer

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    async def read_body(self) -> bytes:
        """A chunked body, as far as it comes."""
        if self.header("Transfer-Encoding") != "chunked":
            return b""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                self.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            self.body_complete = True
        return self.body

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers)]
        await self.send(("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)


class SimulatedArchive:
    def __init__(self) -> None:
        self.conversations: list[Conversation] = []
        self.connections = 0
        self.answer: Answer = answering(200, "application/dicom+json", b"[]")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/base/dicom-web"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                conversation = Conversation(head, reader, writer)
                self.conversations.append(conversation)
                await self.answer(conversation)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def client(self, **settings: Any) -> ArchiveClient:
        values: dict[str, Any] = {
            "url": self.url,
            "public_url": "https://pacs.example:8443",
            "username": None,
            "password": None,
            "tls": None,
            "connect_s": 0.5,
            "idle_s": 0.3,
            "connections": 4,
        }
        return ArchiveClient(ArchiveSettings(**{**values, **settings}), target_below_root, interpret.headers_of)


def target_below_root(request: DicomRequest) -> str:
    return interpret.target_of(request).removeprefix("/dicom-web")


def answering(status: int, content_type: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    async def answer(conversation: Conversation) -> None:
        await conversation.read_body()
        await conversation.answer(status, (("Content-Type", content_type), *headers), body)

    return answer


def raw(content: bytes, *, close: bool = True) -> Answer:
    async def answer(conversation: Conversation) -> None:
        await conversation.send(content)
        if close:
            raise ConnectionResetError

    return answer


async def stalling(conversation: Conversation) -> None:
    await asyncio.sleep(60)


def series_rows(*rows: dict[str, Any]) -> bytes:
    """Series in DICOM JSON; keys are tags."""
    return json.dumps(
        [
            {tag: {"vr": "LO", "Value": value if isinstance(value, list) else [value]} for tag, value in row.items()}
            for row in rows
        ]
    ).encode()


def row(series: str, modality: str = "CT", institution: str | None = "North", **more: Any) -> dict[str, Any]:
    """A series of study 1.2.3 and patient P1; ``t<tag>`` sets any attribute."""
    tags: dict[str, Any] = {
        "0020000D": "1.2.3",
        "0020000E": series,
        "00080060": modality,
        "00100020": "P1",
        "00080050": "A1",
        "00080020": "20200131",
    }
    if institution is not None:
        tags["00080080"] = institution
    return tags | {key.removeprefix("t"): value for key, value in more.items()}
