"""Decisions, without input or output: which node a pod gets, or why none.

One contest (`contest.py`) for each kind of pods is kept, the 64 used last. Equals among the best
nodes are taken in turn, by a cursor that goes on from pod to pod; upstream picks at random. So a
row of pods gets the same nodes whether they are decided together or one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controllers.scheduler.contest import Contest
from controllers.scheduler.diagnosis import Diagnosis, diagnose
from controllers.scheduler.extension import Extension
from controllers.scheduler.hints import Moment
from controllers.scheduler.node_rules import pinned_slot
from controllers.scheduler.pinned import Pinned, named_node
from controllers.scheduler.queue import Waiting
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import Group, Shape, Shapes
from controllers.scheduler.state import ClusterState, Placed

_CONTESTS_MAX: Final = 64


@dataclass(slots=True)
class _Told:
    contest: Contest
    changed: int
    version: int
    diagnosis: Diagnosis


class Engine:
    """See the module's head.

    Attributes:
        state: what there is.
        shapes: finds what pods are alike.
        assumed: pods that are placed, but not known to be bound.
        extensions: what decides beside the columns, in the order of their filters.
    """

    def __init__(self, profiles: Mapping[str, Profile], *, seed: int = 0) -> None:
        self.state = ClusterState(seed)
        self.shapes = Shapes()
        self.profiles = dict(profiles)
        self.extensions: list[Extension] = []
        self.assumed: set[str] = set()
        self._contests: OrderedDict[tuple[int, int], Contest] = OrderedDict()
        self._cursor = 0
        self._told: _Told | None = None

    def contest(self, shape: Shape, group: Group) -> Contest:
        """Return the contest of a kind of pods."""
        # Pods of a StatefulSet, or an Indexed Job, have labels of their own: a contest for each
        # would ask about all pods there are. Soft constraints do not look at a pod's own labels.
        is_looked_at = shape.looks_at_itself or bool(self.state.termed)
        key = (shape.number, group.number if is_looked_at else 0)
        found = self._contests.get(key)
        if found is not None:
            self._contests.move_to_end(key)
            return found
        if shape.has_pod_terms:
            self.state.heeds_namespaces = True
        made = Contest(self.state, shape, group, self.profiles[shape.scheduler], self.extensions)
        if pinned_slot(self.state.columns, shape.nodes) is None:
            self._contests[key] = made
            if len(self._contests) > _CONTESTS_MAX:
                self._contests.popitem(last=False)
        return made

    def pinned(self, shape: Shape) -> Pinned | None:
        """Return the one node of a kind of pods that may be on no other; None: all are asked."""
        profile = self.profiles[shape.scheduler]
        name = named_node(shape, profile)
        if name is None or self.state.termed or any(one.concerns(shape) for one in self.extensions):
            return None
        return Pinned(self.state, shape, profile, self.state.columns.slot_of.get(name))

    def is_local(self, shape: Shape, group: Group) -> bool:
        """Whether a node's room for such pods depends on that node alone."""
        return self.pinned(shape) is not None or self.contest(shape, group).is_local

    def choose(self, pod: Waiting) -> int | None:
        """Return the slot of the node that a pod is to have; None: there is none for it."""
        pinned = self.pinned(pod.shape)
        if pinned is not None:
            return pinned.slot if pinned.is_feasible(pod.uid) else None
        contest = self.contest(pod.shape, pod.group)
        promised = self.state.nominated_slot(pod.uid)
        if promised is not None and contest.is_feasible(promised, despite=pod.uid):
            return promised
        found = contest.pick(self._cursor)
        if found is None:
            return None
        slot, self._cursor = found
        return slot

    def place(self, pod: Waiting, slot: int) -> Placed:
        """Take a pod for placed, before the API knows."""
        self.state.forget_nomination(pod.uid)
        placed = Placed(pod.uid, pod.key, slot, pod.shape, pod.group, pod.created)
        self.state.place(placed)
        self.assumed.add(pod.uid)
        for one in self.extensions:
            if one.concerns(pod.shape):
                one.reserve(pod.uid, pod.shape, slot)
        return placed

    def unplace(self, uid: str) -> bool:
        """Take back what was assumed; tell whether it still was."""
        if uid not in self.assumed:
            return False
        self.assumed.discard(uid)
        for one in self.extensions:
            one.release(uid)
        return self.state.remove(uid) is not None

    def settle(self, uid: str) -> None:
        """Take note that the API tells where a pod is, or that it is gone."""
        if uid in self.assumed:
            self.assumed.discard(uid)
            for one in self.extensions:
                one.settle(uid)

    def explain(self, pod: Waiting) -> Diagnosis:
        """Return why there is no node for a pod; the same for the next one like it."""
        pinned = self.pinned(pod.shape)
        if pinned is not None:
            return pinned.explain()
        contest = self.contest(pod.shape, pod.group)
        state, told = self.state, self._told
        now = (state.changed, state.columns.version)
        if self.extensions and any(one.concerns(pod.shape) for one in self.extensions):
            told = None  # what they know changes by itself
        if told is None or told.contest is not contest or (told.changed, told.version) != now:
            columns = state.columns
            diagnosis = diagnose(columns.valid[: columns.count], contest.checks())
            told = self._told = _Told(contest, *now, diagnosis)
        return told.diagnosis

    def has_node(self, pod: Waiting) -> bool:
        """Tell whether there would be a node for a pod now."""
        pinned = self.pinned(pod.shape)
        if pinned is not None:
            return pinned.is_feasible(pod.uid)
        contest = self.contest(pod.shape, pod.group)
        promised = self.state.nominated_slot(pod.uid)
        if promised is not None and contest.is_feasible(promised, despite=pod.uid):
            return True
        return contest.pick(self._cursor) is not None

    def moment(self, shape: Shape) -> Moment:
        """Return what all depends on that a pod's decision is made from."""
        state = self.state
        asked = [one for one in self.extensions if one.concerns(shape)]
        chances = tuple(one.chances(shape) for one in asked)
        news = tuple(one.news(shape) for one in asked)
        return Moment(state.columns.version, state.came, state.left, chances, news)

    def unblock(self, shape: Shape) -> str:
        """Do what else may help a pod without a node; return what it is told of that."""
        told = (one.unblock(shape) for one in self.extensions if one.concerns(shape))
        return ", ".join(filter(None, told))
