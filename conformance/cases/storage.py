"""Types of storage that need none, and data that may not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from conformance.checks import eventually, has, refused, same
from conformance.operations import annotating, check_discovery, check_operations
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import pod
from conformance.stage import Stage
from kube.json_types import JsonObject

_STORAGE: Final = "storage.k8s.io/v1"


def _relabel(key: str, value: str) -> Callable[[JsonObject], None]:
    def change(obj: JsonObject) -> None:
        obj["metadata"].setdefault("labels", {})[key] = value

    return change


async def _life(
    stage: Stage, resource: Resource, template: JsonObject, *, status: Any = None
) -> None:
    """Create, get, patch, list, delete; create another, update it, delete it by label."""
    label = f"e2e-{stage.unique}"

    async def create(name: str) -> str:
        metadata = {"name": f"{name}-{stage.unique}"}
        created = await resource.create({**template, "metadata": metadata})
        stage.remove(resource, metadata["name"])
        same(created["metadata"]["name"], metadata["name"], "the name")
        return metadata["name"]

    name = await create("initial")
    await resource.get(name)
    patched = await resource.patch(name, {"metadata": {"labels": {label: "patched"}}})
    same(patched["metadata"]["labels"][label], "patched", "the label patched")
    same(await resource.names(labelSelector=f"{label}=patched"), [name], "the list by label")
    if status is not None:
        await status(name)
    await resource.delete(name)
    await eventually(f"{name} is gone", lambda: resource.gone(name))
    second = await create("replacement")
    updated = await resource.update(second, _relabel(label, "updated"))
    same(updated["metadata"]["labels"][label], "updated", "the label updated")
    await resource.delete_all(f"{label}=updated")
    await eventually(f"{second} is gone", lambda: resource.gone(second))


@case(
    "[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a "
    "StorageClass [Conformance]"
)
async def storage_classes(stage: Stage) -> None:
    """A StorageClass's life."""
    resource = stage.cluster(_STORAGE, "storageclasses", "StorageClass")
    await _life(stage, resource, {"provisioner": "e2e-fake-provisioner"})


@case(
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through "
    "the lifecycle of a VolumeAttributesClass [Conformance]"
)
async def attributes_classes(stage: Stage) -> None:
    """A VolumeAttributesClass's life."""
    resource = stage.cluster(_STORAGE, "volumeattributesclasses", "VolumeAttributesClass")
    template = {"driverName": "e2e-fake-csi-driver", "parameters": {"iops": "500"}}
    await _life(stage, resource, template)


@case(
    "[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode "
    "[Conformance]"
)
async def csi_nodes(stage: Stage) -> None:
    """A CSINode's life."""
    await _life(stage, stage.cluster(_STORAGE, "csinodes", "CSINode"), {"spec": {"drivers": []}})


@case(
    "[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]"
)
async def csi_drivers(stage: Stage) -> None:
    """A CSIDriver's life."""
    spec: Any = {"volumeLifecycleModes": ["Ephemeral"]}
    await _life(stage, stage.cluster(_STORAGE, "csidrivers", "CSIDriver"), {"spec": spec})


def _attachment(stage: Stage) -> JsonObject:
    source = {"persistentVolumeName": f"pv-{stage.unique}"}
    return {"spec": {"attacher": "e2e-test.storage.k8s.io", "nodeName": "n", "source": source}}


@case(
    "[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a "
    "VolumeAttachment [Conformance]"
)
async def attachments(stage: Stage) -> None:
    """A VolumeAttachment's life."""
    resource = stage.cluster(_STORAGE, "volumeattachments", "VolumeAttachment")
    await _life(stage, resource, _attachment(stage))


