"""PodDisruptionBudgets: the objects, what they allow, and evictions that they refuse."""

from __future__ import annotations

from typing import Any

from conformance.api import Call
from conformance.checks import eventually, has, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import pod, workload
from conformance.stage import Stage
from conformance.workloads import at_once, pod_ready, pods_ready, settled
from kube.json_types import JsonObject

_NAME = "foo"
_LABELS = {"foo": "bar"}


def _budgets(stage: Stage) -> Resource:
    return stage.of("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")


def _budget(minimum: int | str, name: str = _NAME, **labels: str) -> JsonObject:
    spec = {"minAvailable": minimum, "selector": {"matchLabels": _LABELS}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


async def _processed(budgets: Resource, name: str = _NAME) -> JsonObject:
    return await settled(budgets, name, bool, f"the budget {name} is processed")


@case("[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]")
async def objects(stage: Stage) -> None:
    """Created, updated, patched, deleted; the controller sees each."""
    budgets = _budgets(stage)
    await budgets.create(_budget("1%"))
    await _processed(budgets)

    def more(obj: JsonObject) -> None:
        obj["spec"]["minAvailable"] = "2%"

    updated = await budgets.update(_NAME, more)
    same(updated["spec"]["minAvailable"], "2%", "what the update was to change")
    await _processed(budgets)
    patched = await budgets.patch(_NAME, {"spec": {"minAvailable": "3%"}})
    same(patched["spec"]["minAvailable"], "3%", "what the patch was to change")
    await _processed(budgets)
    await budgets.delete(_NAME)
    await eventually("the budget is gone", lambda: budgets.gone(_NAME))


@case(
    "[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list "
    "and delete a collection of PodDisruptionBudgets [Conformance]"
)
async def collection(stage: Stage) -> None:
    """Three in two namespaces are listed; those of one are deleted."""
    other = (await stage.new_namespace("e2e-disruption"))["metadata"]["name"]
    budgets, selector = _budgets(stage), f"e2e={stage.unique}"
    await budgets.create(_budget(2, e2e=stage.unique))
    await budgets.create(_budget("1%", "foo2", e2e=stage.unique))
    await budgets.within(other).create(_budget(2, "foo3", e2e=stage.unique))
    everywhere = await budgets.anywhere().names(labelSelector=selector)
    same(sorted(everywhere), ["foo", "foo2", "foo3"], "budgets of all namespaces")
    same(sorted(await budgets.names(labelSelector=selector)), ["foo", "foo2"], "of one")
    await budgets.delete_all(selector)

    async def none() -> bool:
        return not await budgets.names(labelSelector=selector)

    await eventually("the collection is gone", none)
    same(await budgets.anywhere().names(labelSelector=selector), ["foo3"], "budgets left")


@case(
    "[sig-apps] DisruptionController should observe PodDisruptionBudget status updated "
    "[Conformance]"
)
async def observing(stage: Stage) -> None:
    """With more Pods than have to be there, disruptions are allowed."""
    budgets = _budgets(stage)
    await budgets.create(_budget(1))
    for number in range(3):
        await stage.pods.create(pod(f"pod-{number}", labels=_LABELS))
    await pods_ready(stage, "foo=bar", 3)

    def allowed(obj: JsonObject) -> bool:
        return bool(obj["status"]["disruptionsAllowed"] > 0)

    await settled(budgets, _NAME, allowed, "disruptions are allowed")


@case(
    "[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]"
)
async def status(stage: Stage) -> None:
    """What is written of disrupted Pods is there to be read, and is taken away by a patch."""
    budgets = _budgets(stage)
    await budgets.create(_budget(1))
    await stage.pods.create(pod("pod-0", labels=_LABELS))
    ready = await pod_ready(stage, "pod-0")
    # Time as the server has it: the controller drops what is older than two minutes.
    at = ready["status"]["startTime"]
    await _processed(budgets)

    def disrupt(obj: JsonObject) -> None:
        obj["status"]["disruptedPods"] = {"pod-0": at}

    await budgets.update(_NAME, disrupt, "status")
    found = (await budgets.get(_NAME, "status"))["status"]
    has(list(found.get("disruptedPods", {})), "pod-0", "Pods disrupted")
    patched = await budgets.patch(_NAME, {"status": {"disruptedPods": None}}, part="status")
    same(patched["status"].get("disruptedPods") or {}, {}, "Pods disrupted after the patch")


@case(
    "[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow "
    "it [Conformance]"
)
async def blocking(stage: Stage) -> None:
    """An eviction is refused until the budget is smaller, or is no more."""
    budgets = _budgets(stage)
    await budgets.create(_budget(3))
    sets = stage.of("apps/v1", "replicasets", "ReplicaSet")
    await sets.create(at_once(workload("rs", 3, _LABELS)))
    await _processed(budgets)
    name = await _evictable(stage)
    await _refused(stage, name)

    def smaller(obj: JsonObject) -> None:
        obj["spec"]["minAvailable"] = 2

    await budgets.update(_NAME, smaller)

    def healthy(obj: JsonObject) -> bool:
        return bool(obj["status"]["currentHealthy"] == 3)

    await settled(budgets, _NAME, healthy, "all three are healthy")
    await _evict(stage, name)
    patch: Any = {"spec": {"minAvailable": None, "maxUnavailable": 0}}
    await budgets.patch(_NAME, patch)
    await _processed(budgets)
    name = await _evictable(stage)
    await _refused(stage, name)
    await budgets.delete(_NAME)
    await eventually("the budget is gone", lambda: budgets.gone(_NAME))
    await _evict(stage, name)


async def _evictable(stage: Stage) -> str:
    """Return the name of one of three Pods that run."""
    pods = await pods_ready(stage, "foo=bar", 3)
    name: str = pods[0]["metadata"]["name"]
    return name


def _eviction(stage: Stage, name: str) -> Call:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": stage.namespace},
    }
    return Call("POST", f"{stage.pods.path}/{name}/eviction", eviction)


async def _evict(stage: Stage, name: str) -> None:
    await stage.api.call(_eviction(stage, name))


async def _refused(stage: Stage, name: str) -> None:
    """Demand that a Pod may not be evicted, because of a budget."""
    # `call` would try again after such a refusal.
    answer = await stage.api.send(_eviction(stage, name))
    same(answer.code, 429, "the code of the refusal")
    causes = [cause["reason"] for cause in answer.json["details"].get("causes") or []]
    has(causes, "DisruptionBudget", "causes of the refusal")
