"""The node lifecycle controller (pkg/controller/nodelifecycle): its loops and what feeds them.

    leases ----------> Heartbeats --+
    nodes --> NodeBook -------------+--> Monitor, every few seconds --> TaintQueues, by zone
        +---> marks to be changed ----> workers: NoSchedule taints, labels      |
    pods of lost nodes ---------------> workers: not ready                      v
                                                              run_tainting: NoExecute, at a rate

All state is in the API but for when nodes were heard of, which begins anew with each process.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from controllers.nodes.book import NodeBrief
from controllers.nodes.heartbeats import LEASES, Heartbeats
from controllers.nodes.marks import needs_marks
from controllers.nodes.monitor import Monitor, Tools
from controllers.nodes.options import NodeOptions
from controllers.nodes.taints import NOT_READY, UNREACHABLE
from controllers.workloads.pods import PodBook, PodBrief
from controllers.workqueue import WorkQueue, run_worker
from kube.client import Unreachable
from kube.informers.informer import Informers
from kube.informers.relay import Relay
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_MARKERS: Final = 8
_POD_WORKERS: Final = 4
_TAINT_PERIOD_S: Final = 0.1
_FAILED_S: Final = 0.05
_LOST: Final = frozenset({"False", "Unknown"})
_log = logging.getLogger(__name__)


class NodeLifecycle:
    """See the module's head.

    Args of the constructor:
        tools: what it writes with, and where it looks; the book is fed already.
        options: grace periods and rates.
        pods: all pods in brief.
    """

    def __init__(self, tools: Tools, options: NodeOptions, pods: PodBook) -> None:
        self._clock = tools.client.clock
        self._options = options
        self._book = tools.book
        self._marks = tools.marks
        self._lost_pods = tools.lost_pods
        self._pods = pods
        self._to_mark: WorkQueue[str] = WorkQueue()
        self._lost: WorkQueue[str] = WorkQueue()
        self._leases: Relay | None = None
        self._leases_told = asyncio.Event()
        self.heartbeats = Heartbeats(self._clock)
        self.monitor = Monitor(tools, options, self.heartbeats)
        self._book.listen(self._observe)
        pods.listen(self._observe_pod)

    def watch_leases(self, informers: Informers) -> None:
        """Take note of leases by a watch that keeps nothing else of them."""
        self._leases = informers.relay(LEASES)
        self._leases_told = self._leases.join(self.heartbeats)

    def start(self, scope: TaskScope) -> None:
        """Start the loops, once all informers are synced."""
        if self._leases is not None:
            self._leases.start(scope)
        for briefs in self._book.slices():
            for brief in briefs:
                # Who lost them may have been ended before it marked all of their pods.
                if brief.ready in _LOST:
                    self.monitor.mark_later(brief.name)
        for number in range(_MARKERS):
            worker = run_worker(self._to_mark, self._reconcile)
            scope.spawn(worker, name=f"marks of nodes {number}")
        for number in range(_POD_WORKERS):
            scope.spawn(run_worker(self._lost, self._mark_pod), name=f"pods of lost nodes {number}")
        scope.spawn(self.run_monitor(), name="node monitor")
        scope.spawn(self.run_tainting(), name="node tainting")

    def _observe(self, old: NodeBrief | None, new: NodeBrief | None, node: JsonObject) -> None:
        name = node["metadata"]["name"]
        self.heartbeats.observe(old, new, name)
        if new is None:
            self.monitor.forget(name)
        elif needs_marks(node):
            self._to_mark.add(name)

    async def _reconcile(self, name: str) -> None:
        await self._marks.reconcile(name)

    def _observe_pod(self, old: PodBrief | None, new: PodBrief | None) -> None:
        """Have a pod marked that came to a node that is lost already."""
        if new is None or not new.node or new.ready_s is None:
            return
        if old is not None and old.node == new.node:
            return
        node = self._book.get(new.node)
        if node is not None and node.ready in _LOST:
            self._lost.add(new.key)

    async def _mark_pod(self, key: str) -> None:
        pod = self._pods.get(key)
        node = self._book.get(pod.node) if pod is not None else None
        if pod is not None and node is not None and node.ready in _LOST:
            await self._lost_pods.mark(key, pod.node)

    async def run_monitor(self) -> None:
        """Make a pass every few seconds, until cancelled."""
        if self._leases is not None:
            await self._leases_told.wait()
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await self.monitor.look()
            except Exception:  # noqa: BLE001 - logged with its traceback; the next pass follows
                _log.exception("a pass over all nodes fails")
            passed_s = self._clock.monotonic_s() - started_s
            await self._clock.sleep(max(_TAINT_PERIOD_S, self._options.monitor_period_s - passed_s))

    async def run_tainting(self) -> None:
        """Give lost nodes their NoExecute taint, at the rate of their zones, until cancelled."""
        while True:
            for zone in list(self.monitor.zones.queues):
                try:
                    await self._taint_next(zone)
                except Exception:  # noqa: BLE001 - logged; one zone must not hold up others
                    _log.exception("nodes of zone %r are not tainted", zone)
            await self._clock.sleep(_TAINT_PERIOD_S)

    async def _taint_next(self, zone: str) -> None:
        """Taint nodes of a zone for as long as its rate lets them."""
        queues = self.monitor.zones.queues
        while (queue := queues.get(zone)) is not None:
            name = queue.take(self._clock.monotonic_s())
            if name is None:
                return
            brief = self._book.get(name)
            if brief is None or brief.ready == "True":
                queue.done(name)
                continue
            is_unready = brief.ready == "False"
            add, remove = (NOT_READY, UNREACHABLE) if is_unready else (UNREACHABLE, NOT_READY)
            try:
                await self._marks.swap_taints(name, (add,), (remove,))
            except (StatusError, Unreachable) as error:
                _log.warning("node %s is not tainted, again later: %s", name, error)
                queue.again(name, self._clock.monotonic_s() + _FAILED_S)
            else:
                queue.done(name)
            await asyncio.sleep(0)
