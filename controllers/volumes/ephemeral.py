"""Claims for the ephemeral volumes of pods (pkg/controller/volume/ephemeral).

Each such volume gets a claim of a fixed name that its pod owns: the garbage collector takes it with
the pod. One that somebody deletes under a pod is made again. A claim of that name that is not the
pod's own is never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.nodes.lost_pods import POD
from controllers.recorder import Recorder
from controllers.volumes import facts
from controllers.volumes.binder import CLAIM_USERS_INDEX
from controllers.workloads.pod_control import reference_of
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 10


class NotOurs(Exception):
    """The name of a pod's claim is taken by one that is not the pod's; a user has to see to it."""


class EphemeralVolumes:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        pods: indexed by CLAIM_USERS_INDEX.
        claims: all.
    """

    def __init__(
        self, client: ApiClient, recorder: Recorder, pods: Informer, claims: Informer
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._pods = pods.store
        self._claims = claims.store
        self._queue: WorkQueue[str] = WorkQueue()
        pods.on_changes(self._observe_pods)
        claims.on_changes(self._observe_claims)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all informers are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"ephemeral volumes {number}")

    def _observe_pods(self, deltas: Sequence[Delta]) -> None:
        for change, key, pod, _ in deltas:
            if change is Change.ADDED and _is_concerned(pod):
                self._queue.add(key)

    def _observe_claims(self, deltas: Sequence[Delta]) -> None:
        for change, key, _, _ in deltas:
            if change is Change.DELETED:
                for pod in self._pods.keys(CLAIM_USERS_INDEX, key):
                    self._queue.add(pod)

    async def sync(self, key: str) -> None:
        """Make the claims that a pod lacks."""
        pod = self._pods.get(key)
        if pod is None or not _is_concerned(pod):
            return
        for volume in pod["spec"]["volumes"]:
            if not volume.get("ephemeral"):
                continue
            try:
                await self._ensure(pod, volume)
            except (NotOurs, StatusError) as error:
                text = f"ephemeral volume {volume['name']}: {error}"
                self._recorder.warn(reference_of(POD, pod), "FailedBinding", text)
                if isinstance(error, StatusError):
                    raise
                # Until the claim that is in the way goes, of which we are told.

    async def _ensure(self, pod: JsonObject, volume: JsonObject) -> None:
        namespace, name = pod["metadata"]["namespace"], facts.template_claim_name(pod, volume)
        claim = self._claims.get(f"{namespace}/{name}")
        if claim is not None:
            _check_owner(pod, claim)
            return
        template = volume["ephemeral"].get("volumeClaimTemplate") or {}
        metadata = template.get("metadata") or {}
        made: JsonObject = {"name": name, "ownerReferences": [POD.controls(pod)]}
        for field in ("annotations", "labels"):
            if metadata.get(field):
                made[field] = metadata[field]
        path = f"/api/v1/namespaces/{namespace}/{facts.CLAIM.plural}"
        body = {"metadata": made, "spec": template.get("spec") or {}}
        try:
            await self._client.request("POST", path, body)
        except StatusError as error:
            raise StatusError(
                error.code, error.reason, f"create PVC {name}: {error}", headers=error.headers
            ) from error


def _is_concerned(pod: JsonObject) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and any(
        volume.get("ephemeral") for volume in pod["spec"].get("volumes") or ()
    )


def _check_owner(pod: JsonObject, claim: JsonObject) -> None:
    """Check that a claim was made for a pod (ephemeral.VolumeIsForPod).

    Raises:
        NotOurs: it was not.
    """
    for owner in claim["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["uid"] == pod["metadata"]["uid"]:
            return
    namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
    mine = f"{namespace}/{pod['metadata']['name']}"
    text = f"PVC {namespace}/{name} was not created for pod {mine} (pod is not owner)"
    raise NotOurs(text)
