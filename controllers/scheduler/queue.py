"""Pods that wait for a node: active, backing off, unschedulable, gated; as upstream's queue.

    add ──► active ──► (decided) ──► bound
              ▲ ▲          │ no node
              │ └ backoff ◄┤ error, or something may have changed
              └───────── unschedulable ◄── no node

Active ones come by priority, then by how long they have waited (PrioritySort). One that failed
waits 1, 2, 4, ... at most 10 s; when nothing is active, those that back off after having found no
node come at once. What stays unschedulable for five minutes is tried again whatever happens.
Invariant: a pod is in at most one of the four.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from controllers.scheduler.shapes import Group, Shape
from kube.json_types import JsonObject
from runtime.clock import Clock

BACKOFF_S_MIN: Final = 1.0
BACKOFF_S_MAX: Final = 10.0
STUCK_S: Final = 300.0
_LOOK_S: Final = 1.0
"""Between two looks at who has been stuck for so long."""
_FAILURE: Final = "ScheduleAttemptFailure"
_EVENT: Final = "ClusterEvent"
"""Upstream tells which; here a contest says that there may be a node."""


class Place(Enum):
    """Where a pod waits."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    NOWHERE = "nowhere"


@dataclass(slots=True, eq=False)
class Waiting:
    """A pod that wants a node.

    Attributes:
        reference: what events are about.
        told: reason and message of its condition PodScheduled, as the API has it.
        nominated: status.nominatedNodeName, as the API has it.
        gang: "namespace/name" of its pod group; empty: it has none.
        is_gated: it does not enter the queue, by its own gates (`has_gates`) or its gang's.
        attempts: how often it was tried.
        since_s: since when it waits where it is; first_s: since it was let into the queue.
        refused_by: the plugins that found no node.
    """

    uid: str
    key: str
    shape: Shape
    group: Group
    reference: JsonObject
    created: str = ""
    generation: int = 0
    told: tuple[str, str] = ("", "")
    told_status: str = ""
    nominated: str = ""
    gang: str = ""
    is_gated: bool = False
    has_gates: bool = False
    attempts: int = 0
    since_s: float = 0.0
    first_s: float = 0.0
    is_error: bool = False
    refused_by: frozenset[str] = frozenset()
    place: Place = Place.NOWHERE
    number: int = 0

    @property
    def kind(self) -> tuple[int, int]:
        """What is alike for pods that are decided alike."""
        return self.shape.number, self.group.number

    @property
    def order(self) -> tuple[int, float, int]:
        """PrioritySort's."""
        return -self.shape.priority, self.since_s, self.number


_Heap = list[tuple[tuple[int, float, int], int, Waiting]]


