"""ReplicationControllers and what becomes of their Pods."""

from __future__ import annotations

from conformance.cases.replica_sets import surfaces_quota
from conformance.checks import eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import controller, pod
from conformance.stage import Stage
from conformance.workloads import at_once, controlled_by, counts, pod_ready, pods_ready, settled
from kube.json_types import JsonObject


def _controllers(stage: Stage) -> Resource:
    return stage.of("v1", "replicationcontrollers", "ReplicationController")


@case(
    "[sig-apps] ReplicationController should surface a failure condition on a common issue like "
    "exceeded quota [Conformance]"
)
async def quota(stage: Stage) -> None:
    """What a quota refuses is told by a condition."""
    await surfaces_quota(stage, _controllers(stage), at_once(controller("condition-test", 3)))


@case("[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]")
async def adopting(stage: Stage) -> None:
    """An orphan that matches is adopted."""
    name = "pod-adoption"
    await stage.pods.create(pod(name, labels={"name": name}))
    await pod_ready(stage, name)
    made = await _controllers(stage).create(at_once(controller(name, 1)))

    async def adopted() -> bool:
        return controlled_by(await stage.pods.get(name), made)

    await eventually("the orphan is adopted", adopted)


@case("[sig-apps] ReplicationController should release no longer matching pods [Conformance]")
async def releasing(stage: Stage) -> None:
    """A Pod that matches no longer is let go."""
    made = await _controllers(stage).create(at_once(controller("pod-release", 1)))
    name = (await pods_ready(stage, "name=pod-release", 1))[0]["metadata"]["name"]

    def rename(obj: JsonObject) -> None:
        obj["metadata"]["labels"] = {"name": "not-matching-name"}

    await stage.pods.update(name, rename)

    async def released() -> bool:
        return not controlled_by(await stage.pods.get(name), made)

    await eventually("the Pod is released", released)


@case(
    "[sig-apps] ReplicationController should get and update a ReplicationController scale "
    "[Conformance]"
)
async def scale(stage: Stage) -> None:
    """Its scale is read, and updated without a version."""
    resource, name = _controllers(stage), f"e2e-rc-{stage.unique}"
    await resource.create(at_once(controller(name, 1)))
    await settled(resource, name, counts(replicas=1), "one replica is counted")
    found = await resource.get(name, "scale")
    same(found["status"]["replicas"], 1, "replicas there")
    found["spec"]["replicas"] = 2
    found["metadata"].pop("resourceVersion")
    # The scale names its own type, which the request keeps.
    await resource.replace({**found}, "scale")
    await settled(resource, name, counts(replicas=2), "two replicas are counted")


@case(
    "[sig-apps] ReplicationController should test the lifecycle of a ReplicationController "
    "[Conformance]"
)
async def lifecycle(stage: Stage) -> None:
    """Each change is seen in a watch: of labels, status, scale; then the collection is deleted."""
    resource, name, selector = _controllers(stage), "rc-test", "test-rc-static=true"
    obj = at_once(controller(name, 1, {"test-rc-static": "true"}))
    obj["metadata"]["labels"] = {"test-rc-static": "true"}
    async with resource.watch(labelSelector=selector) as watch:
        await resource.create(obj)
        await watch.expect("ADDED", lambda seen: seen["metadata"]["name"] == name)
        await watch.until("MODIFIED", counts(replicas=1, readyReplicas=1), what="with one ready")
        patched = await resource.patch(name, {"metadata": {"labels": {"test-rc": "patched"}}})
        same(patched["metadata"]["labels"]["test-rc"], "patched", "the label")
        await watch.until("MODIFIED", _patched, what="with the label")
        none = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        answer = await resource.patch(name, none, STRATEGIC, "status")
        same(answer["status"].get("readyReplicas", 0), 0, "ready replicas after the patch")
        # The controller puts right what it did not say.
        await watch.until("MODIFIED", counts(readyReplicas=0), what="as it was patched")
        await watch.until("MODIFIED", counts(readyReplicas=1), what="as it is")
        await resource.patch(name, {"spec": {"replicas": 2}}, STRATEGIC, "scale")
        await watch.until("MODIFIED", counts(replicas=2, readyReplicas=2), what="with two ready")

        def fewer(seen: JsonObject) -> None:
            seen["status"] |= {"availableReplicas": 1, "readyReplicas": 1}

        await resource.update(name, fewer, "status")
        await watch.until("MODIFIED", counts(readyReplicas=1), what="as it was updated")
        found = await resource.anywhere().items(labelSelector=selector)
        mine = [item for item in found if item["metadata"]["namespace"] == stage.namespace]
        same([_patched(item) for item in mine], [True], "those listed")
        await resource.delete_all(selector)
        await watch.until("DELETED", what="of the controller")


def _patched(obj: JsonObject) -> bool:
    labels: dict[str, str] = obj["metadata"]["labels"]
    return labels.get("test-rc") == "patched"
