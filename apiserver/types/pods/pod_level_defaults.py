"""Defaults of `spec.resources`, the amounts stated for a pod as a whole (KEP-2837).

They are only completed where they are partly given: huge page limits from the containers' limits,
then requests from the containers' requests or the pod's limits, then limits from the containers'
limits when every container has one.
"""

from __future__ import annotations

from apiserver.types.pods.resource_names import (
    allows_overcommit,
    is_huge_page,
    is_pod_level,
)
from apiserver.types.pods.totals import aggregate
from kube.json_types import JsonObject


def default_pod_level_resources(spec: JsonObject) -> None:
    """Complete `spec.resources` of a pod whose containers are defaulted already."""
    resources = spec["resources"]
    if resources.get("limits") or resources.get("requests"):
        _default_huge_page_limits(spec, resources)
    if resources.get("limits"):
        _default_requests(spec, resources)
    elif any(is_pod_level(name) for name in resources.get("requests", ())):
        _default_limits(spec, resources)


def _default_huge_page_limits(spec: JsonObject, resources: JsonObject) -> None:
    limits = dict(resources.get("limits", {}))
    requests = resources.get("requests", {})
    for name, amount in aggregate(spec, "limits").items():
        if is_huge_page(name) and name not in requests:
            limits.setdefault(name, amount)
    if limits:
        resources["limits"] = limits


def _default_requests(spec: JsonObject, resources: JsonObject) -> None:
    requests = dict(resources.get("requests", {}))
    for name, amount in aggregate(spec, "requests").items():
        if is_pod_level(name) and allows_overcommit(name):
            requests.setdefault(name, amount)
    for name, amount in resources["limits"].items():
        if is_pod_level(name):
            requests.setdefault(name, amount)
    if requests:
        resources["requests"] = requests


def _default_limits(spec: JsonObject, resources: JsonObject) -> None:
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    limits = dict(resources.get("limits", {}))
    for name, amount in aggregate(spec, "limits").items():
        if name in limits or not is_pod_level(name) or not allows_overcommit(name):
            continue
        if all(name in one.get("resources", {}).get("limits", {}) for one in containers):
            limits[name] = amount
    if limits:
        resources["limits"] = limits
