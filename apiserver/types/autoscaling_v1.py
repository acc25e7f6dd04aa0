"""autoscaling/v1's shape of the HorizontalPodAutoscaler, and back.

v1 knows one CPU target; all else of the stored v2 object (other metrics, behavior, conditions,
current metrics) travels in annotations, so that an update through v1 loses nothing:

    v2 spec.metrics   cpu utilization -> spec.targetCPUUtilizationPercentage, others -> annotation
    v2 spec.behavior, status.conditions, status.currentMetrics -> annotations

The annotations hold v1's own spellings of metrics, as upstream writes them.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from apiserver.types.autoscaling import CPU_UTILIZATION_DEFAULT, SOURCES
from kube.json_types import JsonObject

_PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
METRICS: Final = f"{_PREFIX}metrics"
CURRENT_METRICS: Final = f"{_PREFIX}current-metrics"
CONDITIONS: Final = f"{_PREFIX}conditions"
BEHAVIOR: Final = f"{_PREFIX}behavior"
_ANNOTATIONS: Final = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)
_BY_RESOURCE: Final = frozenset({"resource", "containerResource"})


def _put(target: JsonObject, key: str, value: Any) -> None:
    if value is not None:
        target[key] = value


def _source_to_v1(key: str, source: JsonObject) -> JsonObject:
    """Return a v2 metric source with the flat targets of v1."""
    goal = source.get("target", {})
    flat: JsonObject = {}
    if key in _BY_RESOURCE:
        _put(flat, "name", source.get("name"))
        _put(flat, "container", source.get("container"))
        _put(flat, "targetAverageUtilization", goal.get("averageUtilization"))
        _put(flat, "targetAverageValue", goal.get("averageValue"))
        return flat
    metric = source.get("metric", {})
    _put(flat, "metricName", metric.get("name"))
    if key == "object":
        _put(flat, "target", source.get("describedObject"))
        _put(flat, "targetValue", goal.get("value"))
        _put(flat, "averageValue", goal.get("averageValue"))
        _put(flat, "selector", metric.get("selector"))
    elif key == "external":
        _put(flat, "metricSelector", metric.get("selector"))
        _put(flat, "targetValue", goal.get("value"))
        _put(flat, "targetAverageValue", goal.get("averageValue"))
    else:
        _put(flat, "targetAverageValue", goal.get("averageValue"))
        _put(flat, "selector", metric.get("selector"))
    return flat


def _goal(flat: JsonObject, value_key: str, average_key: str) -> JsonObject:
    goal: JsonObject = {"type": "Value"}
    if flat.get("targetAverageUtilization") is not None:
        goal["type"] = "Utilization"
        goal["averageUtilization"] = flat["targetAverageUtilization"]
    if flat.get(average_key) is not None:
        goal["type"] = "AverageValue"
        goal["averageValue"] = flat[average_key]
    # An unset object target is written as zero when only the average counts.
    value = flat.get(value_key)
    if value is not None and not (value == "0" and "averageValue" in goal):
        goal["type"] = "Value"
        goal["value"] = value
    return goal


def _source_to_v2(key: str, flat: JsonObject) -> JsonObject:
    """Return a v1 metric source with v2's metric and target."""
    if key in _BY_RESOURCE:
        source: JsonObject = {}
        _put(source, "name", flat.get("name"))
        _put(source, "container", flat.get("container"))
        return {**source, "target": _goal(flat, "", "targetAverageValue")}
    metric: JsonObject = {}
    _put(metric, "name", flat.get("metricName"))
    selector = flat.get("metricSelector") if key == "external" else flat.get("selector")
    _put(metric, "selector", selector)
    if key == "object":
        goal = _goal(flat, "targetValue", "averageValue")
        return {"describedObject": flat.get("target", {}), "metric": metric, "target": goal}
    value_key = "targetValue" if key == "external" else ""
    return {"metric": metric, "target": _goal(flat, value_key, "targetAverageValue")}


def _status_to_v1(key: str, source: JsonObject) -> JsonObject:
    now = source.get("current", {})
    flat: JsonObject = {}
    if key in _BY_RESOURCE:
        _put(flat, "name", source.get("name"))
        _put(flat, "container", source.get("container"))
        _put(flat, "currentAverageUtilization", now.get("averageUtilization"))
        _put(flat, "currentAverageValue", now.get("averageValue"))
        return flat
    metric = source.get("metric", {})
    _put(flat, "metricName", metric.get("name"))
    if key == "object":
        _put(flat, "target", source.get("describedObject"))
        _put(flat, "currentValue", now.get("value"))
        _put(flat, "averageValue", now.get("averageValue"))
        _put(flat, "selector", metric.get("selector"))
    elif key == "external":
        _put(flat, "metricSelector", metric.get("selector"))
        _put(flat, "currentValue", now.get("value"))
        _put(flat, "currentAverageValue", now.get("averageValue"))
    else:
        _put(flat, "currentAverageValue", now.get("averageValue"))
        _put(flat, "selector", metric.get("selector"))
    return flat


