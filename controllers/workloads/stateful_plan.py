"""Which of a StatefulSet's pods are made, waited for and deleted: decisions, nothing else.

Upstream's stateful_set_control.go. Ordered sets go one pod at a time: upwards as each is available,
downwards as all are; parallel ones do not wait. Of an update, at most `maxUnavailable` pods are
missing at a time; in a parallel set old pods that do not work are replaced beyond that, as they are
no loss (and else a broken revision would keep what mends it from coming).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from controllers.workloads.pods import PodBrief
from controllers.workloads.rollout_math import scaled
from controllers.workloads.stateful_identity import ordinal_of, revision_of
from kube.json_types import JsonObject

_DONE: Final = ("Failed", "Succeeded")


class Layout(NamedTuple):
    """What a set asks for.

    Attributes:
        start: the first ordinal.
        replicas: how many pods.
        partition: of these, so many stay as they are in an update.
        unavailable_max: how many may be missing in an update.
        is_ordered: whether pods wait for each other.
        min_ready_s: how long a pod is ready until it is available.
        is_rolling: whether pods are replaced in an update, or only made anew when deleted.
    """

    start: int
    replicas: int
    partition: int
    unavailable_max: int
    is_ordered: bool
    min_ready_s: int
    is_rolling: bool

    def has(self, ordinal: int) -> bool:
        """Tell whether the set is to have a pod of this ordinal."""
        return self.start <= ordinal < self.start + self.replicas


class Slots(NamedTuple):
    """A set's pods where they belong.

    Attributes:
        replicas: from the first ordinal on, None where there is no pod.
        condemned: pods that are more than are wanted, the highest ordinal first.
    """

    replicas: list[PodBrief | None]
    condemned: list[PodBrief]


class Need(Enum):
    """What a place in a set needs."""

    NOTHING = auto()
    A_POD = auto()
    NO_POD = auto()
    """What is there has ended and is to be deleted."""
    TIME = auto()


def layout_of(stateful_set: JsonObject) -> Layout:
    """Return what a set asks for."""
    spec = stateful_set["spec"]
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    replicas = int(spec.get("replicas", 1))
    unavailable = rolling.get("maxUnavailable")
    return Layout(
        start=int((spec.get("ordinals") or {}).get("start", 0)),
        replicas=replicas,
        partition=int(rolling.get("partition", 0)),
        unavailable_max=max(1, scaled(unavailable, replicas, up=False)),
        is_ordered=spec.get("podManagementPolicy") != "Parallel",
        min_ready_s=int(spec.get("minReadySeconds", 0)),
        is_rolling=strategy.get("type", "RollingUpdate") == "RollingUpdate",
    )


def arrange(set_name: str, pods: Iterable[PodBrief], layout: Layout) -> Slots:
    """Put a set's pods where they belong; those that are no members are left out."""
    replicas: list[PodBrief | None] = [None] * layout.replicas
    condemned: list[tuple[int, PodBrief]] = []
    for pod in pods:
        ordinal = ordinal_of(set_name, pod.name)
        if layout.has(ordinal):
            replicas[ordinal - layout.start] = pod
        elif ordinal >= 0:
            condemned.append((ordinal, pod))
    condemned.sort(key=lambda one: one[0], reverse=True)
    return Slots(replicas, [pod for _, pod in condemned])


def is_ready(pod: PodBrief) -> bool:
    """Tell whether a pod runs and is ready."""
    return pod.phase == "Running" and pod.ready_s is not None


def is_missing(pod: PodBrief | None, layout: Layout, now_s: float) -> bool:
    """Tell whether a place has no available pod, or one that is going."""
    return pod is None or pod.is_deleting or not pod.is_available(layout.min_ready_s, now_s)


def need_of(pod: PodBrief | None, layout: Layout, now_s: float) -> Need:
    """Return what a place needs before the next one's turn."""
    if pod is None:
        return Need.A_POD
    if pod.phase in _DONE:
        # However it ended: a pod that was evicted has ended, too.
        return Need.TIME if pod.is_deleting else Need.NO_POD
    if not layout.is_ordered:
        return Need.NOTHING
    is_waited_for = (
        pod.is_deleting or not is_ready(pod) or not pod.is_available(layout.min_ready_s, now_s)
    )
    return Need.TIME if is_waited_for else Need.NOTHING


def surplus(slots: Slots, layout: Layout, now_s: float) -> tuple[list[PodBrief], bool]:
    """Return which condemned pods go now, and whether that is all for now."""
    if not layout.is_ordered:
        return [pod for pod in slots.condemned if not pod.is_deleting], False
    if not slots.condemned:
        return [], False
    highest = slots.condemned[0]
    if highest.is_deleting:
        return [], True
    works = is_ready(highest) and highest.is_available(layout.min_ready_s, now_s)
    if not works and highest is not _first_missing(slots, layout, now_s):
        return [], True
    return [highest], True


def _first_missing(slots: Slots, layout: Layout, now_s: float) -> PodBrief | None:
    """Return the first pod that is not available; None if its place is empty."""
    for pod in (*slots.replicas, *reversed(slots.condemned)):
        if is_missing(pod, layout, now_s):
            return pod
    return None


def outdated(slots: Slots, layout: Layout, update: str, now_s: float) -> list[PodBrief]:
    """Return which pods are deleted now, to be made anew by the update's revision.

    Args:
        slots: where each pod is.
        layout: what the set asks for.
        update: name of the revision.
        now_s: seconds since the epoch.
    """
    if not layout.is_rolling:
        return []
    missing = sum(is_missing(pod, layout, now_s) for pod in slots.replicas)
    room = layout.unavailable_max - missing
    old = [
        pod
        for pod in reversed(slots.replicas[layout.partition :])
        if pod is not None and not pod.is_deleting and revision_of(pod) != update
    ]
    if layout.is_ordered:
        return old[: max(0, room)]
    broken = [pod for pod in old if not pod.is_available(layout.min_ready_s, now_s)]
    working = [pod for pod in old if pod.is_available(layout.min_ready_s, now_s)]
    return broken + working[: max(0, room)]


def uses_current(ordinal: int, layout: Layout) -> bool:
    """Tell whether a pod that is made now is still made by the current revision."""
    return layout.is_rolling and ordinal < layout.start + layout.partition


def status_of_pods(
    pods: Sequence[PodBrief], layout: Layout, revisions: tuple[str, str], now_s: float
) -> JsonObject:
    """Return the counts of a set's status.

    Args:
        pods: all of the set.
        layout: what it asks for.
        revisions: names of the current one and of the update's.
        now_s: seconds since the epoch.
    """
    ready = [pod for pod in pods if is_ready(pod)]
    made_by = [revision_of(pod) for pod in pods if pod.phase and not pod.is_deleting]
    current, update = revisions
    return {
        "replicas": sum(bool(pod.phase) for pod in pods),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pod.is_available(layout.min_ready_s, now_s) for pod in ready),
        "currentReplicas": made_by.count(current),
        "updatedReplicas": made_by.count(update),
    }


def complete(status: JsonObject, layout: Layout) -> None:
    """Make the update's revision the current one if all pods are of it and ready, in place."""
    names = ("updatedReplicas", "readyReplicas", "replicas")
    if layout.is_rolling and all(status[name] == layout.replicas for name in names):
        status["currentReplicas"] = status["updatedReplicas"]
        status["currentRevision"] = status["updateRevision"]
