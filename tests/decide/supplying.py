"""A worker's supply of policies, as tests build it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy.decide import BundleServer, Embedded, Kept, PolledBundle, Supply, WatchedFolder
from proxy.decide.example import example_input
from proxy.model import Action
from tests.decide.conftest import Counting
from tests.decide.signers import trusted

GOOD = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@asynccontextmanager
async def watching(folder: Path, observer: Counting, **settings: Any) -> AsyncIterator[Supply]:
    """Of a folder, started; kept in ``kept`` beside it."""
    store = Kept(folder.with_name("kept"))
    supply = Supply(WatchedFolder(folder), Embedded(), store, observer, **settings)
    try:
        await supply.start()
        yield supply
    finally:
        await supply.close()


@asynccontextmanager
async def polling(url: str, store: Path, observer: Counting, clock: Clock, **settings: Any) -> AsyncIterator[Supply]:
    """Of a bundle server, with a day of age."""
    server = BundleServer(url=url, timeout_s=settings.pop("timeout_s", 5.0), **settings)
    kept = Kept(store)
    source = PolledBundle(server, trusted(), store)
    supply = Supply(source, Embedded(), kept, observer, clock=clock, max_age_s=86_400)
    try:
        await supply.start()
        yield supply
    finally:
        await supply.close()
