"""Services that select pods: what wakes whoever writes down where they lead to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from controllers.network import backends
from controllers.paced_queue import PacedQueue
from controllers.selections import PodGroups
from controllers.workloads.pods import PodBrief
from controllers.workqueue import run_worker
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from runtime.clock import Clock
from runtime.tasks import TaskScope

_WORKERS: Final = 5


class SelectedServices:
    """Adds a Service to a queue when it, or a pod that it selects, has changed.

    Args of the constructor:
        clock: what o'clock it is.
        services: their informer.
        groups: all pods.

    Attributes:
        paced: the queue.
        times: since when endpoints are not what they should be.
        selections: which pods are whose.
    """

    def __init__(self, clock: Clock, services: Informer, groups: PodGroups) -> None:
        self.paced = PacedQueue(clock)
        self.times = backends.TriggerTimes()
        self.selections = groups.selections(self._observe_pod)
        services.on_changes(self._observe)

    def start(
        self, scope: TaskScope, sync: Callable[[str], Awaitable[float | None]], what: str
    ) -> None:
        """Start the workers, once all watches are synced."""

        async def timed(key: str) -> float | None:
            return await self.paced.timed(key, sync)

        for number in range(_WORKERS):
            scope.spawn(run_worker(self.paced.queue, timed), name=f"{what} {number}")

    def forget(self, key: str) -> None:
        """Forget a Service that is gone."""
        self.times.forget(key)
        self.paced.forget(key)

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            selector = None if change is Change.DELETED else backends.selector_of(obj)
            if selector is not None:
                self.selections.put(key, selector)
            else:
                self.selections.drop(key)
            self.paced.add(key)

    def _observe_pod(
        self,
        old: PodBrief | None,
        new: PodBrief | None,
        before: frozenset[str],
        after: frozenset[str],
    ) -> None:
        self.times.note(after, old, new)
        for key in backends.to_update(old, new, before, after):
            self.paced.add_for_pod(key)
