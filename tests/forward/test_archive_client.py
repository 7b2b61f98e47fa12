from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.errors import ArchiveError, ArchiveRefusedError, ArchiveTimeoutError
from proxy.forward import ArchiveClient
from proxy.model import DicomRequest, Representation
from tests.forward.archive import (
    METADATA,
    MULTIPART,
    RETRIEVE,
    SEARCH,
    STORE,
    Conversation,
    SimulatedArchive,
    answering,
    raw,
    stalling,
)

JSON = "application/dicom+json"


@pytest.fixture
async def client(archive: SimulatedArchive) -> AsyncIterator[ArchiveClient]:
    made = archive.client()
    yield made
    await made.close()


async def fetched(client: ArchiveClient, request: DicomRequest) -> tuple[int, str, str, bytes]:
    async with client.fetch(request) as answer:
        body = b"".join([chunk async for chunk in answer.chunks()])
        return answer.status, answer.content_type, answer.boundary, body


async def body_of(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part
        await asyncio.sleep(0)


async def stored(client: ArchiveClient, *parts: bytes | Exception) -> tuple[int, bytes]:
    async with client.store(STORE, body_of(*parts), "boundary1") as answer:
        return answer.status, b"".join([chunk async for chunk in answer.chunks()])


# ------------------------------------------------------------------------------------- what is sent


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (RETRIEVE, "/base/dicom-web/studies/1.2.3"),
        (METADATA, "/base/dicom-web/studies/1.2.3/series/1.2.3.4/metadata"),
        (SEARCH, "/base/dicom-web/studies?00100020=A?B??1/*&limit=10"),
    ],
    ids=["retrieve", "metadata", "search"],
)
async def test_target_is_rebuilt_and_sent_as_it_is(
    archive: SimulatedArchive, client: ArchiveClient, request_: DicomRequest, target: str
) -> None:
    archive.answer = answering(200, MULTIPART if request_ is RETRIEVE else JSON, b"[]")
    await fetched(client, request_)
    assert [(each.method, each.target) for each in archive.conversations] == [("GET", target)]


