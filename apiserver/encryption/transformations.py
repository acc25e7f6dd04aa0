"""What was sealed and opened, under upstream's metric names."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from apiserver.histograms import cumulative

_BUCKETS_S: Final = tuple(5e-6 * 2**power for power in range(25))
_SERIES_MAX: Final = 5_000
_OK: Final = "OK"
_FAILED: Final = "unknown-non-grpc"


class _Durations:
    """A histogram."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_S) + 1)
        self.sum_s = 0.0


class Transformations:
    """The figures of one process; written by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str, str, str], int] = {}
        self._durations: dict[tuple[str, str], _Durations] = {}

    def observe(self, resource: str, kind: str, provider: str, duration_s: float | None) -> None:
        """Count one; None: it failed.

        Args:
            resource: as storage names it.
            kind: "to_storage" or "from_storage".
            provider: as heads name it.
            duration_s: how long it took.
        """
        prefix = _prefix(provider)
        key = (resource, kind, prefix, _FAILED if duration_s is None else _OK)
        with self._lock:
            # A record may name any provider: what is counted has a limit.
            if key not in self._totals and len(self._totals) >= _SERIES_MAX:
                return
            self._totals[key] = self._totals.get(key, 0) + 1
            if duration_s is None:
                return
            durations = self._durations.setdefault((kind, prefix), _Durations())
            durations.counts[bisect_left(_BUCKETS_S, duration_s)] += 1
            durations.sum_s += duration_s

    def collect(self, config_hash: str, cache_misses: int) -> Iterable[Metric]:
        """Yield the metric families.

        Args:
            config_hash: of the configuration that is in force.
            cache_misses: how often a key management service was asked for a seed.
        """
        with self._lock:
            totals = dict(self._totals)
            durations = {key: (list(one.counts), one.sum_s) for key, one in self._durations.items()}
        total = CounterMetricFamily(
            "apiserver_storage_transformation_operations_total",
            "Total number of transformations.",
            labels=["resource", "transformation_type", "transformer_prefix", "status"],
        )
        for (resource, *labels), count in totals.items():
            total.add_metric([_group_resource(resource), *labels], count)
        yield total
        latency = HistogramMetricFamily(
            "apiserver_storage_transformation_duration_seconds",
            "Latencies in seconds of value transformation operations.",
            labels=["transformation_type", "transformer_prefix"],
        )
        for key, (counts, sum_s) in durations.items():
            latency.add_metric(list(key), cumulative(_BUCKETS_S, counts), sum_s)
        yield latency
        yield CounterMetricFamily(
            "apiserver_storage_envelope_transformation_cache_misses_total",
            "Total number of cache misses while accessing key decryption key(KEK).",
            value=cache_misses,
        )
        info = GaugeMetricFamily(
            "apiserver_encryption_config_controller_last_config_info",
            "Information about the last applied encryption configuration with hash as label.",
            labels=["hash"],
        )
        info.add_metric([config_hash], 1)
        yield info


def _prefix(provider: str) -> str:
    kind, version, name = (*provider.split(":", 2), "", "")[:3]
    return f"k8s:enc:{kind}:{version}:{name}:" if kind == "kms" else f"k8s:enc:{kind}:{version}:"


def _group_resource(resource: str) -> str:
    group, _, name = resource.rpartition("/")
    return f"{name}.{group}" if group else name