@case(
    "[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status "
    "[Conformance]"
)
async def attachment_status(stage: Stage) -> None:
    """Whether a volume is attached is told by the status alone."""
    resource = stage.cluster(_STORAGE, "volumeattachments", "VolumeAttachment")

    async def change(name: str) -> None:
        same((await resource.get(name, "status"))["status"]["attached"], False, "attached")
        patched = await resource.patch(name, {"status": {"attached": True}}, part="status")
        same(patched["status"]["attached"], True, "attached, patched")

        def detach(obj: JsonObject) -> None:
            obj["status"]["attached"] = False

        updated = await resource.update(name, detach, "status")
        same(updated["status"]["attached"], False, "attached, updated")

    await _life(stage, resource, _attachment(stage), status=change)


@case(
    "[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations "
    "[Conformance]"
)
async def capacities(stage: Stage) -> None:
    """CSIStorageCapacities have all verbs."""
    await check_discovery(stage, _STORAGE, "csistoragecapacities")
    resource = stage.of(_STORAGE, "csistoragecapacities", "CSIStorageCapacity")
    await check_operations(stage, resource, annotating({"storageClassName": "e2e-class"}))


@case("[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]")
async def inline_volumes(stage: Stage) -> None:
    """Pods with such volumes can be created, got, listed, patched and deleted."""
    driver = f"e2e-test-csi-{stage.unique}"
    drivers = stage.cluster(_STORAGE, "csidrivers", "CSIDriver")
    await drivers.create(
        {"metadata": {"name": driver}, "spec": {"volumeLifecycleModes": ["Ephemeral"]}}
    )
    stage.remove(drivers, driver)
    volume: Any = {"name": "inline", "csi": {"driver": driver, "readOnly": True}}
    obj = pod("pod-csi-inline-volumes", labels={"e2e": stage.unique}, volumes=[volume])
    created = await stage.pods.create(obj)
    found = [entry for entry in created["spec"]["volumes"] if "csi" in entry]
    same(found[0]["csi"]["driver"], driver, "the volume's driver")
    gotten = await stage.pods.get("pod-csi-inline-volumes")
    same(gotten["spec"]["volumes"], created["spec"]["volumes"], "volumes")
    same(len(await stage.pods.items(labelSelector=f"e2e={stage.unique}")), 1, "Pods by label")
    patched = await stage.pods.patch(
        "pod-csi-inline-volumes", {"metadata": {"labels": {"patched": "true"}}}
    )
    same(patched["metadata"]["labels"]["patched"], "true", "the label")
    await stage.pods.delete("pod-csi-inline-volumes", gracePeriodSeconds=0)
    await eventually("the Pod is gone", lambda: stage.pods.gone("pod-csi-inline-volumes"))


async def _immutable(resource: Resource) -> None:
    """Demand of a ConfigMap or a Secret that it is never changed once it is immutable."""
    name = "immutable"
    await resource.create({"metadata": {"name": name}, "data": {"data-1": "dmFsdWUtMQ=="}})

    def data(obj: JsonObject) -> None:
        obj["data"]["data-4"] = "dmFsdWUtNA=="

    def freeze(obj: JsonObject) -> None:
        obj["immutable"] = True

    def thaw(obj: JsonObject) -> None:
        obj["immutable"] = False

    def change_more(obj: JsonObject) -> None:
        obj["data"]["data-5"] = "dmFsdWUtNQ=="

    await resource.update(name, data)
    await resource.update(name, freeze)
    await refused("Invalid", resource.update(name, change_more))
    await refused("Invalid", resource.update(name, thaw))
    await resource.update(name, _relabel("label-1", "value-1"))
    await resource.delete(name)
    await resource.absent(name)


@case("[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]")
async def immutable_config_map(stage: Stage) -> None:
    """A ConfigMap that says so does not change."""
    await _immutable(stage.config_maps)


@case("[sig-storage] Secrets should be immutable if `immutable` field is set [Conformance]")
async def immutable_secret(stage: Stage) -> None:
    """Nor does a Secret."""
    await _immutable(stage.of("v1", "secrets", "Secret"))


