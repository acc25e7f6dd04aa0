"""The resize subresource: changing the cpu and memory of a pod in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apiserver.types.pods.annotations import MIRROR_POD
from apiserver.types.pods.pod_spec import validate_pod
from apiserver.types.pods.qos import qos_class
from apiserver.types.pods.subresources import count_spec_change, keep_the_rest
from kube.field import FieldError, forbidden, invalid
from kube.json_types import JsonObject

_ONLY_PLAIN = "only cpu and memory resources are mutable"


def prepare_resize(new: JsonObject, old: JsonObject) -> None:
    """Keep everything of `old` but resources and resize policies.

    Where containers were added, removed, renamed or moved, `new` stays as it is, so that
    validation can say so.
    """
    lists = {}
    for name in ("containers", "initContainers"):
        now, then = new["spec"].get(name, []), old["spec"].get(name, [])
        if len(now) != len(then):
            return
        lists[name] = _with_resources(now, then)
    resources = new["spec"].get("resources")
    keep_the_rest(new, old)
    spec = dict(old["spec"])
    _put(spec, "resources", resources)
    spec.update((name, containers) for name, containers in lists.items() if containers)
    new["spec"] = spec
    count_spec_change(new, old)


def validate_resize(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a resize."""
    if MIRROR_POD in old["metadata"].get("annotations", ()):
        return [forbidden("", "static pods cannot be resized")]
    spec, before = new["spec"], old["spec"]
    if before.get("os", {}).get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    errors = validate_pod(new)
    for name in ("containers", "initContainers"):
        if len(spec.get(name, ())) != len(before.get(name, ())):
            text = f"{name} may not be added or removed on resize"
            return [*errors, forbidden(f"spec.{name}", text)]
    if old.get("status", {}).get("qosClass", qos_class(before)) != qos_class(spec):
        text = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", new.get("status", {}).get("qosClass", ""), text))
    if not _node_can_resize(old):
        errors.append(forbidden("spec", "Pod running on node without support for resize"))
    _check_removals(spec, before, errors)
    masked = _mask(spec, before, errors)
    if not errors and masked != before:
        errors.append(forbidden("spec", _ONLY_PLAIN))
    return errors


def _put(holder: JsonObject, name: str, value: Any) -> None:
    if value is None:
        holder.pop(name, None)
    else:
        holder[name] = value


def _with_resources(new: list[JsonObject], old: list[JsonObject]) -> list[JsonObject]:
    if any(a.get("name") != b.get("name") for a, b in zip(new, old, strict=True)):
        return new
    merged = []
    for container, before in zip(new, old, strict=True):
        copy = dict(before)
        _put(copy, "resources", container.get("resources"))
        _put(copy, "resizePolicy", container.get("resizePolicy"))
        merged.append(copy)
    return merged


def _node_can_resize(pod: JsonObject) -> bool:
    """Whether the kubelet reports actual resources, which it does when it can change them."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if "running" in status.get("state", {}):
            return "resources" in status
    return True


def _is_sidecar(container: JsonObject) -> bool:
    return container.get("restartPolicy") == "Always"


def _check_removals(spec: JsonObject, before: JsonObject, errors: list[FieldError]) -> None:
    pairs = [(before, spec, "spec.resources")] if "resources" in before else []
    for name in ("initContainers", "containers"):
        for index, old in enumerate(before.get(name, ())):
            if name == "containers" or _is_sidecar(old):
                pairs.append((old, spec[name][index], f"spec.{name}[{index}].resources"))
    for old, new, path in pairs:
        for side in ("requests", "limits"):
            now = new.get("resources", {}).get(side, {})
            if any(name not in now for name in old.get("resources", {}).get(side, ())):
                text = f"resource {side} cannot be removed"
                errors.append(forbidden(f"{path}.{side}", text))


def _mask(spec: JsonObject, before: JsonObject, errors: list[FieldError]) -> JsonObject:
    """Return `spec` with the old cpu and memory; report where something else differs."""
    masked = dict(spec)
    _put(masked, "resources", _masked_resources(spec, before))
    if "containers" in spec:
        masked["containers"] = containers = _mask_all(spec["containers"], before["containers"])
        for container, old in zip(containers, before["containers"], strict=True):
            if container != old:
                errors.append(forbidden("spec", _ONLY_PLAIN))
    if "initContainers" in spec:
        result = []
        for container, old in zip(spec["initContainers"], before["initContainers"], strict=True):
            if _is_sidecar(container):
                copy = _mask_container(container, old)
                text = "only cpu and memory resources for sidecar containers are mutable"
            else:
                copy = container
                text = "resources for non-sidecar init containers are immutable"
            if copy != old:
                errors.append(forbidden("spec", text))
            result.append(copy)
        masked["initContainers"] = result
    return masked


def _mask_all(new: Sequence[JsonObject], old: Sequence[JsonObject]) -> list[JsonObject]:
    return [_mask_container(one, before) for one, before in zip(new, old, strict=True)]


def _mask_container(container: JsonObject, old: JsonObject) -> JsonObject:
    masked = dict(container)
    _put(masked, "resources", _masked_resources(container, old))
    return masked


def _masked_resources(holder: JsonObject, old: JsonObject) -> JsonObject | None:
    resources = holder.get("resources")
    before = old.get("resources")
    if resources is None or before is None:
        return before if resources is None or not resources.get("claims") else resources
    masked = dict(resources)
    for side in ("requests", "limits"):
        kept = {
            name: amount
            for name, amount in resources.get(side, {}).items()
            if name not in {"cpu", "memory"}
        }
        then = before.get(side, {})
        kept.update((name, then[name]) for name in ("cpu", "memory") if name in then)
        _put(masked, side, kept or None)
    return masked
