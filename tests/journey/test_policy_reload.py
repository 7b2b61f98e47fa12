"""Editing policies while the proxy serves."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from deploy.dev.layout import ROOT, Ports
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack
from proxy.decide import Kept, read_policies
from proxy.model import PolicyDigest
from tests.journey.load import load
from tests.laws import check_laws
from tests.stack import GENEROUS


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevStack, Path]]:
    directory = tmp_path_factory.mktemp("reload")
    policies = directory / "policies"
    shutil.copytree(ROOT / "policies", policies)
    overrides = {"limits": dict(GENEROUS)}
    with DevStack(directory / "stack", ports=Ports.free(), policies=policies, overrides=overrides) as running:
        yield running, policies
        check_laws(running)


@pytest.fixture
def edited(serving: tuple[DevStack, Path]) -> Iterator[tuple[DevStack, Path]]:
    """The policies as they are shipped, before each test and after it."""
    stack, policies = serving
    shipped = read_policies(ROOT / "policies").digest
    assert _in_force(stack) == shipped
    yield stack, policies
    shutil.rmtree(policies / "data")
    shutil.copytree(ROOT / "policies", policies, dirs_exist_ok=True)
    _until(lambda: _in_force(stack) == shipped, "the shipped policies did not come back")


def _status(stack: DevStack, who: str) -> int:
    url = f"{stack.url}/dicom-web/studies?limit=1"
    return requests.get(url, cert=stack.client(who), verify=stack.ca, timeout=30).status_code


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_broken_edit_keeps_the_old_policies_and_says_so(edited: tuple[DevStack, Path]) -> None:
    stack, policies = edited
    rule = policies / "dicomweb" / "authz" / "authz.rego"
    good = rule.read_text()
    assert _status(stack, "radiologist") == 200

    rule.write_text(good + "\nbroken {")
    _until(lambda: _metric(stack, "dicomward_policy_rejected") == 1, "the broken edit was not noticed")
    assert _status(stack, "radiologist") == 200
    assert "authz.rego" in (stack.layout.log / "proxy.log").read_text()

    rule.write_text(good)
    _until(lambda: _metric(stack, "dicomward_policy_rejected") == 0, "the mended edit was not taken up")
    assert _status(stack, "radiologist") == 200


def test_edit_of_data_takes_effect_without_restart(edited: tuple[DevStack, Path]) -> None:
    stack, policies = edited
    assert _status(stack, "radiologist") == 200
    for path in (policies / "data").rglob("*.json"):
        path.write_text(path.read_text().replace("urn:dicomward:device:radiologist", "urn:dicomward:device:nobody"))
    _until(lambda: _status(stack, "radiologist") == 403, "the edit did not take effect")


def test_edits_under_load_drop_nothing(edited: tuple[DevStack, Path]) -> None:
    """Every request is answered, by one set of policies or the next: edits that change nothing for who asks."""
    stack, policies = edited
    subjects = policies / "data" / "subjects.json"
    with load(stack) as seen:
        for number in range(3):
            told = json.loads(subjects.read_text())
            told["subjects"][f"urn:dicomward:device:new-{number}"] = {"roles": [], "institutions": []}
            subjects.write_text(json.dumps(told))
            digest = read_policies(policies).digest
            _until(lambda digest=digest: _in_force(stack) == digest, "the edit did not take effect")  # type: ignore[misc]
            time.sleep(1)
    assert len(seen.answers) > 100
    assert seen.unanswered == 0
    assert {answer.status for answer in seen.answers if answer.who == "radiologist"} == {200}
    assert seen.statuses().keys() == {200, 403}  # 403: the one whose posture is stale, and who reaches one institution


def test_every_set_that_was_in_force_is_kept(edited: tuple[DevStack, Path]) -> None:
    stack, policies = edited
    before = _in_force(stack)
    limits = policies / "data" / "more.json"
    limits.write_text('{"more": 1}')
    _until(lambda: _in_force(stack) != before, "the edit did not take effect")
    kept = Kept(stack.layout.policy_store)
    assert [told.digest for told in kept.history()][-2:] == [before, _in_force(stack)]
    assert kept.read(PolicyDigest(_in_force(stack))).digest == read_policies(policies).digest


def _in_force(stack: DevStack) -> str:
    text = requests.get(f"{stack.admin_url}/metrics", timeout=10).text
    found = re.search(r'^dicomward_policy_info\{digest="([0-9a-f]{64})"\} 1', text, re.MULTILINE)
    assert found is not None
    return found[1]


def _metric(stack: DevStack, name: str) -> int:
    return total(requests.get(f"{stack.admin_url}/metrics", timeout=10).text, name)
