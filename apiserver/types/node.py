"""RuntimeClass: which handler runs a pod's containers, at what extra cost, and where."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1123_label
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_immutable, validate_labels
from apiserver.types.pods.resources import check_container_resources
from kube.field import FieldError, duplicate
from kube.json_types import JsonObject

_KEYS: Final = ("key", "operator", "value", "effect")


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a RuntimeClass."""
    errors = check_string(obj.get("handler", ""), "handler", is_dns1123_label)
    overhead = (obj.get("overhead") or {}).get("podFixed")
    if overhead:
        check_container_resources({"limits": overhead}, frozenset(), "overhead", errors)
    scheduling = obj.get("scheduling") or {}
    errors += validate_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    seen: set[tuple[str, ...]] = set()
    for index, toleration in enumerate(scheduling.get("tolerations") or ()):
        key = tuple(str(toleration.get(name, "")) for name in _KEYS)
        if key in seen:
            errors.append(duplicate(f"scheduling.tolerations[{index}]", toleration))
        seen.add(key)
    return errors


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a RuntimeClass that is to replace `old`."""
    return validate_immutable(new.get("handler", ""), old.get("handler", ""), "handler")


HOOKS: Final = {
    "node.k8s.io/runtimeclasses": TypeHooks(
        validate_create=validate,
        validate_update=validate_update,
        allow_unconditional_update=False,
    )
}
