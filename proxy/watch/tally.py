"""Counters and latencies, cheap enough for the hot path, read by Prometheus at its own pace.

The client library's own histogram takes a lock and about two microseconds an observation; the journey makes seven
a request. These are plain numbers on the event loop, and the library is what turns them into exposition.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
PREFIX: Final = "dicomward_"

_HELP: Final = {
    "requests": "Request heads completed or answered.",
    "decisions": "Durable decisions by result, first reason and action.",
    "outcomes": "What became of answers.",
    "parts": "Parts of stores by result.",
    "records": "Durable records by kind.",
    "records_lost": "Outcomes that could not be made durable; they show as unknown.",
    "suppressed": "Requests without a decision record of their own, by reason.",
    "handshakes": "TLS handshakes by result.",
    "connections_refused": "Connections over the cap.",
    "policy_reload": "Policy sets taken up or rejected.",
    "context_lookups": "Questions asked of the archive about a study.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A number that is read when it is asked for. ``counter`` where it only ever grows."""

    name: str
    help: str
    read: Callable[[], Mapping[tuple[str, ...], float]]
    """Values by label values; ``{(): value}`` for a plain number."""
    labels: tuple[str, ...] = ()
    counter: bool = False


class Tally(Collector):
    """:class:`proxy.ports.Observer`, and the collector behind ``/metrics``."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[tuple[str, str], ...], int]] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._gauges: list[Gauge] = []

    def count(self, name: str, labels: Mapping[str, str] | None = None, amount: int = 1) -> None:
        series = self._counts.setdefault(name, {})
        key = () if labels is None else tuple(labels.items())
        series[key] = series.get(key, 0) + amount

    def seconds(self, room: str, elapsed: float) -> None:
        buckets = self._buckets.get(room)
        if buckets is None:
            buckets = self._buckets[room] = [0] * (len(BUCKETS) + 1)
            self._sums[room] = 0.0
        buckets[bisect_left(BUCKETS, elapsed)] += 1
        self._sums[room] += elapsed

    def add(self, *gauges: Gauge) -> None:
        self._gauges.extend(gauges)

    def collect(self) -> Iterable[Metric]:
        for name, series in self._counts.items():
            labels = tuple(key for key, _ in next(iter(series)))
            family = CounterMetricFamily(PREFIX + name, _HELP.get(name, name), labels=labels)
            for values, number in series.items():
                family.add_metric([value for _, value in values], number)
            yield family
        yield from self._rooms()
        for gauge in self._gauges:
            kind = CounterMetricFamily if gauge.counter else GaugeMetricFamily
            metric = kind(PREFIX + gauge.name, gauge.help, labels=gauge.labels)
            for label_values, reading in gauge.read().items():
                metric.add_metric(label_values, reading)
            yield metric

    def _rooms(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(PREFIX + "room_seconds", "Time in each room of the journey.", labels=("room",))
        for room, buckets in self._buckets.items():
            total = 0
            cumulative: list[tuple[str, float]] = []
            for bound, number in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
                total += number
                cumulative.append((bound, total))
            family.add_metric([room], cumulative, self._sums[room])
        yield family
