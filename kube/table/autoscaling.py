"""Horizontal pod autoscalers: current against target of the first metrics.

Each kind of metric source shows its target in its own way; two metrics fit, the rest is counted.
Objects are autoscaling/v2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kube.json_types import JsonObject
from kube.table import text
from kube.table.layout import AGE, NAME, Layout, shows
from kube.table.text import NONE, UNSET, age_of, name_of

_METRICS_MAX: Final = 2
_UNKNOWN: Final = "<unknown>"
_ABSENT: Final = "<nil>"  # what upstream prints of a quantity that is not set
_SOURCES: Final = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _autoscaler(obj: JsonObject, now_s: float) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    target = spec.get("scaleTargetRef", {})
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics", ()), status.get("currentMetrics") or ()),
        str(spec.get("minReplicas", UNSET)),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age_of(obj, now_s),
    ]


def _metrics(wanted: Sequence[JsonObject], measured: Sequence[JsonObject]) -> str:
    if not wanted:
        return NONE
    shown = [
        _metric(metric, measured[index] if index < len(measured) else {})
        for index, metric in enumerate(wanted[:_METRICS_MAX])
    ]
    joined = ", ".join(shown)
    more = len(wanted) - _METRICS_MAX
    return f"{joined} + {more} more..." if more > 0 else joined


def _metric(wanted: JsonObject, measured: JsonObject) -> str:
    kind = wanted.get("type", "")
    source = _SOURCES.get(kind)
    if source is None:
        return "<unknown type>"
    spec = wanted.get(source, {})
    target = spec.get("target", {})
    current = text.dig(measured, source, "current")
    match kind:
        case "Pods":
            return f"{_current(current, 'averageValue')}/{target.get('averageValue', _ABSENT)}"
        case "External" | "Object":
            return _value_or_average(target, current)
        case _:
            return f"{spec.get('name', '')}: {_utilization_or_average(target, current)}"


def _current(current: JsonObject | None, key: str) -> str:
    return _UNKNOWN if current is None else str(current.get(key, _ABSENT))


def _value_or_average(target: JsonObject, current: JsonObject | None) -> str:
    if "averageValue" in target:
        measured = (current or {}).get("averageValue", _UNKNOWN)
        return f"{measured}/{target['averageValue']} (avg)"
    return f"{_current(current, 'value')}/{target.get('value', _ABSENT)}"


def _utilization_or_average(target: JsonObject, current: JsonObject | None) -> str:
    if "averageValue" in target:
        return f"{_current(current, 'averageValue')}/{target['averageValue']}"
    measured = _percent((current or {}).get("averageUtilization"), _UNKNOWN)
    return f"{measured}/{_percent(target.get('averageUtilization'), '<auto>')}"


def _percent(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value}%"


_SPEC: Final = "autoscaling.v2.HorizontalPodAutoscalerSpec."

LAYOUTS: Final = {
    "autoscaling/horizontalpodautoscalers": Layout(
        columns=(
            NAME,
            shows("Reference", f"{_SPEC}scaleTargetRef"),
            shows("Targets", f"{_SPEC}metrics"),
            shows("MinPods", f"{_SPEC}minReplicas"),
            shows("MaxPods", f"{_SPEC}maxReplicas"),
            shows("Replicas", "autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas"),
            AGE,
        ),
        cells=_autoscaler,
    ),
}
