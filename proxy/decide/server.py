"""Rego in an OPA server, asked through ``opa-python-client``.

The server fetches its policies from this proxy (``shelf.py``, ADR 11), so both engines have the same. Each answer says
by which revision it was made; a verdict counts only if that is a digest this proxy gave out: the one in force, or for
``GRACE_S`` after a change the one before. Whatever else comes, late, undefined, malformed or of somebody else, is none.

1. One deadline for an evaluation, connecting included. Nothing is asked twice: the client asks again if it wants to.
2. An answer is bounded in size and parsed strictly; redirects are not followed.
3. ``watch`` asks an empty question every second: whether the server is there, and has our policies.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
from opa_client.opa_async import AsyncOpaClient

from proxy.decide.policies import pack
from proxy.decide.policies.bearer import BearerToken
from proxy.decide.policies.plain_json import parse_object
from proxy.decide.policies.policy_set import CAPABILITIES
from proxy.decide.prepared import Prepared
from proxy.decide.shelf import Shelf
from proxy.decide.verdict import parse_verdict, parse_visible
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyUnavailableError
from proxy.model import JsonObject, PolicyDigest, Verdict

GRACE_S: Final = 10.0
LOAD_S: Final = 8.0
"""Until the server has to answer by new policies, where it answers at all. While that is awaited those before count."""
LARGEST_ANSWER: Final = 4 << 20
_PACKAGE: Final = "dicomweb.authz"
_AUTHORIZATION: Final = (
    "system/authz.rego",
    """package system.authz

default allow := false

