"""StatefulSets: scale, partitions, evictions, status."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import CaseSkipped, check, eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import PAUSE_IMAGE, pod
from conformance.stage import Stage
from conformance.workloads import (
    HTTPD_IMAGE,
    HTTPD_NEW_IMAGE,
    at_once,
    check_scale,
    check_status,
    counts,
    pods_ready,
    settled,
    with_image,
)
from kube.json_types import JsonObject

_NAME: Final = "ss"
_REVISION: Final = "controller-revision-hash"
_LABELS: Final = {"foo": "bar", "baz": "blah"}
_SELECTOR: Final = "foo=bar"


def _sets(stage: Stage) -> Resource:
    return stage.of("apps/v1", "statefulsets", "StatefulSet")


def _set(replicas: int, **spec: Any) -> JsonObject:
    container = {"name": "webserver", "image": HTTPD_IMAGE}
    template = {"metadata": {"labels": _LABELS}, "spec": {"containers": [container]}}
    spec = {
        "serviceName": "test",
        "replicas": replicas,
        "selector": {"matchLabels": _LABELS},
        "template": template,
        **spec,
    }
    return at_once({"metadata": {"name": _NAME, "labels": _LABELS}, "spec": spec}, HTTPD_IMAGE)


async def _running(stage: Stage, obj: JsonObject) -> JsonObject:
    """Create a StatefulSet and its Service; return it once all its Pods run."""
    service = {"clusterIP": "None", "selector": _LABELS, "ports": [{"name": "http", "port": 80}]}
    services = stage.of("v1", "services", "Service")
    await services.create({"metadata": {"name": "test"}, "spec": service})
    await _sets(stage).create(obj)
    return await _all_run(stage, int(obj["spec"]["replicas"]))


async def _all_run(stage: Stage, replicas: int) -> JsonObject:
    await pods_ready(stage, _SELECTOR, replicas)
    wanted = counts(replicas=replicas, readyReplicas=replicas)
    return await settled(_sets(stage), _NAME, wanted, f"all {replicas} run")


@case(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should have a "
    "working scale subresource [Conformance]"
)
async def scale(stage: Stage) -> None:
    """The scale is read, updated and patched."""
    await _running(stage, _set(1))
    await check_scale(_sets(stage), _NAME, 1, updated=2, patched=4)


@case(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should list, patch "
    "and delete a collection of StatefulSets [Conformance]"
)
async def collection(stage: Stage) -> None:
    """Patched to two replicas of another image; found and deleted by its new label."""
    sets, selector = _sets(stage), f"test-ss={stage.unique}"
    await _running(stage, _set(1))
    container = {"name": _NAME, "image": PAUSE_IMAGE}
    patch: Any = {
        "metadata": {"labels": {"test-ss": stage.unique}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
    }
    await sets.patch(_NAME, patch, STRATEGIC)
    found = await sets.get(_NAME)
    same(found["spec"]["replicas"], 2, "replicas")
    same(found["spec"]["template"]["spec"]["containers"][0]["image"], PAUSE_IMAGE, "the image")
    await _all_run(stage, 2)
    same(await sets.anywhere().names(labelSelector=selector), [_NAME], "StatefulSets listed")
    await sets.delete_all(selector, gracePeriodSeconds=1)
    same(await sets.anywhere().names(labelSelector=selector), [], "StatefulSets left")


@case(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should validate "
    "Statefulset Status endpoints [Conformance]"
)
async def status(stage: Stage) -> None:
    """The status is read, updated and patched."""
    obj = _set(1)
    obj["metadata"]["labels"] = {**_LABELS, "e2e": stage.unique}
    await _running(stage, obj)
    await check_status(_sets(stage), _NAME, f"e2e={stage.unique}")


@case(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform "
    "canary updates and phased rolling updates of template modifications [Conformance]",
    timeout_s=240,
)
async def canary(stage: Stage) -> None:
    """What is below the partition keeps its revision, even where it is made again."""
    sets = _sets(stage)
    made = await _running(stage, _set(3, updateStrategy=_partition(3)))
    old = made["status"]["currentRevision"]
    same(made["status"]["updateRevision"], old, "the revision to be")
    await sets.update(_NAME, with_image(HTTPD_NEW_IMAGE))

    def two(obj: JsonObject) -> bool:
        return bool(obj["status"]["currentRevision"] != obj["status"]["updateRevision"])

    new = (await settled(sets, _NAME, two, "there is a new revision"))["status"]["updateRevision"]
    await _split(stage, 3, old, new)
    await _to_partition(stage, 2)
    await _split(stage, 2, old, new)
    for number in (0, 2):
        await _made_again(stage, f"{_NAME}-{number}")
    await _split(stage, 2, old, new)
    for number in (1, 0):
        await _to_partition(stage, number)
        await _split(stage, number, old, new)

    def complete(obj: JsonObject) -> bool:
        return bool(obj["status"]["currentRevision"] == new)

    await settled(sets, _NAME, complete, "the update is complete")


def _partition(number: int) -> JsonObject:
    return {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}


async def _to_partition(stage: Stage, number: int) -> None:
    def change(obj: JsonObject) -> None:
        obj["spec"]["updateStrategy"] = _partition(number)

    await _sets(stage).update(_NAME, change)


async def _made_again(stage: Stage, name: str) -> None:
    """Delete a Pod and wait until there is another of its name."""
    uid = (await stage.pods.get(name))["metadata"]["uid"]
    await stage.pods.delete(name)

    async def other() -> bool:
        return bool((await stage.pods.get(name))["metadata"]["uid"] != uid)

    await eventually(f"{name} is made again", other)


async def _split(stage: Stage, partition: int, old: str, new: str) -> None:
    """Demand that the Pods from a number on are of the new revision, the others of the old."""

    async def look() -> bool:
        pods = await pods_ready(stage, _SELECTOR, 3)
        found = {
            item["metadata"]["name"]: (
                item["metadata"]["labels"][_REVISION],
                item["spec"]["containers"][0]["image"],
            )
            for item in pods
        }
        expected = {
            f"{_NAME}-{number}": (new, HTTPD_NEW_IMAGE)
            if number >= partition
            else (old, HTTPD_IMAGE)
            for number in range(3)
        }
        same(found, expected, "revisions and images")
        return True

    await eventually(f"the Pods are split at {partition}", look, within_s=90)


@case(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Should recreate "
    "evicted statefulset [Conformance]",
    timeout_s=240,
)
async def evicted(stage: Stage) -> None:
    """A Pod that a node refuses is made again until the node takes it."""
    nodes = stage.cluster("v1", "nodes", "Node")
    free = [item for item in await nodes.items() if not item["spec"].get("taints")]
    if not free:
        raise CaseSkipped("there are no nodes")
    node = free[0]["metadata"]["name"]
    port = {"hostPort": 21_017, "containerPort": 21_017, "name": "conflict"}
    other = pod("test-pod", nodeName=node)
    other["spec"]["containers"][0]["ports"] = [port]
    await stage.pods.create(other)

    async def runs() -> bool:
        return bool((await stage.pods.get("test-pod"))["status"].get("phase") == "Running")

    await eventually("the other Pod runs", runs)
    obj = _set(1)
    template = obj["spec"]["template"]["spec"]
    template["nodeName"] = node
    template["containers"][0]["ports"] = [port]
    name = f"{_NAME}-0"
    async with stage.pods.watch(fieldSelector=f"metadata.name={name}") as watch:
        await _sets(stage).create(obj)
        first = (await watch.until("ADDED", what=f"of {name}"))["metadata"]["uid"]
        await watch.until("DELETED", what=f"of {name}")
    await stage.pods.delete("test-pod", gracePeriodSeconds=0)

    async def again() -> bool:
        found = await stage.pods.get(name)
        check(found["status"].get("phase") == "Running", f"{name} runs: {found['status']}")
        return bool(found["metadata"]["uid"] != first)

    await eventually(f"{name} runs in the end", again, within_s=120)
