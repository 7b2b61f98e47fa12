"""Step 4: what a study is, so that policy can decide on patients and modalities and not on strings.

One lookup of a study's series serves its instances and series too, for at most 30 s; a burst on one study waits for
one lookup, whether it asks for that study alone or among others. ``as_of`` travels with the value, so a decision
shows how old its grounds were.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from proxy.errors import ArchiveError
from proxy.forward.archive_client import ArchiveClient
from proxy.forward.series_search import SeriesSearch, batches
from proxy.model import DicomRequest, InstanceUid, ResourceContext, SeriesUid, StudyContext, StudyUid

Pending = asyncio.Future[StudyContext]
Asking = asyncio.Task[Mapping[StudyUid, StudyContext]]


class ContextCache:
    """Attributes of studies, bounded in number and age. What is under way is in the cache too, as its future."""

    def __init__(self, client: ArchiveClient, *, age_s: float, entries: int, clock: Callable[[], datetime]) -> None:
        self._search = SeriesSearch(client)
        self._age = timedelta(seconds=age_s)
        self._entries = entries
        self._clock = clock
        self._studies: OrderedDict[StudyUid, Pending] = OrderedDict()
        self._asking: set[Asking] = set()

    @property
    def lookups(self) -> int:
        """Questions asked of the archive."""
        return self._search.asked

    async def context(self, request: DicomRequest, now: datetime) -> ResourceContext:
        if request.study is None:
            return ResourceContext(known=False, as_of=now)
        future = self._fresh(request.study, now)
        if future is None or not future.done():
            return (await self.studies((request.study,), now))[request.study].of(request.series)
        return future.result().of(request.series)

    async def studies(self, studies: Sequence[StudyUid], now: datetime) -> Mapping[StudyUid, StudyContext]:
        found: dict[StudyUid, Pending] = {}
        missing: list[StudyUid] = []
        for uid in dict.fromkeys(studies):
            future = self._fresh(uid, now)
            if future is None:
                missing.append(uid)
            else:
                found[uid] = future
        for batch in batches(missing):
            found |= self._ask(batch)
        waited = [future for future in found.values() if not future.done()]
        if waited:
            await asyncio.wait(waited)
        return {uid: found[uid].result() for uid in studies}

    async def places(self, instance: InstanceUid) -> frozenset[tuple[StudyUid, SeriesUid]]:
        return await self._search.places(instance)

    async def holders(self, series: SeriesUid) -> frozenset[StudyUid]:
        return await self._search.holders(series)

    def forget(self, study: StudyUid) -> None:
        """After a store: the next question is asked of the archive, even where one is under way."""
        self._studies.pop(study, None)

    def _fresh(self, uid: StudyUid, now: datetime) -> Pending | None:
        """What is known or under way. Nothing that failed, and nothing too old."""
        future = self._studies.get(uid)
        if future is None or not future.done():
            return future
        if future.exception() is not None or future.result().resource.as_of + self._age <= now:
            return None
        return future

    def _ask(self, batch: list[StudyUid]) -> dict[StudyUid, Pending]:
        loop = asyncio.get_running_loop()
        futures: dict[StudyUid, Pending] = {uid: loop.create_future() for uid in batch}
        for uid, future in futures.items():
            self._studies[uid] = future
            self._studies.move_to_end(uid)
        while len(self._studies) > self._entries:
            self._studies.popitem(last=False)
        # A task of its own: the burst that waits for it must not die with the client that came first.
        task = loop.create_task(self._search.studies(batch, self._clock()))
        self._asking.add(task)
        task.add_done_callback(partial(self._settle, futures))
        return futures

    def _settle(self, futures: Mapping[StudyUid, Pending], task: Asking) -> None:
        """However the lookup ended, it ended for all who wait."""
        self._asking.discard(task)
        error = ArchiveError("the lookup was stopped") if task.cancelled() else task.exception()
        for uid, future in futures.items():
            if error is None:
                future.set_result(task.result()[uid])
            else:
                future.set_exception(error)
                future.exception()  # seen, even where nobody waits any more