allow if {
	input.method == "POST"
	input.path in [["v1", "data", "dicomweb", "authz", rule] | some rule in ["decision", "visible"]]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
""",
)
"""What an OPA that runs with ``--authorization basic`` permits whoever it lets in: data may name patients."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaSettings:
    url: str
    """Base address, without a path."""
    deadline_s: float
    connections: int
    ca_file: Path | None = None
    """PEM of the only authority that an https address is held to; ``None``: those of the system."""
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None


class OpaServer:
    """:class:`proxy.decide.engine.Engine` of an OPA server."""

    def __init__(self, settings: OpaSettings, shelf: Shelf) -> None:
        """:raises ConfigurationError: a file of ``settings`` cannot be used"""
        self._settings, self._shelf = settings, shelf
        self._client = _Client(settings)
        self._prepared: Prepared | None = None
        self._before: Prepared | None = None
        self._changed_at = 0.0
        self.healthy = False
        """Whether the last question was answered, by policies that this proxy gave out."""
        self.failures: Counter[str] = Counter(dict.fromkeys(_KINDS, 0))
        """Evaluations that gave no verdict, by kind."""

    async def load(self, prepared: Prepared) -> None:
        """Offer the policies, and wait until the server answers by them.

        A server that does not answer at all gets them when it does; one that answers on by the policies before
        does not take these.

        :raises PolicyInvalidError: it does not take them up; those before are offered again
        """
        was = self._before, self._prepared, self._changed_at
        before = self._prepared
        self._before, self._prepared, self._changed_at = before, prepared, monotonic()
        self._shelf.offer(prepared.digest, _bundle(prepared))
        until = monotonic() + LOAD_S
        while await self._answers_by(prepared.digest) is False:
            if monotonic() > until:
                break
            await asyncio.sleep(0.05)
        else:
            return
        if before is None:
            return  # a server that has policies of nobody's knowledge: no verdict until it has ours
        self._before, self._prepared, self._changed_at = was
        self._shelf.offer(before.digest, _bundle(before))
        raise PolicyInvalidError("the OPA server does not take these policies up: its log says why")

    async def decide(self, policy_input: JsonObject) -> Verdict:
        result, prepared = await self._ask("decision", policy_input)
        with self._counting_what_is_malformed():
            return parse_verdict(result, prepared)

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        rows = policy_input.get("rows")
        result, _ = await self._ask("visible", policy_input)
        with self._counting_what_is_malformed():
            return parse_visible(result, len(rows) if isinstance(rows, list) else 0)

    async def watch(self, interval_s: float = 1.0) -> None:
        """Look after the server's health, until cancelled."""
        while True:
            was, self.healthy = self.healthy, await self._answers()
            if was != self.healthy:
                _log.log(
                    logging.INFO if self.healthy else logging.ERROR,
                    "the OPA server answers by our policies" if self.healthy else "the OPA server gives no verdicts",
                )
            await asyncio.sleep(interval_s)

    async def close(self) -> None:
        await self._client.close_connection()

    async def _answers(self) -> bool:
        try:
            await self.decide({})
        except PolicyUnavailableError:
            return False
        return True

    async def _answers_by(self, digest: PolicyDigest) -> bool | None:
        """Whether it answers by these policies; ``None`` where it does not answer."""
        try:
            return (await self.decide({})).policy == digest
        except _UnreachableError:
            return None
        except PolicyUnavailableError:
            return False

    async def _ask(self, rule: str, policy_input: JsonObject) -> tuple[object, Prepared]:
        """The result of a rule, and the policies it was made by.

        :raises PolicyUnavailableError: there is none that counts
        """
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                answer = await self._client.query_rule(policy_input, _PACKAGE, rule, {"provenance": "true"})
        except TimeoutError as error:
            raise self._failed("late", f"no answer within {self._settings.deadline_s:g} s", unreachable=True) from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise self._failed("unreachable", "it cannot be reached", unreachable=True) from error
        except TypeError as error:
            raise self._failed("malformed", "the input is not JSON") from error
        except (_AnswerError, aiohttp.ClientError, ConfigurationError) as error:
            detail = str(error) if isinstance(error, _AnswerError) else "its answer cannot be used, or the token for it"
            raise self._failed("refused", detail) from error
        revision = _revision(answer)
        prepared = self._by(revision)
        if prepared is None:
            raise self._failed("revision", "it answers by policies that are not in force here")
        if "result" not in answer:
            raise self._failed("undefined", f"{rule} is undefined")
        return answer["result"], prepared

    def _by(self, revision: str | None) -> Prepared | None:
        if self._prepared is not None and revision == self._prepared.digest:
            return self._prepared
        before = self._before
        if before is not None and revision == before.digest and monotonic() < self._changed_at + GRACE_S:
            return before
        return None

    @contextmanager
    def _counting_what_is_malformed(self) -> Iterator[None]:
        try:
            yield
        except PolicyUnavailableError:
            self.failures["malformed"] += 1
            raise

    def _failed(self, kind: str, detail: str, *, unreachable: bool = False) -> PolicyUnavailableError:
        self.failures[kind] += 1
        return (_UnreachableError if unreachable else PolicyUnavailableError)(f"the OPA server: {detail}")


_KINDS: Final = ("late", "unreachable", "refused", "revision", "undefined", "malformed")


class _UnreachableError(PolicyUnavailableError):
    """Nobody answered."""


class _AnswerError(Exception):
    """An answer that is none. The text holds no byte of it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the library looks at of an answer that was read whole."""

    status: int
    body: bytes

    def raise_for_status(self) -> None:
        if self.status != 200:
            raise _AnswerError(f"it answered with status {self.status}")

    async def json(self) -> Any:
        try:
            return parse_object("answer", self.body)
        except PolicyInvalidError as error:
            raise _AnswerError("its answer is not JSON") from error


class _Client(AsyncOpaClient):  # type: ignore[misc]
    """The library's client with our TLS, pool and bounds. Its own trusts the system's authorities and asks again."""

    def __init__(self, settings: OpaSettings) -> None:
        parts = urlsplit(settings.url)
        secure = parts.scheme == "https"
        host = parts.hostname or ""
        super().__init__(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port or (443 if secure else 80),
            ssl=secure,
            retries=0,
            timeout=settings.deadline_s,
        )
        self._settings = settings
        self._tls = _tls(settings) if secure else None
        self._closed = False
        self._token = BearerToken(settings.token_file, "policy.opa.token_file")

    async def close_connection(self) -> None:
        self._closed = True
        await super().close_connection()

    async def _init_session(self) -> None:
        self._connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True, limit=self._settings.connections, keepalive_timeout=60
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=self._settings.deadline_s),
            json_serialize=lambda value: orjson.dumps(value).decode(),
            trust_env=False,
            auto_decompress=False,  # none is asked for, so what is compressed is not JSON
        )

    @asynccontextmanager
    async def _request(self, method: str, url: str, **kwargs: Any) -> AsyncIterator[_Answer]:
        if self._closed:
            raise _AnswerError("it is not asked any more")
        if self._session is None:
            await self._init_session()
        headers = {**self._token.headers(), "Accept-Encoding": "identity"}
        async with self._session.request(method, url, headers=headers, allow_redirects=False, **kwargs) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise _AnswerError("its answer is too large")
            yield _Answer(response.status, bytes(body))


def _tls(settings: OpaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"policy.opa: ca_file, certificate or key cannot be used: {error}") from error
    return context


def _revision(answer: object) -> str | None:
    """Of the one bundle that the answer was made by."""
    found: object = answer
    for name in ("provenance", "bundles"):
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or len(found) != 1:
        return None
    (bundle,) = found.values()
    revision = bundle.get("revision") if isinstance(bundle, Mapping) else None
    return revision if isinstance(revision, str) else None


def _bundle(prepared: Prepared) -> bytes:
    return pack(
        modules=(*prepared.modules, _AUTHORIZATION),
        data=prepared.data,
        capabilities=prepared.policies.files[CAPABILITIES],
        digest=prepared.digest,
        serial=0,
        issued_at=prepared.as_of,
    )
