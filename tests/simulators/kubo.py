"""A daemon that only pretends to be Kubo: as it should be but for what a test tells it to do otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from proxy.anchor.evidence import cid_of

PRIVATE: Final[dict[str, Any]] = {
    "Bootstrap": [],
    "Routing": {"Type": "none"},
    "Peering": {"Peers": None},
    "Discovery": {"MDNS": {"Enabled": False}},
    "Pinning": {"RemoteServices": {}},
    "AutoConf": {"Enabled": False},
}
Speak = Callable[["Handler"], None]


class SimulatedKubo(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.config: dict[str, Any] = dict(PRIVATE)
        self.peers: list[dict[str, str]] = []
        self.blocks: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.calls: list[str] = []
        self.options: dict[str, list[str]] = {}
        """Of the last ``add``."""
        self.instead: dict[str, Speak] = {}
        """Call, and what is done in its place."""
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, call: str, query: dict[str, list[str]], body: bytes) -> Any:
        cid = query.get("arg", [""])[-1]
        match call:
            case "config/show":
                return self.config
            case "swarm/peers":
                return {"Peers": self.peers or None}
            case "add":
                content = _part(body)
                named = cid_of(content)
                self.blocks[named], self.options = content, query
                self.pins.add(named)
                return {"Name": named, "Hash": named, "Size": str(len(content))}
            case "pin/ls" if cid in self.pins:
                return {"Keys": {cid: {"Type": "recursive", "Name": ""}}}
            case "pin/rm" if cid in self.pins:
                self.pins.remove(cid)
                return {"Pins": [cid]}
            case "repo/gc":
                gone = set(self.blocks) - self.pins
                self.blocks = {name: block for name, block in self.blocks.items() if name in self.pins}
                return [{"Key": {"/": name}} for name in sorted(gone)]
            case "cat" if cid in self.blocks:
                return self.blocks[cid]
            case "cat":
                raise LookupError(f"block was not found locally (offline): ipld: could not find {cid}")
        raise LookupError(f"'{cid}' is not pinned")


class Handler(BaseHTTPRequestHandler):
    protocol_version: ClassVar[str] = "HTTP/1.1"  # type: ignore[misc]
    server: SimulatedKubo

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        call, query = parts.path.removeprefix("/api/v0/"), parse_qs(parts.query)
        body = self._body()
        self.server.calls.append(call)
        if call in self.server.instead:
            self.close_connection = True
            self.server.instead[call](self)
            return
        try:
            self.say(self.server.answer(call, query, body))
        except LookupError as error:
            self.say({"Message": error.args[0], "Code": 0, "Type": "error"}, 500)

    do_GET = do_POST  # noqa: N815 - the library's name

    def say(self, answer: Any, status: int = 200) -> None:
        lines = answer if isinstance(answer, list) else [answer]
        body = answer if isinstance(answer, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.start(status, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def start(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def forever(self, bits: Callable[[], bytes], pause_s: float = 0.0) -> None:
        """Until the peer has had enough, or the test is over."""
        self.start(200, {"Content-Type": "text/plain"})
        try:
            while not self.server.ended.wait(pause_s):
                self.wfile.write(bits())
                self.wfile.flush()
        except OSError:
            return

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


def _part(body: bytes) -> bytes:
    """Of a multipart body with one part."""
    boundary = body[: body.index(b"\r\n")]
    start = body.index(b"\r\n\r\n") + 4
    return body[start : body.rindex(b"\r\n" + boundary)]


@contextmanager
def simulated_kubo() -> Iterator[SimulatedKubo]:
    with SimulatedKubo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
