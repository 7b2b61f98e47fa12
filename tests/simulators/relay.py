"""A recording relay between the proxy and the archive: what the archive was sent, byte for byte, is the judge of tests.

It forwards bytes as they come and reads along. Its reader of HTTP/1.1 is deliberately naive and its own: whatever it
cannot read ends the connection and shows as ``unreadable``. It can also be told to answer for the archive.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

KEPT_BYTES: Final = 32 * 2**20
"""Of one request's body."""
READ_BYTES: Final = 2**18

Field = tuple[str, str]


@dataclass(slots=True, eq=False)
class Seen:
    """One request as it went to the archive."""

    method: str
    target: str
    fields: tuple[Field, ...]
    """Names and values as on the wire, in order."""
    head: bytes
    body: bytearray = field(default_factory=bytearray)
    """Without chunk framing, at most ``KEPT_BYTES``."""
    length: int = 0
    """Bytes of the whole body."""
    complete: bool = False
    answered: bool = False
    """The archive said something. A connection that it had just closed swallows a request, which is sent again."""

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.fields}

    def value(self, name: str) -> str | None:
        """The one value of a field, ``None`` where there is none; two are an error."""
        values = [value for each, value in self.fields if each.lower() == name.lower()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    def _add(self, data: bytes) -> None:
        self.length += len(data)
        self.body += data[: max(0, KEPT_BYTES - len(self.body))]


class UnreadableError(Exception):
    """What went to the archive is not one request after another."""


class Relay:
    """Listens on a free loopback port from the start; closed by ``close`` or as a context manager."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream = ("127.0.0.1", upstream_port)
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._canned: bytes | None = None
        self._method: str | None = None
        self.unreadable: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def count(self) -> int:
        """Requests whose head the archive was sent."""
        with self._lock:
            return len(self._seen)

    def since(self, count: int) -> list[Seen]:
        """Requests after the first ``count``."""
        with self._lock:
            return self._seen[count:]

    def settled(self, count: int, within_s: float = 5) -> list[Seen]:
        """Like ``since``, once all of them are complete."""
        deadline = time.monotonic() + within_s
        found = self.since(count)
        while not all(seen.complete for seen in found) and time.monotonic() < deadline:
            time.sleep(0.01)
            found = self.since(count)
        return found

    @contextlib.contextmanager
    def answering(self, canned: bytes, method: str | None = None) -> Iterator[None]:
        """Answer every request, or every one by ``method``, with these bytes, close, and ask the archive nothing."""
        self._canned, self._method = canned, method
        self._drop()
        try:
            yield
        finally:
            self._canned = self._method = None

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop()
        self._thread.join(5)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------- threads

    def _drop(self) -> None:
        with self._lock:
            connections = tuple(self._open)
        for each in connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="relayed", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as closing:
            closing.enter_context(client)
            self._hold(closing, client)
            archive: socket.socket | None = None
            told: list[Seen] = []
            if self._canned is None or self._method is not None:
                try:
                    archive = closing.enter_context(socket.create_connection(self._upstream, timeout=5))
                except OSError:
                    return
                archive.settimeout(None)
                self._hold(closing, archive)
                back = threading.Thread(target=_pump, args=(archive, client, told), name="relayed-back", daemon=True)
                back.start()
                closing.callback(back.join)
                closing.callback(_shut, archive)
            self._forward(client, archive, told)

    def _hold(self, closing: contextlib.ExitStack, held: socket.socket) -> None:
        with self._lock:
            self._open.add(held)

        def release() -> None:
            with self._lock:
                self._open.discard(held)

        closing.callback(release)

    def _forward(self, client: socket.socket, archive: socket.socket | None, told: list[Seen]) -> None:
        def note(seen: Seen) -> None:
            told[:] = [seen]
            with self._lock:
                self._seen.append(seen)

        reader = _requests(note)
        next(reader)
        with contextlib.suppress(OSError):
            while data := client.recv(READ_BYTES):
                try:
                    reader.send(data)
                except UnreadableError as error:
                    self.unreadable.append(f"{error}: {data[:200]!r}")
                    return
                canned = self._canned
                if archive is not None and (canned is None or not told or told[0].method != self._method):
                    archive.sendall(data)
                elif canned is not None and told and told[0].complete:
                    client.sendall(canned)
                    return


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket, told: list[Seen]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(READ_BYTES):
            for seen in told:
                seen.answered = True
            sink.sendall(data)
    _shut(sink)


def _requests(note: Callable[[Seen], None]) -> Generator[None, bytes, None]:
    """A push reader of requests, one after another: ``send`` it bytes."""
    buffer = bytearray()

    def take(count: int) -> Generator[None, bytes, bytes]:
        while len(buffer) < count:
            buffer.extend((yield))
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken

    def until(mark: bytes, most: int) -> Generator[None, bytes, bytes]:
        while (stop := buffer.find(mark)) < 0:
            if len(buffer) > most:
                raise UnreadableError("no end of a line or head")
            buffer.extend((yield))
        taken = bytes(buffer[: stop + len(mark)])
        del buffer[: stop + len(mark)]
        return taken

    def pieces(seen: Seen, length: int) -> Generator[None, bytes, None]:
        while length:
            while not buffer:
                buffer.extend((yield))
            piece = bytes(buffer[:length])
            del buffer[: len(piece)]
            length -= len(piece)
            seen._add(piece)

    while True:
        head = yield from until(b"\r\n\r\n", 2**16)
        seen = _read_head(head)
        note(seen)
        coding, announced = seen.value("transfer-encoding"), seen.value("content-length")
        if coding is not None and announced is not None:
            raise UnreadableError("two framings of one body")
        if coding is not None:
            if coding != "chunked":
                raise UnreadableError("a transfer coding that is not chunked")
            while size := int((yield from until(b"\r\n", 64)), 16):
                yield from pieces(seen, size)
                if (yield from take(2)) != b"\r\n":
                    raise UnreadableError("a chunk without its end")
            if (yield from take(2)) != b"\r\n":
                raise UnreadableError("trailers")
        elif announced is not None:
            yield from pieces(seen, int(announced))
        seen.complete = True


def _read_head(head: bytes) -> Seen:
    lines = head[:-4].decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1":
        raise UnreadableError("not a request line")
    fields: list[Field] = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
            raise UnreadableError("not a field")
        fields.append((name, value.strip(" ")))
    return Seen(method=parts[0], target=parts[1], fields=tuple(fields), head=head)
