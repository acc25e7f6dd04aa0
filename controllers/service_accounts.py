"""Gives each namespace what every pod in it counts on, and gives it back when it is deleted.

The ServiceAccount `default`, and the ConfigMap `kube-root-ca.crt` with the certificates by which
pods know the API server. What is there is known by watching both over all namespaces, so a
namespace that has all it needs costs no request.
"""

from __future__ import annotations

from typing import Final

from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

ACCOUNT: Final = "default"
ROOT_CA: Final = "kube-root-ca.crt"
_KEY: Final = "ca.crt"
_DESCRIBED_BY: Final = "kubernetes.io/description"
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)
_WORKERS: Final = 4
_ENDING_S: Final = 1.0
"""A namespace that refuses new objects is about to be shown as Terminating; then we are done."""


class ServiceAccountController:
    """See the module's head.

    Args of the constructor:
        client: who makes service accounts.
        publisher: who makes config maps.
    """

    def __init__(self, client: ApiClient, publisher: ApiClient) -> None:
        self._client = client
        self._publisher = publisher
        self._queue: WorkQueue[str] = WorkQueue(Backoff(first_s=0.1, most_s=30.0))
        self._active: set[str] = set()
        self._with_account: set[str] = set()
        # By namespace: None for one that is right, else as it is.
        self._root_cas: dict[str, JsonObject | None] = {}

    def start(self, scope: TaskScope) -> None:
        """Start the workers in `scope`, once all watches are synced: before, all seems absent."""
        for number in range(_WORKERS):
            worker = run_worker(self._queue, self.reconcile)
            scope.spawn(worker, name=f"service accounts {number}")

    def observe_namespace(self, change: Change, namespace: JsonObject) -> None:
        """Take note of a namespace's change."""
        name = namespace["metadata"]["name"]
        if change is Change.DELETED or namespace["metadata"].get("deletionTimestamp"):
            self._active.discard(name)
        elif name not in self._active:
            self._active.add(name)
            self._queue.add(name)

    def observe_account(self, change: Change, account: JsonObject) -> None:
        """Take note of a change of a ServiceAccount called `default`."""
        namespace = account["metadata"]["namespace"]
        if change is Change.DELETED:
            self._with_account.discard(namespace)
            self._queue.add(namespace)
        else:
            self._with_account.add(namespace)

    def observe_root_ca(self, change: Change, config_map: JsonObject) -> None:
        """Take note of a change of a ConfigMap called `kube-root-ca.crt`."""
        namespace = config_map["metadata"]["namespace"]
        if change is Change.DELETED:
            self._root_cas.pop(namespace, None)
        else:
            self._root_cas[namespace] = None if self._is_right(config_map) else config_map
        if self._root_cas.get(namespace, config_map) is not None:
            self._queue.add(namespace)

    async def reconcile(self, namespace: str) -> float | None:
        """Create what a namespace lacks; return in how many seconds to look again."""
        if namespace not in self._active:
            return None
        try:
            await self._complete(namespace)
        except StatusError as error:
            if not _is_ending(error):
                raise
            return _ENDING_S
        return None

    async def _complete(self, namespace: str) -> None:
        if namespace not in self._with_account:
            account = {"metadata": {"name": ACCOUNT}}
            await _create(self._client, namespace, "serviceaccounts", account)
        if not self._client.access.ca:
            return
        if namespace not in self._root_cas:
            await _create(self._publisher, namespace, "configmaps", self._root_ca())
        elif (wrong := self._root_cas[namespace]) is not None:
            await self._correct(namespace, wrong)

    def _root_ca(self) -> JsonObject:
        annotations = {_DESCRIBED_BY: _DESCRIPTION}
        return {
            "metadata": {"name": ROOT_CA, "annotations": annotations},
            "data": {_KEY: self._client.access.ca},
        }

    def _is_right(self, config_map: JsonObject) -> bool:
        described = (config_map["metadata"].get("annotations") or {}).get(_DESCRIBED_BY)
        return bool(described and config_map.get("data") == {_KEY: self._client.access.ca})

    async def _correct(self, namespace: str, config_map: JsonObject) -> None:
        annotations = config_map["metadata"].get("annotations") or {}
        corrected = {
            **config_map,
            "metadata": {
                **config_map["metadata"],
                "annotations": {**annotations, _DESCRIBED_BY: _DESCRIPTION},
            },
            "data": {_KEY: self._client.access.ca},
        }
        binary = dict(config_map.get("binaryData") or {})
        if binary.pop(_KEY, None) is not None:
            corrected["binaryData"] = binary
        path = f"{_path(namespace, 'configmaps')}/{ROOT_CA}"
        await self._publisher.request("PUT", path, corrected)


async def _create(client: ApiClient, namespace: str, resource: str, obj: JsonObject) -> None:
    try:
        await client.request("POST", _path(namespace, resource), obj)
    except StatusError as error:
        # The watch is about to say so.
        if error.reason != "AlreadyExists":
            raise


def _path(namespace: str, resource: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{resource}"


def _is_ending(error: StatusError) -> bool:
    causes = error.status.get("details", {}).get("causes") or ()
    return error.code == 404 or any(
        cause.get("reason") == "NamespaceTerminating" for cause in causes
    )
