"""Garbage collection: what goes with its owner, and what stays.

Upstream has the dependents made by workload controllers. Where a case makes them itself, as the
controllers would, it is marked so: what is judged is what becomes of them.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from conformance.checks import CaseFailed, check, eventually, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import controller, owner, pod, workload
from conformance.stage import Stage
from kube.json_types import JsonObject

_COLLECTED_S: Final = 90.0
_ORPHANED_S: Final = 5.0
_REPLICAS: Final = 10


def _controllers(stage: Stage) -> Resource:
    return stage.of("v1", "replicationcontrollers", "ReplicationController")


async def _with_pods(stage: Stage, name: str, count: int) -> JsonObject:
    """Create a ReplicationController that wants no Pods, and Pods that it owns."""
    # Labels that its selector does not match: a controller that runs here leaves the Pods alone.
    made = await _controllers(stage).create(controller(name, 0))
    await asyncio.gather(*(_dependent(stage, f"{name}-{number}", made) for number in range(count)))
    return made


async def _dependent(stage: Stage, name: str, *owners: JsonObject) -> JsonObject:
    obj = pod(name, labels={"made-by": "conformance"})
    # None of them as its controller: one that runs here would release what it does not select.
    references = [owner(entry, blocks=True, controls=False) for entry in owners]
    obj["metadata"]["ownerReferences"] = references
    return await stage.pods.create(obj)


async def _pods_gone(stage: Stage) -> None:
    async def look() -> bool:
        return not await stage.pods.items()

    await eventually("the Pods are gone", look, within_s=_COLLECTED_S)


async def _orphaned(resource: Resource, count: int) -> None:
    """Demand that dependents stay for a while after their owner, and lose their references."""

    async def look() -> bool:
        items = await resource.items()
        same(len(items), count, "dependents left")
        owned = [entry for entry in items if entry["metadata"].get("ownerReferences")]
        if owned:
            raise CaseFailed(f"{len(owned)} dependents still name their owner")
        return True

    await eventually("the dependents are orphans", look, within_s=_COLLECTED_S)
    await asyncio.sleep(_ORPHANED_S)
    same(len(await resource.items()), count, "dependents left after a while")


@case(
    "[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning "
    "[Conformance]",
    local=True,
)
async def background(stage: Stage) -> None:
    """A controller deleted in the background is gone at once, its Pods soon."""
    made = await _with_pods(stage, "simpletest.rc", 2)
    uid = made["metadata"]["uid"]
    await _controllers(stage).delete(
        "simpletest.rc", propagationPolicy="Background", preconditions={"uid": uid}
    )
    await _pods_gone(stage)


@case(
    "[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say "
    "so [Conformance] [Serial]",
    local=True,
    timeout_s=240,
)
async def orphan(stage: Stage) -> None:
    """Pods of a controller deleted as an orphaning one stay."""
    made = await _with_pods(stage, "simpletest.rc", _REPLICAS)
    uid = made["metadata"]["uid"]
    controllers = _controllers(stage)
    await controllers.delete(
        "simpletest.rc", propagationPolicy="Orphan", preconditions={"uid": uid}
    )
    await eventually("the controller is gone", lambda: controllers.gone("simpletest.rc"))
    await _orphaned(stage.pods, _REPLICAS)


@case(
    "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are "
    "deleted if the deleteOptions says so [Conformance] [Serial]",
    local=True,
    timeout_s=240,
)
async def foreground(stage: Stage) -> None:
    """A controller deleted in the foreground stays until the last of its Pods has gone."""
    made = await _with_pods(stage, "simpletest.rc", _REPLICAS)
    controllers = _controllers(stage)
    held = "simpletest.rc-0"
    await stage.pods.patch(held, {"metadata": {"finalizers": ["e2e.example.com/hold"]}})
    uid = made["metadata"]["uid"]
    deleted = await controllers.delete(
        "simpletest.rc", propagationPolicy="Foreground", preconditions={"uid": uid}
    )
    check("foregroundDeletion" in deleted["metadata"]["finalizers"], "its finalizer says so")

    async def one_left() -> bool:
        return await stage.pods.names() == [held]

    await eventually("one Pod is left", one_left, within_s=_COLLECTED_S)
    found = await controllers.get("simpletest.rc")
    check("deletionTimestamp" in found["metadata"], "the controller is being deleted")
    await stage.pods.patch(held, {"metadata": {"finalizers": None}})
    await eventually("the controller is gone", lambda: controllers.gone("simpletest.rc"))
    same(await stage.pods.names(), [], "Pods after the controller")


@case(
    "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner "
    "and owner that's waiting for dependents to be deleted [Conformance] [Serial]",
    local=True,
    timeout_s=240,
)
async def two_owners(stage: Stage) -> None:
    """Pods with another owner that lives stay, and lose only the reference to the one deleted."""
    first = await _with_pods(stage, "simpletest-rc-to-be-deleted", _REPLICAS // 2)
    second = await _controllers(stage).create(controller("simpletest-rc-to-stay", 0))
    shared = [f"shared-{number}" for number in range(_REPLICAS // 2)]
    await asyncio.gather(*(_dependent(stage, name, first, second) for name in shared))
    controllers = _controllers(stage)
    name = first["metadata"]["name"]
    uid = first["metadata"]["uid"]
    await controllers.delete(name, propagationPolicy="Foreground", preconditions={"uid": uid})
    await eventually(
        "the controller is gone", lambda: controllers.gone(name), within_s=_COLLECTED_S
    )
    left = await stage.pods.items()
    same(sorted(entry["metadata"]["name"] for entry in left), shared, "Pods left")
    for entry in left:
        check("deletionTimestamp" not in entry["metadata"], "they are not being deleted")
        uids = [reference["uid"] for reference in entry["metadata"]["ownerReferences"]]
        same(uids, [second["metadata"]["uid"]], "owners of a Pod left")


@case(
    "[sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]"
)
async def circle(stage: Stage) -> None:
    """Three Pods that own each other all go when one is deleted."""
    made = [await stage.pods.create(pod(f"pod{number}")) for number in (1, 2, 3)]
    for number, obj in enumerate(made):
        reference: Any = owner(made[number - 1], blocks=True)
        patch = {"metadata": {"ownerReferences": [reference]}}
        await stage.pods.patch(obj["metadata"]["name"], patch)
    await stage.pods.delete("pod1", propagationPolicy="Foreground")
    await _pods_gone(stage)


async def _deployment_with_set(stage: Stage) -> tuple[Resource, Resource]:
    """Create a Deployment and, as nobody else may do so, the ReplicaSet that it owns."""
    deployments = stage.of("apps/v1", "deployments", "Deployment")
    sets = stage.of("apps/v1", "replicasets", "ReplicaSet")
    # Paused, and of no replicas: a controller that runs here makes nothing from it.
    wanted = workload("simpletest.deployment", 0)
    wanted["spec"]["paused"] = True
    made = await deployments.create(wanted)
    # Selected by the Deployment: its controller would release others.
    dependent = workload("simpletest.replicaset", 0)
    dependent["metadata"]["ownerReferences"] = [owner(made, blocks=True)]
    await sets.create(dependent)
    return deployments, sets


@case(
    "[sig-api-machinery] Garbage collector should delete RS created by deployment when not "
    "orphaning [Conformance]",
    local=True,
)
async def deployment_background(stage: Stage) -> None:
    """A Deployment's ReplicaSets go with it."""
    deployments, sets = await _deployment_with_set(stage)
    await deployments.delete("simpletest.deployment", propagationPolicy="Background")

    async def gone() -> bool:
        return not await sets.items()

    await eventually("the ReplicaSets are gone", gone, within_s=_COLLECTED_S)


@case(
    "[sig-api-machinery] Garbage collector should orphan RS created by deployment when "
    "deleteOptions.PropagationPolicy is Orphan [Conformance]",
    local=True,
)
async def deployment_orphan(stage: Stage) -> None:
    """Or stay, if the deletion says so."""
    deployments, sets = await _deployment_with_set(stage)
    await deployments.delete("simpletest.deployment", propagationPolicy="Orphan")
    name = "simpletest.deployment"
    await eventually("the Deployment is gone", lambda: deployments.gone(name))
    await _orphaned(sets, 1)
