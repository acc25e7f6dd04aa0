"""What the scheduler believes: nodes, the pods on them (bound, or about to be), and what changed.

Whoever keeps conclusions (`contest.py`) reads on in `changes` from where it was; the log keeps the
last 65,536, and whoever is farther behind begins anew.

Invariants:
    - `columns.used` and its like are the sums over `placed`, and `groups` and `termed` count them.
    - A pod is placed once. What the API says of it wins over what was assumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from controllers.scheduler.columns import Ints, NodeColumns
from controllers.scheduler.presences import Presence, Presences
from controllers.scheduler.resources import PODS
from controllers.scheduler.shapes import Group, Port, Shape
from controllers.scheduler.terms import PodTerm
from kube.json_types import JsonObject

_CHANGES_MAX: Final = 65_536


class Placed(NamedTuple):
    """A pod on a node.

    Attributes:
        key: "namespace/name".
        started: when it was created or started, as text: the later the younger.
    """

    uid: str
    key: str
    slot: int
    shape: Shape
    group: Group
    started: str = ""


class Moved(NamedTuple):
    """A pod came (sign 1) or went (-1); without a shape, something else about the node did."""

    slot: int
    shape: Shape | None = None
    group: Group | None = None
    sign: int = 0


class ClusterState:
    """See the module's head.

    Attributes:
        changed: how many changes were logged.
        came, left: how many of them are pods that came, and how many may leave room.
        heeds_namespaces: whether terms of pods that wait may select by labels of namespaces.
        on_claims: told of pods with volumes or device claims that come (1) or go (-1).
    """

    def __init__(self, seed: int = 0) -> None:
        self.columns = NodeColumns(seed)
        self.placed: dict[str, Placed] = {}
        self.pods_of: dict[int, dict[str, Placed]] = {}
        self.groups = Presences()
        self.termed: dict[tuple[int, int], Presence] = {}
        self.ports: dict[int, dict[Port, int]] = {}
        self.by_priority: dict[int, dict[str, Ints]] = {}
        self.nominated: dict[int, dict[str, Placed]] = {}
        self.namespaces: dict[str, dict[str, str]] = {}
        self.on_claims: list[Callable[[Placed, int], None]] = []
        self.changed = 0
        self.heeds_namespaces = False
        self.came = self.left = 0
        self._changes: deque[Moved] = deque(maxlen=_CHANGES_MAX)
        self._nominated_at: dict[str, int] = {}
        self._of_priority: dict[int, int] = {}

    def since(self, position: int) -> list[Moved] | None:
        """Return the changes from a position on; None: they are not known any more."""
        behind = self.changed - position
        if behind > len(self._changes):
            return None
        if not behind:
            return []
        return list(islice(reversed(self._changes), behind))[::-1]

    def put_node(self, node: JsonObject) -> bool:
        """Take a node as it is now; tell whether that changes anything."""
        return self.columns.put(node)[1]

    def drop_node(self, name: str) -> None:
        """Forget a node, and what room was kept there."""
        slot = self.columns.drop(name)
        if slot is not None:
            for uid in list(self.nominated.get(slot, {})):
                self.forget_nomination(uid)

    def place(self, pod: Placed) -> None:
        """Put a pod on its node."""
        assert pod.uid not in self.placed, pod.key
        self.placed[pod.uid] = pod
        self.pods_of.setdefault(pod.slot, {})[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, uid: str) -> Placed | None:
        """Take a pod from its node."""
        pod = self.placed.pop(uid, None)
        if pod is None:
            return None
        there = self.pods_of[pod.slot]
        del there[uid]
        if not there:
            del self.pods_of[pod.slot]
        self._count(pod, -1)
        self.columns.release(pod.slot)
        return pod

    def lift(self, pod: Placed) -> None:
        """Reckon for a moment as if a pod were not there; `restore` has to follow."""
        self.columns.add_pod(pod.slot, pod.shape.requests, pod.shape.nonzero, -1)
        if pod.shape.ports:
            self._count_ports(pod, -1)

    def restore(self, pod: Placed) -> None:
        """Reckon with a pod again."""
        self.columns.add_pod(pod.slot, pod.shape.requests, pod.shape.nonzero, 1)
        if pod.shape.ports:
            self._count_ports(pod, 1)

    def nominate(self, pod: Placed) -> None:
        """Keep room on a node for a pod, from those that are not more important."""
        self.forget_nomination(pod.uid)
        self.nominated.setdefault(pod.slot, {})[pod.uid] = pod
        self._nominated_at[pod.uid] = pod.slot
        self._log(Moved(pod.slot))

    def forget_nomination(self, uid: str) -> int | None:
        """Keep no room any more; return the slot where it was kept."""
        slot = self._nominated_at.pop(uid, None)
        if slot is None:
            return None
        there = self.nominated[slot]
        del there[uid]
        if not there:
            del self.nominated[slot]
        self._log(Moved(slot))
        return slot

    def promise(self, uid: str) -> Placed | None:
        """Return the room that is kept for a pod."""
        slot = self._nominated_at.get(uid)
        return None if slot is None else self.nominated[slot][uid]

    def nominated_slot(self, uid: str) -> int | None:
        """Return where room is kept for a pod."""
        return self._nominated_at.get(uid)

    def put_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """Take a namespace's labels; None: it is gone."""
        if self.namespaces.get(name) != labels:
            if labels is None:
                self.namespaces.pop(name, None)
            else:
                self.namespaces[name] = labels
            if self.termed or self.heeds_namespaces:
                self.columns.version += 1

    def selects(self, term: PodTerm, group: Group) -> bool:
        """Tell whether a term is about pods of a group."""
        if group.namespace not in term.namespaces:
            others = term.of_namespaces
            if others is None:
                return False
            if not others.is_empty and not others.matches(self.namespaces.get(group.namespace)):
                return False
        return term.selector.matches(dict(group.labels))

    def _count(self, pod: Placed, sign: int) -> None:
        shape, slot = pod.shape, pod.slot
        self.columns.add_pod(slot, shape.requests, shape.nonzero, sign)
        self._count_priority(shape, slot, sign)
        self.groups.count(pod.group, slot, sign)
        if shape.has_pod_terms:
            self._count_terms(pod, sign)
        if shape.ports:
            self._count_ports(pod, sign)
        if shape.volumes or shape.claims:
            for tell in self.on_claims:
                tell(pod, sign)
        self._log(Moved(slot, shape, pod.group, sign))

    def _count_priority(self, shape: Shape, slot: int, sign: int) -> None:
        columns = self.by_priority.get(shape.priority)
        if columns is None:
            columns = self.by_priority[shape.priority] = {}
        left = self._of_priority.get(shape.priority, 0) + sign
        self._of_priority[shape.priority] = left
        if not left:
            del self.by_priority[shape.priority], self._of_priority[shape.priority]
            return
        room = len(self.columns.pods)
        for name, amount in ((PODS, 1), *shape.requests.items()):
            column = columns.get(name)
            if column is None or len(column) < room:
                grown = np.zeros(room, np.int64)
                if column is not None:
                    grown[: len(column)] = column
                column = columns[name] = grown
            column[slot] += sign * amount

    def _count_terms(self, pod: Placed, sign: int) -> None:
        key = (pod.group.number, pod.shape.number)
        presence = self.termed.get(key)
        if presence is None:
            presence = self.termed[key] = Presence(pod.shape, pod.group)
        presence.add(pod.slot, sign)
        if not presence.counts:
            del self.termed[key]

    def _count_ports(self, pod: Placed, sign: int) -> None:
        taken = self.ports.setdefault(pod.slot, {})
        for port in pod.shape.ports:
            left = taken.get(port, 0) + sign
            if left > 0:
                taken[port] = left
            else:
                taken.pop(port, None)
        if not taken:
            del self.ports[pod.slot]

    def _log(self, moved: Moved) -> None:
        self._changes.append(moved)
        self.changed += 1
        if moved.sign > 0:
            self.came += 1
        else:
            self.left += 1

    def check(self) -> None:
        """Assert the invariants; for tests."""
        columns = self.columns
        pods = np.zeros(len(columns.pods), np.int64)
        used = {name: np.zeros(len(pods), np.int64) for name in columns.used}
        for pod in self.placed.values():
            pods[pod.slot] += 1
            for name, amount in pod.shape.requests.items():
                used[name][pod.slot] += amount
        assert (pods == columns.pods).all()
        for name, column in used.items():
            assert (column == columns.used[name]).all(), name
        assert sum(len(there) for there in self.pods_of.values()) == len(self.placed)
        counted = sum(sum(one.counts.values()) for one in self.groups)
        assert counted == len(self.placed)
        self.groups.check()
