"""Load by real clients that keep every receipt: what they were answered is what the ledger must hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import requests

from deploy.dev import dataset
from deploy.dev.answers import Answer, session
from deploy.dev.stack import DevStack

WHO: Final = ("radiologist", "radiologist", "technologist", "stale")
PAUSE_S: Final = 0.005


@dataclass(slots=True)
class Load:
    """What clients saw. ``unanswered`` are requests whose connection failed; nothing is promised of them."""

    answers: list[Answer] = field(default_factory=list)
    unanswered: int = 0

    def statuses(self) -> dict[int, int]:
        counted: dict[int, int] = {}
        for answer in self.answers:
            counted[answer.status] = counted.get(answer.status, 0) + 1
        return counted


@contextmanager
def load(stack: DevStack, clients: int = 4) -> Iterator[Load]:
    """Requests from ``clients`` threads until left."""
    seen = Load()
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(stack, WHO[number % len(WHO)], seen, stopping), name=f"client {number}")
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stopping.set()
        for thread in threads:
            thread.join(60)


def _ask(stack: DevStack, who: str, seen: Load, stopping: threading.Event) -> None:
    paths = _paths()
    number = 0
    with session(who, stack.client(who), stack.ca, seen.answers) as client:
        while not stopping.is_set():
            number += 1
            try:
                client.get(stack.url + paths[number % len(paths)], timeout=30)
            except requests.RequestException:
                seen.unanswered += 1
                time.sleep(0.05)
            time.sleep(PAUSE_S)


def _paths() -> list[str]:
    paths = ["/dicom-web/studies?limit=3"]
    for study in dataset.catalogue(large=False)[:4]:
        series = study.series[0]
        base = f"/dicom-web/studies/{study.uid}"
        paths += [f"{base}/metadata", f"{base}/series/{series.uid}/instances/{series.instances[0].uid}/metadata"]
    return paths
