"""HorizontalPodAutoscaler, in its stored shape, autoscaling/v2.

autoscaling/v1 is another shape of the same object: see `autoscaling_v1`.
"""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1123_label, is_path_segment_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_nonnegative
from apiserver.types.pods.quantities import nanos
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

CPU_UTILIZATION_DEFAULT: Final = 80
PERIOD_S_MAX: Final = 1800
WINDOW_S_MAX: Final = 3600
SOURCES: Final = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
SOURCE_TYPES: Final = ("ContainerResource", "External", "Object", "Pods", "Resource")
SELECT_POLICIES: Final = ("Disabled", "Max", "Min")
POLICY_TYPES: Final = ("Percent", "Pods")
TARGET_TYPES: Final = ("Utilization", "Value", "AverageValue")
_RAW_OR_UTILIZATION: Final = "must set either a target raw value or a target utilization"
_NOT_BOTH: Final = "may not set both a target raw value and a target utilization"


def _percent_policy() -> JsonObject:
    return {"type": "Percent", "value": 100, "periodSeconds": 15}


def _default_rules(rules: JsonObject | None, policies: list[JsonObject]) -> JsonObject:
    filled = dict(rules or {})
    filled.setdefault("selectPolicy", "Max")
    if not filled.get("policies"):
        filled["policies"] = policies
    return filled


