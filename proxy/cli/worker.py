"""What ``dicomward serve`` runs below its supervisor."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvloop

from proxy import app
from proxy.config import Site, load_site, site_path
from proxy.decide import Kept
from proxy.errors import ConfigurationError
from proxy.pulse import Pulse
from proxy.supervisor import bind
from proxy.watch import configure_logs

RECURSION: Final = 1000
START_S: Final = 60.0
"""For a start, on top of the time that policies may take to compile."""


def work(config: Path | None, directory: Path | None, descriptor: int) -> None:
    """Serve until SIGTERM, bound to the supervisor that left its page under ``descriptor``.

    :raises ConfigurationError: the process must not start
    """
    pulse = Pulse.joined(descriptor)
    bind(pulse.supervisor)
    site = load_site(site_path(config, directory))
    pulse.expect(site.policy.heartbeat_s, site.policy.compile_s + START_S)
    configure_logs()
    _put_away(site, pulse)
    # Deep JSON is an error of the archive as long as this holds, and a stack overflow where a library lifts it.
    sys.setrecursionlimit(RECURSION)
    uvloop.run(_serve(site, pulse))


def _put_away(site: Site, pulse: Pulse) -> None:
    """Policies for which the worker before this one was ended must not come back."""
    if pulse.looped is None:
        return
    why = f"an evaluation did not end within {site.policy.heartbeat_s:g} s"
    try:
        Kept(site.policy.store).quarantine(pulse.looped, why, datetime.now(UTC))
    except OSError as error:
        raise ConfigurationError(
            f"policy.store: {site.policy.store}: policies that do not end could not be put into quarantine: "
            f"{error.strerror}"
        ) from error


async def _serve(site: Site, pulse: Pulse) -> None:
    beating = asyncio.create_task(_beat(pulse, min(1.0, site.policy.heartbeat_s / 10)), name="pulse")
    try:
        await app.serve(site, pulse)
    finally:
        beating.cancel()


async def _beat(pulse: Pulse, interval_s: float) -> None:
    while True:
        pulse.beat()
        await asyncio.sleep(interval_s)
