"""What the scheduler tells of itself to who asks at its socket: the queue, decisions, waits.

Counters only grow, from the start of the process; who looks works out rates.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import orjson

from controllers.scheduler.queue import Place, PodQueue, Waiting

WAIT_BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 300.0),
)


class SchedulerFigures:
    """Counts what becomes of pods.

    Attributes:
        decided: pods that were given a node.
        refused: decisions that found none.
        bound: pods whose binding the API has.
        failed: bindings that it refused.
        waits: bound pods by how long that took since they were last put into the queue, by
            `WAIT_BOUNDS_S`; the last one counts the longer ones.
    """

    def __init__(self, queue: PodQueue) -> None:
        self.decided = self.refused = self.bound = self.failed = 0
        self.waits = [0] * (len(WAIT_BOUNDS_S) + 1)
        self._queue = queue

    def note_bound(self, pod: Waiting) -> None:
        """Count a pod whose binding the API has."""
        self.bound += 1
        waited_s = self._queue.clock.monotonic_s() - pod.since_s
        self.waits[bisect_left(WAIT_BOUNDS_S, waited_s)] += 1

    def to_json(self) -> bytes:
        """Return them for who asks."""
        queue = self._queue
        places = (Place.ACTIVE, Place.BACKOFF, Place.UNSCHEDULABLE, Place.GATED)
        return orjson.dumps(
            {
                "queue": {place.value: queue.count(place) for place in places},
                "decided": self.decided,
                "refused": self.refused,
                "bound": self.bound,
                "failed": self.failed,
                "bounds_s": WAIT_BOUNDS_S,
                "waits": self.waits,
            }
        )
