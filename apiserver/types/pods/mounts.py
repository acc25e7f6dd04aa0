"""Checks of what a container mounts: volumes as directories and as block devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from apiserver.types.pods.paths import check_descending_path
from kube.field import FieldError, forbidden, invalid, not_found, not_supported, required
from kube.json_types import JsonObject

_PROPAGATIONS: Final = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE_READ_ONLY: Final = ("Disabled", "Enabled", "IfPossible")


def check_mounts(
    container: JsonObject, volumes: Mapping[str, JsonObject], path: str, errors: list[FieldError]
) -> None:
    """Check a container's `volumeMounts` against the pod's volumes and its own devices."""
    mounts = container["volumeMounts"]
    devices = _paths_by_name(container.get("volumeDevices", ()), "devicePath")
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        name = mount.get("name", "")
        target = mount.get("mountPath", "")
        if name not in volumes or not target or target in seen:
            _report_mount(name, target, volumes, f"{path}[{index}]", errors)
            if target in seen:
                text = "must be unique"
                errors.append(invalid(f"{path}[{index}].mountPath", target, text))
        seen.add(target)
        if devices:
            _check_overlap(name, target, devices, f"{path}[{index}]", errors)
        if len(mount) > 2:
            _check_mount_options(mount, container, path, index, errors)


def check_devices(
    container: JsonObject, volumes: Mapping[str, JsonObject], path: str, errors: list[FieldError]
) -> None:
    """Check a container's `volumeDevices` against the pod's volumes and its own mounts."""
    mounts = _paths_by_name(container.get("volumeMounts", ()), "mountPath")
    names: set[str] = set()
    targets: set[str] = set()
    for index, device in enumerate(container["volumeDevices"]):
        where = f"{path}[{index}]"
        name = device.get("name", "")
        target = device.get("devicePath", "")
        if not name:
            errors.append(required(f"{where}.name"))
        if name in names:
            errors.append(invalid(f"{where}.name", name, "must be unique"))
        _check_device_source(name, volumes, where, errors)
        if not target:
            errors.append(required(f"{where}.devicePath"))
        if target in targets:
            errors.append(invalid(f"{where}.devicePath", target, "must be unique"))
        if ".." in target.split("/"):
            text = "can not contain backsteps ('..')"
            errors.append(invalid(f"{where}.devicePath", target, text))
        else:
            targets.add(target)
        if name in mounts:
            text = "must not already exist in volumeMounts"
            errors.append(invalid(f"{where}.name", name, text))
        if target in mounts.values():
            text = "must not already exist as a path in volumeMounts"
            errors.append(invalid(f"{where}.devicePath", target, text))
        names |= {name} if name else set()


def _paths_by_name(items: Sequence[JsonObject], key: str) -> dict[str, str]:
    return {item.get("name", ""): item.get(key, "") for item in items}


def _check_device_source(
    name: str, volumes: Mapping[str, JsonObject], path: str, errors: list[FieldError]
) -> None:
    source = volumes.get(name)
    if source is None:
        errors.append(not_found(f"{path}.name", name))
    elif "persistentVolumeClaim" not in source and "ephemeral" not in source:
        text = (
            "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        )
        errors.append(invalid(f"{path}.name", name, text))


def _report_mount(
    name: str, target: str, volumes: Mapping[str, JsonObject], path: str, errors: list[FieldError]
) -> None:
    if not name:
        errors.append(required(f"{path}.name"))
    if name not in volumes:
        errors.append(not_found(f"{path}.name", name))
    if not target:
        errors.append(required(f"{path}.mountPath"))


def _check_overlap(
    name: str, target: str, devices: Mapping[str, str], path: str, errors: list[FieldError]
) -> None:
    if name in devices:
        text = "must not already exist in volumeDevices"
        errors.append(invalid(f"{path}.name", name, text))
    if target in devices.values():
        text = "must not already exist as a path in volumeDevices"
        errors.append(invalid(f"{path}.mountPath", target, text))


def _check_mount_options(
    mount: JsonObject, container: JsonObject, path: str, index: int, errors: list[FieldError]
) -> None:
    # Upstream reports these at the list, not at the entry.
    sub_path = mount.get("subPath")
    if sub_path:
        check_descending_path(sub_path, f"{path}.subPath", errors)
    expression = mount.get("subPathExpr")
    if expression:
        if sub_path:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{path}[{index}].subPathExpr", expression, text))
        check_descending_path(expression, f"{path}.subPathExpr", errors)
    if "mountPropagation" in mount:
        _check_propagation(mount["mountPropagation"], container, path, errors)
    if "recursiveReadOnly" in mount:
        _check_recursive_read_only(mount, f"{path}.recursiveReadOnly", errors)


def _check_propagation(
    mode: str, container: JsonObject, path: str, errors: list[FieldError]
) -> None:
    where = f"{path}.mountPropagation"
    if mode not in _PROPAGATIONS:
        errors.append(not_supported(where, mode, _PROPAGATIONS))
    if mode == "Bidirectional" and not container.get("securityContext", {}).get("privileged"):
        text = "Bidirectional mount propagation is available only to privileged containers"
        errors.append(forbidden(where, text))


def _check_recursive_read_only(mount: JsonObject, path: str, errors: list[FieldError]) -> None:
    mode = mount["recursiveReadOnly"]
    if mode not in _RECURSIVE_READ_ONLY:
        errors.append(not_supported(path, mode, _RECURSIVE_READ_ONLY))
    elif mode != "Disabled":
        if not mount.get("readOnly"):
            errors.append(forbidden(path, "may only be specified when readOnly is true"))
        if mount.get("mountPropagation", "None") != "None":
            text = "may only be specified when mountPropagation is None or not specified"
            errors.append(forbidden(path, text))
