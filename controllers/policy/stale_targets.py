"""Pods that were to be disrupted and were not: their condition is taken back after two minutes.

A DisruptionTarget condition announces that a pod is about to be deleted. If it is not, whoever
meant to do so has failed. Conditions that a kubelet set, and those of pods that are over, stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.workloads.claims import pod_path
from controllers.workloads.pods import condition_of, epoch_s
from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

CONDITION: Final = "DisruptionTarget"
TIMEOUT_S: Final = 120.0
_BY_KUBELET: Final = "TerminationByKubelet"


def stale_in_s(pod: JsonObject, now_s: float) -> float | None:
    """Return in how many seconds a pod's condition is stale, 0 if it is; None: it never will be."""
    if "deletionTimestamp" in pod["metadata"]:
        return None
    condition = condition_of(pod, CONDITION)
    if condition is None or condition.get("status") != "True":
        return None
    phase = (pod.get("status") or {}).get("phase")
    if condition.get("reason") == _BY_KUBELET or phase in ("Succeeded", "Failed"):
        return None
    return max(0.0, epoch_s(condition.get("lastTransitionTime")) + TIMEOUT_S - now_s)


class StaleTargets:
    """See the module's head."""

    def __init__(self, client: ApiClient, pods: Informer) -> None:
        self._client = client
        self._pods = pods.store
        self._queue: WorkQueue[str] = WorkQueue()
        pods.on_changes(self._observe)

    def start(self, scope: TaskScope) -> None:
        """Start the worker, once all watches are synced."""
        scope.spawn(run_worker(self._queue, self.sync), name="stale disruption targets")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        now_s = self._client.clock.now_s()
        for change, key, obj, _ in deltas:
            if change is Change.DELETED:
                continue
            left_s = stale_in_s(obj, now_s)
            if left_s is not None:
                self._queue.add_after(key, left_s)

    async def sync(self, key: str) -> float | None:
        """Take back a pod's condition if it is stale; return when to look again."""
        pod = self._pods.get(key)
        now_s = self._client.clock.now_s()
        left_s = stale_in_s(pod, now_s) if pod is not None else None
        if pod is None or left_s is None:
            return None
        if left_s > 0:
            return left_s
        metadata = pod["metadata"]
        condition = {
            "type": CONDITION,
            "status": "False",
            "reason": None,
            "message": None,
            "lastTransitionTime": times.format_seconds(int(now_s)),
        }
        # On the condition that it is as it was: whoever disrupts it may have begun just now.
        known = {name: metadata[name] for name in ("uid", "resourceVersion")}
        change = {"metadata": known, "status": {"conditions": [condition]}}
        try:
            patch = Patch(change, STRATEGIC_PATCH)
            await self._client.request("PATCH", f"{pod_path(key)}/status", patch)
        except StatusError as error:
            if error.code != 404:
                raise
        return None
