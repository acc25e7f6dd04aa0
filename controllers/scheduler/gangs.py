"""Pod groups: all of a gang's pods get nodes, or none does (GangScheduling, KEP-4671).

A pod names its group in `spec.schedulingGroup`. Pods of a group that does not exist, or has fewer
pods than its policy's `minCount`, do not enter the queue. When one of a gang comes up, all of it
that wait are decided in a row, each seeing those before it as placed. If as many as the policy
asks for have a node then, they are bound; if not, all are taken back. A group with the policy
`basic` has no such rule.

Preemption is for the gang as a whole: it is worked out with all victims gone, and only if the gang
would fit then does anybody have to go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from controllers.scheduler.engine import Engine
from controllers.scheduler.queue import Place, PodQueue, Waiting
from controllers.scheduler.state import Placed
from controllers.scheduler.victims import Candidate
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject


class PodGroup(NamedTuple):
    """A PodGroup.

    Attributes:
        least: how many of its pods must have nodes at once; 0: its policy is basic.
        told: status, reason and message of its condition PodGroupScheduled.
    """

    key: str
    least: int
    generation: int
    told: tuple[str, str, str]


@dataclass(slots=True)
class _Members:
    waiting: dict[str, Waiting] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)
    is_open: bool = False


class Plan(NamedTuple):
    """What would come of a gang if some pods went: by pod its slot, and who has to go for it."""

    slots: list[tuple[Waiting, int]]
    evictions: list[tuple[Waiting, Candidate]]


class Gangs:
    """See the module's head.

    Attributes:
        is_on: whether the API has pod groups; without them every pod is for itself.
    """

    def __init__(self, engine: Engine, queue: PodQueue) -> None:
        self.is_on = False
        self._engine = engine
        self._queue = queue
        self._groups: dict[str, PodGroup] = {}
        self._members: dict[str, _Members] = {}
        self._promised: list[Placed] = []

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take changes of pod groups."""
        for delta in deltas:
            if delta.change is Change.DELETED:
                self._groups.pop(delta.key, None)
            else:
                self._groups[delta.key] = _read(delta.key, delta.object)
            self._admit(delta.key)

    def group(self, pod: Waiting) -> PodGroup | None:
        """Return the group of a pod that has to be placed as one."""
        group = self._groups.get(pod.gang) if self.is_on and pod.gang else None
        return group if group is not None and group.least else None

    def put(self, pod: Waiting) -> bool:
        """Take note of a pod that waits; tell whether it may enter the queue."""
        if not self.is_on or not pod.gang:
            return True
        members = self._members.setdefault(pod.gang, _Members())
        members.placed.discard(pod.uid)
        is_new = pod.uid not in members.waiting
        members.waiting[pod.uid] = pod
        if is_new:
            self._admit(pod.gang, but=pod.uid)
        return self._is_whole(pod.gang)

    def placed(self, gang: str, uid: str) -> None:
        """Take note of a pod that has a node, or is about to."""
        if gang:
            members = self._members.setdefault(gang, _Members())
            members.waiting.pop(uid, None)
            members.placed.add(uid)

    def gone(self, gang: str, uid: str) -> None:
        """Take note of a pod that is no more."""
        members = self._members.get(gang)
        if members is not None:
            members.waiting.pop(uid, None)
            members.placed.discard(uid)
            if not members.waiting and not members.placed:
                del self._members[gang]

    def take_waiting(self, first: Waiting) -> list[Waiting]:
        """Return all of a pod's gang that wait, in the queue's order, out of the queue."""
        members = self._members[first.gang]
        found = [first]
        for pod in members.waiting.values():
            if pod is not first and pod.place not in (Place.GATED, Place.NOWHERE):
                self._queue.take(pod)
                found.append(pod)
        found.sort(key=lambda pod: (-pod.shape.priority, pod.number))
        return found

    def missing(self, group: PodGroup) -> int:
        """Return how many more of a gang have to have nodes."""
        members = self._members.get(group.key)
        return group.least - (len(members.placed) if members is not None else 0)

    def try_all(self, pods: Sequence[Waiting]) -> tuple[list[tuple[Waiting, int]], list[Waiting]]:
        """Place pods as far as possible; return those with their slots, and the others."""
        engine = self._engine
        self._promised = promised_to(engine, pods)
        placed: list[tuple[Waiting, int]] = []
        left: list[Waiting] = []
        for pod in pods:
            slot = engine.choose(pod)
            if slot is None:
                left.append(pod)
                continue
            engine.place(pod, slot)
            placed.append((pod, slot))
        return placed, left

    def take_back(self, placed: Sequence[tuple[Waiting, int]]) -> None:
        """Take back what `try_all` placed."""
        for pod, _ in placed:
            self._engine.unplace(pod.uid)
        for promise in self._promised:
            self._engine.state.nominate(promise)

    def _is_whole(self, gang: str) -> bool:
        group, members = self._groups.get(gang), self._members.get(gang)
        if group is None or members is None:
            return False
        return len(members.waiting) + len(members.placed) >= group.least

    def _admit(self, gang: str, *, but: str = "") -> None:
        """Let pods into the queue once there are enough of their gang."""
        members = self._members.get(gang)
        if members is None or not self._is_whole(gang):
            if members is not None:
                members.is_open = False
            return
        if members.is_open:
            return  # who comes now does not have to wait
        members.is_open = True
        for pod in list(members.waiting.values()):
            if pod.place is Place.GATED and pod.uid != but and not pod.has_gates:
                self._queue.open(pod)


def _read(key: str, obj: JsonObject) -> PodGroup:
    spec = obj.get("spec") or {}
    gang = (spec.get("schedulingPolicy") or {}).get("gang") or {}
    told = ("", "", "")
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodGroupScheduled":
            told = (condition["status"], condition.get("reason", ""), condition.get("message", ""))
    generation = int(obj["metadata"].get("generation") or 0)
    return PodGroup(key, int(gang.get("minCount") or 0), generation, told)


def plan_preemption(
    engine: Engine,
    pods: Sequence[Waiting],
    find: Callable[[Waiting], Candidate | None],
) -> Plan:
    """Return where pods would be if the victims that `find` names went; changes nothing.

    A pod with a node is where it is best; for another, room is made, and what follows sees it
    there and its victims gone.
    """
    state = engine.state
    promised = promised_to(engine, pods)
    plan = Plan([], [])
    removed: list[Placed] = []
    try:
        for pod in pods:
            slot = engine.choose(pod)
            if slot is None:
                candidate = find(pod)
                if candidate is None:
                    continue
                slot = candidate.slot
                for victim in candidate.victims:
                    state.remove(victim.uid)
                    removed.append(victim)
                plan.evictions.append((pod, candidate))
            engine.place(pod, slot)
            plan.slots.append((pod, slot))
    finally:
        for pod, _ in plan.slots:
            engine.unplace(pod.uid)
        for victim in removed:
            state.place(victim)
        for promise in promised:
            state.nominate(promise)
    return plan


def promised_to(engine: Engine, pods: Sequence[Waiting]) -> list[Placed]:
    """Return the room that is kept for pods: to place one gives it up."""
    found = (engine.state.promise(pod.uid) for pod in pods)
    return [promise for promise in found if promise is not None]
