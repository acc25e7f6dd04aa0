"""Deployments: rollouts, scale, revisions, status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from conformance.checks import check, eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import PAUSE_IMAGE, workload
from conformance.stage import Stage
from conformance.workloads import (
    HTTPD_IMAGE,
    at_once,
    check_scale,
    check_status,
    controlled_by,
    counts,
    never_pulled,
    pods_ready,
    settled,
    with_image,
    with_replicas,
)
from kube.json_types import JsonObject

_REVISION: Final = "deployment.kubernetes.io/revision"
_ROLLED_S: Final = 90.0


def _deployments(stage: Stage) -> Resource:
    return stage.of("apps/v1", "deployments", "Deployment")


def _sets(stage: Stage) -> Resource:
    return stage.of("apps/v1", "replicasets", "ReplicaSet")


def _deployment(name: str, replicas: int, labels: dict[str, str], image: str = "") -> JsonObject:
    return at_once(workload(name, replicas, labels), image or PAUSE_IMAGE)


async def _complete(stage: Stage, name: str, revision: str) -> JsonObject:
    """Return a Deployment once all that it wants is new and available, and nothing old is left."""

    def done(obj: JsonObject) -> bool:
        wanted: int = obj["spec"]["replicas"]
        all_new = counts(replicas=wanted, updatedReplicas=wanted, availableReplicas=wanted)
        same(_annotations(obj).get(_REVISION), revision, "the revision")
        return all_new(obj)

    return await settled(_deployments(stage), name, done, f"{name} is complete", within_s=_ROLLED_S)


async def _owned(stage: Stage, deployment: JsonObject) -> list[JsonObject]:
    """Return a Deployment's ReplicaSets by revision, the oldest first."""
    found = [item for item in await _sets(stage).items() if controlled_by(item, deployment)]
    # One just adopted has none yet, and is older than what has.
    return sorted(found, key=lambda item: int(_annotations(item).get(_REVISION, "0")))


def _annotations(obj: JsonObject) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


async def _alone(stage: Stage, name: str, labels: dict[str, str], **metadata: Any) -> JsonObject:
    """Return a ReplicaSet of one Pod that runs, for a Deployment to adopt."""
    obj = at_once(workload(name, 1, {**labels, "pod": "httpd"}), HTTPD_IMAGE)
    obj["metadata"] |= metadata
    made = await _sets(stage).create(obj)
    await pods_ready(stage, f"name={labels['name']}", 1)
    return made


@case("[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]")
async def scale(stage: Stage) -> None:
    """The scale is read, updated and patched."""
    name = "test-new-deployment"
    await _deployments(stage).create(_deployment(name, 1, {"name": "httpd"}))
    await _complete(stage, name, "1")
    await check_scale(_deployments(stage), name, 1, updated=2, patched=4)


@case(
    "[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones "
    "[Conformance]"
)
async def rolling(stage: Stage) -> None:
    """A ReplicaSet that matches is adopted as the revision it says, and rolled out of."""
    labels, name = {"name": "sample-pod"}, "test-rolling-update-deployment"
    revision = 3_546_343_826_724_305_832
    old = await _alone(
        stage,
        "test-rolling-update-controller",
        labels,
        annotations={_REVISION: str(revision)},
    )
    await _deployments(stage).create(_deployment(name, 1, labels))
    made = await _complete(stage, name, str(revision + 1))
    names = [item["metadata"]["name"] for item in await _owned(stage, made)]
    same(names[:-1], [old["metadata"]["name"]], "old ReplicaSets")
    pods = await pods_ready(stage, "name=sample-pod", 1)
    same(pods[0]["spec"]["containers"][0]["image"], PAUSE_IMAGE, "the image that runs")


