"""The only place that builds rooms and joins them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from proxy import (
    __version__,
    arrive,
    decide,
    forward,
    fulfil,
    interpret,
    posture,
    record,
    records,
    settings,
    watch,
)
from proxy.canary import Canary
from proxy.config import Site
from proxy.errors import SpoolError
from proxy.gauges import gauges
from proxy.journey import Journey
from proxy.model import (
    DecisionId,
    DicomRequest,
    JsonObject,
    Kind,
    Posture,
    Principal,
    ResourceContext,
    Row,
    SiteRequest,
)
from proxy.pulse import Pulse
from proxy.rooms import Rooms
from proxy.succession import Succession, last_origin

logger = logging.getLogger(__name__)

DRAIN_S = 15.0
CANARY_LATE_S = 1800.0
"""Longer than a chain takes to make a block final; the slowest say so after two epochs, 13 to 20 minutes."""
YOUNG_OBJECTS = 20_000
"""Containers made before the collector looks through them: a page of 100 rows makes 4,000, and none in a cycle."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class _Archive:
    """:class:`proxy.ports.Archive` from client and context cache."""

    def __init__(self, client: forward.ArchiveClient, context: forward.ContextCache) -> None:
        self.fetch = client.fetch
        self.store = client.store
        self.context = context.context
        self.studies = context.studies
        self.holders = context.holders
        self.places = context.places
        self.forget = context.forget


