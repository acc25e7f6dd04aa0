"""Simulated disks: a storage class, and who makes, grows and deletes the volumes of its claims.

    claim of the class --- a pod that waits for it is on a node ---> that node is chosen for it
          |                (a scheduler that binds volumes has chosen it before)
          +--- the binder asks for a volume ---> one is made: pvc-<uid of the claim>
    bound claim that asks for more ---> its volume grows, then what its status says
    released volume of the policy Delete ---> deleted

All state is in the API, and names follow from uids: what is done twice, after an end in between, is
found done. Any storage class of this provisioner will do, with its own binding mode, reclaim
policy, topologies and expansion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from controllers.fleet import disk_objects as disks
from controllers.fleet.fleet_node import Node
from controllers.fleet.mounts import Mounts
from controllers.recorder import Recorder
from controllers.volumes import facts
from controllers.volumes.writes import VOLUME
from controllers.workloads.pod_control import reference_of
from controllers.workqueue import WorkQueue, run_worker
from kube.client import MERGE_PATCH, ApiClient, Patch, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer, Informers
from kube.informers.store import Indexer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 8
_RETRY_S: Final = 5.0
_SOURCE_S: Final = 5.0
_PENDING_INDEX: Final = "class of those without a volume"
_log = logging.getLogger(__name__)


def _pending(claim: JsonObject) -> str | tuple[str, ...]:
    return () if claim["spec"].get("volumeName") else facts.class_of(claim) or ()


_INDEXERS: Final[dict[str, Indexer]] = {_PENDING_INDEX: _pending}


class Disks:
    """See the module's head.

    Args of the constructor:
        client: who reads and writes.
        informers: of whom claims, volumes and classes are watched.
        nodes: the fleet's, by name.
        name: of the storage class to bring; empty: none, and other classes are served all the same.

    Attributes:
        mounts: the pods that wait for claims.
    """

    def __init__(
        self, client: ApiClient, informers: Informers, nodes: Mapping[str, Node], name: str
    ) -> None:
        claims = informers.of(facts.CLAIM.collection, indexers=_INDEXERS)
        volumes, classes = informers.of(facts.VOLUMES), informers.of(facts.CLASSES)
        self.mounts = Mounts(claims)
        self._client = client
        self._nodes = nodes
        self._name = name
        self._claims, self._volumes, self._classes = claims.store, volumes.store, classes.store
        self._synced: tuple[Informer, ...] = (claims, volumes, classes)
        self._recorder = Recorder(client, disks.DRIVER)
        self._queue: WorkQueue[str] = WorkQueue()
        self._volume_queue: WorkQueue[str] = WorkQueue()
        self.mounts.on_wait = self._queue.add
        claims.on_changes(self._observe_claims)
        volumes.on_changes(self._observe_volumes)
        classes.on_changes(self._observe_classes)

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        self._recorder.start(scope)
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"disks of claims {number}")
        scope.spawn(run_worker(self._volume_queue, self.sync_volume), name="disks to delete")
        scope.spawn(self._install(), name="storage class")

    # What the watches tell -----------------------------------------------------------------------

    def _observe_claims(self, deltas: Sequence[Delta]) -> None:
        for change, key, claim, _ in deltas:
            if change is Change.DELETED:
                continue
            if not claim["spec"].get("volumeName") or disks.is_to_grow(claim):
                self._queue.add(key)

    def _observe_volumes(self, deltas: Sequence[Delta]) -> None:
        for change, name, volume, _ in deltas:
            if change is not Change.DELETED and disks.is_to_be_deleted(volume):
                self._volume_queue.add(name)

    def _observe_classes(self, deltas: Sequence[Delta]) -> None:
        for change, name, kind, _ in deltas:
            if change is not Change.DELETED and kind.get("provisioner") == disks.DRIVER:
                for key in self._claims.keys(_PENDING_INDEX, name):
                    self._queue.add(key)

    # The class -----------------------------------------------------------------------------------

    async def _install(self) -> None:
        """Have the driver and the class there, as far as nobody has made them already."""
        await self._ensure(disks.DRIVERS, disks.driver)
        if self._name:
            for informer in self._synced:
                await informer.synced.wait()
            await self._ensure(facts.CLASSES, self._new_class)

    def _new_class(self) -> JsonObject:
        """Return the class: it is the default one, unless another is already."""
        others = (self._classes.get(name) for name in tuple(self._classes.all_keys()))
        has_default = any(one is not None and facts.is_default(one) for one in others)
        return disks.storage_class(self._name, is_default=not has_default)

    async def _ensure(self, path: str, make: Callable[[], JsonObject]) -> None:
        while True:
            try:
                await self._client.request("POST", path, make())
            except (StatusError, Unreachable) as error:
                if isinstance(error, StatusError) and error.reason == "AlreadyExists":
                    return
                _log.info("%s is not told of simulated disks yet: %s", path, error)
                await self._client.clock.sleep(_RETRY_S)
            else:
                return

    # Claims --------------------------------------------------------------------------------------

    async def sync(self, key: str) -> float | None:
        """Do what a claim needs; return in how many seconds to look again."""
        claim = self._claims.get(key)
        if claim is None:
            return None
        if disks.is_to_grow(claim):
            await self._grow(key, claim)
            return None
        kind = self._classes.get(facts.class_of(claim))
        if kind is None or not disks.is_wanted(claim, kind):
            return None
        if disks.is_due(claim, kind):
            return await self._provision(key, claim, kind)
        if facts.is_delayed(kind) and facts.annotation(claim, facts.SELECTED_NODE) is None:
            node = self.mounts.node_of(key)
            if node is not None:
                await self._choose_node(key, claim, node)
        return None

    async def _choose_node(self, key: str, claim: JsonObject, node: str | None) -> None:
        """Say for which node a claim's volume is to be made, or that a choice was none."""
        metadata = {
            "annotations": {facts.SELECTED_NODE: node},
            "resourceVersion": claim["metadata"]["resourceVersion"],
        }
        await self._write(facts.CLAIM.path(key), Patch({"metadata": metadata}, MERGE_PATCH))

    async def _provision(self, key: str, claim: JsonObject, kind: JsonObject) -> float | None:
        what, name = disks.source_of(claim)
        if what not in ("", disks.CLAIM_KIND):
            text = "Assuming an external populator will provision the volume"
            self._recorder.note(reference_of(facts.CLAIM, claim), "Provisioning", text)
            return None
        source = self._claims.get(f"{claim['metadata']['namespace']}/{name}") if what else None
        if text := disks.fault_of(claim, source):
            self._refuse(claim, kind, text)
            return _SOURCE_S if what else None
        zone = await self._zone(claim, kind)
        if zone is None:
            text = f'node "{facts.annotation(claim, facts.SELECTED_NODE)}" not found'
            self._refuse(claim, kind, f"failed to get target node: {text}")
            await self._choose_node(key, claim, None)
        elif disks.volume_name(claim) not in self._volumes:
            await self._make(key, claim, disks.volume_of(claim, kind, zone))
        return None

    async def _make(self, key: str, claim: JsonObject, volume: JsonObject) -> None:
        reference = reference_of(facts.CLAIM, claim)
        text = f'External provisioner is provisioning volume for claim "{key}"'
        self._recorder.note(reference, "Provisioning", text)
        try:
            await self._client.request("POST", facts.VOLUMES, volume)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            return
        text = f"Successfully provisioned volume {volume['metadata']['name']}"
        self._recorder.note(reference, "ProvisioningSucceeded", text)

    def _refuse(self, claim: JsonObject, kind: JsonObject, why: str) -> None:
        text = f'failed to provision volume with StorageClass "{kind["metadata"]["name"]}": {why}'
        self._recorder.warn(reference_of(facts.CLAIM, claim), "ProvisioningFailed", text)

    async def _zone(self, claim: JsonObject, kind: JsonObject) -> str | None:
        """Return where a claim's volume is to be; empty: everywhere; None: its node is gone."""
        chosen = facts.annotation(claim, facts.SELECTED_NODE)
        if chosen is not None:
            labels = await self._labels(chosen)
            if labels is None:
                return None
            return "" if disks.is_everywhere(claim) else labels.get(disks.ZONE, "")
        if disks.is_everywhere(claim):
            return ""
        zones = disks.zones_allowed(kind)
        if not zones:
            zones = list({node.labels.get(disks.ZONE, "") for node in self._nodes.values()} - {""})
        return disks.zone_for(claim, zones)

    async def _labels(self, name: str) -> Mapping[str, str] | None:
        """Return a node's labels, be it the fleet's or another; None: there is no such node."""
        node = self._nodes.get(name)
        if node is not None and node.is_alive:
            return node.labels
        if not facts.is_name(name):
            return None
        try:
            found = await self._client.request("GET", f"/api/v1/nodes/{name}")
        except StatusError as error:
            if error.code != 404:
                raise
            return None
        labels: dict[str, str] = found["metadata"].get("labels") or {}
        return labels

    async def _grow(self, key: str, claim: JsonObject) -> None:
        """Have a claim get the size it asks for, its volume first (external-resizer)."""
        name = claim["spec"]["volumeName"]
        volume = self._volumes.get(name)
        if volume is None or not disks.is_ours(volume) or not facts.is_for(volume, claim):
            return
        reference = reference_of(facts.CLAIM, claim)
        size = claim["spec"]["resources"]["requests"]["storage"]
        if facts.capacity_bytes(volume) < facts.requested_bytes(claim):
            self._recorder.note(
                reference, "Resizing", f"External resizer is resizing volume {name}"
            )
            patch = Patch({"spec": {"capacity": {"storage": size}}}, MERGE_PATCH)
            await self._write(f"{facts.VOLUMES}/{name}", patch)
        whole = {**claim, "status": disks.grown_status(claim)}
        await self._client.request("PUT", f"{facts.CLAIM.path(key)}/status", whole)
        self._recorder.note(reference, "VolumeResizeSuccessful", "Resize volume succeeded")

    # Volumes -------------------------------------------------------------------------------------

    async def sync_volume(self, name: str) -> None:
        """Delete a volume that is not needed any more, if it is still the same."""
        volume = self._volumes.get(name)
        if volume is None or not disks.is_to_be_deleted(volume):
            return
        metadata = volume["metadata"]
        same = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            await self._client.send("DELETE", f"{facts.VOLUMES}/{name}", {"preconditions": same})
        except StatusError as error:
            if error.code == 404:
                return
            if error.code != 409:
                self._recorder.warn(reference_of(VOLUME, volume), "VolumeFailedDelete", str(error))
            raise

    async def _write(self, path: str, patch: Patch) -> None:
        """Change an object, which may be gone meanwhile."""
        try:
            await self._client.request("PATCH", path, patch)
        except StatusError as error:
            if error.code != 404:
                raise
