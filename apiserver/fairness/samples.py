"""How much of priority levels is in use, as histograms of samples: a request costs nothing for it.

Upstream observes these values "at the end of every nanosecond"; here they are looked at a few times
a second. The buckets' parts are the same, and so is what quantiles tell; the counts are smaller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import HistogramMetricFamily, Metric

from apiserver.fairness.figures import add_histogram
from apiserver.fairness.flows import Flows
from apiserver.fairness.gate import READS, Ticket
from apiserver.fairness.levels import Level
from apiserver.fairness.requests import Histogram, Request

WAITING: Final = "waiting"
EXECUTING: Final = "executing"
_SEATS_BUCKETS: Final = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
_REQUESTS_BUCKETS: Final = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1)
_KINDS_BUCKETS: Final = (
    *(0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    *(0.8, 0.9, 0.95, 0.99, 1),
)
_DEMAND_BUCKETS: Final = (0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.7, 2, 2.8, 4, 6)


class _LevelSamples:
    """What was seen of one level."""

    def __init__(self) -> None:
        self.seats = Histogram(_SEATS_BUCKETS)
        self.requests = {phase: Histogram(_REQUESTS_BUCKETS) for phase in (WAITING, EXECUTING)}
        self.demand = Histogram(_DEMAND_BUCKETS)

    def take(self, level: Level, server_seats: int) -> None:
        """Look at the level."""
        queues = level.queues
        # As upstream: a level may have no seats for now, and exempt ones are not limited by theirs.
        seats = level.current or max(1, round(server_seats / 10))
        self.seats.observe(queues.seats_in_use / seats)
        self.requests[EXECUTING].observe(queues.executing / seats)
        self.requests[WAITING].observe(queues.waiting / max(1, _room_of(level)))
        self.demand.observe((queues.seats_in_use + queues.seats_waiting) / seats)


class Samples:
    """What was seen of all levels, and of reads and writes."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._levels: dict[str, _LevelSamples] = {}
        self._kinds = {
            (phase, kind): Histogram(_KINDS_BUCKETS)
            for phase in (WAITING, EXECUTING)
            for kind in ("readOnly", "mutating")
        }

    def take(self, now_s: float) -> None:
        """Look at everything once; to be called a few times a second."""
        levels = self._flows.levels
        for name in self._levels.keys() - levels.keys():
            del self._levels[name]
        seats = sum(level.nominal for level in levels.values())
        counts: Counter[tuple[str, str]] = Counter()
        for name, level in levels.items():
            level.queues.sync(now_s)
            samples = self._levels.get(name)
            if samples is None:
                samples = self._levels[name] = _LevelSamples()
            samples.take(level, seats)
            if not level.queues.is_idle:
                counts.update(_kinds_of(level))
                counts[EXECUTING, "readOnly"] += level.queues.passing_reads
                counts[EXECUTING, "mutating"] += level.queues.passing_writes
        room = {EXECUTING: seats, WAITING: sum(map(_room_of, levels.values()))}
        for key, histogram in self._kinds.items():
            histogram.observe(counts[key] / max(1, room[key[0]]))

    def families(self) -> Iterator[Metric]:
        """Yield the metric families."""
        seats = _family("priority_level_seat_utilization", "Part of its seats.", "phase")
        requests = _family(
            "priority_level_request_utilization", "Requests, as part of the limit.", "phase"
        )
        demand = _family("demand_seats", "Seats that it could use, as part of those it has.")
        for name, samples in self._levels.items():
            add_histogram(seats, [name, EXECUTING], samples.seats)
            for phase, histogram in samples.requests.items():
                add_histogram(requests, [name, phase], histogram)
            add_histogram(demand, [name], samples.demand)
        yield from (seats, requests, demand)
        kinds = HistogramMetricFamily(
            "apiserver_flowcontrol_read_vs_write_current_requests",
            "Requests, as part of all seats.",
            labels=["phase", "request_kind"],
        )
        for key, histogram in self._kinds.items():
            add_histogram(kinds, list(key), histogram)
        yield kinds


def _room_of(level: Level) -> int:
    """Return how many requests may wait at a level."""
    queuing = level.spec.queuing
    return 0 if queuing is None else queuing.queues * queuing.length_max


def _kinds_of(level: Level) -> Iterator[tuple[str, str]]:
    """Yield phase and kind of each request that a level has, but for those that pass."""
    for queue in level.queues.queues():
        for request in queue.waiting:
            yield WAITING, _kind_of(request)
    for request in level.queues.running:
        yield EXECUTING, _kind_of(request)


def _kind_of(request: Request) -> str:
    assert isinstance(request, Ticket), "requests come in by the gate"
    return "readOnly" if request.asked.verb in READS else "mutating"


def _family(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(
        f"apiserver_flowcontrol_{name}", text, labels=["priority_level", *labels]
    )
