"""What claims, volumes and the storage class of simulated disks say: pure, no I/O.

A disk is made as a CSI driver's provisioner makes one (sig-storage-lib-external-provisioner, and
external-resizer for its growth). It is in the zone of the node for which it is made, as clouds'
disks are; one that many nodes may use at once is everywhere. Nothing is behind it.
"""

from __future__ import annotations

from typing import Final

from controllers.fleet.lives import chance
from controllers.volumes import facts
from kube import quantity
from kube.json_types import JsonObject

DRIVER: Final = "disk.fleet.ultraplane.dev"
"""Provisioner of storage classes, and driver of volumes."""
ZONE: Final = "topology.kubernetes.io/zone"
CLAIM_KIND: Final = "PersistentVolumeClaim"
DRIVERS: Final = "/apis/storage.k8s.io/v1/csidrivers"
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_RESIZING: Final = frozenset({"Resizing", "FileSystemResizePending"})


def storage_class(name: str, *, is_default: bool) -> JsonObject:
    """Return the class that a fleet brings."""
    metadata: JsonObject = {"name": name}
    if is_default:
        metadata["annotations"] = {_DEFAULT_CLASS: "true"}
    return {
        "metadata": metadata,
        "provisioner": DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def driver() -> JsonObject:
    """Return the driver as an object: nothing is attached, so pods need not wait for that."""
    spec = {"attachRequired": False, "podInfoOnMount": False, "fsGroupPolicy": "File"}
    return {"metadata": {"name": DRIVER}, "spec": spec}


def volume_name(claim: JsonObject) -> str:
    """Return what the volume of a claim is called: whoever tries again makes no second one."""
    return f"pvc-{claim['metadata']['uid']}"


def is_wanted(claim: JsonObject, kind: JsonObject | None) -> bool:
    """Tell whether a claim is to get a disk of ours, sooner or later (shouldProvision)."""
    return (
        kind is not None
        and kind.get("provisioner") == DRIVER
        and not claim["spec"].get("volumeName")
        and not claim["metadata"].get("deletionTimestamp")
    )


def is_due(claim: JsonObject, kind: JsonObject) -> bool:
    """Tell whether the binder has asked for it, and it is known for which node it is."""
    if facts.annotation(claim, facts.PROVISIONER) != DRIVER:
        return False
    return not facts.is_delayed(kind) or facts.annotation(claim, facts.SELECTED_NODE) is not None


def source_of(claim: JsonObject) -> tuple[str, str]:
    """Return kind and name of what a claim is to be a copy of; empty: of nothing."""
    spec = claim["spec"]
    found = spec.get("dataSourceRef") or spec.get("dataSource") or {}
    return found.get("kind", ""), found.get("name", "")


def fault_of(claim: JsonObject, source: JsonObject | None) -> str:
    """Return why no disk can be made for a claim; empty: one can.

    Args:
        claim: whose it is to be.
        source: the claim that it is to be a copy of, if there is that.
    """
    if claim["spec"].get("selector"):
        return "claim Selector is not supported"
    kind, name = source_of(claim)
    if not kind:
        return ""
    if source is None:
        missing = f'persistentvolumeclaims "{name}" not found'
        return f"error getting PVC {name} from api server: {missing}"
    if (source.get("status") or {}).get("phase") != "Bound":
        return f"the PVC DataSource {name} must be in Bound status"
    if facts.requested_bytes(claim) < _held_bytes(source):
        return f"the PVC DataSource {name} is larger than what is requested"
    if facts.mode_of(claim) != facts.mode_of(source):
        return f"the PVC DataSource {name} has another volumeMode"
    return ""


def is_everywhere(claim: JsonObject) -> bool:
    """Tell whether many nodes may use a volume at once."""
    return not facts.access_modes(claim) <= {"ReadWriteOnce", "ReadWriteOncePod"}


def zones_allowed(kind: JsonObject) -> list[str]:
    """Return the zones that a class allows; empty: all."""
    return [
        zone
        for term in kind.get("allowedTopologies") or ()
        for wanted in term.get("matchLabelExpressions") or ()
        if wanted.get("key") == ZONE
        for zone in wanted.get("values") or ()
    ]


def zone_for(claim: JsonObject, zones: list[str]) -> str:
    """Return a zone for a claim that no node was chosen for; always the same for a claim."""
    if not zones:
        return ""
    ordered = sorted(zones)
    return ordered[int(chance(claim["metadata"]["uid"], "zone") * len(ordered))]


def volume_of(claim: JsonObject, kind: JsonObject, zone: str) -> JsonObject:
    """Return the volume that is made for a claim.

    Args:
        claim: whose it is.
        kind: its storage class.
        zone: where it is; empty: everywhere.
    """
    metadata, name = claim["metadata"], volume_name(claim)
    spec: JsonObject = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": claim["spec"].get("accessModes") or [],
        "claimRef": {
            "apiVersion": "v1",
            "kind": CLAIM_KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "persistentVolumeReclaimPolicy": kind.get("reclaimPolicy") or "Delete",
        "storageClassName": kind["metadata"]["name"],
        "volumeMode": facts.mode_of(claim),
        "csi": {"driver": DRIVER, "volumeHandle": name},
    }
    if facts.mode_of(claim) == "Filesystem":
        spec["csi"]["fsType"] = (kind.get("parameters") or {}).get(
            "csi.storage.k8s.io/fstype"
        ) or "ext4"
    if options := kind.get("mountOptions"):
        spec["mountOptions"] = options
    if attributes := facts.attributes_class_of(claim):
        spec["volumeAttributesClassName"] = attributes
    if zone:
        expression = {"key": ZONE, "operator": "In", "values": [zone]}
        terms = [{"matchExpressions": [expression]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    return {"metadata": {"name": name, "annotations": {facts.PROVISIONED_BY: DRIVER}}, "spec": spec}


def is_ours(volume: JsonObject) -> bool:
    """Tell whether a volume was made here."""
    return facts.annotation(volume, facts.PROVISIONED_BY) == DRIVER


def is_to_be_deleted(volume: JsonObject) -> bool:
    """Tell whether a volume is to go with the claim that it was made for (shouldDelete)."""
    return (
        is_ours(volume)
        and not volume["metadata"].get("deletionTimestamp")
        and (volume.get("status") or {}).get("phase") == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    )


def is_bound(claim: JsonObject) -> bool:
    """Tell whether a pod that uses a claim has its volume."""
    has_volume = bool(claim["spec"].get("volumeName"))
    return has_volume and (claim.get("status") or {}).get("phase") == "Bound"


def is_to_grow(claim: JsonObject) -> bool:
    """Tell whether a bound claim asks for more than it has."""
    return is_bound(claim) and facts.requested_bytes(claim) > _held_bytes(claim)


def grown_status(claim: JsonObject) -> JsonObject:
    """Return the status of a claim whose volume has grown to what it asks for."""
    size = claim["spec"]["resources"]["requests"]["storage"]
    status: JsonObject = dict(claim["status"])
    status["capacity"] = {**(status.get("capacity") or {}), "storage": size}
    status["allocatedResources"] = {**(status.get("allocatedResources") or {}), "storage": size}
    left = dict(status.pop("allocatedResourceStatuses", None) or {})
    left.pop("storage", None)
    if left:
        status["allocatedResourceStatuses"] = left
    conditions = status.pop("conditions", None) or ()
    if kept := [one for one in conditions if one["type"] not in _RESIZING]:
        status["conditions"] = kept
    return status


def _held_bytes(claim: JsonObject) -> int:
    capacity = (claim.get("status") or {}).get("capacity") or {}
    return quantity.parse_value(capacity.get("storage", "0")).value