@case(
    "[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones "
    "[Conformance]"
)
async def recreate(stage: Stage) -> None:
    """No Pod of a new kind runs beside one of an old kind."""
    name, selector = "test-recreate-deployment", "name=sample-pod-3"
    obj = _deployment(name, 1, {"name": "sample-pod-3"})
    obj["spec"]["strategy"] = {"type": "Recreate"}
    await _deployments(stage).create(obj)
    await _complete(stage, name, "1")
    await _deployments(stage).update(name, with_image(HTTPD_IMAGE))
    ends = asyncio.get_running_loop().time() + _ROLLED_S
    running: set[str] = set()
    while HTTPD_IMAGE not in running and asyncio.get_running_loop().time() < ends:
        pods = await stage.pods.items(labelSelector=selector)
        running = {
            pod["spec"]["containers"][0]["image"]
            for pod in pods
            if pod["status"].get("phase") == "Running"
        }
        check(len(running) < 2, "Pods of both kinds run")
        await asyncio.sleep(0.1)
    await _complete(stage, name, "2")


@case("[sig-apps] Deployment deployment should delete old replica sets [Conformance]")
async def history(stage: Stage) -> None:
    """With a history of none, an old ReplicaSet is deleted when it has no Pods any more."""
    labels, name = {"name": "cleanup-pod"}, "test-cleanup-deployment"
    old = await _alone(stage, "test-cleanup-controller", labels)
    revision = (await stage.pods.fetch_list())["metadata"]["resourceVersion"]
    obj = _deployment(name, 1, labels)
    obj["spec"]["revisionHistoryLimit"] = 0
    async with stage.pods.watch(resourceVersion=revision) as watch:
        await _deployments(stage).create(obj)
        await eventually(
            "the old ReplicaSet is gone", lambda: _sets(stage).gone(old["metadata"]["name"])
        )
        await _complete(stage, name, "1")
        # The ReplicaSet adopted makes no Pod more as its selector changes.
        await watch.expect("ADDED", lambda pod: _image(pod) == PAUSE_IMAGE, what="of the new one")
    pods = await pods_ready(stage, "name=cleanup-pod", 1)
    same([_image(pod) for pod in pods], [PAUSE_IMAGE], "images that run")


def _image(obj: JsonObject) -> str:
    image: str = obj["spec"]["containers"][0]["image"]
    return image


@case("[sig-apps] Deployment deployment should support rollover [Conformance]")
async def rollover(stage: Stage) -> None:
    """A rollout that is stuck is rolled over by the next."""
    labels, name = {"name": "rollover-pod"}, "test-rollover-deployment"
    deployments, sets = _deployments(stage), _sets(stage)
    old = await _alone(stage, "test-rollover-controller", labels)
    stuck = never_pulled(_deployment(name, 1, labels))
    stuck["spec"] |= {
        "minReadySeconds": 3,
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    }
    await deployments.create(stuck)
    made = await settled(
        deployments, name, lambda obj: obj["status"].get("updatedReplicas", 0) >= 1, "it starts"
    )
    same(made["metadata"]["annotations"][_REVISION], "1", "the revision")
    both = await _owned(stage, made)
    same([item["spec"]["replicas"] for item in both], [1, 1], "replicas of both ReplicaSets")
    await deployments.update(name, _repaired)
    await _complete(stage, name, "2")
    for item in (old, both[-1]):
        found = await sets.get(item["metadata"]["name"])
        same(found["spec"]["replicas"], 0, "replicas of an old ReplicaSet")


def _repaired(obj: JsonObject) -> None:
    template = obj["spec"]["template"]
    template["metadata"].pop("annotations", None)
    template["spec"]["containers"][0] |= {"name": "agnhost", "image": PAUSE_IMAGE}


