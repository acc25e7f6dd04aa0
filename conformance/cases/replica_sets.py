"""ReplicaSets and what becomes of their Pods."""

from __future__ import annotations

from typing import Any

from conformance.checks import eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import PAUSE_IMAGE, pod, workload
from conformance.stage import Stage
from conformance.workloads import (
    at_once,
    check_scale,
    check_status,
    condition,
    controlled_by,
    counts,
    pod_ready,
    pods_ready,
    settled,
    with_replicas,
)
from kube.json_types import JsonObject


def _sets(stage: Stage) -> Resource:
    return stage.of("apps/v1", "replicasets", "ReplicaSet")


def _labels(stage: Stage) -> dict[str, str]:
    return {"name": "sample-pod", "pod": "httpd", "e2e": stage.unique}


async def _running(stage: Stage, replicas: int) -> JsonObject:
    made = await _sets(stage).create(at_once(workload("test-rs", replicas, _labels(stage))))
    await pods_ready(stage, "name=sample-pod", replicas)
    return made


@case(
    "[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching "
    "pods [Conformance]"
)
async def adopting(stage: Stage) -> None:
    """An orphan that matches is adopted; what matches no longer is let go."""
    name, labels = "pod-adoption-release", {"name": "pod-adoption-release"}
    await stage.pods.create(pod(name, labels=labels))
    await pod_ready(stage, name)
    made = await _sets(stage).create(at_once(workload(name, 1, labels)))

    async def adopted() -> bool:
        return controlled_by(await stage.pods.get(name), made)

    await eventually("the orphan is adopted", adopted)

    def rename(obj: JsonObject) -> None:
        obj["metadata"]["labels"] = {"name": "not-matching-name"}

    await stage.pods.update(name, rename)

    async def released() -> bool:
        return not controlled_by(await stage.pods.get(name), made)

    await eventually("the Pod is released", released)


@case("[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]")
async def scale(stage: Stage) -> None:
    """The scale is read, updated and patched."""
    await _running(stage, 1)
    await settled(_sets(stage), "test-rs", counts(replicas=1), "one replica is counted")
    await check_scale(_sets(stage), "test-rs", 1, updated=2, patched=4)


@case("[sig-apps] ReplicaSet Replace and Patch tests [Conformance]")
async def replace_and_patch(stage: Stage) -> None:
    """Scaled by an update, then changed by a patch, and as many as that says become available."""
    sets = _sets(stage)
    await _running(stage, 1)
    await sets.update("test-rs", with_replicas(2))
    container = {"name": "test-rs", "image": PAUSE_IMAGE}
    template = {"spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    patch: Any = {
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {"replicas": 3, "template": template},
    }
    patched = await sets.patch("test-rs", patch, STRATEGIC)
    names = [entry["name"] for entry in patched["spec"]["template"]["spec"]["containers"]]
    # A strategic merge goes by name: another name is one more container.
    same(names, ["test-rs", "nginx"], "containers after the patch")
    found = await settled(
        sets, "test-rs", counts(readyReplicas=3, availableReplicas=3), "three are available"
    )
    same(found["metadata"]["labels"]["test-rs"], "patched", "the label")


@case("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]")
async def collection(stage: Stage) -> None:
    """Found by its label in all namespaces, and deleted by it."""
    sets, selector = _sets(stage), f"e2e={stage.unique}"
    await _running(stage, 3)
    same(await sets.anywhere().names(labelSelector=selector), ["test-rs"], "ReplicaSets listed")
    await sets.delete_all(selector, gracePeriodSeconds=1)
    same(await sets.anywhere().names(labelSelector=selector), [], "ReplicaSets left")


@case("[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]")
async def status(stage: Stage) -> None:
    """The status is read, updated and patched."""
    await _running(stage, 1)
    await check_status(_sets(stage), "test-rs", f"e2e={stage.unique}")


# What upstream tests of ReplicationControllers in a conformance spec it tests of these, too.
async def surfaces_quota(stage: Stage, resource: Resource, obj: JsonObject) -> None:
    """Demand that Pods refused by a quota are a condition, which goes when fewer are wanted."""
    name = obj["metadata"]["name"]
    quotas = stage.of("v1", "resourcequotas", "ResourceQuota")
    await quotas.create({"metadata": {"name": name}, "spec": {"hard": {"pods": "2"}}})

    async def known() -> bool:
        status: JsonObject = (await quotas.get(name)).get("status", {})
        return status.get("hard") == {"pods": "2"}

    await eventually("the quota is known", known)
    await resource.create(obj)
    await settled(resource, name, lambda seen: condition(seen, "ReplicaFailure"), "it says why")
    await resource.update(name, with_replicas(2))
    await settled(
        resource, name, lambda seen: not condition(seen, "ReplicaFailure"), "nothing is wrong"
    )
