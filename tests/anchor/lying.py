"""A node that tells the truth but for one word."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import requests


class LyingNode:
    """Before a real one. ``word`` becomes ``other`` wherever it answers, or with ``asked`` wherever it is asked."""

    def __init__(self, target: str, word: str, other: str, *, asked: bool = False) -> None:
        self.lies = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = self.rfile.read(int(self.headers["Content-Length"]))
                told = outer._told(question, word, other) if asked else question
                headers = {"Content-Type": "application/json"}
                answer = requests.post(target, data=told, headers=headers, timeout=10).content
                answer = answer if asked else outer._told(answer, word, other)
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

    def _told(self, text: bytes, word: str, other: str) -> bytes:
        self.lies += text.count(word.encode())
        return text.replace(word.encode(), other.encode())

    def __enter__(self) -> LyingNode:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