def _status_to_v2(key: str, flat: JsonObject) -> JsonObject:
    now: JsonObject = {}
    average = flat.get("averageValue") if key == "object" else flat.get("currentAverageValue")
    _put(now, "averageUtilization", flat.get("currentAverageUtilization"))
    _put(now, "averageValue", average)
    if key not in _BY_RESOURCE:
        _put(now, "value", flat.get("currentValue"))
        metric: JsonObject = {}
        _put(metric, "name", flat.get("metricName"))
        selector = flat.get("metricSelector") if key == "external" else flat.get("selector")
        _put(metric, "selector", selector)
        source: JsonObject = {"metric": metric, "current": now}
        if key == "object":
            source["describedObject"] = flat.get("target", {})
        return source
    source = {"current": now}
    _put(source, "name", flat.get("name"))
    _put(source, "container", flat.get("container"))
    return source


def _each(metrics: list[JsonObject], convert: Any) -> list[JsonObject]:
    converted = []
    for metric in metrics:
        one: JsonObject = {"type": metric.get("type", "")}
        for key in SOURCES.values():
            if metric.get(key) is not None:
                one[key] = convert(key, metric[key])
        converted.append(one)
    return converted


def _cpu_percent(metric: JsonObject, part: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    percent: int | None = resource.get(part, {}).get("averageUtilization")
    return percent


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


def from_v2(obj: JsonObject) -> JsonObject:
    """Return the autoscaling/v1 shape of a stored object; `obj` is left as it is."""
    spec, status = dict(obj.get("spec", {})), dict(obj.get("status", {}))
    notes: dict[str, str] = {}
    others: list[JsonObject] = []
    for metric in spec.pop("metrics", None) or ():
        percent = _cpu_percent(metric, "target")
        if percent is None or "targetCPUUtilizationPercentage" in spec:
            others.append(metric)
        else:
            spec["targetCPUUtilizationPercentage"] = percent
    if others:
        notes[METRICS] = _encode(_each(others, _source_to_v1))
    if (behavior := spec.pop("behavior", None)) is not None:
        notes[BEHAVIOR] = _encode(behavior)
    current = status.pop("currentMetrics", None)
    for metric in current or ():
        percent = _cpu_percent(metric, "current")
        if percent is not None:
            status["currentCPUUtilizationPercentage"] = percent
    if current:
        notes[CURRENT_METRICS] = _encode(_each(current, _status_to_v1))
    if conditions := status.pop("conditions", None):
        notes[CONDITIONS] = _encode(conditions)
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    meta = dict(obj.get("metadata", {}))
    if notes:
        meta["annotations"] = {**(meta.get("annotations") or {}), **notes}
    return {**obj, "metadata": meta, "spec": spec, "status": status}


def _decoded(text: str | None) -> Any:
    """Return what an annotation holds; what was tampered with counts as absent, as upstream."""
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _metrics_to_v2(spec: JsonObject, notes: dict[str, str]) -> list[JsonObject]:
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    others = _decoded(notes.get(METRICS))
    metrics = _each(others, _source_to_v2) if isinstance(others, list) else []
    if percent is None and not metrics:
        percent = CPU_UTILIZATION_DEFAULT
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        cpu: JsonObject = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        metrics.insert(0, cpu)
    return metrics


def to_v2(obj: JsonObject) -> JsonObject:
    """Return the stored shape of an autoscaling/v1 object; `obj` is left as it is."""
    spec, status = dict(obj.get("spec", {})), dict(obj.get("status", {}))
    meta = dict(obj.get("metadata", {}))
    notes: dict[str, str] = meta.get("annotations") or {}
    spec["metrics"] = _metrics_to_v2(spec, notes)
    behavior = _decoded(notes.get(BEHAVIOR))
    if isinstance(behavior, dict):
        spec["behavior"] = behavior
    percent = status.pop("currentCPUUtilizationPercentage", None)
    current = _decoded(notes.get(CURRENT_METRICS))
    if isinstance(current, list):
        status["currentMetrics"] = _each(current, _status_to_v2)
    elif percent is not None:
        source = {"name": "cpu", "current": {"averageUtilization": percent}}
        status["currentMetrics"] = [{"type": "Resource", "resource": source}]
    conditions = _decoded(notes.get(CONDITIONS))
    if isinstance(conditions, list):
        status["conditions"] = conditions
    kept = {key: value for key, value in notes.items() if key not in _ANNOTATIONS}
    if kept:
        meta["annotations"] = kept
    else:
        meta.pop("annotations", None)
    return {**obj, "metadata": meta, "spec": spec, "status": status}
