"""Which pods go first when there are too many (ActivePodsWithRanks of pkg/controller).

Those go first that do the least: not placed yet, pending, not ready; then the cheapest by their
annotation; those on nodes where most of their like are; those ready for the shortest time, as
counted in powers of two, so that not always the same zone suffers (KEP-2185); those that restart
most; the youngest.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from controllers.workloads.pods import PodBrief

_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}
_NANOSECONDS: Final = 1_000_000_000


def _age_rank(since_s: int, now_s: float) -> int:
    age_ns = (now_s - since_s) * _NANOSECONDS
    return int(math.log2(age_ns)) if age_ns >= 1 else -1


def to_delete(
    pods: Iterable[PodBrief], related: Iterable[PodBrief], count: int, now_s: float
) -> list[PodBrief]:
    """Return the pods that go first.

    Args:
        pods: active ones, of one owner.
        related: active ones whose owners have the same owner, these among them.
        count: how many are to go.
        now_s: seconds since the epoch.
    """
    chosen = list(pods)
    if count >= len(chosen):
        return chosen
    on_node = Counter(pod.node for pod in related if pod.is_active)
    ages: dict[int, int] = {}

    def age_rank(since_s: int) -> int:
        # Pods that came together are of the same seconds.
        found = ages.get(since_s)
        if found is None:
            found = ages[since_s] = _age_rank(since_s, now_s)
        return found

    def rank(pod: PodBrief) -> tuple[Any, ...]:
        return (
            bool(pod.node),
            _PHASES.get(pod.phase, 0),
            pod.ready_s is not None,
            pod.cost,
            -on_node[pod.node],
            age_rank(pod.ready_s) if pod.ready_s else 0,
            pod.uid if pod.ready_s else "",
            -pod.restarts[0],
            -pod.restarts[1],
            age_rank(pod.created_s),
            pod.uid,
        )

    # A few hundred of ten thousand: to sort them all would take twice as long.
    return heapq.nsmallest(count, chosen, key=rank)