def _volumes(stage: Stage) -> tuple[Resource, Resource]:
    volumes = stage.cluster("v1", "persistentvolumes", "PersistentVolume")
    return volumes, stage.of("v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def _volume(stage: Stage, name: str) -> JsonObject:
    spec: Any = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "2Gi"},
        "csi": {"driver": "e2e-driver", "volumeHandle": "e2e-handle"},
        "storageClassName": f"class-{stage.unique}",
        "persistentVolumeReclaimPolicy": "Retain",
    }
    labels = {"e2e-pv-pool": stage.unique}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def _claim(stage: Stage, name: str) -> JsonObject:
    spec: Any = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": f"class-{stage.unique}",
        "volumeMode": "Filesystem",
    }
    labels = {"e2e-pv-pool": stage.unique}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@case(
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and "
    "a PVC [Conformance]"
)
async def volume_lifecycle(stage: Stage) -> None:
    """Both are created, listed, patched, deleted; made anew, updated, deleted by label."""
    volumes, claims = _volumes(stage)
    selector = f"e2e-pv-pool={stage.unique}"
    pairs = ((volumes, _volume), (claims, _claim))
    for resource, make in pairs:
        name = f"first-{stage.unique}"
        created = await resource.create(make(stage, name))
        stage.remove(resource, name)
        same(await resource.names(labelSelector=selector), [name], "the list by label")
        patched = await resource.patch(name, {"metadata": {"labels": {name: "patched"}}})
        same(patched["metadata"]["labels"][name], "patched", "the label patched")
        uid = created["metadata"]["uid"]
        same((await resource.get(name))["metadata"]["uid"], uid, "uid")
    for resource, _make in reversed(pairs):
        await resource.delete(f"first-{stage.unique}")
        await _gone(resource, f"first-{stage.unique}")
    for resource, make in pairs:
        name = f"second-{stage.unique}"
        await resource.create(make(stage, name))
        stage.remove(resource, name)
        updated = await resource.update(name, _relabel(name, "updated"))
        same(updated["metadata"]["labels"][name], "updated", "the label updated")
    for resource, _make in reversed(pairs):
        await resource.delete_all(selector)
        await _gone(resource, f"second-{stage.unique}")


async def _gone(resource: Resource, name: str) -> None:
    await eventually(f"{name} is gone", lambda: resource.gone(name))


@case(
    "[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status "
    "[Conformance]"
)
async def volume_status(stage: Stage) -> None:
    """Both statuses can be read, patched and updated."""
    volumes, claims = _volumes(stage)
    name = f"status-{stage.unique}"
    for resource, make in ((volumes, _volume), (claims, _claim)):
        await resource.create(make(stage, name))
        stage.remove(resource, name)
    phases = ("Available", "Bound", "Pending")
    has(phases, (await claims.get(name, "status"))["status"]["phase"], "phases of a claim")
    has(phases, (await volumes.get(name, "status"))["status"]["phase"], "phases of a volume")
    condition = {
        "type": "StatusPatched",
        "status": "True",
        "reason": "E2E patchStatus",
        "message": "Set from e2e test",
    }
    patch: Any = {"status": {"conditions": [condition]}}
    patched = await claims.patch(name, patch, part="status")
    kinds = [entry["type"] for entry in patched["status"]["conditions"]]
    has(kinds, "StatusPatched", "conditions patched")
    word: Any = {"status": {"message": "StatusPatched", "reason": "E2E patchStatus"}}
    told = (await volumes.patch(name, word, part="status"))["status"]
    has(told, {"message": "StatusPatched", "reason": "E2E patchStatus"}, "the status patched")

    def update_claim(obj: JsonObject) -> None:
        more = {**condition, "type": "StatusUpdated", "reason": "E2E updateStatus"}
        obj["status"]["conditions"].append(more)

    updated = await claims.update(name, update_claim, "status")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    has(kinds, "StatusUpdated", "conditions updated")

    def update_volume(obj: JsonObject) -> None:
        obj["status"]["reason"] = "E2E updateStatus"
        obj["status"]["message"] = "StatusUpdated"

    told = (await volumes.update(name, update_volume, "status"))["status"]
    has(told, {"message": "StatusUpdated", "reason": "E2E updateStatus"}, "the status updated")
