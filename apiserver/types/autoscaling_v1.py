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
_Places = dict[str, dict[str, tuple[str, str]]]
"""By the kind of a metric's source: the names that v1 has for its parts, and where v2 has them."""


def _places(values: str) -> _Places:
    """Return the places of sources whose figures v2 has in `values`."""
    average = (values, "averageValue")
    name, selector = ("metric", "name"), ("metric", "selector")
    by_resource = {
        "name": ("", "name"),
        "container": ("", "container"),
        f"{values}AverageUtilization": (values, "averageUtilization"),
        f"{values}AverageValue": average,
    }
    return {
        **dict.fromkeys(_BY_RESOURCE, by_resource),
        "object": {
            "metricName": name,
            "target": ("", "describedObject"),
            f"{values}Value": (values, "value"),
            "averageValue": average,
            "selector": selector,
        },
        "external": {
            "metricName": name,
            "metricSelector": selector,
            f"{values}Value": (values, "value"),
            f"{values}AverageValue": average,
        },
        "pods": {"metricName": name, f"{values}AverageValue": average, "selector": selector},
    }


_IN_SPEC: Final = _places("target")
_IN_STATUS: Final = _places("current")
_KINDS: Final = {
    "value": "Value",
    "averageValue": "AverageValue",
    "averageUtilization": "Utilization",
}
"""What a goal is that has these, the first of them that it has."""


def _flat(places: dict[str, tuple[str, str]], source: JsonObject) -> JsonObject:
    """Return a v2 metric source as v1 has it, with all its parts side by side."""
    found = (
        (name, (source.get(place, {}) if place else source).get(field))
        for name, (place, field) in places.items()
    )
    return {name: value for name, value in found if value is not None}


def _nested(places: dict[str, tuple[str, str]], flat: JsonObject) -> JsonObject:
    """Return a v1 metric source with the parts where v2 has them."""
    source: JsonObject = {place: {} for place, _ in places.values() if place}
    if "target" in places:
        source["describedObject"] = {}
    for name, (place, field) in places.items():
        if flat.get(name) is not None:
            (source[place] if place else source)[field] = flat[name]
    return source


def _source_to_v1(key: str, source: JsonObject) -> JsonObject:
    return _flat(_IN_SPEC[key], source)


def _source_to_v2(key: str, flat: JsonObject) -> JsonObject:
    source = _nested(_IN_SPEC[key], flat)
    goal = source["target"]
    # An unset object target is written as zero when only the average counts.
    if goal.get("value") == "0" and "averageValue" in goal:
        del goal["value"]
    kind = next((kind for field, kind in _KINDS.items() if field in goal), "Value")
    return {**source, "target": {"type": kind, **goal}}


def _status_to_v1(key: str, source: JsonObject) -> JsonObject:
    return _flat(_IN_STATUS[key], source)


def _status_to_v2(key: str, flat: JsonObject) -> JsonObject:
    return _nested(_IN_STATUS[key], flat)


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
