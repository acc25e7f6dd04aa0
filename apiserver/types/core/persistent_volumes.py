"""PersistentVolume: capacity, access, exactly one source, and what never changes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Final

from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import FIELD_IMMUTABLE, check_string, validate_immutable
from apiserver.types.pods import storage_volumes as sources
from apiserver.types.pods.claim_specs import ACCESS_MODES, VOLUME_MODES
from apiserver.types.pods.paths import check_no_backsteps
from apiserver.types.pods.quantities import nanos
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")
HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_CSI_SECRETS: Final = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
DRIVER_NAME_BYTES_MAX: Final = 63
_GA_LABELS: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _check_host_path(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not source.get("path"):
        errors.append(required(f"{path}.path"))
        return
    check_no_backsteps(source["path"], f"{path}.path", errors)
    kind = source.get("type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", kind, HOST_PATH_TYPES))


def _check_local(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not source.get("path"):
        errors.append(required(f"{path}.path"))
        return
    check_no_backsteps(source["path"], f"{path}.path", errors)


def driver_name_errors(name: str, path: str) -> list[FieldError]:
    """Check the name of a CSI driver (case is forgiven)."""
    if not name:
        return [required(path)]
    errors: list[FieldError] = []
    if len(name.encode()) > DRIVER_NAME_BYTES_MAX:
        text = f"may not be more than {DRIVER_NAME_BYTES_MAX} bytes"
        errors.append(FieldError("FieldValueTooLong", path, text))
    return errors + [invalid(path, name, m) for m in is_dns1123_subdomain(name.lower())]


def _check_csi(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    errors += driver_name_errors(source.get("driver", ""), f"{path}.driver")
    if not source.get("volumeHandle"):
        errors.append(required(f"{path}.volumeHandle"))
    for key in _CSI_SECRETS:
        if (reference := source.get(key)) is None:
            continue
        errors.extend(
            required(f"{path}.{key}.{part}")
            for part in ("name", "namespace")
            if not reference.get(part)
        )


_SourceCheck = Callable[[JsonObject, str, list[FieldError]], None]
_SOURCES: Final[dict[str, _SourceCheck]] = {
    "hostPath": _check_host_path,
    "gcePersistentDisk": sources.check_gce_disk,
    "awsElasticBlockStore": sources.check_aws_store,
    "glusterfs": sources.check_glusterfs,
    "flocker": sources.check_flocker,
    "nfs": sources.check_nfs,
    "rbd": sources.check_rbd,
    "quobyte": sources.check_quobyte,
    "cephfs": sources.check_cephfs,
    "iscsi": sources.check_iscsi,
    "cinder": sources.check_cinder,
    "fc": sources.check_fc,
    "flexVolume": sources.check_flex_volume,
    "azureFile": sources.check_azure_file,
    "vsphereVolume": sources.check_vsphere,
    "photonPersistentDisk": sources.check_photon_disk,
    "portworxVolume": sources.check_portworx,
    "azureDisk": sources.check_azure_disk,
    "scaleIO": sources.check_scale_io,
    "local": _check_local,
    "storageos": sources.check_storageos,
    "csi": _check_csi,
}


def default(obj: JsonObject) -> None:
    """Fill in a PersistentVolume's defaults."""
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    if (host := spec.get("hostPath")) is not None:
        host.setdefault("type", "")
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"


def prepare_create(obj: JsonObject) -> None:
    """Start pending."""
    obj["status"] = {"phase": "Pending"}


