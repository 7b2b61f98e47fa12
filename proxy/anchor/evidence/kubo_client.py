"""A Kubo daemon's RPC interface through ipfshttpclient, with the bounds that it lacks.

ipfshttpclient 0.7.0 serves every call that is needed here. Its ``connect`` refuses daemons from 0.8 on, so the client
is built without it. As it comes it follows redirects, uses proxies that the environment names, and reads an answer
however long it is and however slowly it comes: its session is replaced by one that does none of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import ipfshttpclient
import requests
from ipfshttpclient import exceptions
from ipfshttpclient.http import ClientSync
from urllib3.exceptions import HTTPError

from proxy.anchor.evidence.bundle import MAX_BYTES
from proxy.anchor.evidence.cid import CHUNK_BYTES, MAX_LINKS
from proxy.errors import EvidenceError, EvidenceFault

ADD: Final[Mapping[str, str]] = {
    "cid-version": "1",
    "hash": "sha2-256",
    "chunker": f"size-{CHUNK_BYTES}",
    "raw-leaves": "true",
    "max-file-links": str(MAX_LINKS),
    "trickle": "false",
    "inline": "false",
    "nocopy": "false",
    "wrap-with-directory": "false",
    "pin": "true",
}
"""What decides the CID, none of it left to the daemon's own configuration."""

_PATIENCE: Final = 10
"""An answer is whole within so many times the silence that is borne."""
_ANSWER: Final = 2**20
_LIMITS: Final = {"cat": MAX_BYTES + 2**20, "repo/gc": 64 * 2**20}
_READ: Final = 2**16


class KuboClient:
    """What the store needs of a daemon. Every failure is an :class:`EvidenceError`."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """
        :param url: http or https, host, port
        :param timeout_s: how long the daemon may be silent
        """
        address = _multiaddr(url)
        self._client: Any = ipfshttpclient.Client(address)
        self._client._client = _Guarded(address, "api/v0", timeout=timeout_s)

    def config(self) -> dict[str, Any]:
        with _asking("its configuration"):
            return dict(self._client.config.get().as_json())

    def peers(self) -> int:
        """Daemons that it is connected to."""
        with _asking("its peers"):
            return len(self._client.swarm.peers().as_json().get("Peers") or ())

    def add(self, content: bytes) -> str:
        """What the daemon names it; stored and pinned."""
        with _asking("to store"):
            return str(self._client.add_bytes(content, opts=dict(ADD)))

    def pinned(self, cid: str) -> bool:
        try:
            with _asking("what is pinned"):
                return cid in self._client.pin.ls(cid, type="recursive").as_json()["Keys"]
        except _SaidError as error:
            if "is not pinned" in error.said:
                return False
            raise

    def cat(self, cid: str) -> bytes:
        """Its own copy, not asked of other daemons; not hashed yet.

        :raises EvidenceError: ``ABSENT``, or ``STORE``
        """
        try:
            with _asking("for content"):
                return bytes(self._client.cat(cid, offline=True))
        except _SaidError as error:
            if "not found locally" in error.said or "could not find" in error.said:
                raise EvidenceError(EvidenceFault.ABSENT, f"Kubo does not hold {cid}") from None
            raise

    def unpin(self, cid: str) -> None:
        """Nothing happens where it is not pinned."""
        try:
            with _asking("to unpin"):
                self._client.pin.rm(cid)
        except _SaidError as error:
            if "not pinned" not in error.said:
                raise

    def collect(self) -> None:
        """Have everything destroyed that is not pinned."""
        with _asking("to collect garbage"):
            self._client.repo.gc()


class _SaidError(EvidenceError):
    """The daemon answered with an error of its own."""

    def __init__(self, what: str, said: str) -> None:
        super().__init__(EvidenceFault.STORE, f"Kubo, asked {what}, refused")
        self.said = said


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except exceptions.ErrorResponse as error:
        raise _SaidError(what, str(error)) from error
    except exceptions.TimeoutError as error:
        raise EvidenceError(EvidenceFault.STORE, f"Kubo, asked {what}, was silent") from error
    except (exceptions.Error, requests.RequestException, OSError) as error:
        reason = str(error) if isinstance(error, _BoundsError) else type(error).__name__
        raise EvidenceError(EvidenceFault.STORE, f"Kubo, asked {what}, failed: {reason}") from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, StopIteration) as error:
        # What the library meets in an answer that it does not expect.
        raise EvidenceError(EvidenceFault.STORE, f"Kubo, asked {what}, gave no answer of that form") from error


class _BoundsError(requests.RequestException):
    """The answer is not borne any longer."""


class _Guarded(ClientSync):  # type: ignore[misc]
    def _make_session(self) -> requests.Session:
        session = _Session(float(self._default_timeout))
        session.params = self._session_props["params"]
        return session


class _Session(requests.Session):
    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Accept-Encoding"] = "identity"
        self._timeout_s = timeout_s

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        until = time.monotonic() + _PATIENCE * self._timeout_s
        response = super().send(request, **{**settings, "allow_redirects": False})
        if 300 <= response.status_code < 400:
            response.close()
            raise _BoundsError("it points elsewhere")
        call = urlsplit(str(request.url)).path.removeprefix("/api/v0/")
        response.raw = _Bounded(response.raw, _LIMITS.get(call, _ANSWER), until)
        return response


class _Bounded:
    """The body of an answer, as ``requests`` reads it."""

    def __init__(self, raw: Any, left: int, until: float) -> None:
        self._raw = raw
        self._left = left
        self._until = until

    def read(self, size: int | None = None) -> bytes:
        """What has come, at most ``size``. One read of the socket: a peer that drips is not waited for."""
        try:
            read: bytes = self._raw.read1(min(_READ, size or _READ), decode_content=False)
        except (HTTPError, HTTPException) as error:
            raise requests.ConnectionError("the answer broke off") from error
        self._left -= len(read)
        if self._left < 0:
            raise _BoundsError("its answer is too long")
        if time.monotonic() > self._until:
            raise _BoundsError("its answer takes too long")
        return read

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()


def _multiaddr(url: str) -> str:
    parts = urlsplit(url)
    try:
        kind = f"ip{ip_address(str(parts.hostname)).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{parts.hostname}/tcp/{parts.port}/{parts.scheme}"
