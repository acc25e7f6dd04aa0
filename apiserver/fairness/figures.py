"""What /metrics shows of priority and fairness, under upstream's names; worked out when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from apiserver.fairness.flows import Flows
from apiserver.fairness.levels import Level
from apiserver.fairness.requests import (
    SEATS_BUCKETS,
    SERVICE_S,
    WAIT_BUCKETS_S,
    Histogram,
    Tally,
)

_PREFIX: Final = "apiserver_flowcontrol_"
_BOTH: Final = ("priority_level", "flow_schema")
_LEVEL_GAUGES: Final[tuple[tuple[str, str, Callable[[Level], float]], ...]] = (
    ("nominal_limit_seats", "Seats by configuration.", lambda level: level.nominal),
    ("lower_limit_seats", "The least it may have.", lambda level: level.least),
    ("upper_limit_seats", "The most it may have.", lambda level: level.most),
    ("current_limit_seats", "Seats it has for now.", lambda level: level.current),
    ("target_seats", "What the last division aimed at.", lambda level: level.target),
    ("current_r", "Virtual time.", lambda level: level.queues.current_r),
    (
        "demand_seats_high_watermark",
        "Most seats wanted in the last period.",
        lambda level: level.queues.demand.high_watermark,
    ),
    (
        "demand_seats_average",
        "Mean of seats wanted in the last period.",
        lambda level: level.queues.demand.average,
    ),
    (
        "demand_seats_stdev",
        "Deviation of seats wanted in the last period.",
        lambda level: level.queues.demand.deviation,
    ),
    (
        "demand_seats_smoothed",
        "Seats wanted, smoothed.",
        lambda level: level.queues.demand.smoothed,
    ),
)
_TALLY_GAUGES: Final[tuple[tuple[str, str, Callable[[Tally], int]], ...]] = (
    ("current_inqueue_requests", "Requests that wait.", lambda tally: tally.waiting),
    ("current_inqueue_seats", "Seats that they want.", lambda tally: tally.waiting_seats),
    ("current_executing_requests", "Requests that run.", lambda tally: tally.executing),
    ("current_executing_seats", "Seats that they hold.", lambda tally: tally.seats),
)


class FairnessFigures:
    """The metric families of one process."""

    def __init__(self, flows: Flows, monotonic_s: Callable[[], float]) -> None:
        self._flows = flows
        self._monotonic_s = monotonic_s
        self.fair_part = 0.0

    def __call__(self) -> Iterable[Metric]:
        """Yield the families as they are now."""
        levels = list(self._flows.levels.values())
        now_s = self._monotonic_s()
        for level in levels:
            level.queues.sync(now_s)
        for name, text, value in _LEVEL_GAUGES:
            gauge = GaugeMetricFamily(_PREFIX + name, text, labels=["priority_level"])
            for level in levels:
                gauge.add_metric([level.spec.name], value(level))
            yield gauge
        fair = GaugeMetricFamily(
            _PREFIX + "seat_fair_frac", "Part of its target that each level gets."
        )
        fair.add_metric([], self.fair_part)
        yield fair
        yield from _bounds(levels)
        tallies = [tally for level in levels for tally in level.tallies.values()]
        for name, text, number in _TALLY_GAUGES:
            gauge = GaugeMetricFamily(_PREFIX + name, text, labels=_BOTH)
            for tally in tallies:
                gauge.add_metric([tally.level, tally.schema], number(tally))
            yield gauge
        yield from _counters(tallies)
        yield from _histograms(tallies)


def _bounds(levels: Sequence[Level]) -> Iterator[Metric]:
    """Yield when, in virtual time, the next of each queue would start: the first and the last."""
    starts = GaugeMetricFamily(
        _PREFIX + "next_s_bounds",
        "First and last of what queues would start next.",
        labels=["priority_level", "bound"],
    )
    discounted = GaugeMetricFamily(
        _PREFIX + "next_discounted_s_bounds",
        "The same, less the work that is under way.",
        labels=["priority_level", "bound"],
    )
    for level in levels:
        waiting = [queue for queue in level.queues.queues() if queue.waiting]
        if not waiting:
            continue
        at_r = [queue.next_dispatch_r for queue in waiting]
        less_r = [queue.next_dispatch_r - queue.seats * SERVICE_S for queue in waiting]
        for family, values in ((starts, at_r), (discounted, less_r)):
            family.add_metric([level.spec.name, "min"], min(values))
            family.add_metric([level.spec.name, "max"], max(values))
    yield starts
    yield discounted


def _counters(tallies: Sequence[Tally]) -> Iterator[Metric]:
    dispatched = CounterMetricFamily(
        _PREFIX + "dispatched_requests_total", "Requests that were let in.", labels=_BOTH
    )
    rejected = CounterMetricFamily(
        _PREFIX + "rejected_requests_total", "Requests refused.", labels=[*_BOTH, "reason"]
    )
    narrow = CounterMetricFamily(
        _PREFIX + "request_dispatch_no_accommodation_total",
        "How often the next in line did not find seats enough.",
        labels=_BOTH,
    )
    for tally in tallies:
        names = [tally.level, tally.schema]
        dispatched.add_metric(names, tally.started)
        narrow.add_metric(names, tally.unaccommodated)
        for reason, count in tally.rejected.items():
            rejected.add_metric([*names, reason], count)
    yield dispatched
    yield rejected
    yield narrow


def _histograms(tallies: Sequence[Tally]) -> Iterator[Metric]:
    served = _family("request_execution_seconds", "How long requests ran.", "type")
    waited = _family("request_wait_duration_seconds", "How long requests waited.", "execute")
    widths = _family("work_estimated_seats", "Seats that requests want.")
    lengths = _family("request_queue_length_after_enqueue", "Queues that requests met.")
    watchers = _family("watch_count_samples", "Watches that see a write.")
    for tally in tallies:
        names = [tally.level, tally.schema]
        add_histogram(served, [*names, "regular"], tally.served)
        add_histogram(served, [*names, "watch"], tally.watches)
        add_histogram(waited, [*names, "true"], _with_unhindered(tally))
        add_histogram(waited, [*names, "false"], tally.gave_up)
        add_histogram(widths, names, _with_narrow(tally))
        add_histogram(lengths, names, tally.lengths)
        add_histogram(watchers, names, tally.watchers)
    yield from (served, waited, widths, lengths, watchers)


def _with_unhindered(tally: Tally) -> Histogram:
    """Return how long those who ran waited, those included who did not wait."""
    return _raised(tally.waited, WAIT_BUCKETS_S, tally.started - sum(tally.waited.counts))


def _with_narrow(tally: Tally) -> Histogram:
    """Return how wide requests were, those of one seat included."""
    arrived = tally.started + tally.waiting + sum(tally.rejected.values())
    narrow = max(0, arrived - sum(tally.widths.counts))
    whole = _raised(tally.widths, SEATS_BUCKETS, narrow)
    whole.total += narrow
    return whole


def _raised(histogram: Histogram, bounds: tuple[float, ...], count: int) -> Histogram:
    whole = Histogram(bounds)
    whole.counts = [histogram.counts[0] + count, *histogram.counts[1:]]
    whole.total = histogram.total
    return whole


def _family(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(_PREFIX + name, text, labels=[*_BOTH, *labels])


def add_histogram(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    """Add a histogram that has counted anything to a family."""
    rows: list[tuple[str, float]] = []
    total = 0
    if not any(histogram.counts):
        return
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        rows.append(("+Inf" if bound is None else f"{bound:g}", total))
    family.add_metric(labels, rows, histogram.total)
