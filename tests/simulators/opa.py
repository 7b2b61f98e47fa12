"""A real OPA server that fetches its policies from our own admin port, and one that only pretends to be one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from proxy.decide import OpaServer, OpaSettings, Shelf
from proxy.watch import Admin, Tally
from proxy.watch.admin import Handout
from tests.policies.test_rego import opa

TOKEN: Final = "a-token-of-the-tests"
START_S: Final = 20.0
Speak = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class RealOpa:
    """One process of ``opa run --server``. Ended by its own id."""

    def __init__(self, folder: Path, admin_port: int, flags: Sequence[str] = ()) -> None:
        """
        :param folder: for its configuration and log
        :param flags: further arguments, for example those of TLS
        """
        self.port = free_port()
        self._log = folder / "opa.log"
        token, config = folder / "bundle.token", folder / "opa.json"
        token.write_text(TOKEN)
        config.write_text(json.dumps(_config(admin_port, token)))
        self._command = [
            *(opa(), "run", "--server", "--addr", f"127.0.0.1:{self.port}", "--config-file", str(config)),
            *("--disable-telemetry", "--log-level", "info", *flags),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Until it listens; whether it has policies is another question."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        async with asyncio.timeout(START_S):
            while True:
                assert self._process.poll() is None, self._log.read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """It stands still when this returns: a signal takes its time, and other threads answer meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def log(self) -> str:
        return self._log.read_text()


def _config(admin_port: int, token: Path) -> dict[str, Any]:
    return {
        "services": {
            "dicomward": {
                "url": f"http://127.0.0.1:{admin_port}/policies",
                "credentials": {"bearer": {"token_path": str(token)}},
            }
        },
        "bundles": {
            "dicomward": {
                "service": "dicomward",
                "resource": "bundle.tar.gz",
                "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1, "long_polling_timeout_seconds": 10},
            }
        },
    }


def settings(port: int, **changes: Any) -> OpaSettings:
    return OpaSettings(**{"url": f"http://127.0.0.1:{port}", "deadline_s": 5.0, "connections": 8, **changes})


@asynccontextmanager
async def handing_out(shelf: Shelf) -> AsyncIterator[int]:
    """The admin port of a proxy that offers ``shelf``."""
    admin, port = Admin(Tally(), dict, dict, Handout(shelf=shelf, token=TOKEN)), free_port()
    await admin.start("127.0.0.1", port)
    try:
        yield port
    finally:
        await admin.stop()


@asynccontextmanager
async def real_opa(folder: Path, **changes: Any) -> AsyncIterator[tuple[OpaServer, RealOpa]]:
    """Our engine, and the server that it asks, started and without policies yet. ``changes``: of the settings."""
    shelf = Shelf()
    async with handing_out(shelf) as admin_port:
        server = RealOpa(folder, admin_port, changes.pop("flags", ()))
        changes = {"url": f"{changes.pop('scheme', 'http')}://127.0.0.1:{server.port}"} | changes
        engine = OpaServer(settings(server.port, **changes), shelf)
        try:
            await server.start()
            yield engine, server
        finally:
            await engine.close()
            server.kill()


class OpaSimulator:
    """Speaks HTTP/1.1 as it is told, one request a connection, and remembers what it was asked."""

    def __init__(self) -> None:
        self.speak: Speak = answering({})
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.open = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            (length,) = (line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length"))
            self.bodies.append(await reader.readexactly(int(length)))
            await _while_there(reader, self.speak(writer))
        self.open -= 1
        writer.close()


@asynccontextmanager
async def simulated_opa(tls: ssl.SSLContext | None = None) -> AsyncIterator[OpaSimulator]:
    simulator = OpaSimulator()
    async with await asyncio.start_server(simulator.serve, "127.0.0.1", 0, ssl=tls) as server:
        simulator.port = server.sockets[0].getsockname()[1]
        try:
            yield simulator
        finally:
            async with asyncio.timeout(5):  # for who hung up
                while simulator.open:
                    await asyncio.sleep(0.01)


async def _while_there(reader: asyncio.StreamReader, speaking: Coroutine[Any, Any, None]) -> None:
    """Until all is said, or the client hangs up."""
    said, left = asyncio.ensure_future(speaking), asyncio.ensure_future(reader.read())
    await asyncio.wait({said, left}, return_when=asyncio.FIRST_COMPLETED)
    said.cancel()
    left.cancel()
    await asyncio.gather(said, left, return_exceptions=True)


def response(body: bytes, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    told = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**told, **(headers or {})}.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def answering(value: object, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> Speak:
    """:param value: text or bytes as they are, anything else as JSON"""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return saying(response(body, status, headers))


def saying(content: bytes) -> Speak:
    async def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return speak


def provenance(*revisions: str) -> dict[str, Any]:
    """As OPA tells of its bundles."""
    bundles = {f"bundle-{number}": {"revision": revision} for number, revision in enumerate(revisions)}
    return {"version": "1.22.2", "bundles": bundles}
