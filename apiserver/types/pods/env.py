"""Checks of a container's environment: variables, their sources, and imported sets of them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Final

from apiserver.types.formats import (
    is_config_map_key,
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    is_relaxed_env_var_name,
    mask_trailing_dash,
)
from apiserver.types.pods.paths import check_local_path
from apiserver.types.pods.quantities import nanos
from kube.field import FieldError, invalid, not_supported, required
from kube.json_types import JsonObject

ENV_FIELDS: Final = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
# What the conversion of field labels knows, before the list of allowed ones is looked at.
_CONVERTIBLE: Final = ENV_FIELDS | {
    "metadata.annotations",
    "metadata.labels",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
}
_RESOURCES: Final = frozenset(
    {
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
    }
)
_HUGE_PAGES: Final = ("requests.hugepages-", "limits.hugepages-")
_CPU_DIVISORS: Final = frozenset({"1m", "1"})
_BYTE_DIVISORS: Final = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
_BYTE_DIVISOR_SET: Final = frozenset(_BYTE_DIVISORS.split(", "))
_SOURCES: Final = (
    "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
)


def check_env(variables: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check environment variables."""
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        elif faults := is_relaxed_env_var_name(name):
            errors.extend(invalid(f"{path}[{index}].name", name, fault) for fault in faults)
        if "valueFrom" in variable:
            _check_value_from(variable, f"{path}[{index}].valueFrom", errors)


def check_env_from(sources: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check the ConfigMaps and Secrets whose keys become variables."""
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        if prefix := source.get("prefix"):
            faults = is_relaxed_env_var_name(prefix)
            errors.extend(invalid(f"{where}.prefix", prefix, fault) for fault in faults)
        kinds = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        for kind in kinds:
            _check_reference(source[kind].get("name", ""), f"{where}.{kind}.name", errors)
        if not kinds:
            text = "must specify one of: `configMapRef` or `secretRef`"
            errors.append(invalid(path, "", text))
        elif len(kinds) > 1:
            text = "may not have more than one field specified at a time"
            errors.append(invalid(path, "", text))


def check_field_selector(
    selector: JsonObject, allowed: Set[str], path: str, errors: list[FieldError]
) -> None:
    """Check a reference to a field of the pod, `allowed` being those without a subscript."""
    version = selector.get("apiVersion", "")
    field_path = selector.get("fieldPath", "")
    if not version:
        errors.append(required(f"{path}.apiVersion"))
        return
    if not field_path:
        errors.append(required(f"{path}.fieldPath"))
        return
    base, subscript = _split_subscript(field_path)
    fault = _conversion_fault(version, field_path, base, subscript)
    if fault:
        text = f"error converting fieldPath: {fault}"
        errors.append(invalid(f"{path}.fieldPath", field_path, text))
    elif subscript is None:
        base = "spec.nodeName" if base == "spec.host" else base
        if base not in allowed:
            errors.append(not_supported(f"{path}.fieldPath", base, sorted(allowed)))
    else:
        key = subscript.lower() if base == "metadata.annotations" else subscript
        errors.extend(invalid(path, key, fault) for fault in is_qualified_name(key))


def check_resource_selector(
    selector: JsonObject, path: str, errors: list[FieldError], *, volume: bool
) -> None:
    """Check a reference to a container's request or limit; in a volume it names the container."""
    name = selector.get("resource", "")
    if volume and not selector.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not name:
        errors.append(required(f"{path}.resource"))
    elif name not in _RESOURCES and not name.startswith(_HUGE_PAGES):
        errors.append(not_supported(f"{path}.resource", name, sorted(_RESOURCES)))
    divisor = selector.get("divisor", "0")
    if nanos(divisor):
        _check_divisor(name, divisor, f"{path}.divisor", errors)


def _check_divisor(name: str, divisor: str, path: str, errors: list[FieldError]) -> None:
    _, _, resource = name.partition(".")
    if resource == "cpu":
        if divisor not in _CPU_DIVISORS:
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(invalid(path, name, text))
        return
    if resource == "memory":
        kind = "memory"
    elif resource == "ephemeral-storage":
        kind = "local ephemeral storage"
    elif resource.startswith("hugepages-"):
        kind = "hugepages"
    else:
        return
    if divisor not in _BYTE_DIVISOR_SET:
        text = f"only divisor's values {_BYTE_DIVISORS} are supported with the {kind} resource"
        errors.append(invalid(path, name, text))


def _check_value_from(variable: JsonObject, path: str, errors: list[FieldError]) -> None:
    source = variable["valueFrom"]
    count = 0
    if "fieldRef" in source:
        count += 1
        check_field_selector(source["fieldRef"], ENV_FIELDS, f"{path}.fieldRef", errors)
    if "resourceFieldRef" in source:
        count += 1
        where = f"{path}.resourceFieldRef"
        check_resource_selector(source["resourceFieldRef"], where, errors, volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            count += 1
            _check_key_selector(source[kind], f"{path}.{kind}", errors)
    if "fileKeyRef" in source:
        count += 1
        _check_file_key(source["fileKeyRef"], f"{path}.fileKeyRef", errors)
    if not count:
        errors.append(invalid(path, "", f"must specify one of: {_SOURCES}"))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        text = "may not have more than one field specified at a time"
        errors.append(invalid(path, "", text))


def _check_key_selector(selector: JsonObject, path: str, errors: list[FieldError]) -> None:
    name = selector.get("name", "")
    if faults := is_dns1123_subdomain(name):
        errors.extend(invalid(f"{path}.name", name, fault) for fault in faults)
    key = selector.get("key", "")
    if not key:
        errors.append(required(f"{path}.key"))
    elif faults := is_config_map_key(key):
        errors.extend(invalid(f"{path}.key", key, fault) for fault in faults)


def _check_file_key(selector: JsonObject, path: str, errors: list[FieldError]) -> None:
    volume = selector.get("volumeName", "")
    if volume:
        faults = is_dns1123_label(volume)
        errors.extend(invalid(f"{path}.volumeName", volume, fault) for fault in faults)
    else:
        errors.append(required(f"{path}.volumeName"))
    if file := selector.get("path"):
        check_local_path(file, f"{path}.path", errors)
    else:
        errors.append(required(f"{path}.path"))
    if key := selector.get("key"):
        faults = is_relaxed_env_var_name(key)
        errors.extend(invalid(f"{path}.key", key, fault) for fault in faults)
    else:
        errors.append(required(f"{path}.key"))


def _check_reference(name: Any, path: str, errors: list[FieldError]) -> None:
    if not name:
        errors.append(required(path))
    elif faults := is_dns1123_subdomain(mask_trailing_dash(name)):
        errors.extend(invalid(path, name, fault) for fault in faults)


def _split_subscript(field_path: str) -> tuple[str, str | None]:
    """Split `metadata.labels['key']` into path and key; key None: there is no subscript."""
    if field_path.endswith("']"):
        base, found, subscript = field_path[:-2].partition("['")
        if found and base:
            return base, subscript
    return field_path, None


def _conversion_fault(version: str, text: str, base: str, subscript: str | None) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscript is not None:
        if base in {"metadata.annotations", "metadata.labels"}:
            return ""
        return f"field label does not support subscript: {text}"
    if base in _CONVERTIBLE or base == "spec.host":
        return ""
    return f"field label not supported: {text}"
