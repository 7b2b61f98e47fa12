"""A clock that jumps: records say what it said, so a jump is a record of its own.

Times of records, tokens and leases are the machine's. The monotonic clock tells how much of a step was
time that passed. A machine that slept shows as a jump too: what it held is older than it looks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from proxy.model import JsonObject, Kind, wire_time
from proxy.ports import Clock, Recorder

logger = logging.getLogger(__name__)

JUMP: Final = timedelta(seconds=60)
"""Less is what time services correct in steps."""
LOOK_S: Final = 1.0


class ClockWatch:
    def __init__(self, recorder: Recorder, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._recorder = recorder
        self._clock = clock
        self._monotonic = monotonic
        self._last = clock(), monotonic()
        self.jumps = 0

    def look(self) -> None:
        """Compare what passed since the last look by both clocks."""
        now, moment = self._clock(), self._monotonic()
        before, since = self._last
        expected = before + timedelta(seconds=moment - since)
        self._last = now, moment
        if abs(now - expected) <= JUMP:
            return
        self.jumps += 1
        jump: JsonObject = {"from": wire_time(expected), "to": wire_time(now)}
        logger.critical("the machine's clock jumped: check its time service", extra=jump)
        event: JsonObject = {"v": 1, "kind": Kind.EVENT.value, "time": wire_time(now), "event": "clock-jumped", **jump}
        self._recorder.record_later(Kind.EVENT, event)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
