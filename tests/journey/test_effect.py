"""How long a revocation, or a device that went out of order, takes to have an effect: four cases each, measured.

*open connection*: one that was used before goes on asking. *new connection*: each request on one of its own. *fresh
handshake*: the handshake was done just before, and its first request comes after. *mid-stream*: an answer on its way.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.dev import dataset, posture
from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from proxy.model import Kind
from proxy.record.reader import current_reader
from tests.conformance.wire import Caller, EndedError, Reply, Wire, request
from tests.laws import check_laws
from tests.stack import GENEROUS

ALLOWED_S = 5.0
WAIT_S = 20.0
STEP_S = 0.05
STREAM_STEP = 2**15
"""Bytes read at a time: at one every few milliseconds 100 MB take longer than any case here."""
SEARCH = request("GET", "/dicom-web/studies?limit=1")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    folder = tmp_path_factory.mktemp("effect")
    with DevStack(folder, ports=Ports.free(), large_study=True, overrides={"limits": dict(GENEROUS)}) as stack:
        yield stack
        check_laws(stack)


@dataclass(slots=True)
class Effects:
    """When each case was first refused, by the clock that the change was made at, and for what."""

    seconds: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Watch:
    """Four clients of one device that go on until they are refused."""

    def __init__(self, stack: DevStack, who: str) -> None:
        self._stack = stack
        self._who = who
        self._caller = Caller(stack.ports.proxy, stack.ca, stack.layout.pki)
        self._changed = threading.Event()
        self._since = 0.0
        self._streaming = threading.Event()
        self.effects = Effects()
        self.stream = ""
        """Decision of the answer that is on its way."""

    def run(self, change: Callable[[], object]) -> Effects:
        cases = {
            "open connection": self._open,
            "new connection": self._new,
            "fresh handshake": self._fresh,
            "mid-stream": self._stream,
        }
        threads = [threading.Thread(target=self._case, args=(name, case)) for name, case in cases.items()]
        for thread in threads:
            thread.start()
        assert self._streaming.wait(WAIT_S), "the stream did not begin"
        time.sleep(1)
        self._since = time.monotonic()
        change()
        self._changed.set()
        for thread in threads:
            thread.join(2 * WAIT_S)
        assert self.effects.errors == []
        return self.effects

    def _case(self, name: str, case: Callable[[str], None]) -> None:
        try:
            case(name)
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
            self.effects.errors.append(f"{name}: {error!r}")

    def _open(self, name: str) -> None:
        with self._caller.connected(self._who) as wire:
            while not self._refused(name, self._ask(wire)):
                time.sleep(STEP_S)

    def _new(self, name: str) -> None:
        while not self._refused(name, self._caller.ask(SEARCH, self._who)):
            time.sleep(STEP_S)

    def _fresh(self, name: str) -> None:
        while True:
            with self._caller.connected(self._who) as wire:
                time.sleep(STEP_S)
                if self._refused(name, self._ask(wire)):
                    return

    def _stream(self, name: str) -> None:
        study = dataset.study(dataset.LARGE)
        raw = request(
            "GET",
            f"/dicom-web/studies/{study.uid}",
            'Accept: multipart/related; type="application/dicom"; transfer-syntax=*',
        )
        with self._caller.connected(self._who) as wire:
            wire.send(raw)
            head = wire._until(b"\r\n\r\n").decode("latin-1")
            assert head.startswith("HTTP/1.1 200"), head
            self.stream = next(
                line.partition(":")[2].strip() for line in head.split("\r\n") if line.lower().startswith("decision-id:")
            )
            self._streaming.set()
            deadline = time.monotonic() + 2 * WAIT_S
            while time.monotonic() < deadline:
                try:
                    if not wire.socket.recv(STREAM_STEP):
                        break
                except OSError:
                    break
                time.sleep(0.004)
            else:
                raise AssertionError("the stream went on")
            self._note(name, [])

    @staticmethod
    def _ask(wire: Wire) -> Reply:
        wire.send(SEARCH)
        try:
            return wire.read()
        except EndedError as error:
            raise AssertionError("ended without an answer") from error

    def _refused(self, name: str, reply: Reply) -> bool:
        if reply.status == 200:
            late = self._changed.is_set() and time.monotonic() - self._since > WAIT_S
            assert not late, "it was never refused"
            return False
        assert reply.status == 403, reply.status
        self._note(name, reply.reasons)
        return True

    def _note(self, name: str, reasons: list[str]) -> None:
        assert self._since, "refused before the change"
        self.effects.seconds[name] = time.monotonic() - self._since
        self.effects.reasons[name] = reasons


def _outcome(stack: DevStack, decision: str) -> dict[str, object]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        reader = current_reader(stack.layout.spool)
        try:
            found = [json.loads(row.body) for row in reader.find(decision) if row.kind == Kind.OUTCOME]
        finally:
            reader.close()
        if found:
            return dict(found[0])
        time.sleep(0.05)
    raise AssertionError("no outcome")


def _judge(stack: DevStack, watch: Watch, effects: Effects, reason: str, tmp_path: Path) -> None:
    print(f"\n{reason}: " + ", ".join(f"{name} {took:.2f} s" for name, took in sorted(effects.seconds.items())))
    assert set(effects.seconds) == {"open connection", "new connection", "fresh handshake", "mid-stream"}
    assert max(effects.seconds.values()) <= ALLOWED_S, effects.seconds
    for name in ("open connection", "new connection", "fresh handshake"):
        assert reason in effects.reasons[name], (name, effects.reasons[name])
    outcome = _outcome(stack, watch.stream)
    assert (outcome["status"], outcome["reason"]) == ("terminated", reason)
    assert outcome["bytes"]


def test_device_out_of_order_is_refused_and_cut_within_seconds(running: DevStack, tmp_path: Path) -> None:
    """It reports so itself, and is well again as soon as it reports that."""
    bad = {**posture.COMPLIANT, "firewall": False}
    watch = Watch(running, "radiologist")
    effects = watch.run(lambda: posture.report(running.url, running.layout.pki, "radiologist", bad))
    _judge(running, watch, effects, "posture-firewall-off", tmp_path)
    posture.report(running.url, running.layout.pki, "radiologist")
    assert Caller(running.ports.proxy, running.ca, running.layout.pki).ask(SEARCH).status == 200


def test_revoked_certificate_is_refused_and_cut_within_seconds(running: DevStack, tmp_path: Path) -> None:
    watch = Watch(running, "radiologist")
    effects = watch.run(lambda: running.pki.revoke(["radiologist"]))
    _judge(running, watch, effects, "certificate-revoked", tmp_path)
