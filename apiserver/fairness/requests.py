"""A request between its arrival and its end, as the queues know it, and what is counted of it.

ARRIVED --> WAITING --> RUNNING --> DONE
    |          |------------------> DONE   (gave up)
    |--------------> RUNNING
    |------------------------------> DONE   (refused)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

SERVICE_S: Final = 0.003
"""How long a request is taken to run before it is known, as upstream's guess."""
WAIT_BUCKETS_S: Final = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
SEATS_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 100)
LENGTH_BUCKETS: Final = (0, 10, 25, 50, 100, 250, 500, 1000)
WATCHERS_BUCKETS: Final = (0, 1, 10, 100, 1000, 10_000)


class Histogram:
    """Counts of values by bucket, the last for those above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """What is counted of one flow schema's requests at one level.

    An uncontended request touches next to none of it: what can be told from the rest is told when
    somebody asks (`executing`, `seats`, and in `apiserver.fairness.figures` the buckets of those
    who did not wait, or wanted one seat).

    Attributes:
        started: how many requests have been let in.
        extra_seats: held now beyond the one of each that runs.
        waiting, waiting_seats: now.
        rejected: by reason.
        served, watches: how long requests, and the starts of watches, have run.
        waited: how long those who had to wait did before they ran; `gave_up`: and never ran.
        widths: seats of requests that want more than one.
        lengths: of queues, after a request had to be put into one.
        watchers: of what is written, where anybody watches.
        unaccommodated: how often the next in line did not find seats enough.
    """

    __slots__ = (
        "extra_seats",
        "gave_up",
        "lengths",
        "level",
        "rejected",
        "schema",
        "served",
        "started",
        "unaccommodated",
        "waited",
        "waiting",
        "waiting_seats",
        "watchers",
        "watches",
        "widths",
    )

    def __init__(self, level: str, schema: str) -> None:
        self.level, self.schema = level, schema
        self.started = self.extra_seats = self.waiting = self.waiting_seats = 0
        self.unaccommodated = 0
        self.rejected: dict[str, int] = {}
        self.served = Histogram(WAIT_BUCKETS_S)
        self.watches = Histogram(WAIT_BUCKETS_S)
        self.waited = Histogram(WAIT_BUCKETS_S)
        self.gave_up = Histogram(WAIT_BUCKETS_S)
        self.widths = Histogram(SEATS_BUCKETS)
        self.lengths = Histogram(LENGTH_BUCKETS)
        self.watchers = Histogram(WATCHERS_BUCKETS)

    @property
    def executing(self) -> int:
        """How many run now."""
        return self.started - sum(self.served.counts) - sum(self.watches.counts)

    @property
    def seats(self) -> int:
        """How many seats are held now, by those that linger as well."""
        return self.executing + self.extra_seats

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is anywhere now."""
        return not (self.executing or self.seats or self.waiting)

    def reject(self, reason: str) -> None:
        """Count a refusal."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


class Width(NamedTuple):
    """How much of the server a request takes.

    Attributes:
        seats: while it runs.
        final_seats: for `linger_s` after it, for what it sets off.
    """

    seats: int = 1
    final_seats: int = 0
    linger_s: float = 0.0


ONE_SEAT: Final = Width()


class Phase(Enum):
    """Where a request is; see the module's head."""

    ARRIVED = "arrived"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


# An enumeration is asked for its members by a call, each time.
ARRIVED: Final = Phase.ARRIVED
WAITING: Final = Phase.WAITING
RUNNING: Final = Phase.RUNNING
DONE: Final = Phase.DONE


class Request:
    """One request.

    Attributes:
        hand: the queues it may wait in, () where there are none.
        seats: that it holds from its start to its end, lingering included: the most of its phases.
        work: seat-seconds that it is taken to cost before it is known.
        arrival_r: the virtual time at its arrival.
        on_run: told when it may run, after it had to wait.
    """

    # What most requests are is said once, for all of them: setting it on each was a third of what
    # they cost.
    initial_seats, final_seats, linger_s = ONE_SEAT
    seats = 1
    work = SERVICE_S
    phase = ARRIVED
    queue: Queue | None = None
    on_run: Callable[[], None] | None = None
    is_watch = False
    arrival_r = 0.0

    def __init__(self, tally: Tally, hand: tuple[int, ...], width: Width, arrived_s: float) -> None:
        self.tally = tally
        self.hand = hand
        self.arrived_s = self.started_s = arrived_s
        if width is not ONE_SEAT:
            self.widen(width)

    def widen(self, width: Width) -> None:
        """Have it take more than one seat."""
        self.initial_seats, self.final_seats, self.linger_s = width
        self.seats = max(width.seats, width.final_seats)
        self.work = width.seats * SERVICE_S + width.final_seats * width.linger_s


class Queue:
    """Requests of some flows, in the order of their arrival.

    Attributes:
        next_dispatch_r: the virtual time at which its next request would start.
        waiting: in order; one may leave from the middle, and taking the first costs no search.
        executing: how many of its requests run.
        seats: that these hold, lingering ones included.
    """

    __slots__ = ("executing", "index", "next_dispatch_r", "seats", "waiting", "waiting_work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.next_dispatch_r = 0.0
        self.waiting: OrderedDict[Request, None] = OrderedDict()
        self.waiting_work = 0.0
        self.executing = 0
        self.seats = 0
