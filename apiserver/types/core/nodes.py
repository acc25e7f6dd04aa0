"""Node: taints, pod ranges that are set once, and a status that kubelets write."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import ip_family, is_valid_cidr_legacy
from apiserver.types.core.resources import validate_quantity
from apiserver.types.formats import is_qualified_name, is_valid_label_value
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string
from kube.field import DUPLICATE, FieldError, duplicate, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

TAINT_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_TAINTS_PATH: Final = "metadata.taints"  # upstream's errors name it so
_ONLY_ONCE: Final = 'except from "" to valid'


def default(obj: JsonObject) -> None:
    """Keep podCIDR and podCIDRs in step, and default the status."""
    spec = obj.setdefault("spec", {})
    ranges = spec.get("podCIDRs")
    first = spec.get("podCIDR")
    if first and (not ranges or ranges[0] != first):
        spec["podCIDRs"] = [first]
    elif ranges:
        spec["podCIDR"] = ranges[0]
    default_status(obj)


def default_status(obj: JsonObject) -> None:
    """Default what is allocatable to the capacity."""
    status = obj.setdefault("status", {})
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def validate_taints(taints: list[JsonObject], path: str) -> list[FieldError]:
    """Check taints: names, effects, no key and effect twice."""
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where = f"{path}[{index}]"
        key, value, effect = taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        errors += check_string(key, f"{where}.key", is_qualified_name)
        if faults := is_valid_label_value(value):
            errors.append(invalid(f"{where}.value", value, ";".join(faults)))
        if not effect:
            errors.append(required(f"{where}.effect"))
        elif effect not in TAINT_EFFECTS:
            supported = ("NoSchedule", "PreferNoSchedule", "NoExecute")
            errors.append(not_supported(f"{where}.effect", effect, supported))
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": None}
            text = "taints must be unique by key and effect pair"
            errors.append(FieldError(DUPLICATE, where, text, shown))
        seen.add((key, effect))
    return errors


def _resource_errors(obj: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("capacity", "allocatable"):
        for name, quantity in (obj.get("status", {}).get(field) or {}).items():
            errors += validate_quantity(name, quantity, f"status.{field}.{name}")
    return errors


def _range_errors(spec: JsonObject) -> list[FieldError]:
    ranges = spec.get("podCIDRs") or []
    errors: list[FieldError] = []
    for index, text in enumerate(ranges):
        errors += check_string(text, f"spec.podCIDRs[{index}]", is_valid_cidr_legacy)
    if len(ranges) > 1:
        families = {ip_family(text.partition("/")[0]) for text in ranges}
        if len(families) < 2 or len(ranges) > 2:
            text = "may specify no more than one CIDR for each IP family"
            errors.append(invalid("spec.podCIDRs", ranges, text))
        errors.extend(
            duplicate(f"spec.podCIDRs[{index}]", text)
            for index, text in enumerate(ranges)
            if text in ranges[:index]
        )
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a Node; a status that comes with it must be well-formed."""
    spec = obj.get("spec", {})
    errors = validate_taints(spec.get("taints") or [], _TAINTS_PATH)
    return errors + _resource_errors(obj) + _range_errors(spec)


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a Node, or its status, that is to replace `old`."""
    errors = validate(new)
    spec, before = new.get("spec", {}), old.get("spec", {})
    addresses = new.get("status", {}).get("addresses") or []
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            errors.append(duplicate(f"status.addresses[{index}]", shown))
    ranges = before.get("podCIDRs")
    if ranges and ranges != spec.get("podCIDRs"):
        text = f"node updates may not change podCIDR {_ONLY_ONCE}"
        errors.append(forbidden("spec.podCIDRs", text))
    provider = before.get("providerID")
    if provider and provider != spec.get("providerID"):
        text = f"node updates may not change providerID {_ONLY_ONCE}"
        errors.append(forbidden("spec.providerID", text))
    if spec.get("externalID", "") != before.get("externalID", ""):
        errors.append(forbidden("spec.externalID", "may not be updated"))
    return errors


def _unschedulable(obj: JsonObject) -> str:
    return "true" if obj.get("spec", {}).get("unschedulable") else "false"


HOOKS: Final = {
    "nodes": TypeHooks(
        default=default,
        default_status=default_status,
        validate_create=validate,
        validate_update=validate_update,
        validate_status=validate_update,
        fields={"spec.unschedulable": _unschedulable},
        has_status=True,
    )
}
