"""DaemonSets: a Pod on each node that they want, rollouts, their ControllerRevisions."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from conformance.checks import CaseSkipped, check, eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import PAUSE_IMAGE
from conformance.stage import Stage
from conformance.workloads import (
    HTTPD_IMAGE,
    at_once,
    check_status,
    controlled_by,
    is_ready,
    never_pulled,
)
from kube.json_types import JsonObject

_NAME: Final = "daemon-set"
_HASH: Final = "controller-revision-hash"
_RUNNING_S: Final = 90.0


def _daemons(stage: Stage) -> Resource:
    return stage.of("apps/v1", "daemonsets", "DaemonSet")


def _revisions(stage: Stage) -> Resource:
    return stage.of("apps/v1", "controllerrevisions", "ControllerRevision")


def _nodes(stage: Stage) -> Resource:
    return stage.cluster("v1", "nodes", "Node")


def _daemon(stage: Stage, **spec: Any) -> JsonObject:
    labels = {"daemonset-name": stage.unique}
    container = {"name": "app", "image": HTTPD_IMAGE, "ports": [{"containerPort": 9376}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return at_once({"metadata": {"name": _NAME, "labels": labels}, "spec": spec}, HTTPD_IMAGE)


def _selector(stage: Stage) -> str:
    return f"daemonset-name={stage.unique}"


async def _schedulable(stage: Stage) -> list[str]:
    """Return the names of nodes that daemons of no tolerations run on."""
    return sorted(
        node["metadata"]["name"]
        for node in await _nodes(stage).items()
        if not node["spec"].get("unschedulable") and not node["spec"].get("taints")
    )


async def _living(stage: Stage) -> list[JsonObject]:
    pods = await stage.pods.items(labelSelector=_selector(stage))
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


async def _runs_on(stage: Stage, nodes: list[str], image: str = "") -> list[JsonObject]:
    """Return the daemons once one runs on each of these nodes and none elsewhere."""

    async def look() -> bool:
        pods = await _living(stage)
        same(sorted(pod["spec"].get("nodeName", "") for pod in pods), nodes, "nodes of daemons")
        check(all(is_ready(pod) for pod in pods), "all daemons are ready")
        if image:
            images = {pod["spec"]["containers"][0]["image"] for pod in pods}
            same(images, {image}, "images of daemons")
        status = (await _daemons(stage).get(_NAME))["status"]
        wanted = [status[name] for name in ("desiredNumberScheduled", "currentNumberScheduled")]
        same([*wanted, status["numberReady"]], [len(nodes)] * 3, "numbers of the status")
        return True

    await eventually(f"daemons run on {nodes}", look, within_s=_RUNNING_S)
    return await _living(stage)


async def _everywhere(stage: Stage, obj: JsonObject) -> list[JsonObject]:
    """Create a DaemonSet and return its Pods once one runs on each node."""
    nodes = await _schedulable(stage)
    if not nodes:
        raise CaseSkipped("there are no nodes")
    await _daemons(stage).create(obj)
    return await _runs_on(stage, nodes)


@case("[sig-apps] Daemon set should run and stop simple daemon [Conformance] [Serial]")
async def simple(stage: Stage) -> None:
    """A daemon that is deleted is made again."""
    pods = await _everywhere(stage, _daemon(stage))
    await stage.pods.delete(pods[0]["metadata"]["name"])
    await _runs_on(stage, await _schedulable(stage))


@asynccontextmanager
async def _labelled(stage: Stage, node: str) -> AsyncIterator[str]:
    """Give a label that the case may set on a node; it is gone afterwards."""
    label = f"{stage.unique}.example.com/color"

    async def remove() -> None:
        await _nodes(stage).patch(node, {"metadata": {"labels": {label: None}}})

    stage.later(remove)
    yield label


@case("[sig-apps] Daemon set should run and stop complex daemon [Conformance] [Serial]")
async def selecting(stage: Stage) -> None:
    """Daemons come and go with the labels of nodes, and with what is selected."""
    nodes = await _schedulable(stage)
    if not nodes:
        raise CaseSkipped("there are no nodes")
    async with _labelled(stage, nodes[0]) as label:
        obj = _daemon(stage)
        obj["spec"]["template"]["spec"]["nodeSelector"] = {label: "blue"}
        await _daemons(stage).create(obj)
        await _runs_on(stage, [])
        await _nodes(stage).patch(nodes[0], {"metadata": {"labels": {label: "blue"}}})
        await _runs_on(stage, nodes[:1])
        await _nodes(stage).patch(nodes[0], {"metadata": {"labels": {label: "green"}}})
        await _runs_on(stage, [])
        patch: Any = {
            "spec": {
                "template": {"spec": {"nodeSelector": {label: "green"}}},
                "updateStrategy": {"type": "RollingUpdate"},
            }
        }
        await _daemons(stage).patch(_NAME, patch, STRATEGIC)
        await _runs_on(stage, nodes[:1])


@case("[sig-apps] Daemon set should retry creating failed daemon pods [Conformance] [Serial]")
async def failing(stage: Stage) -> None:
    """A daemon that has failed is deleted, and made again."""
    name = (await _everywhere(stage, _daemon(stage)))[0]["metadata"]["name"]

    def fail(pod: JsonObject) -> None:
        pod["status"]["phase"] = "Failed"

    await stage.pods.update(name, fail, "status")
    await eventually("the failed daemon is gone", lambda: stage.pods.gone(name), within_s=90)
    await _runs_on(stage, await _schedulable(stage))


async def _history(stage: Stage, count: int) -> list[JsonObject]:
    """Return a DaemonSet's revisions, the oldest first, once there are so many."""

    async def look() -> list[JsonObject]:
        found = await _revisions(stage).items(labelSelector=_selector(stage))
        same(len(found), count, "revisions")
        return sorted(found, key=lambda item: int(item["revision"]))

    return await eventually(f"there are {count} revisions", look)