def access_mode_errors(modes: list[str], path: str, missing: str = "") -> list[FieldError]:
    """Check access modes: at least one, known, and ReadWriteOncePod alone."""
    errors: list[FieldError] = [] if modes else [required(path, missing)]
    errors.extend(not_supported(path, m, ACCESS_MODES) for m in modes if m not in ACCESS_MODES)
    others = [mode for mode in modes if mode in ACCESS_MODES and mode != "ReadWriteOncePod"]
    if "ReadWriteOncePod" in modes and others:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def _capacity_errors(spec: JsonObject) -> list[FieldError]:
    capacity = spec.get("capacity") or {}
    errors: list[FieldError] = [] if capacity else [required("spec.capacity")]
    if list(capacity) != ["storage"]:
        errors.append(not_supported("spec.capacity", capacity or None, ("storage",)))
    for name, quantity in capacity.items():
        path = f"spec.capacity[{name}]"
        amount = nanos(quantity)
        if amount < 0:
            errors.append(invalid(path, amount // 10**9, "must be a valid resource quantity"))
        if amount <= 0:
            errors.append(invalid(path, quantity, "must be greater than zero"))
    return errors


def _source_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    found = [key for key in _SOURCES if spec.get(key) is not None]
    if not found:
        return [required("spec", "must specify a volume type")]
    _SOURCES[found[0]](spec[found[0]], f"spec.{found[0]}", errors)
    errors.extend(
        forbidden(f"spec.{key}", "may not specify more than 1 volume type") for key in found[1:]
    )
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        text = "must specify required node constraints"
        errors.append(required("spec.nodeAffinity.required", text))
    if "local" in found and affinity is None:
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    host = spec.get("hostPath")
    recycled = spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    if host is not None and recycled and posixpath.normpath(host.get("path", "")) == "/":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(forbidden("spec.persistentVolumeReclaimPolicy", text))
    return errors


def _class_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := spec.get("storageClassName"):
        errors += check_string(name, "spec.storageClassName", is_dns1123_subdomain)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", mode, VOLUME_MODES))
    if (attributes := spec.get("volumeAttributesClassName")) is not None:
        path = "spec.volumeAttributesClassName"
        if not attributes:
            errors.append(required(path, "an empty string is disallowed"))
        else:
            errors += check_string(attributes, path, is_dns1123_subdomain)
        if spec.get("csi") is None:
            text = "has to be specified when using volumeAttributesClassName"
            errors.append(required("spec.csi", text))
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a PersistentVolume."""
    spec = obj.get("spec", {})
    errors = access_mode_errors(spec.get("accessModes") or [], "spec.accessModes")
    errors += _capacity_errors(spec)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in RECLAIM_POLICIES:
        path = "spec.persistentVolumeReclaimPolicy"
        errors.append(not_supported(path, policy, RECLAIM_POLICIES))
    return errors + _source_errors(spec) + _class_errors(spec)


def _source_of(spec: JsonObject, *, but: str = "") -> JsonObject:
    found = {key: spec[key] for key in _SOURCES if spec.get(key) is not None}
    if but and "csi" in found:
        found["csi"] = {key: value for key, value in found["csi"].items() if key != but}
    return found


def _affinity_with_ga_labels(affinity: JsonObject) -> JsonObject:
    terms = (affinity.get("required") or {}).get("nodeSelectorTerms") or []
    renamed = [
        {
            **term,
            "matchExpressions": [
                {**one, "key": _GA_LABELS.get(one.get("key", ""), one.get("key", ""))}
                for one in term.get("matchExpressions") or ()
            ],
        }
        for term in terms
    ]
    return {"required": {"nodeSelectorTerms": renamed}}


def _same_affinity(new: JsonObject | None, old: JsonObject) -> bool:
    # Beta labels may be replaced by those that came after them.
    return new == old or (
        new is not None and _affinity_with_ga_labels(new) == _affinity_with_ga_labels(old)
    )


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a PersistentVolume that is to replace `old`."""
    errors = validate(new)
    spec, before = new.get("spec", {}), old.get("spec", {})
    fresh = "controllerExpandSecretRef"
    added = fresh not in (before.get("csi") or {})
    but = fresh if added else ""
    if _source_of(spec, but=but) != _source_of(before, but=but):
        text = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden("spec.persistentvolumesource", text))
    errors += validate_immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    affinity, was = spec.get("nodeAffinity"), before.get("nodeAffinity")
    if was is not None and not _same_affinity(affinity, was):
        text = f"{FIELD_IMMUTABLE}, except for updating from beta label to GA"
        errors.append(invalid("nodeAffinity", affinity, text))
    key = "volumeAttributesClassName"
    if before.get(key) is not None and spec.get(key) is None:
        errors.append(forbidden(f"spec.{key}", "update from non-nil value to nil is forbidden"))
    return errors


def stamp_status(new: JsonObject, old: JsonObject, now: str) -> None:
    """Say when the phase changed, unless the writer does."""
    status, before = new.get("status") or {}, old.get("status") or {}
    key = "lastPhaseTransitionTime"
    if status.get("phase") != before.get("phase") and status.get(key) in (None, before.get(key)):
        status[key] = now


HOOKS: Final = {
    "persistentvolumes": TypeHooks(
        stamp_status=stamp_status,
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        validate_update=validate_update,
        has_status=True,
    )
}
