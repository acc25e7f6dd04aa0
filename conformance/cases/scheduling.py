"""LimitRanges and PriorityClasses."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import eventually, refused, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import pod
from conformance.stage import Stage
from kube.json_types import JsonObject

_DEFAULT_REQUEST: Final = {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"}
_DEFAULT: Final = {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"}


def _limits(name: str, labels: dict[str, str] | None = None) -> JsonObject:
    item: Any = {
        "type": "Container",
        "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"},
        "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "default": _DEFAULT,
        "defaultRequest": _DEFAULT_REQUEST,
        "maxLimitRequestRatio": {},
    }
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"limits": [item]}}


def _ranges(stage: Stage) -> Resource:
    return stage.of("v1", "limitranges", "LimitRange")


def _asking(name: str, requests: dict[str, str], limits: dict[str, str]) -> JsonObject:
    obj = pod(name)
    obj["spec"]["containers"][0]["resources"] = {"requests": requests, "limits": limits}
    return obj


@case(
    "[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those "
    "defaults applied. [Conformance]"
)
async def defaults(stage: Stage) -> None:
    """Pods get what they do not name, and may not ask for less or more than is allowed."""
    ranges = _ranges(stage)
    async with ranges.watch(labelSelector=f"time={stage.unique}") as watch:
        created = await ranges.create(_limits("limit-range", {"time": stage.unique}))
        await watch.expect("ADDED", lambda obj: obj["metadata"]["name"] == "limit-range")
    same((await ranges.get("limit-range"))["spec"], created["spec"], "the limits")
    await stage.pods.create(pod("pod-no-resources"))
    await _check_resources(stage, "pod-no-resources", _DEFAULT_REQUEST, _DEFAULT)
    partial = _asking(
        "pod-partial-resources",
        {"memory": "150Mi", "ephemeral-storage": "150Gi"},
        {"cpu": "300m"},
    )
    await stage.pods.create(partial)
    # A limit without a request is the request, too.
    requests = {"cpu": "300m", "memory": "150Mi", "ephemeral-storage": "150Gi"}
    limits = {"cpu": "300m", "memory": "500Mi", "ephemeral-storage": "500Gi"}
    await _check_resources(stage, "pod-partial-resources", requests, limits)
    small = _asking("pfpod", {"cpu": "10m", "memory": "50Mi", "ephemeral-storage": "50Gi"}, {})
    await refused("Forbidden", stage.pods.create(small))
    large = _asking("pfpod", {"cpu": "600m", "memory": "600Mi", "ephemeral-storage": "600Gi"}, {})
    await refused("", stage.pods.create(large))

    def change(obj: JsonObject) -> None:
        obj["spec"]["limits"][0]["min"] = {
            "cpu": "9m",
            "memory": "49Mi",
            "ephemeral-storage": "49Gi",
        }

    await ranges.update("limit-range", change)

    async def allowed() -> bool:
        await stage.pods.create(small)
        return True

    await eventually("less is allowed now", allowed)
    await refused("", stage.pods.create({**large, "metadata": {"name": "pfpod2"}}))
    await ranges.delete("limit-range")
    await eventually("the LimitRange is gone", lambda: ranges.gone("limit-range"))
    more = {"cpu": "600m", "memory": "600Mi", "ephemeral-storage": "600Gi"}

    async def unlimited() -> bool:
        await stage.pods.create(_asking("pod-without-limit", more, more))
        return True

    await eventually("more is allowed without it", unlimited)


async def _check_resources(
    stage: Stage, name: str, requests: dict[str, str], limits: dict[str, str]
) -> None:
    found = (await stage.pods.get(name))["spec"]["containers"][0]["resources"]
    same(found["requests"], requests, f"requests of {name}")
    same(found["limits"], limits, f"limits of {name}")


@case(
    "[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection "
    "[Conformance]"
)
async def collection(stage: Stage) -> None:
    """Two in two namespaces are listed; one is patched, and deleted by its label."""
    other = (await stage.new_namespace("e2e-limitrange"))["metadata"]["name"]
    ranges, label = _ranges(stage), f"e2e-limitrange-{stage.unique}"
    for scope in (ranges, ranges.within(other)):
        await scope.create(_limits(label, {label: "created"}))
    selector = f"{label}=created"
    same(len(await ranges.anywhere().items(labelSelector=selector)), 2, "in all namespaces")
    same(len(await ranges.items(labelSelector=selector)), 1, "in one namespace")

    item = (await ranges.get(label))["spec"]["limits"][0]
    item["min"]["cpu"] = "60m"
    patch: Any = {"metadata": {"labels": {label: "patched"}}, "spec": {"limits": [item]}}
    patched = await ranges.patch(label, patch)
    same(patched["metadata"]["labels"][label], "patched", "the label")
    same(patched["spec"]["limits"][0]["min"]["cpu"], "60m", "the limit")
    await ranges.delete_all(f"{label}=patched")
    await eventually("the LimitRange is gone", lambda: ranges.gone(label))
    same(await ranges.anywhere().names(labelSelector=label), [label], "the one left")


@case(
    "[sig-scheduling] SchedulerPreemption PriorityClass endpoints verify PriorityClass endpoints "
    "can be operated with different HTTP methods [Conformance] [Serial]"
)
async def priority_classes(stage: Stage) -> None:
    """What may change is changed by update and patch; the value and the policy are not."""
    classes = stage.cluster("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass")
    values = {f"p{number}-{stage.unique}": number for number in (1, 2)}
    label = f"pc={stage.unique}"
    stage.remove_all(classes, label)
    for name, value in values.items():
        metadata = {"name": name, "labels": {"pc": stage.unique}}
        await classes.create({"metadata": metadata, "value": value})
    for name, value in values.items():
        same((await classes.get(name))["value"], value, f"the value of {name}")
    same(sorted(await classes.names(labelSelector=label)), sorted(values), "classes listed")
    first = min(values)

    def describe(obj: JsonObject) -> None:
        obj["description"] = "updated description"

    def raise_value(obj: JsonObject) -> None:
        obj["value"] *= 10

    updated = await classes.update(first, describe)
    same(updated["description"], "updated description", "the description")
    await refused("Invalid", classes.update(first, raise_value))
    patched = await classes.patch(first, {"description": "patched description"})
    same(patched["description"], "patched description", "the description")
    await refused("Invalid", classes.patch(first, {"value": 100}))
    await classes.delete_all(label)
    same(await classes.names(labelSelector=label), [], "classes left")