class App:
    """One worker: built, started, run until told to stop, and stopped, in that order."""

    def __init__(self, site: Site, pulse: Pulse | None = None) -> None:
        """Build everything that can fail before a port is bound. To be called inside the running loop.

        :raises ConfigurationError: and nothing was started
        """
        self.site = site
        self.tally = watch.Tally()
        self.certificates = settings.certificates(site)
        self.identification = settings.identification(site, self.certificates)
        self.postures = posture.PostureStore(site.posture.store)
        self.desk = settings.desk(site, self.postures, self.certificates.device_id)
        self.pulse = pulse
        shelf = decide.Shelf()
        self.evaluating = settings.engine(site, pulse, shelf)
        self.engine = settings.supply(site, self.evaluating, self.tally, utc_now)
        self.problems = settings.problems(site, lambda: self.engine.reasons)
        self.counters = decide.Counters()
        self.networks = settings.networks(site)
        self.timezone = settings.timezone(site)
        self.spool = record.Spool(
            site.record.directory,
            chain_id=site.ledger.chain_id,
            contract=bytes.fromhex(site.ledger.contract[2:]),
            batch=site.record.batch,
            limit=site.record.queue,
            predecessor=last_origin(site.ledger.status_file),
            reserve=site.record.reserve,
            keep_days=site.record.keep_days,
        )
        self.clock_watch = record.ClockWatch(self.spool, utc_now)
        self.suppression = record.Suppression(self.spool, site.limits.suppression_window_s, utc_now)
        self.client = forward.ArchiveClient(settings.archive(site), _below_root, interpret.headers_of)
        self.context = forward.ContextCache(
            self.client,
            age_s=site.archive.context_cache_s,
            entries=site.archive.context_cache_entries,
            clock=utc_now,
        )
        self.succession = Succession(self.spool, site.ledger.status_file, utc_now)
        self.canary = Canary(
            self.spool,
            self.succession.reached,
            utc_now,
            every_s=site.ledger.canary_s,
            publishes=site.evidence is not None,
        )
        self.journey = Journey(self._rooms())
        self.handler = self._handler()
        self.handshakes = arrive.Handshakes()
        self.tls = settings.server_tls(site, self.handshakes)
        self.listener = arrive.Listener(self.handler, settings.limits(site), self.tls)
        self.admin = watch.Admin(self.tally, self._ready, self._troubles, settings.handout(site, shelf))
        self._tasks: list[asyncio.Task[None]] = []
        self._serving = False
        self.tally.add(*gauges(self, utc_now))

    def _rooms(self) -> Rooms:
        site = self.site
        return Rooms(
            site=site.site,
            clock=utc_now,
            identifier=self.identification,
            posture=self.postures,
            desk=self.desk,
            interpret=interpret.interpret,
            policy_input=self._policy_input,
            engine=self.engine,
            counting=self.counters,
            fulfilment=fulfil.Fulfilling(site.listen.public_url),
            archive=_Archive(self.client, self.context),
            multipart=interpret.StrictMultipart(
                max_parts=site.limits.parts, max_dicom_header_bytes=site.limits.part_header_bytes
            ),
            store_report=fulfil.StoreReports(site.listen.public_url),
            problem=self.problems,
            recorder=self.spool,
            lookup=record.Lookup(site.record.directory),
            standing=self.succession.standing,
            suppressor=self.suppression,
            observer=self.tally,
            capabilities=interpret.capabilities,
            search_rows=site.limits.search_rows,
            search_scan=site.limits.search_scan_rows,
            search_bytes=site.limits.search_bytes,
        )

    def _policy_input(
        self,
        *,
        decision: DecisionId,
        now: datetime,
        principal: Principal,
        posture: Posture,
        request: DicomRequest | SiteRequest,
        resource: ResourceContext | None,
        network: str,
        rows: Sequence[Row] = (),
    ) -> JsonObject:
        environment = decide.Environment(
            site=self.site.site,
            origin=self.spool.origin.hex(),
            network=self.networks.name(network),
            local=now.astimezone(self.timezone),
        )
        return decide.build_input(
            decision=decision,
            now=now,
            request=request,
            principal=principal,
            posture=posture,
            environment=environment,
            resource=resource,
            rows=rows,
            counters=self.counters.before(principal, resource, now),
        )

    def _handler(self) -> arrive.Handler:
        limits = self.site.limits
        return arrive.Handler(
            walk=self.journey.walk,
            admission=arrive.Admission(
                certificate=arrive.Bucket(per_s=limits.requests_per_s, burst=limits.burst),
                address=arrive.Bucket(per_s=limits.address_requests_per_s, burst=limits.address_burst),
            ),
            suppressor=self.suppression,
            problem=self.problems,
            clock=utc_now,
            cors=arrive.Cors(self.site.listen.cors_origins, self.site.listen.public_url),
            idle_s=limits.idle_s,
            body_bytes=limits.body_bytes,
        )

    def _ready(self) -> Mapping[str, bool]:
        now = utc_now()
        return {
            "listening": self.listener.listening,
            "spool": self.spool.healthy,
            "policy": not isinstance(self.evaluating, decide.OpaServer) or self.evaluating.healthy,
            # One authority without its list shuts out its own certificates, and no more.
            "revocation": any(end > now for end in self.certificates.revocation_expires.values()),
        }

    def _troubles(self) -> Mapping[str, bool]:
        """Requests are answered all the same: what waits is safe in the spool."""
        return {**self.succession.troubles(), "canary": self.canary.waiting_s > CANARY_LATE_S}

    async def start(self) -> None:
        """:raises ConfigurationError: a port cannot be bound, or no policies can be served"""
        site = self.site
        await self.admin.start(site.listen.admin_host, site.listen.admin_port)
        await self.engine.start()
        settings.check_remedies(site, self.engine.reasons)
        await self._started()
        self._background(self.identification.watch(site.identify.reload_s), "identification")
        self._background(self.tls.watch(site.identify.reload_s), "server certificate")
        self._background(self.postures.watch(site.lease.poll_s), "posture")
        self._background(self._watch_policies(settings.poll_s(site)), "policy")
        if isinstance(self.evaluating, decide.OpaServer):
            self._background(self.evaluating.watch(), "OPA server")
        self._background(self.suppression.run(), "suppression")
        self._background(self.clock_watch.run(), "clock")
        self._background(self.journey.leases.run(site.lease.poll_s), "leases")
        self._background(self.succession.run(site.lease.poll_s), "succession")
        self._background(self.canary.run(site.lease.poll_s), "canary")
        # What is loaded stays: the collector need not look through it again while requests are served.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        await self.listener.start(site.listen.host, site.listen.port)
        logger.info("serving", extra={"host": site.listen.host, "port": site.listen.port})

    async def _started(self) -> None:
        now, looped = utc_now(), None if self.pulse is None else self.pulse.looped
        if looped is not None:
            await self.spool.record(Kind.EVENT, records.event("policy_quarantined", now, policy=looped))
        event = records.event("start", now, site=self.site.site, release=__version__, policy=self.engine.digest)
        await self.spool.record(Kind.EVENT, event)
        self._serving = True

    async def _watch_policies(self, interval_s: float) -> None:
        """What comes into force is an event of its own: a decision names the policies, this says since when."""
        while True:
            before = self.engine.digest
            await asyncio.sleep(interval_s)
            await self.engine.look()
            if self.engine.digest != before:
                event = records.event("policy", utc_now(), policy=self.engine.digest, before=before)
                with contextlib.suppress(SpoolError):  # the next decision says so too, or is not made
                    await self.spool.record(Kind.EVENT, event)

    def _background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_not_silently)
        self._tasks.append(task)

    async def stop(self) -> None:
        """Let requests under way end, write what is counted, close the spool."""
        await self.listener.stop(DRAIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.suppression.flush()
        if self._serving:
            with contextlib.suppress(SpoolError):
                await self.spool.record(Kind.EVENT, records.event("stop", utc_now()))
        await self.spool.close()
        await self.engine.close()
        await self.client.close()
        await self.identification.close()
        self.postures.close()
        await self.admin.stop()


def _not_silently(task: asyncio.Task[None]) -> None:
    """A watcher that died would leave revocations and policies unseen: end the process instead."""
    if not task.cancelled() and task.exception() is not None:
        logger.critical("a watcher failed", extra={"watcher": task.get_name()}, exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def check(site: Site) -> None:
    """Read what a start would read of certificates, revocation lists, secrets and policies, and change nothing.

    :raises ConfigurationError: the start would fail, or deny everybody of an authority
    """
    certificates = settings.certificates(site)
    settings.identification(site, certificates)
    settings.check_revocation(site, certificates.revocation_expires, utc_now())
    settings.managed(site)
    settings.server_tls(site, arrive.Handshakes())
    settings.archive(site)
    settings.check_policies(site, utc_now())


async def serve(site: Site, pulse: Pulse | None = None) -> None:
    """Run a site until SIGTERM or SIGINT. ``pulse`` tells a supervisor what the engine is at."""
    app = App(site, pulse)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await app.start()
        await stop.wait()
    finally:
        await app.stop()


def _below_root(request: DicomRequest) -> str:
    """The target below the archive's own base, which need not be called as ours is."""
    return interpret.target_of(request).removeprefix("/dicom-web")
