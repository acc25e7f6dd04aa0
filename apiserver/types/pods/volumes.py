"""Checks of a pod's volumes: their names, that each has one source, and the everyday sources.

Sources that projects volumes together are in `projected`, those of storage systems in
`storage_volumes`. Where upstream's paths are odd (`persistentDisk`, `downwarAPI`) they are kept,
as clients match on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from apiserver.types.formats import is_dns1123_label, is_dns1123_subdomain
from apiserver.types.pods import storage_volumes
from apiserver.types.pods.claim_specs import check_claim_template
from apiserver.types.pods.paths import check_descending_path, check_mode, check_no_backsteps
from apiserver.types.pods.projected import check_downward, check_key_paths, check_projected
from apiserver.types.pods.quantities import nanos
from kube.field import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    quote,
    required,
    too_long,
)
from kube.json_types import JsonObject

SourceCheck: TypeAlias = Callable[[JsonObject, str, list[FieldError]], None]

_HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_DRIVER_BYTES_MAX: Final = 63
_PORTAL_CHARS_MAX: Final = 64


def check_volumes(
    volumes: Sequence[JsonObject],
    path: str,
    errors: list[FieldError],
    *,
    pod_name: str = "",
    is_pod: bool = False,
) -> dict[str, JsonObject]:
    """Check volumes; return the good ones by name.

    Args:
        volumes: the list to check.
        path: its path.
        errors: what is found is appended here.
        pod_name: name of the pod, which names the claims of ephemeral volumes; "" when unknown.
        is_pod: whether this is a pod rather than a template.
    """
    good: dict[str, JsonObject] = {}
    for index, volume in enumerate(volumes):
        before = len(errors)
        name = volume.get("name", "")
        _check_source(volume, path, index, errors)
        if "ephemeral" in volume and pod_name and name:
            _check_claim_name(name, pod_name, f"{path}[{index}].name", errors)
        if is_pod and "image" in volume and not volume["image"].get("reference"):
            errors.append(required(f"{path}[{index}].image.reference"))
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        elif faults := is_dns1123_label(name):
            errors.extend(invalid(f"{path}[{index}].name", name, fault) for fault in faults)
        if name in good:
            errors.append(duplicate(f"{path}[{index}].name", name))
        if len(errors) == before:
            good[name] = volume
    if pod_name:
        _check_claims_are_not_created(volumes, pod_name, path, errors)
    return good


def check_pull_policy(policy: str, path: str, errors: list[FieldError]) -> None:
    """Check when an image is pulled."""
    if policy not in PULL_POLICIES:
        if policy:
            errors.append(not_supported(path, policy, PULL_POLICIES))
        else:
            errors.append(required(path))


def check_csi_driver_name(name: str, path: str, errors: list[FieldError]) -> None:
    """Check the name of a CSI driver."""
    if not name:
        errors.append(required(path))
    if len(name) > _DRIVER_BYTES_MAX:
        errors.append(too_long(path, _DRIVER_BYTES_MAX))
    faults = is_dns1123_subdomain(name.lower())
    errors.extend(invalid(path, name, fault) for fault in faults)


def _check_source(volume: JsonObject, path: str, index: int, errors: list[FieldError]) -> None:
    if len(volume) == 2:
        # Nearly always: a name and one source.
        for kind, source in volume.items():
            if kind in _CHECKS:
                _CHECKS[kind](source, f"{path}[{index}].{_CHILD_PATHS.get(kind, kind)}", errors)
                _check_portal(volume, path, index, errors)
                return
    where = f"{path}[{index}]"
    found = False
    for kind, check in _CHECKS.items():
        if kind not in volume:
            continue
        if found:
            text = "may not specify more than 1 volume type"
            errors.append(forbidden(f"{where}.{_SECOND_PATHS.get(kind, kind)}", text))
        else:
            found = True
            check(volume[kind], f"{where}.{_CHILD_PATHS.get(kind, kind)}", errors)
    _check_portal(volume, path, index, errors)
    if not found:
        errors.append(required(where, "must specify a volume type"))


def _check_portal(volume: JsonObject, path: str, index: int, errors: list[FieldError]) -> None:
    source = volume.get("iscsi")
    if source is None or "initiatorName" not in source:
        return
    name = volume.get("name", "")
    if len(f"{name}:{source.get('targetPortal', '')}") > _PORTAL_CHARS_MAX:
        text = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
            "iscsi.initiatorName is specified."
        )
        errors.append(invalid(f"{path}[{index}].name", name, text))


def _check_claim_name(name: str, pod_name: str, path: str, errors: list[FieldError]) -> None:
    claim = f"{pod_name}-{name}"
    for fault in is_dns1123_subdomain(claim):
        errors.append(invalid(path, name, f"PVC name {quote(claim)}: {fault}"))


def _check_claims_are_not_created(
    volumes: Sequence[JsonObject], pod_name: str, path: str, errors: list[FieldError]
) -> None:
    created = {
        f"{pod_name}-{volume.get('name', '')}" for volume in volumes if "ephemeral" in volume
    }
    if not created:
        return
    for index, volume in enumerate(volumes):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
        if claim in created:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            where = f"{path}[{index}].persistentVolumeClaim.claimName"
            errors.append(invalid(where, claim, text))


def _check_empty_dir(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if "sizeLimit" in source and nanos(source["sizeLimit"]) < 0:
        text = "SizeLimit field must be a valid resource quantity"
        errors.append(forbidden(f"{path}.sizeLimit", text))


def _check_host_path(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    target = source.get("path", "")
    if not target:
        errors.append(required(f"{path}.path"))
        return
    check_no_backsteps(target, f"{path}.path", errors)
    kind = source.get("type", "")
    if kind not in _HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))


def _check_git_repo(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not source.get("repository"):
        errors.append(required(f"{path}.repository"))
    check_descending_path(source.get("directory", ""), f"{path}.directory", errors)


def _check_secret(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not source.get("secretName"):
        errors.append(required(f"{path}.secretName"))
    check_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    if items := source.get("items"):
        check_key_paths(items, f"{path}.items", errors)


def _check_config_map(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not source.get("name"):
        errors.append(required(f"{path}.name"))
    check_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    if items := source.get("items"):
        check_key_paths(items, f"{path}.items", errors)


def _check_claim(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not source.get("claimName"):
        errors.append(required(f"{path}.claimName"))


def _check_csi(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    check_csi_driver_name(source.get("driver", ""), f"{path}.driver", errors)
    if "nodePublishSecretRef" in source:
        name = source["nodePublishSecretRef"].get("name", "")
        if name:
            faults = is_dns1123_subdomain(name)
            errors.extend(invalid(f"{path}.name", name, fault) for fault in faults)
        else:
            errors.append(required(f"{path}.nodePublishSecretRef.name"))


def _check_ephemeral(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    where = f"{path}.volumeClaimTemplate"
    if "volumeClaimTemplate" in source:
        check_claim_template(source["volumeClaimTemplate"], where, errors)
    else:
        errors.append(required(where))


def _check_image(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    check_pull_policy(source.get("pullPolicy", ""), f"{path}.pullPolicy", errors)


# In upstream's order: of several sources the first is checked and the others are refused.
_CHECKS: Final[dict[str, SourceCheck]] = {
    "emptyDir": _check_empty_dir,
    "hostPath": _check_host_path,
    "gitRepo": _check_git_repo,
    "gcePersistentDisk": storage_volumes.check_gce_disk,
    "awsElasticBlockStore": storage_volumes.check_aws_store,
    "secret": _check_secret,
    "nfs": storage_volumes.check_nfs,
    "iscsi": storage_volumes.check_iscsi,
    "glusterfs": storage_volumes.check_glusterfs,
    "flocker": storage_volumes.check_flocker,
    "persistentVolumeClaim": _check_claim,
    "rbd": storage_volumes.check_rbd,
    "cinder": storage_volumes.check_cinder,
    "cephfs": storage_volumes.check_cephfs,
    "quobyte": storage_volumes.check_quobyte,
    "downwardAPI": check_downward,
    "fc": storage_volumes.check_fc,
    "flexVolume": storage_volumes.check_flex_volume,
    "configMap": _check_config_map,
    "azureFile": storage_volumes.check_azure_file,
    "vsphereVolume": storage_volumes.check_vsphere,
    "photonPersistentDisk": storage_volumes.check_photon_disk,
    "portworxVolume": storage_volumes.check_portworx,
    "azureDisk": storage_volumes.check_azure_disk,
    "storageos": storage_volumes.check_storageos,
    "projected": check_projected,
    "scaleIO": storage_volumes.check_scale_io,
    "csi": _check_csi,
    "ephemeral": _check_ephemeral,
    "image": _check_image,
}
_CHILD_PATHS: Final = {"gcePersistentDisk": "persistentDisk"}
_SECOND_PATHS: Final = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
