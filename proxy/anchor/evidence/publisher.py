"""Makes bundles of what is final, in a thread of its own: no store, however slow, holds back a leaf.

The anchor's worker tells how far evidence is published and how far leaves are final, and is given the next bundle once
that is stored and read back. What the chain says is the only memory. A bundle that was stored and not named before the
process ended is offered again as it is: the transaction that names it may be on its way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from proxy.anchor.evidence.auditors import Auditor
from proxy.anchor.evidence.bundle import Header, Sealed, header_of, seal_bundle
from proxy.anchor.evidence.folder import EvidenceStore
from proxy.errors import DicomwardError, EvidenceError, EvidenceFault, IntegrityError
from proxy.model import RecordRow
from proxy.ports import SpoolReader

logger = logging.getLogger(__name__)

TARGET_BYTES: Final = 16 * 2**20
"""A bundle ends with the record that reaches this, so that memory holds whatever the records are."""
OK: Final = "ok"

_STEP: Final = 256
_POLL_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0
_CLOSE_S: Final = 5.0
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A :class:`proxy.anchor.publishing.Ready`."""

    first: int
    count: int
    cid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSettings:
    max_records: int = 4096
    max_wait_s: float = 60.0
    """How long records wait for more, before they become a bundle that is not full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    origin: bytes
    published: int
    final: int


class EvidencePublisher:
    """:meth:`next` is the worker's and never waits; everything else happens in the thread."""

    def __init__(
        self,
        *,
        reader: Callable[[bytes], SpoolReader],
        store: Callable[[], EvidenceStore],
        auditors: Sequence[Auditor],
        settings: PublisherSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param reader: a new reader of one origin's spool, closed here; raises ``SpoolError``
        :param store: opened in the thread, again until it can be: leaves do not wait for a disk or a daemon
        """
        self._reader = reader
        self._open_store = store
        self._store: EvidenceStore | None = None
        self._auditors = tuple(auditors)
        self._settings = settings
        self._clock = clock
        self._lock = threading.Condition()
        self._place: _Place | None = None
        self._stored: dict[tuple[bytes, int], Stored] | None = None
        """Bundles by origin and first record, also of earlier runs; ``None`` until the store was asked."""
        self._sealed: tuple[tuple[bytes, int], Header, Sealed] | None = None
        """What could not be stored yet."""
        self._since: float = 0.0
        self._ready: Stored | None = None
        self._stopping = False
        self._status = OK
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    @property
    def status(self) -> str:
        """``ok``, or what is wrong, without a word of a record."""
        with self._lock:
            return self._status

    def next(self, origin: bytes, published: int, final: int) -> Stored | None:
        """The bundle that continues what is ``published`` of ``origin``, once there is one. Never waits or raises.

        :param final: how many of its leaves the chain holds for good
        """
        with self._lock:
            before, place = self._place, _Place(origin=origin, published=published, final=final)
            if before is None or (before.origin, before.published) != (origin, published):
                self._ready = None
                self._since = self._clock()
            self._place = place
            if place != before:
                self._lock.notify()
            return self._ready

    def close(self) -> None:
        with self._lock:
            self._stopping = True
            self._lock.notify()
        # Not for longer: what a store does meanwhile is done again by the next run.
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        failures = 0
        while True:
            with self._lock:
                if failures or self._wanted() is None:
                    self._lock.wait(min(_MAX_BACKOFF_S, _POLL_S * 2**failures))
                if self._stopping:
                    return
                place = self._wanted()
            if place is None:
                continue
            try:
                self._make(place)
            except Exception as error:  # noqa: BLE001 - told, and tried again
                # Whatever it is: a thread that ended would say ``ok`` for ever, and publish nothing.
                detail = error.detail if isinstance(error, DicomwardError) else type(error).__name__
                failures = min(failures + 1, 10)
                self._tell(detail)
            else:
                failures = 0
                self._tell(OK)

    def _tell(self, status: str) -> None:
        with self._lock:
            changed, self._status = status != self._status, status
        if changed:
            level = logging.INFO if status == OK else logging.WARNING
            logger.log(level, "evidence", extra={"detail": status})

    def _wanted(self) -> _Place | None:
        """What is to be made now: enough records, or some that waited long enough. With the lock held."""
        place = self._place
        if place is None or self._ready is not None or place.final <= place.published:
            return None
        full = place.final - place.published >= self._settings.max_records
        return place if full or self._clock() - self._since >= self._settings.max_wait_s else None

    def _make(self, place: _Place) -> None:
        store = self._store = self._store or self._open_store()
        if self._stored is None:
            self._stored = _list(store)
        key = place.origin, place.published
        earlier = self._stored.get(key)
        if earlier is not None and place.published + earlier.count <= place.final and _whole(store, earlier.cid):
            self._offer(place, earlier)
            return
        if self._sealed is None or self._sealed[0] != key or self._sealed[1].end > place.final:
            self._sealed = (key, *self._seal(place))
        _, header, sealed = self._sealed
        store.put(sealed.cid, sealed.content, sealed.envelope)
        self._sealed = None
        logger.info("evidence stored", extra={"first": header.first, "end": header.end, "cid": sealed.cid})
        ready = Stored(first=header.first, count=header.count, cid=sealed.cid)
        self._stored[key] = ready
        if len(self._stored) > _REMEMBERED:
            del self._stored[next(iter(self._stored))]
        self._offer(place, ready)

    def _seal(self, place: _Place) -> tuple[Header, Sealed]:
        reader = self._reader(place.origin)
        try:
            rows = self._rows(reader, place)
            header = Header(
                chain_id=reader.chain_id,
                contract=reader.contract,
                origin=reader.origin,
                first=place.published,
                count=len(rows),
            )
        finally:
            reader.close()
        return header, seal_bundle(header, rows, self._auditors)

    def _offer(self, place: _Place, ready: Stored) -> None:
        with self._lock:
            now = self._place
            if now is not None and (now.origin, now.published) == (place.origin, place.published):
                self._ready = ready

    def _rows(self, reader: SpoolReader, place: _Place) -> list[RecordRow]:
        end = min(place.final, place.published + self._settings.max_records)
        rows: list[RecordRow] = []
        size = 0
        while len(rows) < end - place.published and size < TARGET_BYTES:
            first = place.published + len(rows)
            more = reader.rows(first, min(_STEP, end - first))
            if [row.index for row in more] != list(range(first, first + len(more))) or not more:
                raise IntegrityError(f"the spool has no record {first} any more, of which no evidence was made")
            for row in more:
                rows.append(row)
                size += len(row.body)
                if size >= TARGET_BYTES:
                    break
        return rows


def _list(store: EvidenceStore) -> dict[tuple[bytes, int], Stored]:
    found: dict[tuple[bytes, int], Stored] = {}
    for cid in store.cids():
        with suppress(EvidenceError):
            header = header_of(store.envelope(cid))
            found[header.origin, header.first] = Stored(first=header.first, count=header.count, cid=cid)
    return dict(sorted(found.items(), key=lambda one: one[1].first))


def _whole(store: EvidenceStore, cid: str) -> bool:
    """Whether what was stored is still there; what was spoilt or lost meanwhile is made anew.

    :raises EvidenceError: ``STORE``: that is not known now
    """
    try:
        store.content(cid)
    except EvidenceError as error:
        if error.fault is EvidenceFault.STORE:
            raise
        return False
    return True
