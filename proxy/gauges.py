"""Numbers that are read when Prometheus asks for them: each names the room that counts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from proxy import arrive, decide, forward, identify, posture, record
from proxy.canary import Canary
from proxy.errors import PostureUnavailableError
from proxy.ports import Clock
from proxy.pulse import Pulse
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
    def tls(self) -> arrive.ServerTls: ...
    @property
    def spool(self) -> record.Spool: ...
    @property
    def clock_watch(self) -> record.ClockWatch: ...
    @property
    def suppression(self) -> record.Suppression: ...
    @property
    def context(self) -> forward.ContextCache: ...
    @property
    def identification(self) -> identify.Identification: ...
    @property
    def postures(self) -> posture.PostureStore: ...
    @property
    def engine(self) -> decide.Supply: ...
    @property
    def evaluating(self) -> decide.Embedded | decide.OpaServer: ...
    @property
    def pulse(self) -> Pulse | None: ...
    @property
    def succession(self) -> Succession: ...
    @property
    def canary(self) -> Canary: ...


def gauges(parts: Counted, clock: Clock) -> tuple[Gauge, ...]:
    return (
        *_arriving(parts),
        *_identifying(parts, clock),
        *_devices(parts.postures, clock),
        *_deciding(parts, clock),
        *_recording(parts),
        *parts.succession.gauges(Gauge),
        *parts.canary.gauges(Gauge),
    )


def _arriving(parts: Counted) -> tuple[Gauge, ...]:
    handler, handshakes, server = parts.handler, parts.handshakes, parts.listener.server
    return (
        _counter("requests", "Request heads completed or answered.", lambda: {(): handler.requests}),
        _counter(
            "handshakes",
            "TLS handshakes by result.",
            lambda: {
                ("completed",): handshakes.completed,
                **{(result,): number for result, number in handshakes.failed.items()},
            },
            "result",
        ),
        _gauge("connections", "Open connections.", lambda: {(): server.open_connections}),
        _counter("connections_refused", "Connections over the cap.", lambda: {(): server.refused}),
        _gauge(
            "server_certificate_expires_timestamp_seconds",
            "When the certificate of the DICOMweb listener ends.",
            lambda: {(): parts.tls.expires.timestamp()},
        ),
        _gauge(
            "server_certificate_rejected",
            "1 while files of the listener's certificate or of authorities hold what cannot be taken up.",
            lambda: {(): float(parts.tls.failed)},
        ),
    )


def _identifying(parts: Counted, clock: Clock) -> tuple[Gauge, ...]:
    identification, certificates = parts.identification, parts.identification.certificates
    return (
        _gauge(
            "revocation_expires_timestamp_seconds",
            "When the revocation data of an authority ends and everybody it issued is denied.",
            lambda: {(name,): end.timestamp() for name, end in certificates.revocation_expires.items()},
            "authority",
        ),
        _gauge(
            "revocation_grace",
            "1 while an authority's revocation data has ended and the site's grace lets its certificates through.",
            lambda: {(name,): float(granted) for name, granted in certificates.revocation_grace.items()},
            "authority",
        ),
        _counter(
            "revocation_fetch_failures",
            "Revocation lists that could not be had from their addresses.",
            lambda: {(name,): number for name, number in certificates.fetch_failures.items()},
            "authority",
        ),
        _gauge(
            "authorities_rejected",
            "1 while files of authorities hold what cannot be taken up.",
            lambda: {(): float(certificates.reload_failed)},
        ),
        _gauge(
            "directory_rejected",
            "1 while the directory's file holds what cannot be taken up.",
            lambda: {(): float(identification.directory_failed)},
        ),
        _gauge(
            "token_keys_age_seconds",
            "How long ago an issuer's key set was had.",
            lambda: {(name,): age for name, age in identification.keys_age(clock()).items()},
            "issuer",
        ),
        _counter(
            "token_keys_failures",
            "Key sets of issuers that could not be had or used.",
            lambda: {(name,): number for name, number in identification.key_failures.items()},
            "issuer",
        ),
        _counter(
            "alarms",
            "What only an attack explains, by reason: wake somebody.",
            lambda: {(reason,): number for reason, number in identification.alarms.items()},
            "reason",
        ),
    )


def _devices(postures: posture.PostureStore, clock: Clock) -> tuple[Gauge, ...]:
    def remaining() -> posture.RemainingLife | None:
        try:
            return postures.remaining(clock())
        except PostureUnavailableError:
            return None  # requests are answered 503, and counted so

    def devices() -> Mapping[tuple[str, ...], float]:
        life = remaining()
        return {} if life is None else {("fresh",): life.fresh, ("expired",): life.expired}

    def seconds() -> Mapping[tuple[str, ...], float]:
        life = remaining()
        if life is None or life.shortest_s is None or life.median_s is None:
            return {}
        return {("shortest",): life.shortest_s, ("median",): life.median_s}

    return (
        _gauge("posture_devices", "Devices by whether all that is known of them holds.", devices, "state"),
        _gauge(
            "posture_remaining_seconds", "For how long what is known of fresh devices still holds.", seconds, "device"
        ),
    )


def _deciding(parts: Counted, clock: Clock) -> tuple[Gauge, ...]:
    engine, evaluating, pulse = parts.engine, parts.evaluating, parts.pulse
    return (
        _counter(
            "context_lookups",
            "Questions asked of the archive about a study.",
            lambda: {(): parts.context.lookups},
        ),
        _gauge("policy_info", "Digest of the policies in force.", lambda: {(engine.digest,): 1}, "digest"),
        _gauge(
            "policy_age_seconds",
            "How long ago the policies in force were signed, or read where nobody signs them.",
            lambda: {(): engine.age_s(clock())},
        ),
        _gauge(
            "policy_rejected",
            "1 while the source of policies has what cannot be taken up, or cannot be reached.",
            lambda: {(): float(engine.last_error is not None)},
        ),
        _gauge(
            "policy_quarantined",
            "1 while what the source of policies has ended a worker, and those before it serve.",
            lambda: {(): float(engine.quarantined)},
        ),
        _gauge(
            "opa_healthy",
            "1 while the OPA server answers by our policies; absent where none is asked.",
            lambda: {(): float(evaluating.healthy)} if isinstance(evaluating, decide.OpaServer) else {},
        ),
        _counter(
            "opa_failures",
            "Questions to the OPA server that gave no verdict, those of the health check too, by kind.",
            lambda: (
                {(kind,): number for kind, number in evaluating.failures.items()}
                if isinstance(evaluating, decide.OpaServer)
                else {}
            ),
            "kind",
        ),
        _counter(
            "worker_restarts",
            "Workers that the supervisor ended since it began, by reason.",
            lambda: {} if pulse is None else {(reason,): number for reason, number in pulse.restarts.items()},
            "reason",
        ),
    )


def _recording(parts: Counted) -> tuple[Gauge, ...]:
    spool, suppression, watch = parts.spool, parts.suppression, parts.clock_watch
    return (
        _counter(
            "records",
            "Durable records of this process by kind.",
            lambda: {(kind,): number for kind, number in spool.records.items()},
            "kind",
        ),
        _counter(
            "records_lost", "Outcomes that did not become durable; they show as unknown.", lambda: {(): spool.lost}
        ),
        _counter(
            "suppressed",
            "Requests without a decision record of their own.",
            lambda: {(reason,): number for reason, number in suppression.total.items()},
            "reason",
        ),
        _gauge("spool_records", "Records of the origin in use.", lambda: {(): spool.count}),
        _gauge("spool_healthy", "1 while records become durable and the disk has space.", lambda: {(): spool.healthy}),
        _counter(
            "spool_pruned", "Records that were final, published and old, and are gone.", lambda: {(): spool.pruned}
        ),
        _counter("clock_jumps", "Jumps of the machine's clock by more than a minute.", lambda: {(): watch.jumps}),
        _gauge("spool_waiting", "Records waiting for fsync.", lambda: {(): spool.waiting}),
        _counter("spool_batches", "Group commits.", lambda: {(): spool.batches}),
    )


def _gauge(name: str, text: str, read: Callable[[], Mapping[tuple[str, ...], float]], *labels: str) -> Gauge:
    return Gauge(name=name, help=text, read=read, labels=labels)


def _counter(name: str, text: str, read: Callable[[], Mapping[tuple[str, ...], float]], *labels: str) -> Gauge:
    return Gauge(name=name, help=text, read=read, labels=labels, counter=True)
