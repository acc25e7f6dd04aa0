"""What may change in the status of a pod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.addresses import ip_family, is_valid_ip_legacy
from apiserver.types.formats import (
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_user_or_group_id,
)
from apiserver.types.meta import validate_immutable
from apiserver.types.pods.update import check_changed_annotations
from kube.field import FieldError, duplicate, forbidden, invalid, not_supported
from kube.json_types import JsonObject

_SYSTEM_CONDITIONS: Final = frozenset({"PodScheduled", "Ready", "Initialized"})
_HEALTH: Final = ("Healthy", "Unhealthy", "Unknown")
_LISTS: Final = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)


def prepare_pod_status(new: JsonObject, old: JsonObject) -> None:
    """Keep what a status update cannot touch, and what old kubelets leave out."""
    meta = new["metadata"]
    owners = old["metadata"].get("ownerReferences")
    if owners is None:
        meta.pop("ownerReferences", None)
    else:
        meta["ownerReferences"] = owners
    status = new.setdefault("status", {})
    before = old.get("status", {})
    for name in ("qosClass", "observedGeneration"):
        if name not in status and name in before:
            status[name] = before[name]
    generations: dict[str, list[int]] = {}
    for condition in before.get("conditions", ()):
        seen = generations.setdefault(condition.get("type", ""), [])
        seen.append(condition.get("observedGeneration", 0))
    for condition in status.get("conditions", ()):
        seen = generations.get(condition.get("type", ""), [])
        generation = seen.pop(0) if seen else 0
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def validate_pod_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a new status."""
    errors: list[FieldError] = []
    check_changed_annotations(new, old, errors, whole=True)
    status, before = new.get("status", {}), old.get("status", {})
    spec = old["spec"]
    for index, condition in enumerate(status.get("conditions", ())):
        kind = condition.get("type", "")
        if kind not in _SYSTEM_CONDITIONS and (faults := is_qualified_name(kind)):
            # Upstream reports these below the metadata.
            where = f"metadata.conditions[{index}].Type"
            errors.extend(invalid(where, kind, fault) for fault in faults)
    node = status.get("nominatedNodeName")
    if node and node != before.get("nominatedNodeName"):
        faults = is_dns1123_subdomain(node)
        errors.extend(invalid("status.nominatedNodeName", node, fault) for fault in faults)
    now, then = status.get("qosClass", ""), before.get("qosClass", "")
    errors += validate_immutable(now, then, "status.qosClass")
    _check_transitions(status, before, spec, errors)
    _check_claims(status, spec, errors)
    _check_addresses(status.get("podIPs", ()), "status.podIPs", errors)
    _check_host_addresses(status, errors)
    for name, of_spec in _LISTS:
        if name in status:
            _check_container_statuses(status[name], name, spec.get(of_spec, ()), spec, errors)
    return errors


def _check_transitions(
    status: JsonObject, before: JsonObject, spec: JsonObject, errors: list[FieldError]
) -> None:
    """A container that ended for good does not run again."""
    policy = spec.get("restartPolicy", "")
    own_policies = {
        container.get("name"): container["restartPolicy"]
        for name in ("containers", "initContainers")
        for container in spec.get(name, ())
        if "restartPolicy" in container
    }
    for name, _ in _LISTS:
        default = "Never" if name == "ephemeralContainerStatuses" else policy
        alive = {
            one.get("name")
            for one in status.get(name, ())
            if "terminated" not in one.get("state", {})
        }
        for index, one in enumerate(before.get(name, ())):
            ended = one.get("state", {}).get("terminated")
            effective = own_policies.get(one.get("name"), default)
            if ended is None or effective == "Always" or one.get("name") not in alive:
                continue
            if ended.get("exitCode", 0) != 0 and effective == "OnFailure":
                continue
            text = "may not be transitioned to non-terminated state"
            errors.append(forbidden(f"status.{name}[{index}].state", text))


