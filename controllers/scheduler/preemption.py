"""DefaultPreemption: making room for a pod by ending less important ones.

Which nodes could help is worked out over arrays: what less important pods take is kept for each
priority. Of those, as many as upstream would (a tenth, at least 100) are tried one by one
(`victims.py`), and the one that hurts least is taken. Its victims are deleted by workers; the pod
keeps its claim on the node (`nominated`) until it is bound, found elsewhere, or gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from controllers.scheduler.columns import Bools, Ints
from controllers.scheduler.diagnosis import NO_VICTIMS, NOT_HELPFUL, Diagnosis, unavailable
from controllers.scheduler.engine import Engine
from controllers.scheduler.gangs import plan_preemption
from controllers.scheduler.queue import Waiting
from controllers.scheduler.resources import PODS
from controllers.scheduler.scheduler import Events
from controllers.scheduler.state import Placed
from controllers.scheduler.victims import Budgets, Candidate, Candidates
from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch, Unreachable
from kube.status import StatusError
from runtime.queues import BoundedQueue, QueueFull
from runtime.tasks import TaskScope

CANDIDATES_MIN: Final = 100
CANDIDATES_PART: Final = 10
_WORKERS: Final = 32
_AT_A_TIME: Final = 8
"""Victims of one pod."""
_WAITING_MAX: Final = 65_536
_COST: Final = attrgetter("cost")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; see `scheduler.Verdict`."""

    message: str = ""
    nominated: str | None = None


class Eviction(NamedTuple):
    """Who is to go, for whom, from where."""

    victims: tuple[Placed, ...]
    pod: Waiting
    node: str


