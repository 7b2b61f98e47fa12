"""An HTTP server before a real node, which may spoil what passes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import requests


class Between:
    """``pass_on`` is given the question and how the node is asked; ``None``: the reply is lost, the connection ends."""

    def __init__(self, target: str, pass_on: Callable[[bytes, Callable[[bytes], bytes]], bytes | None]) -> None:
        def ask(question: bytes) -> bytes:
            headers = {"Content-Type": "application/json"}
            return requests.post(target, data=question, headers=headers, timeout=10).content

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                answer = pass_on(self.rfile.read(int(self.headers["Content-Length"])), ask)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
