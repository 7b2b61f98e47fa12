"""Many small attacks over few connections: each is refused as it must be, recorded, and heard of by nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from proxy.model import Kind
from proxy.record.reader import current_reader
from tests.conformance.judge import Judge
from tests.conformance.wire import EndedError, Reply, Wire

Attack = tuple[bytes, int, str]
"""Raw request, and the status and reason that must answer it."""


@dataclass(slots=True)
class Corpus:
    judge: Judge
    _held: AbstractContextManager[Wire] | None = None
    _wire: Wire | None = field(default=None, repr=False)

    def refuses(self, attacks: Iterable[Attack]) -> None:
        """Send all of them, and assert what ``Judge.refused`` asserts of each."""
        before = self.judge.stack.relay.count
        told: list[tuple[str, bytes, str]] = []
        for raw, status, code in attacks:
            reply = self._ask(raw)
            shown = raw[:300]
            assert (reply.status, reply.reasons) == (status, [code]), shown
            self.judge.is_silent(reply)
            assert self.judge.stack.relay.count == before, (shown, "the archive was asked")
            told.append((reply.decision, shown, code))
        assert told, "no attack at all"
        self._are_recorded(told)

    def _are_recorded(self, told: list[tuple[str, bytes, str]]) -> None:
        reader = current_reader(self.judge.stack.dev.layout.spool)
        try:
            for identity, shown, code in told:
                records = [json.loads(row.body) for row in reader.find(identity) if row.kind == Kind.DECISION]
                assert len(records) == 1, (shown, f"{len(records)} durable decisions")
                verdict = records[0]["verdict"]
                assert (verdict["allow"], verdict["reasons"]) == (False, [code]), shown
        finally:
            reader.close()

    def _ask(self, raw: bytes) -> Reply:
        for _ in range(2):
            fresh = self._wire is None
            wire = self._wire or self._connect()
            try:
                wire.send(raw)
                reply = wire.read()
            except (EndedError, OSError):
                # What a refusal before left behind: it ends its connection where it did not read the body.
                self.close()
                assert not fresh, "the connection ended without an answer"
                continue
            if (reply.value("Connection") or "").lower() == "close":
                self.close()
            return reply
        raise AssertionError("no answer")

    def _connect(self) -> Wire:
        self._held = self.judge.caller.connected()
        self._wire = self._held.__enter__()
        return self._wire

    def close(self) -> None:
        if self._held is not None:
            self._held.__exit__(None, None, None)
        self._held = self._wire = None


def invalid(raws: Iterable[bytes], status: int, code: str) -> Iterator[Attack]:
    for raw in raws:
        yield raw, status, code
