"""Which pods would have to go from a node for a more important one: DefaultPreemption's dry run.

All that are less important are taken away; if the pod fits then, they are given back one by one,
those first whose going would violate a disruption budget, then by importance, as long as the pod
still fits. Who cannot be given back is a victim. Nothing of the state is changed in the end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from controllers.scheduler.columns import Bools
from controllers.scheduler.contest import Contest
from controllers.scheduler.queue import Waiting
from controllers.scheduler.state import ClusterState, Placed
from kube.selectors import LabelSelector

_PRIORITY_SHIFT: Final = 2**31
_NEVER: Final = "9999"
_KINDS_MAX: Final = 16
_TIME_BYTES: Final = 32


@dataclass(slots=True)
class Budget:
    """What a PodDisruptionBudget says.

    Attributes:
        allowed: how many more may go.
        disrupted: names of pods that are going, and counted already.
    """

    namespace: str
    selector: LabelSelector
    allowed: int
    disrupted: frozenset[str]


Budgets = Callable[[str], list[Budget]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node and who would have to go.

    Attributes:
        victims: the most important first.
        violations: how many of them a budget would keep.
        cost: what makes one candidate better than another: the smaller the better.
    """

    slot: int
    victims: tuple[Placed, ...]
    violations: int
    cost: tuple[object, ...]


def _cost(victims: tuple[Placed, ...], violations: int) -> tuple[object, ...]:
    first = victims[0].shape.priority
    # Of the most important ones, those that started late have least to lose.
    started = min(pod.started or _NEVER for pod in victims if pod.shape.priority == first)
    return (
        violations,
        first,
        sum(pod.shape.priority + _PRIORITY_SHIFT for pod in victims),
        len(victims),
        _later_first(started),
    )


def _later_first(started: str) -> int:
    """Return an order of times by which the later comes first, as one number."""
    return -int.from_bytes(started.encode()[:_TIME_BYTES].ljust(_TIME_BYTES, b"\0"))


def importance(pod: Placed) -> tuple[int, str]:
    """Return an order in which the most important pod comes first (MoreImportantPod)."""
    return -pod.shape.priority, pod.started or _NEVER


def select_victims(
    state: ClusterState, contest: Contest, pod: Waiting, slot: int, budgets: Budgets
) -> Candidate | None:
    """Return who would have to go from a node; None: it would be of no use, or nobody."""
    lower = [
        other
        for other in state.pods_of.get(slot, {}).values()
        if other.shape.priority < pod.shape.priority
    ]
    if not lower:
        return None
    lower.sort(key=importance)
    gone: dict[str, Placed] = {}
    for other in lower:
        state.lift(other)
        gone[other.uid] = other
    try:
        if not contest.feasible_without(slot, tuple(gone.values())):
            return None
        protected, free = split_by_budgets(lower, budgets)
        violations = 0
        for other in (*protected, *free):
            state.restore(other)
            del gone[other.uid]
            if not contest.feasible_without(slot, tuple(gone.values())):
                state.lift(other)
                gone[other.uid] = other
                violations += other in protected
        victims = tuple(sorted(gone.values(), key=importance))
    finally:
        for other in gone.values():
            state.restore(other)
    # Fits with everybody there: something else changed meanwhile.
    if not victims:
        return None
    return Candidate(slot, victims, violations, _cost(victims, violations))


@dataclass(slots=True)
class Known:
    """What was found for a kind of pods.

    Attributes:
        position: up to where the changes were looked at.
        barren: by slot, whether it is known that there is no candidate.
        found: the candidates, by slot.
    """

    position: int
    barren: Bools
    found: dict[int, Candidate] = field(default_factory=dict)

    def note(self, slot: int, candidate: Candidate | None) -> None:
        """Keep what was found."""
        if candidate is None:
            self.barren[slot] = True
        else:
            self.found[slot] = candidate

    def follow(self, state: ClusterState) -> None:
        """Forget the nodes that have changed."""
        changes = state.since(self.position)
        self.position = state.changed
        if changes is None:
            self.found.clear()
            self.barren[:] = False
            return
        for moved in changes:
            self.found.pop(moved.slot, None)
            self.barren[moved.slot] = False


class Candidates:
    """Candidates that were found, kept for pods of the same kind until their node has changed.

    Kept is what depends on one node alone: of pods in which topology, volumes and plugins have no
    say, and of victims that no budget is about.
    """

    def __init__(self) -> None:
        self._kinds: OrderedDict[tuple[int, int], Known] = OrderedDict()

    def known(self, state: ClusterState, contest: Contest, pod: Waiting) -> Known:
        """Return what is known for pods like this one; costs what has changed since."""
        if not contest.is_local:
            return Known(state.changed, np.zeros(state.columns.count, np.bool_))
        key = (pod.shape.number, state.columns.version)
        kept = self._kinds.get(key)
        if kept is None:
            nothing = np.zeros(state.columns.count, np.bool_)
            kept = self._kinds[key] = Known(state.changed, nothing)
            if len(self._kinds) > _KINDS_MAX:
                self._kinds.popitem(last=False)
        kept.follow(state)
        return kept

    def find(
        self, state: ClusterState, contest: Contest, pod: Waiting, slot: int, budgets: Budgets
    ) -> Candidate | None:
        """Return what `select_victims` does."""
        known = self.known(state, contest, pod)
        if slot in known.found or known.barren[slot]:
            return known.found.get(slot)
        found = select_victims(state, contest, pod, slot, budgets)
        spaces = {
            other.group.namespace
            for other in state.pods_of.get(slot, {}).values()
            if other.shape.priority < pod.shape.priority
        }
        if contest.is_local and not any(budgets(namespace) for namespace in spaces):
            known.note(slot, found)
        return found

    def forget(self) -> None:
        """Forget all: budgets have changed."""
        self._kinds.clear()


def split_by_budgets(pods: Sequence[Placed], budgets: Budgets) -> tuple[list[Placed], list[Placed]]:
    """Return the pods whose going would violate a budget, and the others."""
    known: dict[str, list[Budget]] = {}
    left: dict[int, int] = {}
    protected: list[Placed] = []
    free: list[Placed] = []
    for pod in pods:
        namespace = pod.group.namespace
        if namespace not in known:
            known[namespace] = budgets(namespace)
        is_protected = False
        for budget in _matching(known[namespace], pod):
            left[id(budget)] = left.get(id(budget), budget.allowed) - 1
            is_protected |= left[id(budget)] < 0
        (protected if is_protected else free).append(pod)
    return protected, free


def _matching(budgets: Iterable[Budget], pod: Placed) -> Iterable[Budget]:
    labels = dict(pod.group.labels)
    if not labels:
        return
    name = pod.key.partition("/")[2]
    for budget in budgets:
        is_empty = budget.selector.is_empty or budget.selector.selects_nothing
        if not is_empty and name not in budget.disrupted and budget.selector.matches(labels):
            yield budget
