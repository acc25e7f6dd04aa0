"""What the watches tell, taken into the state and the queue.

What the API says wins over what was assumed: a pod that is bound elsewhere is moved, one that is
gone or finished gives its room back. A pod whose binding is under way is left alone until it is
told bound, or the binding has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from controllers.scheduler.engine import Engine
from controllers.scheduler.gangs import Gangs
from controllers.scheduler.queue import PodQueue, Waiting
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.state import Placed
from controllers.scheduler.terms import Spread
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject

SCHEDULED: Final = "PodScheduled"
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
Wake = Callable[[], None]
Defaults = Callable[[JsonObject], tuple[Spread, ...]]


class Intake:
    """See the module's head.

    Args of the constructor:
        engine, queue, gangs: what is kept up to date.
        defaults: gives the spread constraints of a pod that has none.
        wake: called when there may be something to decide.
    """

    def __init__(
        self, engine: Engine, queue: PodQueue, gangs: Gangs, defaults: Defaults, wake: Wake
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._gangs = gangs
        self._defaults = defaults
        self._wake = wake

    def take_nodes(self, deltas: Sequence[Delta]) -> None:
        """Take changes of nodes."""
        state = self._engine.state
        changed = False
        for delta in deltas:
            if delta.change is Change.DELETED:
                state.drop_node(delta.key)
                changed = True
            else:
                changed |= state.put_node(delta.object)
        if changed:
            self._wake()

    def take_namespaces(self, deltas: Sequence[Delta]) -> None:
        """Take changes of namespaces' labels."""
        for delta in deltas:
            labels = delta.object["metadata"].get("labels") or {}
            gone = delta.change is Change.DELETED
            self._engine.state.put_namespace(delta.key, None if gone else labels)
        self._wake()

    def take_pods(self, deltas: Sequence[Delta]) -> None:
        """Take changes of pods."""
        for delta in deltas:
            pod = delta.object
            uid = pod["metadata"]["uid"]
            phase = (pod.get("status") or {}).get("phase")
            if delta.change is Change.DELETED or phase in _FINISHED:
                self._forget(uid)
                self._gangs.gone(_gang_of(pod), uid)
            elif pod["spec"].get("nodeName"):
                self._take_bound(delta.key, pod)
            elif uid not in self._engine.state.placed:
                self._take_waiting(delta.key, pod)
        self._wake()

    def _forget(self, uid: str) -> None:
        self._queue.remove(uid)
        self._engine.state.forget_nomination(uid)
        if not self._engine.unplace(uid):
            self._engine.state.remove(uid)

    def _take_bound(self, key: str, pod: JsonObject) -> None:
        engine, metadata = self._engine, pod["metadata"]
        uid = metadata["uid"]
        self._queue.remove(uid)
        engine.settle(uid)
        self._gangs.placed(_gang_of(pod), uid)
        slot = engine.state.columns.slot(pod["spec"]["nodeName"])
        known = engine.state.placed.get(uid)
        group = engine.shapes.group_of(metadata)
        # A default constraint is of no matter once the pod has its node.
        shape = engine.shapes.of(pod, _default_of(known, pod))
        if known is not None:
            if (known.slot, known.shape, known.group) == (slot, shape, group):
                return
            engine.state.remove(uid)
            slot = engine.state.columns.slot(pod["spec"]["nodeName"])
        engine.state.forget_nomination(uid)
        started = (pod.get("status") or {}).get("startTime") or metadata.get("creationTimestamp")
        engine.state.place(Placed(uid, key, slot, shape, group, started or ""))

    def _take_waiting(self, key: str, pod: JsonObject) -> None:
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        name = spec.get("schedulerName") or DEFAULT_SCHEDULER
        if name not in self._engine.profiles or pod["metadata"].get("deletionTimestamp"):
            self._queue.remove(uid)
            self._engine.state.forget_nomination(uid)
            self._gangs.gone(_gang_of(pod), uid)
            return
        seen = self.read(key, pod)
        known = self._queue.pods.get(uid)
        is_same = known is not None and (known.shape, known.group, known.has_gates) == (
            seen.shape,
            seen.group,
            seen.has_gates,
        )
        if known is not None and is_same:
            self._queue.refresh(known, seen)
            return
        if seen.nominated and self._engine.state.nominated_slot(uid) is None:
            slot = self._engine.state.columns.slot_of.get(seen.nominated)
            if slot is not None:
                self._engine.state.nominate(
                    Placed(uid, key, slot, seen.shape, seen.group, seen.created)
                )
        seen.is_gated = not self._gangs.put(seen) or seen.has_gates
        self._queue.add(seen)

    def read(self, key: str, pod: JsonObject) -> Waiting:
        """Return a pod that has no node as the queue keeps it."""
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
        default: tuple[Spread, ...] = ()
        if not spec.get("topologySpreadConstraints"):
            default = self._defaults(pod)
        told, told_status = ("", ""), ""
        for condition in status.get("conditions") or ():
            if condition.get("type") == SCHEDULED:
                told = (condition.get("reason", ""), condition.get("message", ""))
                told_status = condition.get("status", "")
        namespace = metadata.get("namespace", "")
        shape = self._engine.shapes.of(pod, default)
        return Waiting(
            uid=metadata["uid"],
            key=key,
            shape=shape,
            group=self._engine.shapes.group_of(metadata),
            reference={
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            created=metadata.get("creationTimestamp", ""),
            generation=int(metadata.get("generation") or 0),
            told=told,
            told_status=told_status,
            nominated=status.get("nominatedNodeName", ""),
            gang=_gang_of(pod),
            # Claims that are made for a pod are waited for as gates are (PreEnqueue).
            has_gates=bool(spec.get("schedulingGates"))
            or any(name is None for name, _ in shape.claims),
        )


def _gang_of(pod: JsonObject) -> str:
    name = (pod["spec"].get("schedulingGroup") or {}).get("podGroupName")
    return f"{pod['metadata'].get('namespace', '')}/{name}" if name else ""


def _default_of(known: Placed | None, pod: JsonObject) -> tuple[Spread, ...]:
    if known is None or pod["spec"].get("topologySpreadConstraints"):
        return ()
    return known.shape.spreads
