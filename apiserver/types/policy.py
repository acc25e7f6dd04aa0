"""PodDisruptionBudget: how many pods may go at once."""

from __future__ import annotations

from typing import Any, Final

from apiserver.types.formats import is_valid_percent, name_is_path_segment
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import (
    check_string,
    validate_conditions,
    validate_label_selector,
    validate_nonnegative,
)
from kube.field import FieldError, invalid, not_supported
from kube.json_types import JsonObject

EVICTION_POLICIES: Final = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS: Final = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def int_or_percent_errors(value: Any, path: str) -> list[FieldError]:
    """Check a count or a percentage of at most 100%."""
    if not isinstance(value, str):
        return validate_nonnegative(value, path)
    if errors := check_string(value, path, is_valid_percent):
        return errors
    if int(value.removesuffix("%")) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a PodDisruptionBudget."""
    spec = obj.get("spec", {})
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    errors: list[FieldError] = []
    if least is not None and most is not None:
        # Upstream prints its internal struct, whose fields have Go's names.
        shown = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        text = "minAvailable and maxUnavailable cannot be both set"
        errors.append(invalid("spec", shown, text))
    if least is not None:
        errors += int_or_percent_errors(least, "spec.minAvailable")
    if most is not None:
        errors += int_or_percent_errors(most, "spec.maxUnavailable")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in EVICTION_POLICIES:
        path = "spec.unhealthyPodEvictionPolicy"
        errors.append(not_supported(path, policy, EVICTION_POLICIES))
    return errors + validate_label_selector(spec.get("selector"), "spec.selector")


def prepare_create(obj: JsonObject) -> None:
    """Start with a status that allows nothing."""
    obj["status"] = dict.fromkeys(_COUNTS, 0)


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the counts and conditions of a status."""
    status = new.get("status", {})
    errors = validate_conditions(status.get("conditions") or [], "status.conditions")
    for key in _COUNTS:
        errors += validate_nonnegative(status.get(key, 0), f"status.{key}")
    return errors


HOOKS: Final = {
    "policy/poddisruptionbudgets": TypeHooks(
        prepare_create=prepare_create,
        validate_create=validate,
        validate_update=lambda new, _old: validate(new),
        validate_status=validate_status,
        name_check=name_is_path_segment,
        generation=True,
        has_status=True,
        allow_unconditional_update=False,
    )
}
