"""Figures about requests, under upstream's metric names; a request costs two dictionary updates.

prometheus-client renders them: its own counters cost more per observation than we have to spend, so
plain dictionaries are filled here and handed over by a collector when someone asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from apiserver.commit_metrics import CommitMetrics
from apiserver.histograms import FINE_BOUNDS_S, LATENCY_BOUNDS_S, coarse, cumulative
from apiserver.metrics_merge import export

_SERIES_MAX: Final = 20_000
CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class RequestLabels(NamedTuple):
    """What requests are told apart by."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str


class Series:
    """The requests of one set of labels.

    Attributes:
        labels: what they have in common.
        totals: how many were answered, by status code.
        counts, sum_s: a histogram of how long that took, by `FINE_BOUNDS_S`.
    """

    __slots__ = ("counts", "labels", "sum_s", "totals")

    def __init__(self, labels: RequestLabels) -> None:
        self.labels = labels
        self.totals: dict[int, int] = {}
        self.counts = [0] * (len(FINE_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, code: int, duration_s: float) -> None:
        """Count one answered request."""
        totals = self.totals
        totals[code] = totals.get(code, 0) + 1
        self.counts[bisect_left(FINE_BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s


class Metrics:
    """The counters of one API server process.

    Attributes:
        inflight_read, inflight_write: requests being handled now, watches left out.
        watches: open watches by (group, version, resource).
        watch_events: events sent, by the same.
        commits: how long those take.
        gauges: functions that give further metric families when asked.
    """

    def __init__(self) -> None:
        self._series: dict[RequestLabels, Series] = {}
        self.inflight_read = 0
        self.inflight_write = 0
        self.watches: dict[tuple[str, str, str], int] = {}
        self.watch_events: dict[tuple[str, str, str], int] = {}
        self.commits = CommitMetrics()
        self.gauges: list[Callable[[], Iterable[Metric]]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def series(self, labels: RequestLabels) -> Series:
        """Return where requests with these labels are counted."""
        series = self._series.get(labels)
        if series is None:
            series = Series(labels)
            # Beyond the limit they are counted, but nobody is told.
            if len(self._series) < _SERIES_MAX:
                self._series[labels] = series
        return series

    def all_series(self) -> Iterable[Series]:
        """Return what was counted of requests."""
        return self._series.values()

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def export(self) -> bytes:
        """Return all metrics for another worker to add to its own."""
        return export(self._registry.collect())

    def collect(self) -> Iterable[Metric]:
        """Yield the metric families: prometheus-client's collector interface."""
        names = [*RequestLabels._fields, "component", "code"]
        total = CounterMetricFamily(
            "apiserver_request_total", "Requests by verb, resource and code.", labels=names
        )
        seen = [series for series in self._series.values() if series.totals]
        for series in seen:
            for code, count in series.totals.items():
                total.add_metric([*series.labels, "apiserver", str(code)], count)
        yield total
        duration = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Seconds from a request's headers to the end of its answer.",
            labels=[*RequestLabels._fields, "component"],
        )
        for series in seen:
            duration.add_metric(
                [*series.labels, "apiserver"],
                cumulative(LATENCY_BOUNDS_S, coarse(series.counts)),
                series.sum_s,
            )
        yield duration
        yield from self.commits.collect()
        yield from self._collect_current()
        for gauge in self.gauges:
            yield from gauge()

    def _collect_current(self) -> Iterable[Metric]:
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "Requests being handled now, by kind.",
            labels=["request_kind"],
        )
        inflight.add_metric(["readOnly"], self.inflight_read)
        inflight.add_metric(["mutating"], self.inflight_write)
        yield inflight
        names = ["group", "version", "resource"]
        watches = GaugeMetricFamily(
            "apiserver_longrunning_requests", "Open watches.", labels=["verb", *names]
        )
        for key, count in self.watches.items():
            watches.add_metric(["WATCH", *key], count)
        yield watches
        events = CounterMetricFamily(
            "apiserver_watch_events_total", "Watch events sent.", labels=names
        )
        for key, count in self.watch_events.items():
            events.add_metric(list(key), count)
        yield events
