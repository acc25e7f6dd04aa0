"""Figures about requests, under upstream's metric names; a request costs two dictionary updates.

Counters of prometheus-client cost more per observation than we have to spend, so plain dictionaries
are filled here and read when someone asks. It renders what has few lines; the large families are
written by `exposition.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
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
from apiserver.exposition import Family, labels_text
from apiserver.histograms import FINE_BOUNDS_S, LATENCY_BOUNDS_S, coarse, cumulative
from apiserver.metrics_merge import export

_SERIES_MAX: Final = 20_000
CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


_TOTAL, _TOTAL_TEXT = "apiserver_request_total", "Requests by verb, resource and code."
_DURATION: Final = "apiserver_request_duration_seconds"
_DURATION_TEXT: Final = "Seconds from a request's headers to the end of its answer."
_COMPONENT: Final = "apiserver"


class RequestLabels(NamedTuple):
    """What requests are told apart by."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str


_DURATION_LABELS: Final = (*RequestLabels._fields, "component")
_TOTAL_LABELS: Final = (*_DURATION_LABELS, "code")
_REQUESTS: Final = Family(_TOTAL, _TOTAL_TEXT, "counter")
_TOOK: Final = Family(_DURATION, _DURATION_TEXT, "histogram", LATENCY_BOUNDS_S)


class Series:
    """The requests of one set of labels.

    Attributes:
        labels: what they have in common; text: as it stands in lines.
        totals: how many were answered, by status code.
        counts, sum_s: a histogram of how long that took, by `FINE_BOUNDS_S`.
    """

    __slots__ = ("counts", "labels", "sum_s", "text", "totals")

    def __init__(self, labels: RequestLabels) -> None:
        self.labels = labels
        self.text = labels_text(_DURATION_LABELS, (*labels, _COMPONENT))
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
        lines = "".join(chain(self._lines(), self.commits.lines()))
        return lines.encode() + generate_latest(self._registry)

    def export(self) -> bytes:
        """Return all metrics for another worker to add to its own."""
        large = (self._collect_requests(), self.commits.collect())
        return export(chain(*large, self._registry.collect()))

    def collect(self) -> Iterable[Metric]:
        """Yield the families of few lines: prometheus-client's collector interface."""
        yield from self._collect_current()
        for gauge in self.gauges:
            yield from gauge()

    def _seen(self) -> list[Series]:
        return [series for series in self._series.values() if series.totals]

    def _lines(self) -> Iterator[str]:
        seen = self._seen()
        yield _REQUESTS.head
        for one in seen:
            for code, count in one.totals.items():
                yield _REQUESTS.counter(f'code="{code}",{one.text}', count)
        yield _TOOK.head
        for one in seen:
            yield from _TOOK.histogram(one.text, coarse(one.counts), one.sum_s)

    def _collect_requests(self) -> Iterator[Metric]:
        total = CounterMetricFamily(_TOTAL, _TOTAL_TEXT, labels=_TOTAL_LABELS)
        took = HistogramMetricFamily(_DURATION, _DURATION_TEXT, labels=_DURATION_LABELS)
        for one in self._seen():
            values = (*one.labels, _COMPONENT)
            for code, count in one.totals.items():
                total.add_metric((*values, str(code)), count)
            rows = cumulative(LATENCY_BOUNDS_S, coarse(one.counts))
            took.add_metric(values, rows, one.sum_s)
        yield total
        yield took

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
