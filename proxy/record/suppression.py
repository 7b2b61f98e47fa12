"""What admission refused, or what could not be recorded, told as one record a reason and window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

from proxy.errors import SpoolError
from proxy.model import Durable, JsonObject, Kind, wire_time
from proxy.ports import Recorder


class Suppression:
    """Counts now, records later. However hard the flood, a window costs one record a reason."""

    def __init__(self, recorder: Recorder, window_s: float, clock: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._window_s = window_s
        self._clock = clock
        self._open: dict[str, tuple[int, datetime]] = {}
        self.total: dict[str, int] = {}

    def suppress(self, reason: str, now: datetime) -> None:
        count, since = self._open.get(reason, (0, now))
        self._open[reason] = (count + 1, since)
        self.total[reason] = self.total.get(reason, 0) + 1

    def flush(self) -> None:
        """Queue the window's records."""
        now = self._clock()
        windows, self._open = self._open, {}
        for reason, (count, since) in sorted(windows.items()):
            body: JsonObject = {
                "v": 1,
                "kind": Kind.SUPPRESSED.value,
                "time": wire_time(now),
                "reason": str(reason),
                "count": count,
                "from": wire_time(since),
                "to": wire_time(now),
            }
            try:
                recording = asyncio.ensure_future(self._recorder.record(Kind.SUPPRESSED, body))
            except SpoolError:
                self._give_back(reason, count, since)
            else:
                recording.add_done_callback(partial(self._settled, reason, count, since))

    def _settled(self, reason: str, count: int, since: datetime, recording: asyncio.Future[Durable]) -> None:
        if recording.cancelled() or recording.exception() is not None:
            self._give_back(reason, count, since)

    def _give_back(self, reason: str, count: int, since: datetime) -> None:
        """An outage is when most is suppressed: what could not be told now is told with a later window."""
        more, _ = self._open.get(reason, (0, since))
        self._open[reason] = (count + more, since)

    async def run(self) -> None:
        """Flush each window until cancelled."""
        while True:
            await asyncio.sleep(self._window_s)
            self.flush()
