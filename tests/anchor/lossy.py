"""An HTTP proxy before a node that forwards a request and then loses the reply."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import requests


class LossyProxy:
    def __init__(self, target: str) -> None:
        self.dropped = 0
        self._seen = 0
        self._method = ""
        self._every = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = requests.post(
                    target, data=body, headers={"Content-Type": "application/json"}, timeout=10
                ).content
                if outer._loses(json.loads(body)["method"]):
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

    def drop(self, method: str, every: int) -> None:
        """Lose each ``every``-th reply to ``method``; zero loses none."""
        self._method, self._every, self._seen = method, every, 0

    def _loses(self, method: str) -> bool:
        if not self._every or method != self._method:
            return False
        self._seen += 1
        if self._seen % self._every:
            return False
        self.dropped += 1
        return True

    def __enter__(self) -> LossyProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
