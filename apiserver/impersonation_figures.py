"""What is counted of requests made as somebody else, under upstream's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from apiserver.fairness.figures import add_histogram
from apiserver.fairness.requests import Histogram

_BOUNDS_S: Final = tuple(0.001 * 2**power for power in range(15))
_PREFIX: Final = "apiserver_impersonation_"
_LABELS: Final = ("mode", "decision")
Counts = dict[tuple[str, str], Histogram]
"""How long something took, by mode and decision."""


class ImpersonationFigures:
    """Requests made as somebody else, and the questions that were asked about them."""

    def __init__(self) -> None:
        self._attempts: Counts = {}
        self._questions: Counts = {}

    def attempted(self, mode: str, took_s: float) -> None:
        """Count a request that may be made by a mode; "": it may by none."""
        _count(self._attempts, mode, took_s, is_allowed=bool(mode))

    def asked(self, mode: str, took_s: float, *, is_allowed: bool) -> None:
        """Count one question to those who decide."""
        _count(self._questions, mode, took_s, is_allowed=is_allowed)

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have anything to tell."""
        yield from _families(self._attempts, "attempts", "Requests made as somebody else")
        yield from _families(
            self._questions, "authorization_attempts", "Questions whether a request may be so made"
        )


def _word(*, is_allowed: bool) -> str:
    return "allowed" if is_allowed else "denied"


def _count(counts: Counts, mode: str, took_s: float, *, is_allowed: bool) -> None:
    key = (mode, _word(is_allowed=is_allowed))
    kept = counts.get(key)
    if kept is None:
        kept = counts[key] = Histogram(_BOUNDS_S)
    kept.observe(took_s)


def _families(counts: Counts, name: str, text: str) -> Iterator[Metric]:
    if not counts:
        return
    total = CounterMetricFamily(
        f"{_PREFIX}{name}_total", f"{text}, by mode and decision.", labels=_LABELS
    )
    took = HistogramMetricFamily(
        f"{_PREFIX}{name}_duration_seconds", f"{text}: how long that took.", labels=_LABELS
    )
    for labels, kept in counts.items():
        total.add_metric(list(labels), sum(kept.counts))
        add_histogram(took, list(labels), kept)
    yield total
    yield took
