"""The taint eviction controller (pkg/controller/tainteviction): NoExecute taints and who must go.

Pods of a tainted node are looked at when its taints change and when they change themselves; those
of nodes without such taints cost one look-up for each change. How long a pod has been tolerated is
known to this process alone: after a restart its time begins anew, as upstream's does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson

from controllers.nodes.book import NodeBook, NodeBrief
from controllers.nodes.evictions import Evictions
from controllers.nodes.lost_pods import NODE_INDEX
from controllers.nodes.taints import Taint, tolerated_s
from controllers.workqueue import WorkQueue, run_worker
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from runtime.clock import Clock
from runtime.tasks import TaskScope

_WORKERS: Final = 8
_SLICE: Final = 32
_DECIDING: Final = ("nodeName", "tolerations")


class TaintEviction:
    """See the module's head.

    Args of the constructor:
        clock: whose time counts.
        evictions: does what is decided.
        book: all nodes in brief.
        pods: indexed by NODE_INDEX.
    """

    def __init__(self, clock: Clock, evictions: Evictions, book: NodeBook, pods: Informer) -> None:
        self._clock = clock
        self._evictions = evictions
        self._book = book
        self._pods = pods.store
        self._tainted: dict[str, tuple[Taint, ...]] = {}
        self._nodes: WorkQueue[str] = WorkQueue()
        book.listen(self._observe_node)
        pods.on_changes(self._observe_pods)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all informers are synced."""
        for number in range(_WORKERS):
            worker = run_worker(self._nodes, self.handle_node)
            scope.spawn(worker, name=f"taints of nodes {number}")
        self._evictions.start(scope)

    def _observe_node(self, old: NodeBrief | None, new: NodeBrief | None, _node: object) -> None:
        brief = new or old
        if brief is None:
            return
        taints = new.no_execute if new is not None else ()
        # At once, so that a pod that comes meanwhile is judged by them.
        before = self._tainted.pop(brief.name, ())
        if taints:
            self._tainted[brief.name] = taints
        if taints != before and new is not None:
            self._nodes.add(brief.name)

    def _observe_pods(self, deltas: Sequence[Delta]) -> None:
        for change, key, pod, before in deltas:
            if change is Change.DELETED:
                self._evictions.cancel(key)
                continue
            taints = self._tainted.get(pod["spec"].get("nodeName", ""))
            if taints is None:
                continue
            if not before or _decides_anew(orjson.loads(before), pod):
                self.judge(key, pod, taints)

    async def handle_node(self, name: str) -> None:
        """Look at all pods of a node, some at a time."""
        brief = self._book.get(name)
        if brief is None:
            return
        keys = self._pods.keys(NODE_INDEX, name)
        for at in range(0, len(keys), _SLICE):
            if at:
                await asyncio.sleep(0)
            taints = self._tainted.get(name, ())
            for key in keys[at : at + _SLICE]:
                if not taints:
                    self._evictions.cancel(key)
                elif (pod := self._pods.get(key)) is not None:
                    self.judge(key, pod, taints)

    def judge(self, key: str, pod: JsonObject, taints: Sequence[Taint]) -> None:
        """Plan a pod's deletion, move it, or let the pod be (processPodOnNode)."""
        evictions, now_s = self._evictions, self._clock.monotonic_s()
        left_s = tolerated_s(pod["spec"].get("tolerations") or (), taints)
        if left_s is None:
            evictions.cancel(key)
            return
        uid, planned = pod["metadata"]["uid"], evictions.planned(key)
        if left_s <= 0:
            evictions.cancel(key)
            if "deletionTimestamp" not in pod["metadata"]:
                evictions.plan(key, uid, now_s)
            return
        if planned is not None and planned.uid == uid:
            # Its time runs already, and goes on to: what it was told first holds.
            return
        evictions.plan(key, uid, now_s + left_s)


def _decides_anew(before: JsonObject, now: JsonObject) -> bool:
    """Tell whether what decides about a pod has changed: where it is, and what it tolerates."""
    return any(before["spec"].get(name) != now["spec"].get(name) for name in _DECIDING)
