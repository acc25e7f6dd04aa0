"""Storage: volumes, claims, classes, attachments and CSI drivers."""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject
from kube.table import text
from kube.table.layout import AGE, NAME, Column, Layout, shows, worded
from kube.table.text import NONE, UNSET, age_of, name_of

_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_ANNOTATIONS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _volume(obj: JsonObject, now_s: float) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    claim = spec.get("claimRef")
    return [
        name_of(obj),
        spec.get("capacity", {}).get("storage", "0"),
        _access_modes(spec),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim is not None else "",
        _class_name(obj),
        spec.get("volumeAttributesClassName", UNSET),
        status.get("reason", ""),
        age_of(obj, now_s),
        spec.get("volumeMode", UNSET),
    ]


def _claim(obj: JsonObject, now_s: float) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    volume = spec.get("volumeName", "")
    return [
        name_of(obj),
        _phase(obj),
        volume,
        status.get("capacity", {}).get("storage", "0") if volume else "",
        _access_modes(status) if volume else "",
        _class_name(obj),
        spec.get("volumeAttributesClassName", UNSET),
        age_of(obj, now_s),
        spec.get("volumeMode", UNSET),
    ]


def _phase(obj: JsonObject) -> str:
    if text.is_deleted(obj):
        return "Terminating"
    return str(obj.get("status", {}).get("phase", ""))


def _access_modes(holder: JsonObject) -> str:
    modes = holder.get("accessModes", ())
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in modes)


def _class_name(obj: JsonObject) -> str:
    annotated = obj["metadata"].get("annotations", {}).get(_CLASS_ANNOTATION)
    return str(obj.get("spec", {}).get("storageClassName", "") if annotated is None else annotated)


def _storage_class(obj: JsonObject, now_s: float) -> list[Any]:
    annotations = obj["metadata"].get("annotations", {})
    is_default = any(annotations.get(key) == "true" for key in _DEFAULT_ANNOTATIONS)
    return [
        f"{name_of(obj)} (default)" if is_default else name_of(obj),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        obj.get("allowVolumeExpansion", False),
        age_of(obj, now_s),
    ]


def _attributes_class(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("driverName", ""), age_of(obj, now_s)]


def _attachment(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    return [
        name_of(obj),
        spec.get("attacher", ""),
        spec.get("source", {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        obj.get("status", {}).get("attached", False),
        age_of(obj, now_s),
    ]


def _csi_node(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), len(obj.get("spec", {}).get("drivers", ())), age_of(obj, now_s)]


def _csi_driver(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    tokens = spec.get("tokenRequests")
    return [
        name_of(obj),
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        UNSET if tokens is None else ",".join(token.get("audience", "") for token in tokens),
        spec.get("requiresRepublish", False),
        ",".join(spec.get("volumeLifecycleModes", ())) or NONE,
        age_of(obj, now_s),
    ]


def _csi_capacity(obj: JsonObject, _now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("storageClassName", ""), obj.get("capacity", UNSET)]


_PV: Final = "core.v1.PersistentVolumeSpec."
_PVC: Final = "core.v1.PersistentVolumeClaim"
_CLASS: Final = "storage.v1.StorageClass."
_DRIVER: Final = "storage.v1.CSIDriverSpec."
_ATTACHMENT: Final = "storage.v1.VolumeAttachment"

LAYOUTS: Final = {
    "persistentvolumes": Layout(
        columns=(
            NAME,
            shows("Capacity", f"{_PV}capacity"),
            shows("Access Modes", f"{_PV}accessModes"),
            shows("Reclaim Policy", f"{_PV}persistentVolumeReclaimPolicy"),
            shows("Status", "core.v1.PersistentVolumeStatus.phase"),
            shows("Claim", f"{_PV}claimRef"),
            worded("StorageClass", "The volume's StorageClass."),
            worded("VolumeAttributesClass", "The volume's VolumeAttributesClass."),
            shows("Reason", "core.v1.PersistentVolumeStatus.reason"),
            AGE,
            shows("VolumeMode", f"{_PV}volumeMode", wide=True),
        ),
        cells=_volume,
    ),
    "persistentvolumeclaims": Layout(
        columns=(
            NAME,
            shows("Status", f"{_PVC}Status.phase"),
            shows("Volume", f"{_PVC}Spec.volumeName"),
            shows("Capacity", f"{_PVC}Status.capacity"),
            shows("Access Modes", f"{_PVC}Status.accessModes"),
            worded("StorageClass", "The claim's StorageClass."),
            worded("VolumeAttributesClass", "The claim's VolumeAttributesClass."),
            AGE,
            shows("VolumeMode", f"{_PVC}Spec.volumeMode", wide=True),
        ),
        cells=_claim,
    ),
    "storage.k8s.io/storageclasses": Layout(
        columns=(
            NAME,
            shows("Provisioner", f"{_CLASS}provisioner"),
            shows("ReclaimPolicy", f"{_CLASS}reclaimPolicy"),
            shows("VolumeBindingMode", f"{_CLASS}volumeBindingMode"),
            shows("AllowVolumeExpansion", f"{_CLASS}allowVolumeExpansion"),
            AGE,
        ),
        cells=_storage_class,
    ),
    "storage.k8s.io/volumeattributesclasses": Layout(
        (NAME, shows("DriverName", "storage.v1.VolumeAttributesClass.driverName"), AGE),
        _attributes_class,
    ),
    "storage.k8s.io/volumeattachments": Layout(
        columns=(
            NAME,
            Column("Attacher", format="name", field=f"io.k8s.api.{_ATTACHMENT}Spec.attacher"),
            shows("PV", f"{_ATTACHMENT}Source.persistentVolumeName"),
            shows("Node", f"{_ATTACHMENT}Spec.nodeName"),
            shows("Attached", f"{_ATTACHMENT}Status.attached", "boolean"),
            AGE,
        ),
        cells=_attachment,
    ),
    "storage.k8s.io/csinodes": Layout(
        (NAME, worded("Drivers", "How many CSI drivers the node has.", "integer"), AGE), _csi_node
    ),
    "storage.k8s.io/csidrivers": Layout(
        columns=(
            NAME,
            shows("AttachRequired", f"{_DRIVER}attachRequired", "boolean"),
            shows("PodInfoOnMount", f"{_DRIVER}podInfoOnMount", "boolean"),
            shows("StorageCapacity", f"{_DRIVER}storageCapacity", "boolean"),
            shows("TokenRequests", f"{_DRIVER}tokenRequests"),
            shows("RequiresRepublish", f"{_DRIVER}requiresRepublish", "boolean"),
            shows("Modes", f"{_DRIVER}volumeLifecycleModes"),
            AGE,
        ),
        cells=_csi_driver,
    ),
    "storage.k8s.io/csistoragecapacities": Layout(
        columns=(
            NAME,
            shows("StorageClassName", "storage.v1.CSIStorageCapacity.storageClassName"),
            shows("Capacity", "storage.v1.CSIStorageCapacity.capacity"),
        ),
        cells=_csi_capacity,
    ),
}
