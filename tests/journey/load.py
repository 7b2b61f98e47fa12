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
    elapsed_ms: list[float] = field(default_factory=list)
    """From the sending of a request to the head of its answer, in the order of the answers."""
    unanswered: int = 0

    def statuses(self) -> dict[int, int]:
        counted: dict[int, int] = {}
        for answer in self.answers:
            counted[answer.status] = counted.get(answer.status, 0) + 1
        return counted


@contextmanager
def load(stack: DevStack, clients: int = 4, per_second: float | None = None) -> Iterator[Load]:
    """Requests from ``clients`` threads until left: ``per_second`` of them in all, or as many as there is time for."""
    seen = Load()
    stopping = threading.Event()
    every_s = None if per_second is None else clients / per_second
    threads = [
        threading.Thread(
            target=_ask, args=(stack, WHO[number % len(WHO)], seen, stopping, every_s), name=f"client {number}"
        )
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


def _ask(stack: DevStack, who: str, seen: Load, stopping: threading.Event, every_s: float | None) -> None:
    paths = _paths()
    number = 0
    begun = time.monotonic()
    with session(who, stack.client(who), stack.ca, seen.answers) as client:
        while not stopping.is_set():
            number += 1
            try:
                response = client.get(stack.url + paths[number % len(paths)], timeout=30)
                seen.elapsed_ms.append(response.elapsed.total_seconds() * 1000)
            except requests.RequestException:
                seen.unanswered += 1
                time.sleep(0.05)
            # A late one does not make the next ones late: the pace is the clock's.
            stopping.wait(PAUSE_S if every_s is None else max(0.0, begun + number * every_s - time.monotonic()))


def _paths() -> list[str]:
    paths = ["/dicom-web/studies?limit=3"]
    for study in dataset.catalogue(large=False)[:4]:
        series = study.series[0]
        base = f"/dicom-web/studies/{study.uid}"
        paths += [f"{base}/metadata", f"{base}/series/{series.uid}/instances/{series.instances[0].uid}/metadata"]
    return paths
