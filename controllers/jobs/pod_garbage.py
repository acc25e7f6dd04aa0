"""The collector of pods that nobody else ends (pkg/controller/podgc).

Every PERIOD_S it ends, without grace: pods that have terminated, beyond the newest TERMINATED_MAX
(evicted ones first, then the oldest); pods being deleted on a node that is out of service; pods of
nodes that do not exist, if they still do not QUARANTINE_S after that was first seen, and the pod is
as old; pods being deleted that never had a node. A pod that had not ended is marked as failed
before.

What it looks for is noted as pods change: a pass over all pods is made only when a node is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from controllers.jobs.pod_work import each
from controllers.pod_gc import absent_nodes, delete_now
from controllers.workloads.claims import pod_path
from controllers.workloads.pods import PodBook, PodBrief, condition_of
from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

PERIOD_S: Final = 20.0
QUARANTINE_S: Final = 40.0
TERMINATED_MAX: Final = 12_500
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_ALIVE: Final = frozenset({"Pending", "Running", "Unknown"})
_STEP: Final = 2_000
"""So many pods are passed over between two turns of the event loop."""
_log = logging.getLogger(__name__)


class _Node(NamedTuple):
    is_ready: bool
    is_out_of_service: bool


class PodCollector:
    """See the module's head.

    Args of the constructor:
        client: who deletes.
        briefs: all pods.
        pods: the informer of pods.
        nodes: the informer of nodes.
        terminated_max: so many terminated pods may stay; 0: all.
    """

    def __init__(
        self,
        client: ApiClient,
        briefs: PodBook,
        pods: Informer,
        nodes: Informer,
        terminated_max: int = TERMINATED_MAX,
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._briefs = briefs
        self._pods = pods.store
        self._terminated_max = terminated_max
        self._terminated: set[str] = set()
        self._deleting: set[str] = set()
        self._on_node: Counter[str] = Counter()
        self._nodes: dict[str, _Node] = {}
        self._quarantine: dict[str, float] = {}
        briefs.listen(self._observe)
        nodes.on_each(self._observe_node)

    def start(self, scope: TaskScope) -> None:
        """Start to collect, once all watches are synced."""
        scope.spawn(self._run(), name="pod garbage")

    def _observe(self, old: PodBrief | None, new: PodBrief | None) -> None:
        if old is not None and old.node and (new is None or new.node != old.node):
            self._on_node[old.node] -= 1
            if not self._on_node[old.node]:
                del self._on_node[old.node]
        if new is None:
            assert old is not None
            self._terminated.discard(old.key)
            self._deleting.discard(old.key)
            return
        if new.node and (old is None or new.node != old.node):
            self._on_node[new.node] += 1
        if new.phase and new.phase not in _ALIVE:
            self._terminated.add(new.key)
        if new.is_deleting:
            self._deleting.add(new.key)

    def _observe_node(self, change: Change, node: JsonObject) -> None:
        name = node["metadata"]["name"]
        if change is Change.DELETED:
            self._nodes.pop(name, None)
            return
        ready = condition_of(node, "Ready")
        taints = node.get("spec", {}).get("taints") or ()
        self._nodes[name] = _Node(
            ready is not None and ready.get("status") == "True",
            any(taint["key"] == OUT_OF_SERVICE for taint in taints),
        )

    async def _run(self) -> None:
        while True:
            try:
                await self.collect()
            except (StatusError, Unreachable) as error:
                _log.warning("pods are not collected: %s", error)
            await self._clock.sleep(PERIOD_S)

    async def collect(self) -> None:
        """Do one pass.

        Raises:
            StatusError, Unreachable: nodes can't be asked for; the rest was done.
        """
        await self._end(self._surplus())
        deleting = self._known(self._deleting)
        await self._end(pod for pod in deleting if self._is_out_of_service(pod))
        await self._end(pod for pod in deleting if not pod.node)
        await self._end_orphans()

    def _known(self, keys: Iterable[str]) -> list[PodBrief]:
        found = (self._briefs.get(key) for key in sorted(keys))
        return [pod for pod in found if pod is not None]

    def _is_out_of_service(self, pod: PodBrief) -> bool:
        node = self._nodes.get(pod.node)
        return node is not None and not node.is_ready and node.is_out_of_service

    def _surplus(self) -> list[PodBrief]:
        """Return the terminated pods that are too many."""
        count = len(self._terminated) - self._terminated_max
        if not self._terminated_max or count <= 0:
            return []
        pods = self._known(self._terminated)
        pods.sort(key=lambda pod: (not self._is_evicted(pod), pod.created_s, pod.name))
        return pods[:count]

    def _is_evicted(self, pod: PodBrief) -> bool:
        raw = self._pods.raw(pod.key)
        if raw is None or b'"Evicted"' not in raw:
            return False
        whole = self._pods.get(pod.key)
        status = {} if whole is None else whole.get("status") or {}
        return status.get("phase") == "Failed" and status.get("reason") == "Evicted"

    async def _end_orphans(self) -> None:
        now_s = self._clock.monotonic_s()
        missing = self._on_node.keys() - self._nodes.keys()
        for name in self._quarantine.keys() - missing:
            del self._quarantine[name]
        for name in missing:
            self._quarantine.setdefault(name, now_s + QUARANTINE_S)
        due = {name for name, until_s in self._quarantine.items() if until_s <= now_s}
        gone = await absent_nodes(self._client, due)
        for name in due:
            # Those that are here after all, or get pods again, begin anew.
            del self._quarantine[name]
        if not gone:
            return
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
        }
        await self._end(await self._on(gone), condition)

    async def _on(self, nodes: set[str]) -> list[PodBrief]:
        """Return the pods of some nodes, but for those that came while these were waited for."""
        found = []
        limit_s = self._clock.now_s() - QUARANTINE_S
        for at, pod in enumerate(list(self._briefs), start=1):
            if pod.node in nodes and pod.created_s <= limit_s:
                found.append(pod)
            if not at % _STEP:
                await asyncio.sleep(0)
        return found

    async def _end(self, pods: Iterable[PodBrief], condition: JsonObject | None = None) -> None:
        async def end(pod: PodBrief) -> None:
            try:
                await self._end_one(pod, condition)
            except (StatusError, Unreachable) as error:
                _log.warning("pod %s is not ended: %s", pod.key, error)

        await each(list(pods), end)

    async def _end_one(self, pod: PodBrief, condition: JsonObject | None) -> None:
        _log.info("pod %s is deleted without grace", pod.key)
        whole = self._pods.get(pod.key)
        if whole is None or whole["metadata"]["uid"] != pod.uid:
            return
        if pod.phase not in _ENDED:
            try:
                await self._fail(pod.key, whole, condition)
            except StatusError as error:
                if error.code != 404:
                    raise
                return
        await delete_now(self._client, pod_path(pod.key), pod.uid)

    async def _fail(self, key: str, pod: JsonObject, condition: JsonObject | None) -> None:
        metadata = pod["metadata"]
        generation = metadata.get("generation", 0)
        status: JsonObject = {"phase": "Failed"}
        if generation:
            status["observedGeneration"] = generation
        if condition is not None:
            made = {
                **condition,
                "lastTransitionTime": times.format_seconds(int(self._clock.now_s())),
            }
            if generation:
                made["observedGeneration"] = generation
            status["conditions"] = [made]
        change = {"metadata": {"uid": metadata["uid"]}, "status": status}
        patch = Patch(change, STRATEGIC_PATCH)
        await self._client.request("PATCH", f"{pod_path(key)}/status", patch)