@case(
    "[sig-apps] Daemon set should update pod when spec was updated and update strategy is "
    "RollingUpdate [Conformance] [Serial]"
)
async def rolling(stage: Stage) -> None:
    """All daemons are of the new template in the end, and its revision is the newest."""
    pods = await _everywhere(stage, _daemon(stage, updateStrategy={"type": "RollingUpdate"}))
    await _of_revision(stage, pods, 1)
    container = {"name": "app", "image": PAUSE_IMAGE}
    template = {"spec": {"containers": [container]}}
    await _daemons(stage).patch(_NAME, {"spec": {"template": template}}, STRATEGIC)
    pods = await _runs_on(stage, await _schedulable(stage), PAUSE_IMAGE)
    await _of_revision(stage, pods, 2)


async def _of_revision(stage: Stage, pods: list[JsonObject], number: int) -> None:
    """Demand that the newest revision has a number and is that of the DaemonSet and its Pods."""
    newest = (await _history(stage, number))[-1]
    same(newest["revision"], number, "the newest revision")
    template = (await _daemons(stage).get(_NAME))["spec"]["template"]
    patch = {"spec": {"template": {**template, "$patch": "replace"}}}
    same(newest["data"], patch, "what the revision remembers")
    # Upstream's clients compare it byte by byte with what Go writes of a map: names in order.
    kept = newest["data"]["spec"]["template"]
    same(list(kept), sorted(kept), "the order of names")
    hashes = {pod["metadata"]["labels"][_HASH] for pod in pods}
    same(hashes, {newest["metadata"]["labels"][_HASH]}, "whose template the daemons are of")


