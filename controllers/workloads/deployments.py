"""Deployments: one ReplicaSet for each template, and pods moved from the old ones to the new.

Upstream's pkg/controller/deployment, step by step: find or make the new ReplicaSet, scale up what
may be scaled up, down what may go down, then tell how far it is. One sync does one step; what it
writes comes back by the watch, and is the next sync's cause. The arithmetic is in rollout_math.py,
what is told in rollout_status.py, names and annotations in revisions.py; a step of one Deployment
is in rollouts.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from controllers.pace import Rhythm, pause_for
from controllers.recorder import Recorder
from controllers.workloads import rollout_math
from controllers.workloads.claims import CannotAdopt
from controllers.workloads.object_claims import ObjectClaims
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import PodBook, PodBrief, controller_of, selects
from controllers.workloads.replica_sets import REPLICA_SET
from controllers.workloads.rollouts import DEPLOYMENT, Rollout, Tools
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

_WORKERS: Final = 5
_PAUSE_S: Final = 0.1
_log = logging.getLogger(__name__)


class DeploymentController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        deployments: the informer of them, indexed by "namespace".
        sets: the informer of ReplicaSets, indexed by "namespace" and owner.
        pods: all pods.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        deployments: Informer,
        sets: Informer,
        pods: PodBook,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._deployments = deployments.store
        self._sets = sets.store
        self._pods = pods
        self._clock = client.clock
        self._claims = ObjectClaims(client, DEPLOYMENT, REPLICA_SET, sets.store)
        self._queue: WorkQueue[str] = WorkQueue()
        self._rhythm = Rhythm(self._queue, client.clock, _PAUSE_S)
        self._generations: dict[str, int] = {}
        self._recreating: set[str] = set()
        """Those that wait for the last of their old pods to go."""
        deployments.on_changes(self._observe)
        sets.on_changes(self._observe_sets)
        pods.listen_for(REPLICA_SET.kind, self._observe_pod)

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            if delta.change is Change.DELETED:
                self._rhythm.forget(delta.key)
                self._generations.pop(delta.key, None)
                self._recreating.discard(delta.key)
                continue
            if rollout_math.is_rolling(delta.object):
                self._recreating.discard(delta.key)
            else:
                self._recreating.add(delta.key)
            generation = delta.object["metadata"].get("generation", 0)
            if delta.change is Change.MODIFIED and self._generations.get(delta.key) == generation:
                # Nobody asks for anything new; most likely its status was written here.
                self._rhythm.wake(delta.key)
            else:
                self._generations[delta.key] = generation
                self._queue.add(delta.key)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            worker = run_worker(self._queue, self.sync)
            scope.spawn(worker, name=f"deployments {number}")

    def _observe_sets(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            metadata = delta.object["metadata"]
            owner = controller_of(delta.object)
            if owner is not None:
                if owner.kind == DEPLOYMENT.kind:
                    self._rhythm.wake(f"{metadata['namespace']}/{owner.name}")
                continue
            for key in self._deployments.keys("namespace", metadata["namespace"]):
                deployment = self._deployments.get(key)
                if deployment is not None and selects(deployment["spec"].get("selector"))(
                    metadata.get("labels") or {}
                ):
                    self._queue.add(key)

    def _observe_pod(self, old: PodBrief | None, new: PodBrief | None) -> None:
        if not self._recreating:
            return
        if old is None or old.owner is None or old.owner.kind != REPLICA_SET.kind:
            return
        if new is not None and new.phase == old.phase:
            return
        namespace = old.key.partition("/")[0]
        owner = self._sets.get(f"{namespace}/{old.owner.name}")
        reference = None if owner is None else controller_of(owner)
        if reference is not None and f"{namespace}/{reference.name}" in self._recreating:
            self._queue.add(f"{namespace}/{reference.name}")

    async def sync(self, key: str) -> float | None:
        """Take a Deployment one step further; return when to look again."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return None
        self._rhythm.begin(key, pause_for(rollout_math.replicas_of(deployment)))
        if not any((deployment["spec"].get("selector") or {}).values()):
            about = reference_of(DEPLOYMENT, deployment)
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.warn(about, "SelectingAll", text)
            return None
        try:
            sets = await self._claims.claim(deployment, selects(deployment["spec"]["selector"]))
        except CannotAdopt as error:
            _log.info("%s", error)
            return None
        tools = Tools(self._client, self._recorder, self._has_pods)
        return await Rollout(tools, deployment, sets).step()

    def _has_pods(self, sets: Sequence[JsonObject]) -> bool:
        """Tell whether any pod of these may still run."""
        return any(
            pod.phase not in ("Failed", "Succeeded")
            for one in sets
            for pod in self._pods.owned(one["metadata"]["uid"])
        )
