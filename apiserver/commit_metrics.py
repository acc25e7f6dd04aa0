"""How long commits take, as upstream tells of its requests to etcd."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from apiserver.exposition import Family, labels_text
from apiserver.histograms import LATENCY_BOUNDS_S, cumulative
from storage.txn import ABSENT, KeyedOp, Put

_SERIES_MAX: Final = 5000
_LABELS: Final = ("operation", "group", "resource")
_DURATION: Final = "etcd_request_duration_seconds"
_DURATION_TEXT: Final = "Seconds from a commit's append to its outcome."
_REQUESTS, _REQUESTS_TEXT = "etcd_requests", "Commits."
_ERRORS, _ERRORS_TEXT = "etcd_request_errors", "Commits that failed."


class _Commits:
    __slots__ = ("counts", "failures", "labels", "sum_s")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels_text(_LABELS, labels)
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.sum_s = 0.0
        self.failures = 0


class CommitMetrics:
    """How long commits take, by what they do: 0.3 µs each."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Commits] = {}

    def observe(self, op: KeyedOp, duration_s: float) -> None:
        """Count a commit by its first operation."""
        self._find(op, duration_s)

    def fail(self, op: KeyedOp, duration_s: float) -> None:
        """Count one that failed."""
        self._find(op, duration_s).failures += 1

    def _find(self, op: KeyedOp, duration_s: float) -> _Commits:
        is_put = type(op) is Put
        operation = "delete" if not is_put else "create" if op.expected == ABSENT else "update"
        key = (operation, op.resource)
        series = self._series.get(key)
        if series is None:
            series = _Commits(_values(key))
            if len(self._series) < _SERIES_MAX:
                self._series[key] = series
        series.counts[bisect_left(LATENCY_BOUNDS_S, duration_s)] += 1
        series.sum_s += duration_s
        return series

    def collect(self) -> Iterator[Metric]:
        """Yield the families, for another worker to add to its own."""
        took = HistogramMetricFamily(_DURATION, _DURATION_TEXT, labels=_LABELS)
        count = CounterMetricFamily(_REQUESTS, _REQUESTS_TEXT, labels=_LABELS)
        errors = CounterMetricFamily(_ERRORS, _ERRORS_TEXT, labels=_LABELS)
        for key, series in self._series.items():
            values = _values(key)
            took.add_metric(values, cumulative(LATENCY_BOUNDS_S, series.counts), series.sum_s)
            count.add_metric(values, sum(series.counts))
            errors.add_metric(values, series.failures)
        yield took
        yield count
        yield errors

    def lines(self) -> Iterator[str]:
        """Yield the same as text."""
        all_series = self._series.values()
        yield _TOOK.head
        for one in all_series:
            yield from _TOOK.histogram(one.labels, one.counts, one.sum_s)
        yield _COUNT.head
        for one in all_series:
            yield _COUNT.counter(one.labels, sum(one.counts))
        yield _FAILED.head
        for one in all_series:
            yield _FAILED.counter(one.labels, one.failures)


_TOOK: Final = Family(_DURATION, _DURATION_TEXT, "histogram", LATENCY_BOUNDS_S)
_COUNT: Final = Family(f"{_REQUESTS}_total", _REQUESTS_TEXT, "counter")
_FAILED: Final = Family(f"{_ERRORS}_total", _ERRORS_TEXT, "counter")


def _values(key: tuple[str, str]) -> tuple[str, ...]:
    operation, storage = key
    group, _, resource = storage.rpartition("/")
    return (operation, group, resource)
