"""A relay between the proxy and its OPA server that can spoil answers: it has the server's own certificate."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

Spoil = Callable[[bytes], bytes | None]
"""The server's answer -> what the proxy gets; ``None`` hangs up."""


def as_it_is(answer: bytes) -> bytes:
    return answer


class OpaRelay:
    """Listens while it is a context manager. Wants a client certificate, as the server behind it does."""

    def __init__(self, port: int, upstream_port: int, pki: Path) -> None:
        self.spoil: Spoil = as_it_is
        self.answered = 0
        relay, upstream = self, f"https://127.0.0.1:{upstream_port}"
        local = threading.local()

        def server() -> requests.Session:
            session: requests.Session | None = getattr(local, "session", None)
            if session is None:
                session = local.session = requests.Session()
                session.trust_env, session.verify = False, str(pki / "ca.crt")
                session.cert = (str(pki / "opa-client.crt"), str(pki / "opa-client.key"))
            return session

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                answer = server().post(f"{upstream}{self.path}", data=asked, timeout=10)
                told = relay.spoil(answer.content)
                relay.answered += 1
                if told is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, format: str, *args: object) -> None:
                pass

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(pki / "server.crt", pki / "server.key")
        self._server = _Server(("127.0.0.1", port), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, name="OPA relay", daemon=True)

    def __enter__(self) -> OpaRelay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Who hangs up is no news here."""