def default(obj: JsonObject) -> None:
    """Fill in an autoscaler's defaults."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": CPU_UTILIZATION_DEFAULT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
        up = _default_rules(behavior.get("scaleUp"), [pods, _percent_policy()])
        up.setdefault("stabilizationWindowSeconds", 0)
        behavior["scaleUp"] = up
        down = _default_rules(behavior.get("scaleDown"), [_percent_policy()])
        behavior["scaleDown"] = down


def prepare_create(obj: JsonObject) -> None:
    """Start without a status."""
    obj["status"] = {"currentMetrics": None, "desiredReplicas": 0}


def _reference_errors(reference: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("kind", "name"):
        if value := reference.get(key):
            errors += check_string(value, f"{path}.{key}", is_path_segment_name)
        else:
            errors.append(required(f"{path}.{key}"))
    return errors


def _target_errors(target: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = target.get("type", "")
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in TARGET_TYPES:
        text = "must be either Utilization, Value, or AverageValue"
        errors.append(invalid(f"{path}.type", kind, text))
    for key in ("value", "averageValue"):
        amount = target.get(key)
        if amount is not None and nanos(amount) <= 0:
            errors.append(invalid(f"{path}.{key}", amount, "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        errors.append(invalid(f"{path}.averageUtilization", percent, "must be greater than 0"))
    return errors


def _identifier_errors(metric: JsonObject, path: str) -> list[FieldError]:
    if name := metric.get("name"):
        return check_string(name, f"{path}.name", is_path_segment_name)
    return [required(f"{path}.name", "must specify a metric name")]


def _metric_source_errors(key: str, source: JsonObject, path: str) -> list[FieldError]:
    """Check an object, external or pods source: a metric and a target."""
    target = source.get("target", {})
    value, average = target.get("value"), target.get("averageValue")
    where = f"{path}.target"
    errors: list[FieldError] = []
    if key == "object":
        described = source.get("describedObject", {})
        errors += _reference_errors(described, f"{path}.describedObject")
    errors += _identifier_errors(source.get("metric", {}), f"{path}.metric")
    errors += _target_errors(target, where)
    if key == "pods":
        if average is None:
            text = "must specify a positive target averageValue"
            errors.append(required(f"{where}.averageValue", text))
    elif value is None and average is None:
        text = "must set either a target value or averageValue"
        if key == "external":
            text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{where}.averageValue", text))
    elif key == "external" and value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{where}.value", text))
    return errors


def _resource_source_errors(key: str, source: JsonObject, path: str) -> list[FieldError]:
    """Check a resource source, of whole pods or of one container."""
    target = source.get("target", {})
    errors: list[FieldError] = []
    if not source.get("name"):
        errors.append(required(f"{path}.name", "must specify a resource name"))
    if key == "containerResource":
        if container := source.get("container"):
            errors += check_string(container, f"{path}.container", is_dns1123_label)
        else:
            errors.append(required(f"{path}.container", "must specify a container"))
    errors += _target_errors(target, f"{path}.target")
    percent, average = target.get("averageUtilization"), target.get("averageValue")
    if percent is None and average is None:
        errors.append(required(f"{path}.target.averageUtilization", _RAW_OR_UTILIZATION))
    if percent is not None and average is not None:
        errors.append(forbidden(f"{path}.target.averageValue", _NOT_BOTH))
    return errors


def _metric_errors(metric: JsonObject, path: str) -> list[FieldError]:
    kind = metric.get("type", "")
    errors: list[FieldError] = []
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
    if kind not in SOURCES:
        errors.append(not_supported(f"{path}.type", kind, SOURCE_TYPES))
    present = [key for key in SOURCES.values() if metric.get(key) is not None]
    if present:
        key = present[0]
        by_resource = key in {"resource", "containerResource"}
        check = _resource_source_errors if by_resource else _metric_source_errors
        errors += check(key, metric[key], f"{path}.{key}")
    expected = SOURCES.get(kind, "")
    if expected and expected not in present:
        text = "must populate information for the given metric source"
        errors.append(required(f"{path}.{expected}", text))
    if len(present) != 1:
        text = "must populate the given metric source only"
        errors.extend(forbidden(f"{path}.{key}", text) for key in present if key != expected)
    return errors


def _policy_errors(policy: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, value = policy.get("type", ""), policy.get("value", 0)
    period_s = policy.get("periodSeconds", 0)
    if kind not in POLICY_TYPES:
        errors.append(not_supported(f"{path}.type", kind, POLICY_TYPES))
    if value <= 0:
        errors.append(invalid(f"{path}.value", value, "must be greater than zero"))
    if period_s <= 0:
        errors.append(invalid(f"{path}.periodSeconds", period_s, "must be greater than zero"))
    if period_s > PERIOD_S_MAX:
        text = f"must be less than or equal to {PERIOD_S_MAX}"
        errors.append(invalid(f"{path}.periodSeconds", period_s, text))
    return errors


def _rules_errors(rules: JsonObject | None, path: str) -> list[FieldError]:
    if rules is None:
        return []
    errors: list[FieldError] = []
    window_s, where = rules.get("stabilizationWindowSeconds"), f"{path}.stabilizationWindowSeconds"
    if window_s is not None and window_s < 0:
        errors.append(invalid(where, window_s, "must be greater than or equal to zero"))
    if window_s is not None and window_s > WINDOW_S_MAX:
        text = f"must be less than or equal to {WINDOW_S_MAX}"
        errors.append(invalid(where, window_s, text))
    select = rules.get("selectPolicy")
    if select is not None and select not in SELECT_POLICIES:
        errors.append(not_supported(f"{path}.selectPolicy", select, SELECT_POLICIES))
    policies = rules.get("policies") or []
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        errors += _policy_errors(policy, f"{path}.policies[{index}]")
    return errors


def _replica_errors(spec: JsonObject, least_min: int) -> list[FieldError]:
    errors: list[FieldError] = []
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < least_min:
        text = f"must be greater than or equal to {least_min}"
        errors.append(invalid("spec.minReplicas", least, text))
    if most < 1:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        text = "must be greater than or equal to `minReplicas`"
        errors.append(invalid("spec.maxReplicas", most, text))
    return errors


def _validate(obj: JsonObject, least_min: int) -> list[FieldError]:
    spec = obj.get("spec", {})
    errors = _replica_errors(spec, least_min)
    errors += _reference_errors(spec.get("scaleTargetRef", {}), "spec.scaleTargetRef")
    metrics = spec.get("metrics") or []
    for index, metric in enumerate(metrics):
        errors += _metric_errors(metric, f"spec.metrics[{index}]")
    if spec.get("minReplicas") == 0 and not any(
        metric.get("type") in {"Object", "External"} for metric in metrics
    ):
        text = (
            "must specify at least one Object or External metric to support scaling to zero "
            "replicas"
        )
        errors.append(forbidden("spec.metrics", text))
    behavior = spec.get("behavior") or {}
    errors += _rules_errors(behavior.get("scaleUp"), "spec.behavior.scaleUp")
    return errors + _rules_errors(behavior.get("scaleDown"), "spec.behavior.scaleDown")


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a new autoscaler."""
    return _validate(obj, 1)


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check an autoscaler that is to replace `old`; who scaled to zero may go on."""
    return _validate(new, 0 if old.get("spec", {}).get("minReplicas") == 0 else 1)


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the counts of a status."""
    status = new.get("status", {})
    errors: list[FieldError] = []
    for key in ("currentReplicas", "desiredReplicas"):
        errors += validate_nonnegative(status.get(key, 0), f"status.{key}")
    return errors


HOOKS: Final = {
    "autoscaling/horizontalpodautoscalers": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        validate_update=validate_update,
        validate_status=validate_status,
        has_status=True,
    )
}