@case("[sig-apps] Daemon set should rollback without unnecessary restarts [Conformance] [Serial]")
async def rollback(stage: Stage) -> None:
    """What a stuck rollout has not replaced is left alone by the way back."""
    nodes = await _schedulable(stage)
    if len(nodes) < 2:
        raise CaseSkipped("two nodes are needed")
    obj = _daemon(stage, updateStrategy={"type": "RollingUpdate"})
    before = {pod["metadata"]["uid"] for pod in await _everywhere(stage, obj)}
    template = copy.deepcopy((await _daemons(stage).get(_NAME))["spec"]["template"])

    def breaking(seen: JsonObject) -> None:
        seen["spec"]["template"] = never_pulled(seen)["spec"]["template"]

    await _daemons(stage).update(_NAME, breaking)

    async def begun() -> bool:
        return any(pod["metadata"]["uid"] not in before for pod in await _living(stage))

    await eventually("the rollout has begun", begun)
    kept = {pod["metadata"]["uid"] for pod in await _living(stage)} & before
    check(kept, "daemons of before are left")

    def back(seen: JsonObject) -> None:
        seen["spec"]["template"] = template

    await _daemons(stage).update(_NAME, back)
    pods = await _runs_on(stage, nodes, HTTPD_IMAGE)
    check(kept <= {pod["metadata"]["uid"] for pod in pods}, "those left are still there")


@case(
    "[sig-apps] Daemon set should list and delete a collection of DaemonSets [Conformance] [Serial]"
)
async def collection(stage: Stage) -> None:
    """Found by its label in all namespaces, and deleted by it."""
    await _everywhere(stage, _daemon(stage))
    daemons, selector = _daemons(stage), _selector(stage)
    same(await daemons.anywhere().names(labelSelector=selector), [_NAME], "DaemonSets listed")
    await daemons.delete_all(selector, gracePeriodSeconds=1)
    same(await daemons.anywhere().names(labelSelector=selector), [], "DaemonSets left")


@case("[sig-apps] Daemon set should verify changes to a daemon set status [Conformance] [Serial]")
async def status(stage: Stage) -> None:
    """The status is read, updated and patched."""
    await _everywhere(stage, _daemon(stage))
    await check_status(_daemons(stage), _NAME, _selector(stage))


@case(
    "[sig-apps] ControllerRevision should manage the lifecycle of a ControllerRevision "
    "[Conformance] [Serial]"
)
async def revisions(stage: Stage) -> None:
    """Listed, patched, created beside, deleted, updated; another comes with another template."""
    resource, selector = _revisions(stage), _selector(stage)
    await _everywhere(stage, _daemon(stage))
    owner = await _daemons(stage).get(_NAME)
    found = await resource.anywhere().items(labelSelector=selector)
    same([controlled_by(item, owner) for item in found], [True], "revisions of the DaemonSet")
    first = found[0]
    name = first["metadata"]["name"]
    patched = await resource.patch(name, {"metadata": {"labels": {name: "patched"}}}, STRATEGIC)
    same(patched["metadata"]["labels"][name], "patched", "the label")
    second = _next_revision(first)
    await resource.create(second)
    await _history(stage, 2)
    await resource.delete(name)
    await _history(stage, 1)
    name = second["metadata"]["name"]

    def mark(obj: JsonObject) -> None:
        obj["metadata"]["labels"][name] = "updated"

    updated = await resource.update(name, mark)
    same(updated["metadata"]["labels"][name], "updated", "the label")
    patch: Any = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    await _daemons(stage).patch(_NAME, patch, STRATEGIC)
    await _history(stage, 2)
    await resource.delete_all(f"{name}=updated")
    same([item["revision"] for item in await _history(stage, 1)], [3], "numbers of revisions")


def _next_revision(first: JsonObject) -> JsonObject:
    metadata = first["metadata"]
    kept = {key: metadata[key] for key in ("annotations", "ownerReferences") if key in metadata}
    labels = {**metadata["labels"], _HASH: "next"}
    return {
        "metadata": {"name": f"{_NAME}-next", "labels": labels, **kept},
        "data": first["data"],
        "revision": int(first["revision"]) + 1,
    }