def _check_claims(status: JsonObject, spec: JsonObject, errors: list[FieldError]) -> None:
    known = {claim.get("name") for claim in spec.get("resourceClaims", ())}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses", ())):
        where = f"status.resourceClaimStatuses[{index}].name"
        name = claim.get("name", "")
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            errors.append(invalid(where, name, text))
        if name in seen:
            errors.append(duplicate(where, name))
        seen.add(name)
        if "resourceClaimName" in claim:
            value = claim["resourceClaimName"]
            faults = is_dns1123_subdomain(value)
            errors.extend(invalid(where, value, fault) for fault in faults)


def _check_addresses(entries: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    addresses = [entry.get("ip", "") for entry in entries]
    for index, address in enumerate(addresses):
        if faults := is_valid_ip_legacy(address):
            errors.extend(invalid(f"{path}[{index}]", address, fault) for fault in faults)
    if len(addresses) < 2:
        return
    families = {ip_family(address) for address in addresses}
    if families != {"IPv4", "IPv6"} or len(addresses) > 2:
        text = "may specify no more than one IP for each IP family"
        errors.append(invalid(path, list(entries), text))
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            errors.append(duplicate(f"{path}[{index}]", entries[index]))


def _check_host_addresses(status: JsonObject, errors: list[FieldError]) -> None:
    entries = status.get("hostIPs")
    if not entries:
        return
    first = entries[0].get("ip", "")
    if first != status.get("hostIP", ""):
        errors.append(invalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`"))
    _check_addresses(entries, "status.hostIPs", errors)


def _check_container_statuses(
    statuses: Sequence[JsonObject],
    name: str,
    containers: Sequence[JsonObject],
    spec: JsonObject,
    errors: list[FieldError],
) -> None:
    for index, one in enumerate(statuses):
        where = f"status.{name}[{index}]"
        if "user" in one:
            _check_user(one["user"], f"{where}.linux", spec, errors)
        allocated = one.get("allocatedResourcesStatus")
        if not allocated:
            continue
        if name == "ephemeralContainerStatuses":
            text = "must not be specified in container status"
            errors.append(forbidden(f"{where}.allocatedResourcesStatus", text))
            continue
        named = [c for c in containers if c.get("name") == one.get("name")]
        for at, resource in enumerate(allocated):
            target = f"{where}.allocatedResourcesStatus[{at}]"
            if named:
                _check_resource_name(resource.get("name", ""), named[0], f"{target}.name", errors)
            _check_health(resource.get("resources", ()), f"{target}.resources", errors)


def _check_user(user: JsonObject, path: str, spec: JsonObject, errors: list[FieldError]) -> None:
    linux = user.get("linux")
    if linux is None:
        return
    if spec.get("os", {}).get("name") == "windows":
        errors.append(forbidden(path, "cannot be set for a windows pod"))
        return
    ids = [(name, linux.get(name, 0)) for name in ("uid", "gid")]
    groups = linux.get("supplementalGroups", ())
    ids += [(f"supplementalGroups[{at}]", group) for at, group in enumerate(groups)]
    for name, value in ids:
        faults = is_valid_user_or_group_id(value)
        errors.extend(invalid(f"{path}.{name}", value, fault) for fault in faults)


def _check_resource_name(
    name: str, container: JsonObject, path: str, errors: list[FieldError]
) -> None:
    resources = container.get("resources", {})
    if not name.startswith("claim:"):
        if name not in resources.get("requests", {}):
            text = "must match one of the container's resource requests"
            errors.append(invalid(path, name, text))
        return
    known = {
        f"claim:{claim.get('name', '')}" + (f"/{claim['request']}" if "request" in claim else "")
        for claim in resources.get("claims", ())
    }
    if name not in known:
        text = (
            "must match one of the container's resource claims in a format "
            "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
        )
        errors.append(invalid(path, name, text))


def _check_health(resources: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, resource in enumerate(resources):
        health = resource.get("health", "")
        if health not in _HEALTH:
            errors.append(not_supported(f"{path}[{index}].health", health, _HEALTH))
        uid = resource.get("resourceID", "")
        if uid in seen:
            errors.append(duplicate(f"{path}[{index}].resourceID", uid))
        seen.add(uid)
