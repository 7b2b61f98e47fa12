"""What operators see of a running stack, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests

from deploy.dev.metrics import total
from deploy.dev.stack import DevStack

SEEN_S = 30


def metric(stack: DevStack, name: str, **labels: str) -> float:
    """Sum of the samples of ``dicomward_<name>`` that carry ``labels``."""
    return total(requests.get(f"{stack.admin_url}/metrics", timeout=10).text, f"dicomward_{name}", **labels)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SEEN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