@case("[sig-apps] Deployment deployment should support proportional scaling [Conformance]")
async def proportional(stage: Stage) -> None:
    """Scaled in the middle of a rollout, both ReplicaSets grow by their share."""
    deployments, sets, name = _deployments(stage), _sets(stage), "webserver-deployment"
    obj = _deployment(name, 10, {"name": "httpd"})
    obj["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    await deployments.create(obj)
    made = await _complete(stage, name, "1")
    first = (await _owned(stage, made))[0]["metadata"]["name"]

    def breaking(seen: JsonObject) -> None:
        seen["spec"]["template"] = never_pulled(seen)["spec"]["template"]

    await deployments.update(name, breaking)
    await _sized(sets, first, 8)
    await settled(sets, first, counts(availableReplicas=8), "8 of the first are available")
    second = (await _owned(stage, made))[1]
    same(second["status"].get("availableReplicas", 0), 0, "available ones of the second")
    await _sized(sets, second["metadata"]["name"], 5)
    check((await deployments.get(name))["status"]["availableReplicas"] >= 8, "8 are available")
    await deployments.update(name, with_replicas(30))
    # 20 more, by the shares 8/13 and 5/13.
    await _sized(sets, first, 20)
    await _sized(sets, second["metadata"]["name"], 13)


async def _sized(sets: Resource, name: str, replicas: int) -> None:
    def holds(obj: JsonObject) -> bool:
        return bool(obj["spec"]["replicas"] == replicas) and counts(replicas=replicas)(obj)

    await settled(sets, name, holds, f"{name} has {replicas} replicas")


@case("[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]")
async def status(stage: Stage) -> None:
    """The status is read, updated and patched."""
    name = f"test-deployment-{stage.unique}"
    obj = _deployment(name, 1, {"name": "httpd", "e2e": stage.unique})
    await _deployments(stage).create(obj)
    await _complete(stage, name, "1")
    await check_status(_deployments(stage), name, f"e2e={stage.unique}")


@case("[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]")
async def lifecycle(stage: Stage) -> None:
    """Created, patched, listed, updated, its status patched, deleted; a watch sees each."""
    deployments, name, selector = _deployments(stage), "test-deployment", "test-static=true"
    obj = _deployment(name, 2, {"test-static": "true"})
    async with deployments.watch(labelSelector=selector) as watch:
        await deployments.create(obj)
        await watch.expect("ADDED", lambda seen: seen["metadata"]["name"] == name)
        await watch.until("MODIFIED", counts(readyReplicas=2), what="with two ready")
        container = {"name": "nginx", "image": HTTPD_IMAGE}
        template = {"spec": {"terminationGracePeriodSeconds": 2, "containers": [container]}}
        patch: Any = {
            "metadata": {"labels": {"test-deployment": "patched"}},
            "spec": {"replicas": 1, "template": template},
        }
        await deployments.patch(name, patch, STRATEGIC)
        await watch.until("MODIFIED", _rolled(1, HTTPD_IMAGE), what="as it was patched")
        found = await deployments.anywhere().items(labelSelector=selector)
        mine = [item for item in found if item["metadata"]["namespace"] == stage.namespace]
        same([item["metadata"]["name"] for item in mine], [name], "Deployments listed")
        obj["metadata"]["labels"] = {"test-static": "true", "test-deployment": "updated"}
        # Without a version the update is unconditional.
        await deployments.replace(obj)
        shown = await deployments.get(name, "status")
        same(shown["metadata"]["labels"]["test-deployment"], "updated", "the label")
        await watch.until("MODIFIED", _rolled(2, PAUSE_IMAGE), what="as it was updated")
        wrong: Any = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        await deployments.patch(name, wrong, STRATEGIC, "status")
        await watch.until("MODIFIED", counts(readyReplicas=0), what="as its status was patched")
        await watch.until("MODIFIED", _rolled(2, PAUSE_IMAGE), what="as it is")
        await deployments.delete_all(selector, gracePeriodSeconds=1)
        await watch.until("DELETED", what="of the Deployment")


def _rolled(replicas: int, image: str) -> Callable[[JsonObject], bool]:
    def holds(obj: JsonObject) -> bool:
        right = counts(readyReplicas=replicas, updatedReplicas=replicas, unavailableReplicas=0)
        return right(obj) and _image(obj["spec"]["template"]) == image

    return holds
