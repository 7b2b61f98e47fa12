"""A client that sends bytes as they are: no library normalises what a hazard looks like."""

from __future__ import annotations

import json
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.dev.answers import Answer as Multipart

DEADLINE_S: Final = 20.0
MOST_BYTES: Final = 2**16
SENT_BYTES: Final = 2**14
HOST: Final = b"Host: 127.0.0.1\r\n"

Credentials = tuple[str, str]
"""Paths of certificate and key."""


class EndedError(Exception):
    """The connection ended before an answer, or within one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes

    def value(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name.lower()), None)

    @property
    def decision(self) -> str:
        return self.value("Decision-Id") or ""

    @property
    def reasons(self) -> list[str]:
        """Reason codes of a problem (RFC 9457); none where it is not one."""
        if self.value("Content-Type") != "application/problem+json":
            return []
        return [reason["code"] for reason in json.loads(self.body)["reasons"]]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def parts(self) -> list[bytes]:
        """Bodies of a multipart answer."""
        kind = self.value("Content-Type") or ""
        return Multipart(who="", status=200, decision=None, receipt=None, content_type=kind, body=self.body).parts()


def client_context(ca: str, credentials: Credentials | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if credentials is not None:
        context.load_cert_chain(*credentials)
    return context


class Wire:
    """One TLS connection."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        *,
        session: ssl.SSLSession | None = None,
        timeout_s: float = DEADLINE_S,
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        # Without tickets nothing answers the end of the handshake, and a first request would wait 40 ms for its ACK.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
        except BaseException:
            plain.close()
            raise
        self._buffer = bytearray()
        self._waiting = memoryview(b"")

    def pour(self, data: bytes) -> None:
        """Send this while answers are read, as fast as it is taken.

        By one thread: OpenSSL lets no two use one connection, and this interpreter does not keep them apart.
        """
        self._waiting = memoryview(data)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, *, interim: bool = False, bodiless: bool = False) -> Reply:
        """The next answer. ``interim``: a 1xx counts as one. ``bodiless``: to a HEAD.

        :raises EndedError: there is none
        """
        while True:
            head = self._until(b"\r\n\r\n")
            lines = head[:-4].decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            pairs = [line.partition(":") for line in lines[1:]]
            headers = tuple((name, value.strip()) for name, _, value in pairs)
            if status >= 200 or interim:
                break
        reply = Reply(status, headers, b"", head)
        if status < 200 or status in (204, 304) or bodiless:
            return reply
        return Reply(status, headers, self._body(reply), head)

    def ended(self) -> bool:
        """Whether the other side ends the connection without another byte."""
        try:
            return not self._buffer and not self._more()
        except TimeoutError:
            return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _body(self, reply: Reply) -> bytes:
        if reply.value("Transfer-Encoding") == "chunked":
            body = bytearray()
            while size := int(self._until(b"\r\n"), 16):
                body += self._take(size)
                self._take(2)
            self._take(2)
            return bytes(body)
        return self._take(int(reply.value("Content-Length") or 0))

    def _until(self, mark: bytes) -> bytes:
        while (stop := self._buffer.find(mark)) < 0:
            if len(self._buffer) > MOST_BYTES:
                raise EndedError("no end of a line or head")
            self._fill()
        return self._take(stop + len(mark))

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _fill(self) -> None:
        if not self._more():
            raise EndedError("the connection ended")

    def _more(self) -> bool:
        try:
            data = self._poured() if self._waiting else self.socket.recv(2**18)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False
        self._buffer += data
        return bool(data)

    def _poured(self) -> bytes:
        """What comes next, while what waits is sent.

        :raises TimeoutError: neither goes on
        """
        timeout_s = self.socket.gettimeout()
        self.socket.setblocking(False)
        try:
            while True:
                with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    return self.socket.recv(2**18)
                try:
                    self._waiting = self._waiting[self.socket.send(self._waiting[:SENT_BYTES]) :]
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    if not any(select.select([self.socket], [self.socket], [], timeout_s)):
                        raise TimeoutError from None
        finally:
            self.socket.settimeout(timeout_s)


@dataclass(frozen=True, slots=True)
class Caller:
    """Connects to one proxy, as any identity."""

    port: int
    ca: str
    pki: Path

    @contextmanager
    def connected(self, who: str | Credentials = "radiologist", **settings: Any) -> Iterator[Wire]:
        credentials = (str(self.pki / f"{who}.crt"), str(self.pki / f"{who}.key")) if isinstance(who, str) else who
        with Wire(self.port, client_context(self.ca, credentials), **settings) as wire:
            yield wire

    def ask(self, raw: bytes, who: str | Credentials = "radiologist", *, bodiless: bool = False) -> Reply:
        """Send one request on a connection of its own and read its answer."""
        with self.connected(who) as wire:
            with suppress(ConnectionError):  # it may have answered before it had heard all
                wire.send(raw)
            return wire.read(bodiless=bodiless)

    def get(self, target: str, *fields: str, who: str | Credentials = "radiologist") -> Reply:
        return self.ask(request("GET", target, *fields), who)


def request(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    """A well-formed request around ``target`` and ``fields``, which need not be."""
    lines = "".join(f"{line}\r\n" for line in fields).encode("latin-1")
    length = f"Content-Length: {len(body)}\r\n".encode() if body else b""
    return f"{method} {target} HTTP/1.1\r\n".encode("latin-1") + HOST + lines + length + b"\r\n" + body
