"""The OPA server is killed, stands still, lies and comes back under load: nothing is allowed without a verdict."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest
import requests

from deploy.dev import opa
from deploy.dev.answers import Answer
from deploy.dev.layout import Layout, Ports
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack
from proxy.decide import Kept
from proxy.model import Kind, Reason
from proxy.record.reader import open_readers
from tests.journey import ledger
from tests.journey.conftest import FULL
from tests.journey.load import Load, load
from tests.laws import check_laws
from tests.policies.test_rego import opa as real_opa
from tests.simulators.opa_relay import OpaRelay, Spoil, as_it_is
from tests.stack import GENEROUS
from tests.workers import proxy_pid

STALL_S: Final = 30.0 if FULL else 3.0
AWAY_S: Final = 10.0 if FULL else 2.0
SETTLED_S: Final = 1.5
"""More than the deadline of an evaluation: what was asked before is answered by then."""
RECOVERY_S: Final = 5.0
OVERRIDES: Final = {"limits": dict(GENEROUS)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    real_opa()
    with DevStack(tmp_path_factory.mktemp("stack"), ports=Ports.free(), overrides=OVERRIDES, with_opa=True) as running:
        yield running
        check_laws(running)


def test_killed_server_is_answered_503_and_recorded_until_it_is_back(stack: DevStack) -> None:
    worker = proxy_pid(stack)
    with load(stack) as seen:
        _until(lambda: len(seen.answers) > 50, "nobody was answered")
        stack.kill("opa")
        _no_verdicts_for(stack, seen, AWAY_S)
        assert not _ready(stack)["policy"]
        stack.restart("opa")
        recovery = _recovery(stack)
        time.sleep(1)
    _every_answer_has_its_record(stack, seen)
    assert _ready(stack)["policy"]
    assert proxy_pid(stack) == worker
    print(f"killed: {seen.statuses()}, a verdict {recovery:.2f} s after it listened again")
    assert recovery < RECOVERY_S


def test_server_that_stands_still_is_answered_503_and_recorded_until_it_goes_on(stack: DevStack) -> None:
    worker = proxy_pid(stack)
    with load(stack) as seen:
        _until(lambda: len(seen.answers) > 50, "nobody was answered")
        stack.part("opa").pause()
        try:
            _no_verdicts_for(stack, seen, STALL_S)
        finally:
            stack.part("opa").resume()
        recovery = _recovery(stack)
        time.sleep(1)
    _every_answer_has_its_record(stack, seen)
    assert proxy_pid(stack) == worker
    print(f"stood still for {STALL_S:g} s: {seen.statuses()}, a verdict {recovery:.2f} s after it went on")
    assert recovery < RECOVERY_S


def test_server_that_is_restarted_in_an_orderly_way_loses_no_request(stack: DevStack) -> None:
    """It may be away for a moment, and every request in it is answered and recorded."""
    with load(stack) as seen:
        _until(lambda: len(seen.answers) > 50, "nobody was answered")
        stack.restart("opa")
        recovery = _recovery(stack)
        time.sleep(1)
    _every_answer_has_its_record(stack, seen)
    print(f"restarted: {seen.statuses()}, a verdict {recovery:.2f} s after it listened again")
    assert recovery < RECOVERY_S


def test_proxy_that_starts_without_its_server_serves_denials_until_there_is_one(stack: DevStack) -> None:
    stack.kill("opa")
    proxy = stack.part("proxy")
    proxy.stop()
    ready, proxy.healthy = proxy.healthy, lambda: _listens(stack)
    try:
        proxy.start()
        answer = _ask(stack)
        assert (answer.status_code, _codes(answer)) == (503, [Reason.POLICY_UNAVAILABLE])
        stack.restart("opa")
        assert _recovery(stack) < RECOVERY_S
    finally:
        proxy.healthy = ready


# ---------------------------------------------------------------------------------------------- lies


def _result(change: Callable[[dict[str, Any]], None]) -> Spoil:
    """Of decisions; rows stay as they are."""

    def spoil(answer: bytes) -> bytes:
        told = json.loads(answer)
        if isinstance(told.get("result"), dict):
            change(told["result"])
        return json.dumps(told).encode()

    return spoil


def _told(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(answer: bytes) -> bytes:
        told = json.loads(answer)
        change(told)
        return json.dumps(told).encode()

    return spoil


ALLOW: Final = json.dumps({"result": {"allow": True, "reasons": [], "obligations": []}}).encode()
LIES: Final[dict[str, Spoil]] = {
    "noise": lambda answer: os.urandom(len(answer)),
    "a web page": lambda answer: b"<html>Service temporarily unavailable</html>",
    "half": lambda answer: answer[: len(answer) // 2],
    "nothing": lambda answer: b"",
    "a hang-up": lambda answer: None,
    "an allow of nobody's": lambda answer: ALLOW,
    "the opposite": _result(lambda result: result.update(allow=not result["allow"])),
    "text for booleans": _result(lambda result: result.update(allow=str(result["allow"]).lower())),
    "numbers for booleans": _result(lambda result: result.update(allow=int(result["allow"]))),
    "null": _told(lambda told: told.update(result=None)),
    "undefined": _told(lambda told: told.pop("result")),
    "other policies": _told(lambda told: told.update(provenance={"bundles": {"dicomward": {"revision": "0" * 64}}})),
    "no provenance": _told(lambda told: told.pop("provenance")),
    "an unknown obligation that is none": _result(lambda result: result.update(obligations=["seal"])),
}


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevStack, OpaRelay]]:
    """A stack whose proxy reaches its OPA server through a relay alone."""
    real_opa()
    directory, ports = tmp_path_factory.mktemp("lying"), Ports.free()
    layout, port = Layout(directory.resolve()), ports.opa + 1
    layout.prepare()
    settings = opa.policy_settings(layout, ports)["opa"] | {"url": f"https://127.0.0.1:{port}"}
    running = DevStack(directory, ports=ports, overrides={**OVERRIDES, "policy": {"opa": settings}}, with_opa=True)
    running.pki.prepare()
    with OpaRelay(port, ports.opa, layout.pki) as relay, running:
        yield running, relay
        check_laws(running)


SOME: Final = ("half", "a hang-up", "an allow of nobody's", "other policies", "an unknown obligation that is none")
"""In the short form one of each sort; ``tests/decide/test_server.py`` has the engine by itself, and every one."""


def test_server_that_lies_gives_no_verdict(lying: tuple[DevStack, OpaRelay]) -> None:
    stack, relay = lying
    told = LIES if FULL else {name: LIES[name] for name in SOME}
    with load(stack) as seen:
        for name, spoil in told.items():
            _until(lambda: _ask(stack).status_code == 200, f"no verdict before {name}")
            answered = relay.answered
            relay.spoil = spoil
            _no_verdicts_for(stack, seen, 1.0, name)
            assert relay.answered > answered + 5, name
            relay.spoil = as_it_is
            recovery = _recovery(stack)
            assert recovery < RECOVERY_S, name
    _every_answer_has_its_record(stack, seen)
    print(f"{len(told)} lies: {seen.statuses()}")


# ---------------------------------------------------------------------------------------------- helpers


def _no_verdicts_for(stack: DevStack, seen: Load, seconds: float, what: str = "") -> None:
    """Whoever asks meanwhile gets 503, and is told why."""
    time.sleep(SETTLED_S)
    first = len(seen.answers)
    time.sleep(seconds)
    _until(lambda: len(seen.answers) > first + 3, f"nobody was answered: {what}")
    meanwhile = seen.answers[first:]
    assert {(answer.status, *answer.reasons()) for answer in meanwhile} == {(503, Reason.POLICY_UNAVAILABLE)}, what
    assert _metric(stack, "dicomward_opa_healthy") == 0, what


def _every_answer_has_its_record(stack: DevStack, seen: Load) -> None:
    """And the verdict in it is the answer that was given."""
    assert seen.unanswered == 0
    assert seen.statuses().keys() <= {200, 403, 503}
    assert seen.statuses()[200] >= 10
    assert ledger.missing(stack, seen.answers) == []
    records = _decisions(stack)
    digest = _digest(stack)
    for answer in seen.answers:
        _fits(answer, records[answer.decision or ""], digest)
    check_laws(stack, chain=False)


def _fits(answer: Answer, record: dict[str, Any], digest: str) -> None:
    verdict = record["verdict"]
    if answer.status == 503:
        assert (verdict["allow"], verdict["reasons"]) == (False, [Reason.POLICY_UNAVAILABLE])
        return
    assert record["asked"]
    assert verdict["allow"] == (answer.status == 200)
    assert verdict["policy"] == digest


def _decisions(stack: DevStack) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for reader in open_readers(stack.layout.spool):
        try:
            bodies = [json.loads(row.body) for row in reader.rows(0, reader.count()) if row.kind == Kind.DECISION]
        finally:
            reader.close()
        found |= {body["id"]: body for body in bodies}
    return found


def _recovery(stack: DevStack) -> float:
    """Seconds from now to the first verdict."""
    started = time.monotonic()
    _until(lambda: _ask(stack).status_code == 200, "no verdict came back")
    return time.monotonic() - started


def _ask(stack: DevStack) -> requests.Response:
    url = f"{stack.url}/dicom-web/studies?limit=1"
    return requests.get(url, cert=stack.client("radiologist"), verify=stack.ca, timeout=30)


def _codes(answer: requests.Response) -> Sequence[str]:
    return [reason["code"] for reason in answer.json()["reasons"]]


def _listens(stack: DevStack) -> bool:
    try:
        return bool(_ready(stack)["listening"])
    except requests.RequestException:
        return False


def _ready(stack: DevStack) -> dict[str, bool]:
    conditions: dict[str, bool] = requests.get(f"{stack.admin_url}/readyz", timeout=10).json()
    return conditions


def _digest(stack: DevStack) -> str:
    return Kept(stack.layout.policy_store).history()[-1].digest


def _metric(stack: DevStack, name: str) -> int:
    return total(requests.get(f"{stack.admin_url}/metrics", timeout=10).text, name)


def _until(condition: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
