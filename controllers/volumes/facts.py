"""What claims, volumes and storage classes say, as the binder and the scheduler both read it."""

from __future__ import annotations

import re
from typing import Final

from controllers.workloads.claims import Kind
from kube import quantity
from kube.json_types import JsonObject

CLAIM: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUMES: Final = "/api/v1/persistentvolumes"
CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
MIGRATED_TO: Final = "pv.kubernetes.io/migrated-to"
PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
BETA_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_IS_DEFAULT: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
IN_TREE_PREFIX: Final = "kubernetes.io/"
MIGRATED: Final = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""Who does the work of a plugin that is gone from upstream's tree."""


def is_name(text: str) -> bool:
    """Tell whether a text that users wrote, which nobody checks, may name an object in a path."""
    return _NAME.fullmatch(text) is not None


def annotation(obj: JsonObject, name: str) -> str | None:
    """Return an annotation, None if there is none."""
    value: str | None = (obj["metadata"].get("annotations") or {}).get(name)
    return value


def class_of(obj: JsonObject) -> str:
    """Return the class of a claim or a volume; empty: none."""
    beta = annotation(obj, _BETA_CLASS)
    return beta if beta is not None else obj["spec"].get("storageClassName") or ""


def has_class(claim: JsonObject) -> bool:
    """Tell whether a claim says which class it wants, if only that it wants none."""
    return (
        annotation(claim, _BETA_CLASS) is not None
        or claim["spec"].get("storageClassName") is not None
    )


def mode_of(obj: JsonObject) -> str:
    """Return whether a claim or volume is a file system or a block device."""
    return obj["spec"].get("volumeMode") or "Filesystem"


def attributes_class_of(obj: JsonObject) -> str:
    """Return the VolumeAttributesClass of a claim or volume; empty: none."""
    return obj["spec"].get("volumeAttributesClassName") or ""


def access_modes(obj: JsonObject) -> frozenset[str]:
    """Return the access modes of a claim or a volume."""
    return frozenset(obj["spec"].get("accessModes") or ())


def requested_bytes(claim: JsonObject) -> int:
    """Return how large a volume a claim asks for, in bytes rounded up."""
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.parse_value(requests.get("storage", "0")).value


def capacity_bytes(volume: JsonObject) -> int:
    """Return how large a volume is, in bytes rounded up."""
    return quantity.parse_value((volume["spec"].get("capacity") or {}).get("storage", "0")).value


def claim_key_of(volume: JsonObject) -> str:
    """Return which claim a volume is for; empty: for none yet."""
    reference = volume["spec"].get("claimRef")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


def is_for(volume: JsonObject, claim: JsonObject) -> bool:
    """Tell whether a volume is meant for a claim (IsVolumeBoundToClaim)."""
    metadata, reference = claim["metadata"], volume["spec"].get("claimRef")
    if not reference:
        return False
    if (reference.get("namespace"), reference.get("name")) != (
        metadata["namespace"],
        metadata["name"],
    ):
        return False
    return reference.get("uid", "") in ("", metadata["uid"])


def is_default(storage_class: JsonObject) -> bool:
    """Tell whether a storage class is for claims that name none."""
    return any(annotation(storage_class, name) == "true" for name in _IS_DEFAULT)


def is_delayed(storage_class: JsonObject | None) -> bool:
    """Tell whether claims of a class wait for the first pod that uses them."""
    return (
        storage_class is not None
        and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    )


def refusal(volume: JsonObject, claim: JsonObject) -> str:
    """Return why a volume that a claim asks for by name cannot be had; empty: it can."""
    if capacity_bytes(volume) < requested_bytes(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if attributes_class_of(volume) != attributes_class_of(claim):
        return "volumeAttributesClassName does not match"
    if mode_of(volume) != mode_of(claim):
        return "incompatible volumeMode"
    if not access_modes(claim) <= access_modes(volume):
        return "incompatible accessMode"
    return ""


def template_claim_name(pod: JsonObject, volume: JsonObject) -> str:
    """Return the name of the claim that is made for a pod's ephemeral volume."""
    return f"{pod['metadata']['name']}-{volume['name']}"


def claim_names(pod: JsonObject) -> list[str]:
    """Return the names of the claims that a pod uses."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            found.append(template_claim_name(pod, volume))
    return found