async def test_headers_of_a_read_are_exactly_ours(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = answering(200, MULTIPART, b"")
    await fetched(client, replace(RETRIEVE, transfer_syntax="*"))
    assert sorted(archive.conversations[0].headers) == [
        ("Accept", 'multipart/related; type="application/dicom"; transfer-syntax=*'),
        ("Accept-Encoding", "identity"),
        ("Forwarded", "host=pacs.example:8443;proto=https"),
        ("Host", archive.url.split("/")[2]),
    ]


@pytest.mark.parametrize("request_", [METADATA, SEARCH, RETRIEVE], ids=["metadata", "search", "retrieve"])
async def test_head_is_asked_as_get(archive: SimulatedArchive, client: ArchiveClient, request_: DicomRequest) -> None:
    archive.answer = answering(200, MULTIPART if request_ is RETRIEVE else JSON, b"[]")
    assert (await fetched(client, replace(request_, method="HEAD")))[3] == b"[]"
    assert archive.conversations[0].method == "GET"


async def test_headers_of_a_store_are_exactly_ours(archive: SimulatedArchive) -> None:
    client = archive.client(username="proxy", password="pässword")
    try:
        assert await stored(client, b"one", b"two") == (200, b"[]")
    finally:
        await client.close()
    (conversation,) = archive.conversations
    assert (conversation.method, conversation.target) == ("POST", "/base/dicom-web/studies")
    assert sorted(conversation.headers) == [
        ("Accept", "application/dicom+json"),
        ("Accept-Encoding", "identity"),
        ("Authorization", "Basic cHJveHk6cMOkc3N3b3Jk"),
        ("Connection", "close"),
        ("Content-Type", 'multipart/related; type="application/dicom"; boundary=boundary1'),
        ("Forwarded", "host=pacs.example:8443;proto=https"),
        ("Host", archive.url.split("/")[2]),
        ("Transfer-Encoding", "chunked"),
    ]
    assert (conversation.body, conversation.body_complete) == (b"onetwo", True)


async def test_cookies_of_the_archive_are_never_sent_back(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = answering(200, JSON, b"[]", ("Set-Cookie", "session=1"))
    for _ in range(2):
        await fetched(client, SEARCH)
    assert archive.conversations[1].header("Cookie") is None


async def test_environment_does_not_choose_a_proxy(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = archive.client()
    assert (await fetched(client, SEARCH))[0] == 200
    await client.close()


# -------------------------------------------------------------------------------- what is accepted


async def test_type_of_an_answer_is_rebuilt(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = answering(200, 'Multipart/Related; type="application/dicom"; start=x; boundary="abc"', b"content")
    assert await fetched(client, RETRIEVE) == (200, "multipart/related", "abc", b"content")


async def test_answer_of_another_type_is_refused(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = answering(200, "text/html", b"<html>Orthanc</html>")
    with pytest.raises(ArchiveError):
        await fetched(client, SEARCH)


@pytest.mark.parametrize(
    ("headers", "more"),
    [([], False), ([("Warning", '299 archive "more"')], True), ([("Warning", "199 a"), ("Warning", "299 b")], True)],
)
async def test_rows_held_back_are_told(
    archive: SimulatedArchive, client: ArchiveClient, headers: list[tuple[str, str]], more: bool
) -> None:
    archive.answer = answering(200, JSON, b"[]", *headers)
    async with client.fetch(SEARCH) as answer:
        assert answer.more is more


async def test_form_that_the_archive_refuses_is_told_without_its_words(
    archive: SimulatedArchive, client: ArchiveClient
) -> None:
    archive.answer = answering(406, "text/html", b"Orthanc 1.10 at /var/lib/secret")
    with pytest.raises(ArchiveRefusedError) as caught:
        await fetched(client, RETRIEVE)
    assert not any(word in str(caught.value) + caught.value.public for word in ("Orthanc", "secret"))
    archive.answer = answering(200, JSON, b"[]")
    assert (await fetched(client, SEARCH))[0] == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-unknown", "identity, gzip"])
async def test_encoded_answer_is_refused(archive: SimulatedArchive, client: ArchiveClient, encoding: str) -> None:
    """Rows inside it would pass unread, and its size would not be its size."""
    archive.answer = answering(200, JSON, b"\x1f\x8b\x08", ("Content-Encoding", encoding))
    with pytest.raises(ArchiveError):
        await fetched(client, SEARCH)


async def test_absent_object_is_a_status_without_type(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = answering(404, "text/html", b"<html>Orthanc 1.12 at /var/lib</html>")
    async with client.fetch(RETRIEVE) as answer:
        assert (answer.status, answer.content_type) == (404, "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(archive: SimulatedArchive, client: ArchiveClient, status: int) -> None:
    archive.answer = answering(status, JSON, b"", ("Location", f"{archive.url}/elsewhere"))
    with pytest.raises(ArchiveError):
        await fetched(client, SEARCH)
    with pytest.raises(ArchiveError):
        await stored(client, b"one")
    assert len(archive.conversations) == 2


# ----------------------------------------------------------------------------------- what goes wrong


async def test_archive_that_is_not_there(archive: SimulatedArchive) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = archive.client(url=f"http://127.0.0.1:{port}")
    with pytest.raises(ArchiveError):
        await fetched(client, SEARCH)
    with pytest.raises(ArchiveError):
        await stored(client, b"one")
    await client.close()


async def test_archive_that_does_not_answer_is_late(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = stalling
    with pytest.raises(ArchiveTimeoutError):
        await fetched(client, SEARCH)


async def test_archive_that_stalls_midway_is_late(archive: SimulatedArchive, client: ArchiveClient) -> None:
    async def begin_and_stall(conversation: Conversation) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {MULTIPART}\r\nContent-Length: 100\r\n\r\n"
        await conversation.send(head.encode() + b"start")
        await stalling(conversation)

    received: list[bytes] = []

    async def receive() -> None:
        async with client.fetch(RETRIEVE) as answer:
            async for chunk in answer.chunks():
                received.append(chunk)

    archive.answer = begin_and_stall
    with pytest.raises(ArchiveTimeoutError):
        await receive()
    assert b"".join(received) == b"start"


@pytest.mark.parametrize(
    "content",
    [
        f"HTTP/1.1 200 OK\r\nContent-Type: {MULTIPART}\r\nContent-Length: 100\r\n\r\nstart".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Type: {MULTIPART}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Type: {MULTIPART}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstartZZ\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nContent-",
        b"",
        b"junk\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["short", "chunks-cut", "chunks-broken", "head-cut", "nothing", "junk", "tls", "two-lengths", "large-head"],
)
async def test_answer_that_breaks_is_an_error(archive: SimulatedArchive, client: ArchiveClient, content: bytes) -> None:
    archive.answer = raw(content)
    with pytest.raises(ArchiveError):
        await fetched(client, RETRIEVE)


async def test_answer_left_in_the_middle_gives_its_connection_up(
    archive: SimulatedArchive, client: ArchiveClient
) -> None:
    archive.answer = answering(200, MULTIPART, b"x" * 2_000_000)
    async with client.fetch(RETRIEVE) as answer:
        async for _ in answer.chunks():
            break
    archive.answer = answering(200, JSON, b"[]")
    assert (await fetched(client, SEARCH))[3] == b"[]"
    assert archive.connections == 2


async def test_read_connections_are_used_again(archive: SimulatedArchive, client: ArchiveClient) -> None:
    for _ in range(5):
        await fetched(client, SEARCH)
    assert archive.connections == 1


# ----------------------------------------------------------------------------------------- stores


async def drop_after_body(conversation: Conversation) -> None:
    await conversation.read_body()
    raise ConnectionResetError


async def drop_at_once(conversation: Conversation) -> None:
    raise ConnectionResetError


@pytest.mark.parametrize("answer", [drop_after_body, drop_at_once, stalling])
async def test_store_is_sent_once_whatever_becomes_of_it(
    archive: SimulatedArchive, client: ArchiveClient, answer: object
) -> None:
    await stored(client, b"warm", b"up")
    archive.answer = answer  # type: ignore[assignment]
    with pytest.raises(ArchiveError):
        await stored(client, b"one", b"two")
    await asyncio.sleep(0.1)
    assert len(archive.conversations) == 2


async def test_archive_that_stops_taking_a_store_is_late(archive: SimulatedArchive, client: ArchiveClient) -> None:
    archive.answer = stalling
    begun = asyncio.get_running_loop().time()
    with pytest.raises(ArchiveTimeoutError):
        await stored(client, *[bytes(2**20)] * 64)
    assert asyncio.get_running_loop().time() - begun < 5


async def test_client_that_is_slow_is_not_the_archives_fault(archive: SimulatedArchive, client: ArchiveClient) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for part in (b"one", b"two"):
            await asyncio.sleep(0.5)
            yield part

    async with client.store(STORE, slowly(), "x") as answer:
        assert answer.status == 200
    assert archive.conversations[0].body == b"onetwo"


async def test_store_uses_no_connection_twice(archive: SimulatedArchive, client: ArchiveClient) -> None:
    for _ in range(3):
        await stored(client, b"one")
    assert archive.connections == 3


async def test_body_that_breaks_off_is_never_completed(archive: SimulatedArchive, client: ArchiveClient) -> None:
    with pytest.raises(ArchiveError):
        await stored(client, b"one", ArchiveError("the client's body broke off"))
    await asyncio.sleep(0.05)
    (conversation,) = archive.conversations
    assert (conversation.body, conversation.body_complete) == (b"one", False)


@pytest.mark.parametrize("status", [200, 202, 409])
async def test_report_on_a_store_is_taken(archive: SimulatedArchive, client: ArchiveClient, status: int) -> None:
    archive.answer = answering(status, "application/json", b"{}")
    assert await stored(client, b"one") == (status, b"{}")


@pytest.mark.parametrize(
    ("status", "content_type"), [(200, "text/html"), (201, JSON), (400, JSON), (415, JSON), (500, JSON), (204, "")]
)
async def test_other_answer_to_a_store_is_an_error(
    archive: SimulatedArchive, client: ArchiveClient, status: int, content_type: str
) -> None:
    archive.answer = answering(status, content_type, b"{}")
    with pytest.raises(ArchiveError):
        await stored(client, b"one")


async def test_archive_that_answers_early_ends_the_reading_of_the_client(
    archive: SimulatedArchive, client: ArchiveClient
) -> None:
    """What the client still sends would be judged, recorded and sent on after its answer was made."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1000
            await asyncio.sleep(0)

    async def early(conversation: Conversation) -> None:
        await conversation.answer(409, (("Content-Type", JSON),), b"{}")
        await asyncio.sleep(60)

    archive.answer = early
    body = endless()
    async with client.store(STORE, body, "boundary1") as answer:
        assert answer.status == 409
        async for _ in answer.chunks():
            pass
    before = read
    await asyncio.sleep(0.1)
    assert read <= before + 1


async def test_frames_of_a_withheld_type_are_not_asked_for(archive: SimulatedArchive) -> None:
    frames = replace(RETRIEVE, representation=Representation.PIXELS, frames=(1,), media_type="image/jls")
    client = archive.client(withheld_frames=frozenset({"image/jls"}))
    with pytest.raises(ArchiveRefusedError):
        await fetched(client, frames)
    assert archive.conversations == []
    archive.answer = answering(200, 'multipart/related; type="image/jp2"; boundary=b', b"--b--")
    assert (await fetched(client, replace(frames, media_type="image/jp2")))[0] == 200
    await client.close()