@dataclass(slots=True)
class PodQueue:
    """See the module's head.

    Attributes:
        entered: how many pods came to each place, by upstream's names of what put them there.
    """

    clock: Clock
    backoff_s_min: float = BACKOFF_S_MIN
    backoff_s_max: float = BACKOFF_S_MAX
    pods: dict[str, Waiting] = field(default_factory=dict)
    stuck: dict[tuple[int, int], dict[str, Waiting]] = field(default_factory=dict)
    entered: Counter[tuple[str, str]] = field(default_factory=Counter)
    _active: _Heap = field(default_factory=list)
    _backoff: list[tuple[float, int, Waiting]] = field(default_factory=list)
    _looked_s: float = -math.inf
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _counts: dict[Place, int] = field(default_factory=lambda: dict.fromkeys(Place, 0))

    def count(self, place: Place) -> int:
        """Return how many wait at a place."""
        return self._counts[place]

    def add(self, pod: Waiting) -> None:
        """Take a pod that was not known, or is another now; it keeps its attempts."""
        before = self.pods.pop(pod.uid, None)
        if before is not None:
            self._leave(before)
            pod.attempts, pod.since_s, pod.number = before.attempts, before.since_s, before.number
            pod.first_s = before.first_s if not before.is_gated else self.clock.monotonic_s()
        else:
            pod.since_s = pod.first_s = self.clock.monotonic_s()
            pod.number = next(self._numbers)
        self.pods[pod.uid] = pod
        event = "PodAdd" if before is None else "PodUpdate"
        if pod.is_gated:
            self._enter(pod, Place.GATED, event)
        else:
            self._activate(pod, event)

    def refresh(self, pod: Waiting, seen: Waiting) -> None:
        """Take what the API says of a pod whose requirements are the same."""
        pod.told, pod.told_status = seen.told, seen.told_status
        pod.nominated, pod.generation = seen.nominated, seen.generation

    def remove(self, uid: str) -> Waiting | None:
        """Forget a pod."""
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._leave(pod)
        return pod

    def pop(self) -> Waiting | None:
        """Return the next pod to decide; it is nowhere until it is failed or removed."""
        while self._active:
            _, _, pod = heapq.heappop(self._active)
            if pod.place is Place.ACTIVE and pod is self.pods.get(pod.uid):
                return self._taken(pod)
        # Nobody else wants to be decided: those that back off need not wait for that.
        while self._backoff:
            ready_s, _, pod = self._backoff[0]
            if not self._backs_off(pod):
                heapq.heappop(self._backoff)
            elif (pod.is_error or pod.gang) and ready_s > self.clock.monotonic_s():
                return None
            else:
                heapq.heappop(self._backoff)
                return self._taken(pod)
        return None

    def open(self, pod: Waiting) -> None:
        """Let a gated pod in."""
        self._leave(pod)
        pod.is_gated = False
        pod.first_s = self.clock.monotonic_s()
        self._activate(pod, "PodUpdate")

    def take(self, pod: Waiting) -> None:
        """Take a pod out, wherever it waits, to be decided now."""
        self._taken(pod)

    def fail(self, pod: Waiting, plugins: frozenset[str]) -> None:
        """Put back a pod for which there is no node."""
        self._put_back(pod, is_error=False)
        pod.refused_by = plugins
        self._enter(pod, Place.UNSCHEDULABLE, _FAILURE)
        self.stuck.setdefault(pod.kind, {})[pod.uid] = pod

    def retry(self, pod: Waiting) -> None:
        """Put back a pod after an error; it is tried again after a while."""
        self._put_back(pod, is_error=True)
        self._back_off(pod, _FAILURE)

    def move(self, pods: Iterable[Waiting]) -> None:
        """Have unschedulable pods tried again, as there may be a node now."""
        for pod in list(pods):
            if pod.place is not Place.UNSCHEDULABLE:
                continue
            self._leave(pod)
            if pod.since_s + self._backoff_s(pod) > self.clock.monotonic_s():
                self._back_off(pod, _EVENT)
            else:
                self._activate(pod, _EVENT)

    def flush(self) -> None:
        """Move those whose time has come."""
        now_s = self.clock.monotonic_s()
        while self._backoff and self._backoff[0][0] <= now_s:
            _, _, pod = heapq.heappop(self._backoff)
            if self._backs_off(pod):
                self._leave(pod)
                self._activate(pod, "BackoffComplete")
        if now_s < self._looked_s + _LOOK_S:
            return  # there may be as many kinds as nodes
        self._looked_s = now_s
        stuck = [
            pod
            for kind in self.stuck.values()
            for pod in itertools.takewhile(
                lambda one: one.since_s + STUCK_S <= now_s, kind.values()
            )
        ]
        for pod in stuck:
            self._leave(pod)
            self._activate(pod, "UnschedulableTimeout")

    def _backs_off(self, pod: Waiting) -> bool:
        return pod.place is Place.BACKOFF and pod is self.pods.get(pod.uid)

    def _taken(self, pod: Waiting) -> Waiting:
        self._leave(pod)
        pod.attempts += 1
        return pod

    def _put_back(self, pod: Waiting, *, is_error: bool) -> None:
        self.pods[pod.uid] = pod
        pod.is_error = is_error
        pod.since_s = self.clock.monotonic_s()

    def _activate(self, pod: Waiting, event: str) -> None:
        self._enter(pod, Place.ACTIVE, event)
        heapq.heappush(self._active, (pod.order, next(self._numbers), pod))

    def _back_off(self, pod: Waiting, event: str) -> None:
        self._enter(pod, Place.BACKOFF, event)
        ready_s = pod.since_s + self._backoff_s(pod)
        heapq.heappush(self._backoff, (ready_s, next(self._numbers), pod))

    def _backoff_s(self, pod: Waiting) -> float:
        doubled: float = self.backoff_s_min * 2 ** min(max(pod.attempts, 1) - 1, 30)
        return min(self.backoff_s_max, doubled)

    def _enter(self, pod: Waiting, place: Place, event: str) -> None:
        pod.place = place
        self.entered[event, place.value] += 1
        self._counts[place] += 1

    def _leave(self, pod: Waiting) -> None:
        if pod.place is Place.UNSCHEDULABLE:
            kind = self.stuck[pod.kind]
            del kind[pod.uid]
            if not kind:
                del self.stuck[pod.kind]
        if pod.place is not Place.NOWHERE:
            self._counts[pod.place] -= 1
        pod.place = Place.NOWHERE
