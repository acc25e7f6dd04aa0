"""What there is of each group, in little memory: its pods, and the StatefulSet of its workers.

Fed by the informers of pods and of StatefulSets; only what has the label of a set is looked at. A
sync of a set of a thousand groups decodes no object of theirs. Invariant: a group is here as long
as it has anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from controllers.leader_workers import names
from controllers.leader_workers.names import labels_of, revision_of
from controllers.leader_workers.rollout import MISSING, GroupState
from controllers.workloads.pods import Owner, condition_of, controller_of
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

_STARTED = ("Running", "Pending")


class Member(NamedTuple):
    """A pod of a group.

    Attributes:
        revision: the key of what it was made by.
        is_ready: whether its condition says so.
        has_restarted: whether any of its containers was started more than once.
        node: where it runs, "" as long as it has no node.
    """

    name: str
    uid: str
    revision: str
    phase: str
    is_ready: bool
    has_restarted: bool
    is_going: bool
    node: str
    owner: Owner | None

    @property
    def works(self) -> bool:
        """Whether it runs and is ready."""
        return self.phase == "Running" and self.is_ready

    @property
    def has_failed(self) -> bool:
        """Whether it is one for which a group is made anew."""
        return self.is_going or (self.has_restarted and self.phase in _STARTED)


class Workers(NamedTuple):
    """The StatefulSet of a group's workers."""

    uid: str
    revision: str
    is_ready: bool
    owner: Owner | None


@dataclass(slots=True)
class Group:
    """See the module's head.

    Attributes:
        leader: None: there is none.
        members: all pods by name, the leader among them.
        workers: None: there are none.
    """

    leader: Member | None = None
    members: dict[str, Member] = field(default_factory=dict)
    workers: Workers | None = None

    def state(self, size: int, revision: str) -> GroupState:
        """Return how the group is; without its leader or its workers it is not there."""
        leader, workers = self.leader, self.workers
        if leader is None:
            return MISSING
        if size == 1:
            return GroupState(leader.works, leader.revision == revision)
        if workers is None:
            return MISSING
        is_updated = leader.revision == workers.revision == revision
        return GroupState(leader.works and workers.is_ready, is_updated)


GroupKey = tuple[str, int]
"""A group: "namespace/name" of its set, and its index."""


class GroupBook:
    """See the module's head.

    Args of the constructor:
        group_changed: called with a group that is to be looked at.
        set_changed: called with the key of a set that is to be looked at.
    """

    def __init__(
        self, group_changed: Callable[[GroupKey], None], set_changed: Callable[[str], None]
    ) -> None:
        self._group_changed = group_changed
        self._set_changed = set_changed
        self._groups: dict[str, dict[int, Group]] = {}

    def groups(self, key: str) -> Mapping[int, Group]:
        """Return a set's groups by their indexes."""
        return self._groups.get(key, {})

    def group(self, key: GroupKey) -> Group | None:
        """Return a group."""
        return self._groups.get(key[0], {}).get(key[1])

    def take_pods(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes of pods."""
        for delta in deltas:
            obj = delta.object
            if (place := _place(obj)) is not None:
                member = None if delta.change is Change.DELETED else read_member(obj)
                is_leader = labels_of(obj).get(names.WORKER_INDEX) == "0"
                self._put_pod(place, obj["metadata"]["name"], member, is_leader=is_leader)

    def _put_pod(
        self, place: GroupKey, name: str, member: Member | None, *, is_leader: bool
    ) -> None:
        group = self._group(place)
        before = group.members.get(name)
        if member == before:
            return
        if member is None:
            del group.members[name]
        else:
            group.members[name] = member
        if is_leader:
            group.leader = member
            self._set_changed(place[0])
        self._tidy(place, group)
        if is_leader or (member is not None and member.has_failed):
            self._group_changed(place)

    def take_sets(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes of StatefulSets."""
        for delta in deltas:
            obj = delta.object
            labels = labels_of(obj)
            if names.NAME not in labels:
                continue
            key = f"{obj['metadata']['namespace']}/{labels[names.NAME]}"
            place = _place(obj)
            if place is None:
                self._set_changed(key)  # that of the leaders
                continue
            group = self._group(place)
            workers = None if delta.change is Change.DELETED else read_workers(obj)
            if workers != group.workers:
                group.workers = workers
                self._set_changed(key)
                self._tidy(place, group)
                if workers is None:
                    self._group_changed(place)

    def _group(self, place: GroupKey) -> Group:
        return self._groups.setdefault(place[0], {}).setdefault(place[1], Group())

    def _tidy(self, place: GroupKey, group: Group) -> None:
        if not group.members and group.workers is None:
            groups = self._groups[place[0]]
            del groups[place[1]]
            if not groups:
                del self._groups[place[0]]


def _place(obj: JsonObject) -> GroupKey | None:
    """Return the group that an object says it is of."""
    labels = obj["metadata"].get("labels")
    if not labels or names.NAME not in labels:
        return None
    index = labels.get(names.GROUP_INDEX, "")
    if not (index.isascii() and index.isdigit()):
        return None
    return f"{obj['metadata']['namespace']}/{labels[names.NAME]}", int(index)


def read_member(pod: JsonObject) -> Member:
    """Return what is kept of a pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ready = condition_of(pod, "Ready")
    restarts = (
        one.get("restartCount", 0)
        for part in ("initContainerStatuses", "containerStatuses")
        for one in status.get(part) or ()
    )
    return Member(
        name=metadata["name"],
        uid=metadata["uid"],
        revision=revision_of(pod),
        phase=status.get("phase", ""),
        is_ready=ready is not None and ready.get("status") == "True",
        has_restarted=any(restarts),
        is_going="deletionTimestamp" in metadata,
        node=pod["spec"].get("nodeName", ""),
        owner=controller_of(pod),
    )


def read_workers(stateful_set: JsonObject) -> Workers:
    """Return what is kept of a StatefulSet of workers."""
    status = stateful_set.get("status") or {}
    is_ready = stateful_set["spec"].get("replicas", 1) == status.get(
        "availableReplicas", 0
    ) and status.get("currentRevision", "") == status.get("updateRevision", "")
    return Workers(
        stateful_set["metadata"]["uid"],
        revision_of(stateful_set),
        is_ready,
        controller_of(stateful_set),
    )
