"""What is counted of webhooks and match conditions, under upstream's names.

Nothing is counted while there are none. Series beyond a limit are left out: names are the
configurations' authors'.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from apiserver.histograms import cumulative

_SERIES_MAX: Final = 5000
_CODE_MAX: Final = 600
_WEBHOOK_BOUNDS_S: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
_CONDITION_BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
CALLING_ERROR: Final = "calling_webhook_error"
NO_ERROR: Final = "no_error"
SERVER_ERROR: Final = "apiserver_internal_error"
Labels = tuple[str, ...]


class Counts:
    """Counters by labels."""

    def __init__(self, name: str, help_text: str, labels: Labels) -> None:
        self._name, self._help, self._labels = name, help_text, labels
        self._values: dict[Labels, int] = {}

    def add(self, *labels: str) -> None:
        """Count one."""
        if labels in self._values or len(self._values) < _SERIES_MAX:
            self._values[labels] = self._values.get(labels, 0) + 1

    def family(self) -> Metric:
        """Return the family."""
        if not self._name.endswith("_count"):
            family = CounterMetricFamily(self._name, self._help, labels=self._labels)
            for labels, value in self._values.items():
                family.add_metric(labels, value)
            return family
        # The renderer knows no counters but such as end in _total.
        untyped = Metric(self._name, self._help, "unknown")
        for labels, value in self._values.items():
            untyped.add_sample(self._name, dict(zip(self._labels, labels, strict=True)), value)
        return untyped


class Durations:
    """Histograms by labels."""

    def __init__(
        self, name: str, help_text: str, labels: Labels, bounds_s: tuple[float, ...]
    ) -> None:
        self._name, self._help, self._labels, self._bounds_s = name, help_text, labels, bounds_s
        self._counts: dict[Labels, list[int]] = {}
        self._sums_s: dict[Labels, float] = {}

    def observe(self, duration_s: float, *labels: str) -> None:
        """Count one that took so long."""
        counts = self._counts.get(labels)
        if counts is None:
            if len(self._counts) >= _SERIES_MAX:
                return
            counts = self._counts[labels] = [0] * (len(self._bounds_s) + 1)
        counts[bisect_left(self._bounds_s, duration_s)] += 1
        self._sums_s[labels] = self._sums_s.get(labels, 0.0) + duration_s

    def family(self) -> Metric:
        """Return the family."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for labels, counts in self._counts.items():
            family.add_metric(labels, cumulative(self._bounds_s, counts), self._sums_s[labels])
        return family


class WebhookMetrics:
    """All of them."""

    def __init__(self) -> None:
        head = "apiserver_admission_"
        self._requests = Counts(
            f"{head}webhook_request",
            "Requests to admission webhooks.",
            ("name", "type", "operation", "code", "rejected"),
        )
        self._rejections = Counts(
            f"{head}webhook_rejection_count",
            "Rejections by admission webhooks.",
            ("name", "type", "operation", "error_type", "rejection_code"),
        )
        self._open = Counts(
            f"{head}webhook_fail_open_count",
            "Failures of admission webhooks that were ignored.",
            ("name", "type"),
        )
        self._took = Durations(
            f"{head}webhook_admission_duration_seconds",
            "Seconds until an admission webhook had answered.",
            ("name", "type", "operation", "rejected"),
            _WEBHOOK_BOUNDS_S,
        )
        conditions = ("name", "kind", "type", "operation")
        self._condition_errors = Counts(
            f"{head}match_condition_evaluation_errors",
            "Evaluations of match conditions that failed.",
            conditions,
        )
        self._exclusions = Counts(
            f"{head}match_condition_exclusions",
            "Requests that match conditions have excluded.",
            conditions,
        )
        self._conditions_took = Durations(
            f"{head}match_condition_evaluation_seconds",
            "Seconds that match conditions took.",
            conditions,
            _CONDITION_BOUNDS_S,
        )

    def called(
        self, labels: tuple[str, str, str], duration_s: float, code: int, *, rejected: bool
    ) -> None:
        """Count a call; `labels` are the webhook's name, the step and the operation."""
        told = "true" if rejected else "false"
        self._requests.add(*labels, str(min(code, _CODE_MAX)), told)
        self._took.observe(duration_s, *labels, told)

    def rejected(self, labels: tuple[str, str, str], error_type: str, code: int) -> None:
        """Count a rejection."""
        self._rejections.add(*labels, error_type, str(min(code, _CODE_MAX)))

    def failed_open(self, name: str, step: str) -> None:
        """Count a failure that was ignored."""
        self._open.add(name, step)

    def conditions_evaluated(self, labels: Labels, duration_s: float, errors: int) -> None:
        """Count an evaluation of a webhook's or policy's conditions, and its errors."""
        self._conditions_took.observe(duration_s, *labels)
        for _ in range(errors):
            self._condition_errors.add(*labels)

    def excluded(self, labels: Labels) -> None:
        """Count a request that conditions have excluded."""
        self._exclusions.add(*labels)

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        for part in (
            self._requests,
            self._rejections,
            self._open,
            self._took,
            self._condition_errors,
            self._exclusions,
            self._conditions_took,
        ):
            yield part.family()
