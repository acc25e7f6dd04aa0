"""Lets go of claims and volumes that are being deleted, once nobody uses them.

The server gives each new one a finalizer (admission's StorageObjectInUseProtection); a claim loses
it when no pod that runs mounts it, a volume when no claim is bound to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

CLAIMS: Final = "/api/v1/persistentvolumeclaims"
VOLUMES: Final = "/api/v1/persistentvolumes"
CLASSES: Final = "/apis/storage.k8s.io/v1/volumeattributesclasses"
_CLAIM: Final = "kubernetes.io/pvc-protection"
_VOLUME: Final = "kubernetes.io/pv-protection"
_CLASS: Final = "kubernetes.io/vac-protection"
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_LOOK_AGAIN_S: Final = 1.0
_PAGE_SIZE: Final = 500
_WORKERS: Final = 2


class StorageProtectionController:
    """See the module's head."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue(Backoff(first_s=0.1, most_s=30.0))

    def start(self, scope: TaskScope) -> None:
        """Start the workers in `scope`; `observe` feeds them."""
        for number in range(_WORKERS):
            scope.spawn(
                run_worker(self._queue, self.reconcile), name=f"storage protection {number}"
            )

    def observe(self, change: Change, obj: JsonObject) -> None:
        """Take note of a change of a claim, a volume or a class of volumes' attributes."""
        metadata = obj["metadata"]
        if change is not Change.DELETED and metadata.get("deletionTimestamp"):
            finalizers = metadata.get("finalizers") or ()
            for finalizer in (_CLAIM, _VOLUME, _CLASS):
                if finalizer in finalizers:
                    self._queue.add(_path(finalizer, metadata))

    async def reconcile(self, path: str) -> float | None:
        """Let go of an object that nobody uses; return in how many seconds to look again."""
        try:
            obj = await self._client.request("GET", path)
            metadata = obj["metadata"]
            finalizers = metadata.get("finalizers") or []
            mine = [one for one in finalizers if one in (_CLAIM, _VOLUME, _CLASS)]
            if not metadata.get("deletionTimestamp") or not mine:
                return None
            if await self._is_used(mine[0], obj):
                return _LOOK_AGAIN_S
            metadata["finalizers"] = [one for one in finalizers if one != mine[0]]
            await self._client.request("PUT", path, obj)
        except StatusError as error:
            if error.code != 404:
                raise
        return None

    async def _is_used(self, finalizer: str, obj: JsonObject) -> bool:
        name = obj["metadata"]["name"]
        if finalizer == _VOLUME:
            return bool((obj.get("status") or {}).get("phase") == "Bound")
        if finalizer == _CLASS:
            return await self._any(VOLUMES, lambda one: _has_class(one, name)) or await self._any(
                CLAIMS, lambda one: _has_class(one, name)
            )
        pods = f"/api/v1/namespaces/{obj['metadata']['namespace']}/pods"
        return await self._any(pods, lambda pod: mounts(pod, name))

    async def _any(self, path: str, is_user: Callable[[JsonObject], bool]) -> bool:
        query = {"limit": str(_PAGE_SIZE)}
        while True:
            page = await self._client.request("GET", path, query=query)
            if any(is_user(one) for one in page.get("items") or ()):
                return True
            more = page["metadata"].get("continue")
            if not more:
                return False
            query["continue"] = more


def mounts(pod: JsonObject, claim: str) -> bool:
    """Tell whether a pod that is on a node and not over mounts a claim."""
    spec = pod["spec"]
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in _FINISHED:
        return False
    own = f"{pod['metadata']['name']}-"
    return any(
        (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim
        or ("ephemeral" in volume and own + volume["name"] == claim)
        for volume in spec.get("volumes") or ()
    )


def _has_class(obj: JsonObject, name: str) -> bool:
    status = obj.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    return name in (
        obj["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        target,
    )


def _path(finalizer: str, metadata: JsonObject) -> str:
    name = metadata["name"]
    if finalizer == _CLAIM:
        return f"/api/v1/namespaces/{metadata['namespace']}/persistentvolumeclaims/{name}"
    return f"{VOLUMES if finalizer == _VOLUME else CLASSES}/{name}"
