"""Dynamic resource allocation: device classes, claims, slices, taints."""

from __future__ import annotations

from typing import Any, Final

from kube import durations
from kube.json_types import JsonObject
from kube.table import text
from kube.table.layout import AGE, NAME, Layout, shows, worded
from kube.table.text import age_of, name_of


def _name_and_age(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), age_of(obj, now_s)]


def _claim(obj: JsonObject, now_s: float) -> list[Any]:
    status = obj.get("status", {})
    states = ["deleted"] if text.is_deleted(obj) else []
    if "allocation" in status:
        states.append("allocated")
        states += ["reserved"] if status.get("reservedFor") else []
    elif not states:
        states.append("pending")
    return [name_of(obj), ",".join(states), age_of(obj, now_s)]


def _slice(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    pool = spec.get("pool", {}).get("name", "")
    return [
        name_of(obj),
        spec.get("nodeName", ""),
        spec.get("driver", ""),
        pool,
        age_of(obj, now_s),
    ]


def _taint_rule(obj: JsonObject, now_s: float) -> list[Any]:
    taint = obj.get("spec", {}).get("taint", {})
    added = taint.get("timeAdded")
    return [
        name_of(obj),
        *(taint.get(key, "") for key in ("key", "value", "effect")),
        durations.age(added, now_s) if added else "",
        age_of(obj, now_s),
    ]


LAYOUTS: Final = {
    "resource.k8s.io/deviceclasses": Layout((NAME, AGE), _name_and_age),
    "resource.k8s.io/resourceclaimtemplates": Layout((NAME, AGE), _name_and_age),
    "resource.k8s.io/resourceclaims": Layout(
        (NAME, worded("State", "Whether the claim is allocated, reserved or pending."), AGE), _claim
    ),
    "resource.k8s.io/resourceslices": Layout(
        columns=(
            NAME,
            shows("Node", "resource.v1.ResourceSliceSpec.nodeName"),
            shows("Driver", "resource.v1.ResourceSliceSpec.driver"),
            shows("Pool", "resource.v1.ResourcePool.name"),
            AGE,
        ),
        cells=_slice,
    ),
    "resource.k8s.io/devicetaintrules": Layout(
        columns=(
            NAME,
            shows("Key", "resource.v1.DeviceTaint.key"),
            shows("Value", "resource.v1.DeviceTaint.value"),
            shows("Effect", "resource.v1.DeviceTaint.effect"),
            shows("TimeAdded", "resource.v1.DeviceTaint.timeAdded"),
            AGE,
        ),
        cells=_taint_rule,
    ),
}