class Preemption:
    """See the module's head.

    Args of the constructor:
        client: who deletes.
        engine: knows the nodes.
        events: where events go.
        budgets: gives the disruption budgets of a namespace.

    Attributes:
        count: told of each attempt: how many victims, None for no candidate.
    """

    def __init__(self, client: ApiClient, engine: Engine, events: Events, budgets: Budgets) -> None:
        self._client = client
        self._engine = engine
        self._events = events
        self._budgets = budgets
        self._evictions: BoundedQueue[Eviction] = BoundedQueue(_WAITING_MAX)
        self.count: Callable[[int | None], None] = lambda _victims: None
        self.candidates = Candidates()
        self._evicting: set[str] = set()
        self._offset = 0

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        for number in range(_WORKERS):
            scope.spawn(self._run(), name=f"evictor {number}")

    def make_room(self, pod: Waiting, diagnosis: Diagnosis) -> Outcome | None:
        """Try to make room for a pod for which there is no node."""
        if not self._engine.profiles[pod.shape.scheduler].preempts or not diagnosis.nodes:
            return None
        why_not = self._not_eligible(pod)
        if why_not is not None:
            return Outcome(f"preemption: {why_not}" if why_not else "")
        candidate, message = self.find(pod, diagnosis)
        self.count(None if candidate is None else len(candidate.victims))
        if candidate is None:
            self._engine.state.forget_nomination(pod.uid)
            return Outcome(f"preemption: {message}", "")
        return self._take(pod, candidate)

    def make_room_for_all(self, pods: Sequence[Waiting], needed: int) -> bool:
        """Try to make room for so many of a gang; tell whether that is under way."""
        engine = self._engine
        if not engine.profiles[pods[0].shape.scheduler].preempts:
            return False
        if any(pod.uid in self._evicting for pod in pods):
            return True
        if any(self._not_eligible(pod) is not None for pod in pods):
            return any(engine.state.nominated_slot(pod.uid) is not None for pod in pods)
        plan = plan_preemption(engine, pods, lambda pod: self.find(pod, engine.explain(pod))[0])
        if len(plan.slots) < needed or not plan.evictions:
            return False
        for pod, candidate in plan.evictions:
            self._take(pod, candidate)
        for pod, slot in plan.slots:
            if engine.state.nominated_slot(pod.uid) is None:
                engine.state.nominate(
                    Placed(pod.uid, pod.key, slot, pod.shape, pod.group, pod.created)
                )
        return True

    def _not_eligible(self, pod: Waiting) -> str | None:
        """Return why a pod may not preempt now, in upstream's words; None: it may."""
        if not pod.shape.preempts:
            return "not eligible due to preemptionPolicy=Never."
        if pod.uid in self._evicting:
            return ""  # what it asked for is still being done
        slot = self._engine.state.nominated_slot(pod.uid)
        if slot is not None and any(
            other.group.is_leaving and other.shape.priority < pod.shape.priority
            for other in self._engine.state.pods_of.get(slot, {}).values()
        ):
            return "not eligible due to a terminating pod on the nominated node."
        return None

    def find(self, pod: Waiting, diagnosis: Diagnosis) -> tuple[Candidate | None, str]:
        """Return the candidate that hurts least, or None and why there is none."""
        engine, state = self._engine, self._engine.state
        reasons: Counter[str] = Counter()
        resolvable = diagnosis.resolvable
        reasons[NOT_HELPFUL] = diagnosis.nodes - int(resolvable.sum())
        lower = self._lower(pod.shape.priority, len(resolvable))
        has_lower = resolvable & (lower.get(PODS, np.zeros(1, np.int64)) > 0)
        reasons[NO_VICTIMS] = int(resolvable.sum()) - int(has_lower.sum())
        hopeful = self._with_room(pod, has_lower, lower, reasons)
        if not hopeful.any():
            return None, unavailable(diagnosis.nodes, reasons)
        contest = engine.contest(pod.shape, pod.group)
        contest.sync()
        known = self.candidates.known(state, contest, pod)
        # Those that were promised to others are most of them, once many have preempted.
        slots = np.flatnonzero(hopeful & ~known.barren)
        all_hopeful = int(hopeful.sum())
        reasons[NO_VICTIMS] += all_hopeful - len(slots)
        if not len(slots):
            return None, unavailable(diagnosis.nodes, reasons)
        wanted = max(CANDIDATES_MIN, all_hopeful // CANDIDATES_PART)
        self._offset = (self._offset + wanted) % len(slots)
        found: list[Candidate] = []
        for slot in _in_turn(slots, self._offset, wanted):
            candidate = known.found.get(slot)
            if candidate is None:
                candidate = self.candidates.find(state, contest, pod, slot, self._budgets)
            if candidate is None:
                reasons[NO_VICTIMS] += 1
                continue
            found.append(candidate)
            if len(found) >= wanted:
                break
        if not found:
            return None, unavailable(diagnosis.nodes, reasons)
        return min(found, key=_COST), ""

    def _lower(self, priority: int, count: int) -> dict[str, Ints]:
        """Return what less important pods take, by resource."""
        total: dict[str, Ints] = {}
        for theirs, columns in self._engine.state.by_priority.items():
            if theirs >= priority:
                continue
            for name, column in columns.items():
                sums = total.setdefault(name, np.zeros(count, np.int64))
                # What is kept per priority may be shorter: nobody was behind its end yet.
                part = column[:count]
                sums[: len(part)] += part
        return total

    def _with_room(
        self, pod: Waiting, where: Bools, lower: dict[str, Ints], reasons: Counter[str]
    ) -> Bools:
        """Return the nodes that have room if all less important pods go; count why others not."""
        columns, left = self._engine.state.columns, where.copy()
        count = len(where)
        needs = {PODS: 1, **pod.shape.requests}
        for name, amount in needs.items():
            if name == PODS:
                free = columns.pods_max[:count] - columns.pods[:count]
            else:
                have = columns.column(columns.allocatable, name)[:count]
                free = have - columns.column(columns.used, name)[:count]
            short = where & (free + lower.get(name, 0) < amount)
            text = "Too many pods" if name == PODS else f"Insufficient {name}"
            reasons[text] += int(short.sum())
            left &= ~short
        return left

    def _take(self, pod: Waiting, candidate: Candidate) -> Outcome:
        state = self._engine.state
        node = state.columns.names[candidate.slot]
        try:
            self._evictions.offer(Eviction(candidate.victims, pod, node))
        except QueueFull:
            return Outcome()  # it is tried again
        self._evicting.add(pod.uid)
        # Less important pods that were promised this node have to look again.
        for other in list(state.nominated.get(candidate.slot, {}).values()):
            if other.shape.priority < pod.shape.priority:
                state.forget_nomination(other.uid)
        state.nominate(Placed(pod.uid, pod.key, candidate.slot, pod.shape, pod.group, pod.created))
        return Outcome("", node)

    async def _run(self) -> None:
        while True:
            for eviction in await self._evictions.get_batch(1):
                try:
                    await self._evict_all(eviction)
                finally:
                    self._evicting.discard(eviction.pod.uid)

    async def _evict_all(self, eviction: Eviction) -> None:
        """Delete all victims, several at a time.

        The last one goes when the others have: whoever sees it go finds the preemption done.
        """
        *others, last = eviction.victims
        left = iter(others)

        async def run() -> None:
            for victim in left:
                await self._evict(victim, eviction)

        await asyncio.gather(*(run() for _ in others[:_AT_A_TIME]))
        await self._evict(last, eviction)

    async def _evict(self, victim: Placed, eviction: Eviction) -> None:
        namespace, _, name = victim.key.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        scheduler = eviction.pod.shape.scheduler
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{scheduler}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": times.format_seconds(int(self._client.clock.now_s())),
        }
        patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.request("PATCH", f"{path}/status", Patch(patch, STRATEGIC_PATCH))
            await self._client.send("DELETE", path, {"preconditions": {"uid": victim.uid}})
        except StatusError as error:
            if error.code not in (404, 409):  # gone, or another of its name
                _log.warning("pod %s is not preempted: %s", victim.key, error)
            return
        except Unreachable as error:
            _log.warning("pod %s is not preempted: %s", victim.key, error)
            return
        about = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": namespace,
            "name": name,
            "uid": victim.uid,
        }
        message = f"Preempted by pod {eviction.pod.uid} on node {eviction.node}"
        self._events.note(about, "Preempted", message)


def _in_turn(slots: Ints, first: int, part: int) -> Iterator[int]:
    """Return all slots, from the first on and round, so many at a time: few are looked at."""
    for at in range(first, first + len(slots), part):
        until = min(at + part, first + len(slots))
        yield from np.take(slots, np.arange(at, until), mode="wrap").tolist()
