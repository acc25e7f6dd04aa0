"""Checks of the volume sources that name one storage system.

Nearly all of them are deprecated in favour of CSI, but still part of the API.
"""

from __future__ import annotations

import re
from typing import Final

from apiserver.types.formats import is_dns1123_label, range_error
from kube.field import FieldError, invalid, not_supported, required
from kube.json_types import JsonObject

_find_iqn = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$").search
_match_eui = re.compile("eui.[A-Za-z0-9]{16}").fullmatch
_match_naa = re.compile("naa.[A-Za-z0-9]{32}").fullmatch
_CACHING: Final = ("None", "ReadOnly", "ReadWrite")
_DISK_KINDS: Final = ("Dedicated", "Managed", "Shared")
_MANAGED_URI: Final = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
    "{disk-id}"
)
_BLOB_URI: Final = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_TENANT_CHARS_MAX: Final = 64
_HOST_PORTS: Final = "must be a host:port pair or multiple pairs separated by commas"


def _need(source: JsonObject, names: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    errors.extend(required(f"{path}.{name}") for name in names if not source.get(name))


def _need_secret_name(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if "secretRef" in source and not source["secretRef"].get("name"):
        errors.append(required(f"{path}.secretRef.name"))


def _check_partition(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    partition = source.get("partition", 0)
    if not 0 <= partition <= 255:
        errors.append(invalid(f"{path}.partition", partition, range_error(1, 255)))


def check_gce_disk(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a GCE persistent disk."""
    _need(source, ("pdName",), path, errors)
    _check_partition(source, path, errors)


def check_aws_store(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an AWS elastic block store volume."""
    _need(source, ("volumeID",), path, errors)
    _check_partition(source, path, errors)


def check_nfs(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an NFS export."""
    _need(source, ("server", "path"), path, errors)
    target = source.get("path", "")
    if not target.startswith("/"):
        errors.append(invalid(f"{path}.path", target, "must be an absolute path"))


def _initiator_fault(name: str) -> str:
    if not name.startswith(("iqn", "eui", "naa")):
        return "must be valid format starting with iqn, eui, or naa"
    check = {"iqn": _find_iqn, "eui": _match_eui, "naa": _match_naa}[name[:3]]
    return "" if check(name) else "must be valid format"


def check_iscsi(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an iSCSI disk."""
    _need(source, ("targetPortal", "iqn"), path, errors)
    name = source.get("iqn", "")
    if name and (fault := _initiator_fault(name)):
        errors.append(invalid(f"{path}.iqn", name, fault))
    lun = source.get("lun", 0)
    if not 0 <= lun <= 255:
        errors.append(invalid(f"{path}.lun", lun, range_error(0, 255)))
    authenticated = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if authenticated and "secretRef" not in source:
        errors.append(required(f"{path}.secretRef"))
    if "initiatorName" in source:
        initiator = source["initiatorName"]
        if fault := _initiator_fault(initiator):
            errors.append(invalid(f"{path}.initiatorname", initiator, fault))


def check_glusterfs(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Gluster volume."""
    _need(source, ("endpoints", "path"), path, errors)


def check_flocker(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Flocker dataset."""
    name = source.get("datasetName", "")
    uid = source.get("datasetUUID", "")
    if not name and not uid:
        errors.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        errors.append(invalid(path, "resource", text))
    if "/" in name:
        errors.append(invalid(f"{path}.datasetName", name, "must not contain '/'"))


def check_rbd(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Ceph block device."""
    _need(source, ("monitors", "image"), path, errors)


def check_cinder(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an OpenStack volume."""
    _need(source, ("volumeID",), path, errors)
    _need_secret_name(source, path, errors)


def check_cephfs(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Ceph file system."""
    _need(source, ("monitors",), path, errors)


def _is_host_port(text: str) -> bool:
    host, colon, _ = text.rpartition(":")
    if not colon:
        return False
    return ":" not in host or (host.startswith("[") and host.endswith("]"))


def check_quobyte(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Quobyte volume."""
    registry = source.get("registry", "")
    if not registry:
        errors.append(required(f"{path}.registry", _HOST_PORTS))
    elif len(source.get("tenant", "")) > _TENANT_CHARS_MAX:
        text = "must be a UUID and may not exceed a length of 64 characters"
        errors.append(required(f"{path}.tenant", text))
    else:
        bad = [pair for pair in registry.split(",") if not _is_host_port(pair)]
        errors.extend(invalid(f"{path}.registry", registry, _HOST_PORTS) for _ in bad)
    _need(source, ("volume",), path, errors)


def check_fc(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Fibre Channel disk."""
    targets = source.get("targetWWNs")
    wide = source.get("wwids")
    if not targets and not wide:
        text = "must specify either targetWWNs or wwids, but not both"
        errors.append(required(f"{path}.targetWWNs", text))
    if targets and wide:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(invalid(f"{path}.targetWWNs", targets, text))
    if targets:
        lun = source.get("lun")
        if lun is None:
            errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        elif not 0 <= lun <= 255:
            errors.append(invalid(f"{path}.lun", lun, range_error(0, 255)))


def check_flex_volume(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a volume of a FlexVolume driver."""
    _need(source, ("driver",), path, errors)
    for key in source.get("options", ()):
        owner = f".{key.split('/', 1)[0].lower()}"
        if owner.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(invalid(f"{path}.options[{key}]", key, text))


def check_azure_file(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an Azure file share."""
    _need(source, ("secretName", "shareName"), path, errors)


def check_azure_disk(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an Azure disk."""
    _need(source, ("diskName", "diskURI"), path, errors)
    caching = source.get("cachingMode")
    if caching is not None and caching not in _CACHING:
        errors.append(not_supported(f"{path}.cachingMode", caching, _CACHING))
    kind = source.get("kind")
    if kind is None:
        return
    if kind not in _DISK_KINDS:
        errors.append(not_supported(f"{path}.kind", kind, _DISK_KINDS))
    uri = source.get("diskURI", "")
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.append(not_supported(f"{path}.diskURI", uri, (_MANAGED_URI,)))
    if kind != "Managed" and not uri.startswith("https://"):
        errors.append(not_supported(f"{path}.diskURI", uri, (_BLOB_URI,)))


def check_vsphere(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a vSphere virtual disk."""
    _need(source, ("volumePath",), path, errors)


def check_photon_disk(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Photon persistent disk."""
    _need(source, ("pdID",), path, errors)


def check_portworx(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a Portworx volume."""
    _need(source, ("volumeID",), path, errors)


def check_storageos(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a StorageOS volume."""
    _need(source, ("volumeName",), path, errors)
    for key in ("volumeName", "volumeNamespace"):
        if name := source.get(key, ""):
            faults = is_dns1123_label(name)
            errors.extend(invalid(f"{path}.{key}", name, fault) for fault in faults)
    _need_secret_name(source, path, errors)


def check_scale_io(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a ScaleIO volume."""
    _need(source, ("gateway", "system", "volumeName"), path, errors)
