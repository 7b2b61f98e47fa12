"""Editing policies while the proxy serves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from deploy.dev.layout import ROOT, Ports
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack
from tests.laws import check_laws
from tests.stack import GENEROUS


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[tuple[DevStack, Path]]:
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    overrides = {"limits": dict(GENEROUS)}
    with DevStack(tmp_path / "stack", ports=Ports.free(), policies=policies, overrides=overrides) as running:
        yield running, policies
        check_laws(running)


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


def _metric(stack: DevStack, name: str) -> int:
    return total(requests.get(f"{stack.admin_url}/metrics", timeout=10).text, name)
