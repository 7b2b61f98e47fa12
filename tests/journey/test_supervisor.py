"""A rule that loops for one patient alone: good on trial, deadly for the worker, and out of force seconds later."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.dev.dataset import study
from deploy.dev.layout import ROOT, Ports
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack
from proxy.decide import Kept
from proxy.record.reader import current_reader
from tests.laws import check_laws
from tests.stack import GENEROUS
from tests.workers import proxy_pid

HEARTBEAT_S = 2
DEADLY, HARMLESS = study("us-colour"), study("ct-small")
RULE = f"""package dicomweb.site

permits(_, resource) if not resource.patient_id

permits(_, resource) if resource.patient_id != "{DEADLY.patient_id}"

permits(_, resource) if {{
	resource.patient_id == "{DEADLY.patient_id}"
	numbers := numbers.range(1, 30000)
	count([a | some a in numbers; some b in numbers; some c in numbers; ((a * b) * c) < 0]) == 0
}}

deny contains code if some code in []
"""


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[tuple[DevStack, Path]]:
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    overrides = {"limits": dict(GENEROUS), "policy": {"heartbeat_s": HEARTBEAT_S}}
    with DevStack(tmp_path / "stack", ports=Ports.free(), policies=policies, overrides=overrides) as running:
        yield running, policies / "dicomweb" / "site" / "site.rego"
        check_laws(running, outcomes=False)  # a worker was killed


def test_looping_rule_ends_the_worker_and_the_policies_before_it_serve(edited: tuple[DevStack, Path]) -> None:
    stack, rule = edited
    good = _digest(stack)
    assert _status(stack, DEADLY.uid) == 200
    rule.write_text(RULE)
    _until(lambda: _digest(stack) != good, "the looping rule did not come into force")
    looping = _digest(stack)
    assert _status(stack, HARMLESS.uid) == 200
    check_laws(stack, chain=False)

    worker = psutil.Process(proxy_pid(stack))
    supervisor = stack.part("proxy").pid
    answers: list[int] = []
    asking = threading.Thread(target=_ask, args=(stack, answers))
    asked = time.monotonic()
    asking.start()
    _until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker was not ended")
    ended = time.monotonic() - asked
    _until(lambda: _serves(stack), "no worker came back")
    back = time.monotonic() - asked
    print(f"ended after {ended:.1f} s, served again after {back:.1f} s")
    asking.join(30)
    assert ended < HEARTBEAT_S + 1
    assert answers == [], "the deadly request was answered"
    assert stack.part("proxy").pid == supervisor

    assert _digest(stack) == good
    assert _status(stack, DEADLY.uid) == 200
    assert Kept(stack.layout.policy_store).quarantined() == {looping}
    told = json.loads((stack.layout.policy_store / "quarantined" / f"{looping}.json").read_text())
    assert "did not end" in told["why"]
    (alarm,) = _alarms(stack)
    assert (alarm["level"], alarm["restart"], alarm["policy"]) == ("critical", "looping", looping)
    assert [event["policy"] for event in _events(stack, "policy_quarantined")] == [looping]
    assert _metric(stack, "dicomward_worker_restarts_total", reason="looping") == 1
    assert _metric(stack, "dicomward_policy_quarantined") == 1

    time.sleep(3 * HEARTBEAT_S)  # what stands in quarantine is offered all the time, and not taken
    assert _digest(stack) == good
    assert _status(stack, DEADLY.uid) == 200
    assert len(_alarms(stack)) == 1
    rule.write_text(RULE.replace("30000", "3"))
    _until(lambda: _digest(stack) not in (good, looping), "the mended rule was not taken up")
    assert _status(stack, DEADLY.uid) == 200


def test_worker_that_is_stopped_comes_back_with_the_same_policies(edited: tuple[DevStack, Path]) -> None:
    stack, _ = edited
    good = _digest(stack)
    worker = psutil.Process(proxy_pid(stack))
    worker.send_signal(signal.SIGSTOP)
    _until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker was not ended")
    _until(lambda: _serves(stack), "no worker came back")
    assert _digest(stack) == good
    assert Kept(stack.layout.policy_store).quarantined() == frozenset()
    assert [alarm["restart"] for alarm in _alarms(stack)] == ["stuck"]
    assert _metric(stack, "dicomward_worker_restarts_total", reason="stuck") == 1
    assert _events(stack, "policy_quarantined") == []


def test_killed_supervisor_takes_its_worker_along_and_leaves_its_ports(edited: tuple[DevStack, Path]) -> None:
    stack, _ = edited
    supervisor = stack.part("proxy").pid
    assert supervisor is not None
    worker = psutil.Process(proxy_pid(stack))
    os.kill(supervisor, signal.SIGKILL)  # it alone, not its group
    killed = time.monotonic()
    _until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker outlived it")
    assert time.monotonic() - killed < 1
    stack.restart("proxy")
    assert _status(stack, HARMLESS.uid) == 200


def _get(stack: DevStack, uid: str) -> requests.Response:
    url = f"{stack.url}/dicom-web/studies/{uid}/metadata"
    return requests.get(url, cert=stack.client("radiologist"), verify=stack.ca, timeout=30)


def _status(stack: DevStack, uid: str) -> int:
    return _get(stack, uid).status_code


def _ask(stack: DevStack, answers: list[int]) -> None:
    with suppress(requests.ConnectionError):
        answers.append(_status(stack, DEADLY.uid))


def _serves(stack: DevStack) -> bool:
    try:
        return requests.get(f"{stack.admin_url}/readyz", timeout=5).ok and _status(stack, HARMLESS.uid) == 200
    except requests.RequestException:
        return False


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _exposed(stack: DevStack) -> str:
    return requests.get(f"{stack.admin_url}/metrics", timeout=10).text


def _metric(stack: DevStack, name: str, **labels: str) -> int:
    return total(_exposed(stack), name, **labels)


def _digest(stack: DevStack) -> str:
    """Of the policies in force."""
    families = text_string_to_metric_families(_exposed(stack))
    (found,) = (sample for family in families for sample in family.samples if sample.name == "dicomward_policy_info")
    return found.labels["digest"]


def _alarms(stack: DevStack) -> list[dict[str, Any]]:
    """What the supervisor logged."""
    lines = (stack.layout.log / "proxy.log").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["logger"] == "proxy.supervisor"]


def _events(stack: DevStack, name: str) -> list[dict[str, Any]]:
    reader = current_reader(stack.layout.spool)
    try:
        bodies = [json.loads(row.body) for row in reader.rows(0, reader.count())]
    finally:
        reader.close()
    return [body for body in bodies if body.get("event") == name]
