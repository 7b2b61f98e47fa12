"""Numbers that are read when Prometheus asks for them: each names the room that counts it."""

from __future__ import annotations

from typing import Protocol

from proxy import arrive, decide, forward, identify, record
from proxy.succession import Succession
from proxy.watch import Gauge


class Counted(Protocol):
    """The parts of a worker that count."""

    @property
    def handler(self) -> arrive.Handler: ...
    @property
    def handshakes(self) -> arrive.Handshakes: ...
    @property
    def listener(self) -> arrive.Listener: ...
    @property
    def spool(self) -> record.Spool: ...
    @property
    def suppression(self) -> record.Suppression: ...
    @property
    def context(self) -> forward.ContextCache: ...
    @property
    def certificates(self) -> identify.Certificates: ...
    @property
    def engine(self) -> decide.ReloadingEngine: ...
    @property
    def succession(self) -> Succession: ...


def gauges(parts: Counted) -> tuple[Gauge, ...]:
    return (
        Gauge(
            name="requests",
            help="Request heads completed or answered.",
            read=lambda: {(): parts.handler.requests},
            counter=True,
        ),
        Gauge(
            name="records",
            help="Durable records of this process by kind.",
            labels=("kind",),
            read=lambda: {(kind,): number for kind, number in parts.spool.records.items()},
            counter=True,
        ),
        Gauge(
            name="records_lost",
            help="Outcomes that did not become durable; they show as unknown.",
            read=lambda: {(): parts.spool.lost},
            counter=True,
        ),
        Gauge(
            name="suppressed",
            help="Requests without a decision record of their own.",
            labels=("reason",),
            read=lambda: {(reason,): number for reason, number in parts.suppression.total.items()},
            counter=True,
        ),
        Gauge(name="spool_records", help="Records of the origin in use.", read=lambda: {(): parts.spool.count}),
        Gauge(name="spool_waiting", help="Records waiting for fsync.", read=lambda: {(): parts.spool.waiting}),
        Gauge(name="spool_batches", help="Group commits.", read=lambda: {(): parts.spool.batches}, counter=True),
        Gauge(
            name="handshakes",
            help="TLS handshakes by result.",
            labels=("result",),
            read=lambda: {
                ("completed",): parts.handshakes.completed,
                **{(result,): number for result, number in parts.handshakes.failed.items()},
            },
            counter=True,
        ),
        Gauge(name="connections", help="Open connections.", read=lambda: {(): parts.listener.server.open_connections}),
        Gauge(
            name="connections_refused",
            help="Connections over the cap.",
            read=lambda: {(): parts.listener.server.refused},
            counter=True,
        ),
        Gauge(
            name="context_lookups",
            help="Questions asked of the archive about a study.",
            read=lambda: {(): parts.context.lookups},
            counter=True,
        ),
        Gauge(
            name="revocation_expires_timestamp_seconds",
            help="When the revocation data of an authority ends and everybody it issued is denied.",
            labels=("authority",),
            read=lambda: {(k,): v.timestamp() for k, v in parts.certificates.revocation_expires.items()},
        ),
        Gauge(
            name="policy_info",
            help="Digest of the policies in force.",
            labels=("digest",),
            read=lambda: {(parts.engine.digest,): 1},
        ),
        Gauge(
            name="policy_rejected",
            help="1 while the policy folder holds what cannot be taken up.",
            read=lambda: {(): float(parts.engine.last_error is not None)},
        ),
        *parts.succession.gauges(Gauge),
    )
