"""How counts by bucket are told in Prometheus's terms, and the bounds that latencies share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LATENCY_BOUNDS_S: Final = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0),
    *(4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
"""Upstream's, of apiserver_request_duration_seconds and etcd_request_duration_seconds."""
_FINER_S: Final = (0.00025, 0.0005, 0.001, 0.0025)
FINE_BOUNDS_S: Final = (*_FINER_S, *LATENCY_BOUNDS_S)
"""With which requests are counted: most take less than upstream's first bound."""


def coarse(counts: Sequence[int]) -> list[int]:
    """Return counts by `FINE_BOUNDS_S` as counts by `LATENCY_BOUNDS_S`."""
    first = len(_FINER_S) + 1
    return [sum(counts[:first]), *counts[first:]]


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return the rows of a histogram.

    Args:
        bounds: of the buckets, ascending.
        counts: of values by bucket, one more: the last for those above all bounds.
    """
    rows: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        rows.append((bound, total))
    return rows
