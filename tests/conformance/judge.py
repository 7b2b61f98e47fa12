"""What every refusal must be: an answer with its reason, a durable record of it, and nothing at the archive."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from proxy.model import Kind
from tests.conformance.wire import Caller, Credentials, Reply
from tests.stack import RelayedStack

OUTCOME_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Judge:
    stack: RelayedStack
    caller: Caller

    def refused(
        self, raw: bytes, status: int, *codes: str, who: str | Credentials = "radiologist", bodiless: bool = False
    ) -> dict[str, Any]:
        """Send it, and assert that it is refused so, recorded so and forwarded to nobody. Returns the decision."""
        before = self.stack.relay.count
        reply = self.caller.ask(raw, who, bodiless=bodiless)
        return self.is_refusal(reply, status, *codes, since=before, bodiless=bodiless)

    def is_refusal(self, reply: Reply, status: int, *codes: str, since: int, bodiless: bool = False) -> dict[str, Any]:
        assert reply.status == status, (reply.status, reply.reasons)
        if not bodiless:
            assert set(codes) <= set(reply.reasons), reply.reasons
        self.is_silent(reply)
        decision = self.decision(reply)
        assert not decision["verdict"]["allow"]
        assert set(codes) <= set(decision["verdict"]["reasons"])
        assert self.stack.relay.count == since, "the archive was asked"
        return decision

    def decision(self, reply: Reply) -> dict[str, Any]:
        """The one durable decision that an answer names."""
        assert len(reply.decision) == 32, "an answer without Decision-Id"
        records = self.stack.records(reply.decision, Kind.DECISION)
        assert len(records) == 1, f"{len(records)} durable decisions"
        return records[0]

    def outcome(self, reply: Reply) -> dict[str, Any]:
        """The one outcome of an answered request, which follows its answer."""
        deadline = time.monotonic() + OUTCOME_S
        while not (records := self.stack.records(reply.decision, Kind.OUTCOME)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(records) == 1, f"{len(records)} outcomes"
        return records[0]

    def parts(self, reply: Reply) -> list[dict[str, Any]]:
        return self.stack.records(reply.decision, Kind.PART)

    def is_silent(self, reply: Reply) -> None:
        """The answer tells nothing of the archive, nor of what this proxy is made of."""
        ports = self.stack.dev.ports.archive, self.stack.relay.port
        for port in ports:
            assert f":{port}".encode() not in reply.head + reply.body, "an address of the archive"
        shown = reply.head if (reply.value("Content-Type") or "").startswith("multipart") else reply.head + reply.body
        for word in (b"orthanc", b"aiohttp", b"python", b"civetweb", b"mongoose"):
            assert word not in shown.lower(), word
        assert reply.value("Server") == "dicomward"
        assert not {"via", "x-powered-by", "set-cookie"} & {name.lower() for name, _ in reply.headers}
