"""PriorityClass: a name for a priority, and the two that the system keeps for itself."""

from __future__ import annotations

from typing import Final

from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import validate_immutable
from kube.field import FieldError, forbidden, not_supported
from kube.json_types import JsonObject

HIGHEST_USER_PRIORITY: Final = 1_000_000_000
SYSTEM_PREFIX: Final = "system-"
SYSTEM_CLASSES: Final = {
    "system-node-critical": 2 * HIGHEST_USER_PRIORITY + 1000,
    "system-cluster-critical": 2 * HIGHEST_USER_PRIORITY,
}
PREEMPTION_POLICIES: Final = ("PreemptLowerPriority", "Never")


def default(obj: JsonObject) -> None:
    """Preempt unless told otherwise."""
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _system_fault(obj: JsonObject, name: str) -> str:
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if obj.get("value", 0) != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    if obj.get("globalDefault"):
        return f"globalDefault of {name} PriorityClass must be false"
    return ""


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a new PriorityClass."""
    errors: list[FieldError] = []
    name = obj.get("metadata", {}).get("name", "")
    if name.startswith(SYSTEM_PREFIX):
        if fault := _system_fault(obj, name):
            text = (
                f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use "
                f"only. error: {fault}"
            )
            errors.append(forbidden("metadata.name", text))
    elif obj.get("value", 0) > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden("value", text))
    policy = obj.get("preemptionPolicy")
    if policy is not None and policy not in PREEMPTION_POLICIES:
        errors.append(not_supported("preemptionPolicy", policy, PREEMPTION_POLICIES))
    return errors


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a PriorityClass that is to replace `old`."""
    errors: list[FieldError] = []
    if new.get("value", 0) != old.get("value", 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    key = "preemptionPolicy"
    return errors + validate_immutable(new.get(key), old.get(key), key)


HOOKS: Final = {
    "scheduling.k8s.io/priorityclasses": TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=validate_update,
        generation=True,
    ),
    "scheduling.k8s.io/workloads": TypeHooks(generation=True),
    "scheduling.k8s.io/podgroups": TypeHooks(generation=True, has_status=True),
    "scheduling.k8s.io/compositepodgroups": TypeHooks(generation=True, has_status=True),
}
