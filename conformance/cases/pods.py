"""Pods from when they are made until they are gone, by their kubelet's account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from conformance.checks import check, eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC
from conformance.samples import pod
from conformance.stage import Stage
from conformance.workloads import (
    BUSYBOX_IMAGE,
    HTTPD_IMAGE,
    condition,
    pod_ready,
    pods_ready,
    told,
)
from kube.json_types import JsonObject

_UPDATES: Final = 500
_DEADLINE_S: Final = 5


@case("[sig-node] Pods should get a host IP [Conformance] [NodeConformance]")
async def host_address(stage: Stage) -> None:
    """A Pod that runs tells the address of its node."""
    await stage.pods.create(pod("pod-hostip"))

    async def addressed() -> str:
        address: str = (await stage.pods.get("pod-hostip"))["status"].get("hostIP", "")
        return address

    await eventually("the Pod has a host IP", addressed)


@case("[sig-node] Pods should be submitted and removed [Conformance] [NodeConformance]")
async def removed(stage: Stage) -> None:
    """A watch sees it come and go; it ends gracefully, and is in no list any more."""
    name, selector = "pod-submit-remove", f"time={stage.unique}"
    same(await stage.pods.names(labelSelector=selector), [], "Pods before")
    async with stage.pods.watch(labelSelector=selector) as watch:
        await stage.pods.create(pod(name, labels={"name": "foo", "time": stage.unique}))
        same(await stage.pods.names(labelSelector=selector), [name], "Pods listed")
        await watch.expect("ADDED", lambda obj: obj["metadata"]["name"] == name)
        await pod_ready(stage, name)
        await stage.pods.delete(name, gracePeriodSeconds=30)
        last = await watch.until("DELETED", what="of the Pod")
    check("deletionTimestamp" in last["metadata"], "it was being deleted")
    check(last["spec"].get("terminationGracePeriodSeconds"), "it had time to end")
    same(await stage.pods.names(labelSelector=selector), [], "Pods left")


@case("[sig-node] Pods should be updated [Conformance] [NodeConformance]")
async def updated(stage: Stage) -> None:
    """A Pod that runs is found by its new label."""
    name = "pod-update"
    await stage.pods.create(pod(name, labels={"name": "foo", "time": stage.unique}))
    await pod_ready(stage, name)
    same(await stage.pods.names(labelSelector=f"time={stage.unique}"), [name], "Pods listed")

    def relabel(obj: JsonObject) -> None:
        obj["metadata"]["labels"]["time"] = f"{stage.unique}-new"

    await stage.pods.update(name, relabel)
    await pod_ready(stage, name)
    same(await stage.pods.names(labelSelector=f"time={stage.unique}-new"), [name], "Pods listed")


@case(
    "[sig-node] Pods should allow activeDeadlineSeconds to be updated [Conformance] "
    "[NodeConformance]"
)
async def deadline(stage: Stage) -> None:
    """A Pod that gets a deadline while it runs fails when that has passed."""
    name = "pod-update-activedeadlineseconds"
    await stage.pods.create(pod(name))
    await pod_ready(stage, name)

    def limit(obj: JsonObject) -> None:
        obj["spec"]["activeDeadlineSeconds"] = _DEADLINE_S

    await stage.pods.update(name, limit)

    async def failed() -> bool:
        status = (await stage.pods.get(name))["status"]
        return (status.get("phase"), status.get("reason")) == ("Failed", "DeadlineExceeded")

    await eventually("the Pod has failed", failed)


@case("[sig-node] Pods should delete a collection of pods [Conformance]")
async def collection(stage: Stage) -> None:
    """Three that run are deleted by their label."""
    for number in range(1, 4):
        obj = pod(f"test-pod-{number}", labels={"type": "Testing"}, restartPolicy="Never")
        obj["spec"]["terminationGracePeriodSeconds"] = 1
        await stage.pods.create(obj)
    await pods_ready(stage, "type=Testing", 3)
    await stage.pods.delete_all("type=Testing", gracePeriodSeconds=1)

    async def none() -> bool:
        return not await stage.pods.names(labelSelector="type=Testing")

    await eventually("the Pods are gone", none, within_s=60)


@case("[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]")
async def lifecycle(stage: Stage) -> None:
    """Runs, is patched, is told not to be ready, is deleted by its label."""
    name, selector = "pod-test", "test-pod-static=true"
    obj = pod(name, labels={"test-pod-static": "true"})
    obj["spec"]["terminationGracePeriodSeconds"] = 1
    async with stage.pods.watch(labelSelector=selector) as watch:
        await stage.pods.create(obj)
        await watch.until("MODIFIED", _runs, what="that runs")
        patch: Any = {
            "metadata": {"labels": {"test-pod": "patched"}},
            "spec": {"containers": [{"name": "pause", "image": HTTPD_IMAGE}]},
        }
        await stage.pods.patch(name, patch, STRATEGIC)
        await watch.until(
            "MODIFIED", lambda seen: "test-pod" in seen["metadata"]["labels"], what="as patched"
        )
        found = await stage.pods.get(name)
        same(found["spec"]["containers"][0]["image"], HTTPD_IMAGE, "the image")
        await pod_ready(stage, name)
        answer = await stage.pods.update(name, _unready, "status")
        states = [(condition(answer, kind) or {}).get("status") for kind in _READINESS]
        same(states, ["False", "False"], "the conditions of the answer")
        await stage.pods.delete_all(selector, gracePeriodSeconds=1)
        await watch.until("DELETED", what="of the Pod")
    await stage.pods.absent(name)


_READINESS: Final = ("Ready", "ContainersReady")


def _runs(obj: JsonObject) -> bool:
    return bool(obj["status"].get("phase") == "Running")


def _unready(obj: JsonObject) -> None:
    for entry in obj["status"]["conditions"]:
        if entry["type"] in _READINESS:
            entry["status"] = "False"


@case("[sig-node] Pods should patch a pod status [Conformance]")
async def status(stage: Stage) -> None:
    """What somebody writes of a Pod's state is in the answer."""
    await stage.pods.create(pod("pod-status"))
    await pod_ready(stage, "pod-status")
    patch: Any = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"message": "Patched by a test", "reason": "E2E"},
    }
    patched = await stage.pods.patch("pod-status", patch, part="status")
    same(patched["status"]["message"], "Patched by a test", "the message")
    same(patched["status"]["reason"], "E2E", "the reason")


async def _observed(stage: Stage, name: str, generation: int) -> None:
    """Wait until a Pod's kubelet has seen a generation of its spec, and no later one."""

    async def look() -> bool:
        found = (await stage.pods.get(name))["status"].get("observedGeneration", 0)
        same(found, generation, "the generation observed")
        return True

    await eventually(f"generation {generation} is observed", look)


_GENERATION: Final = "[sig-node] Pods Extended (pod generation) Pod Generation"


@case(
    f"{_GENERATION} pod generation should start at 1 and increment per update "
    "[MinimumKubeletVersion:1.34] [Conformance]"
)
async def generation(stage: Stage) -> None:
    """Changes of the spec count, changes of metadata and of the generation itself do not."""
    name = "pod-generation"
    created = await stage.pods.create(pod(name))
    same(created["metadata"]["generation"], 1, "the generation at first")
    await pod_ready(stage, name)
    await _observed(stage, name, 1)
    expected = 1
    for change, counts in _CHANGES:
        expected += counts
        answer = await stage.pods.update(name, change)
        same(answer["metadata"]["generation"], expected, f"the generation after {change.__name__}")
        await _observed(stage, name, expected)


def _tolerate(obj: JsonObject) -> None:
    toleration = {"key": "foo", "operator": "Exists", "effect": "NoSchedule"}
    obj["spec"].setdefault("tolerations", []).append(toleration)


def _other_image(obj: JsonObject) -> None:
    obj["spec"]["containers"][0]["image"] = HTTPD_IMAGE


def _annotate(obj: JsonObject) -> None:
    obj["metadata"].setdefault("annotations", {})["key"] = "value"


def _set_generation(obj: JsonObject) -> None:
    obj["metadata"]["generation"] = 1


_CHANGES: Final[tuple[tuple[Callable[[JsonObject], None], int], ...]] = (
    (_tolerate, 1),
    (_other_image, 1),
    (_annotate, 0),
    (_set_generation, 0),
)


@case(f"{_GENERATION} custom-set generation on new pods and graceful delete [Conformance]")
async def generation_at_the_end(stage: Stage) -> None:
    """A generation that a client sets is not taken; a graceful deletion makes the next one."""
    name = "pod-generation"
    obj = pod(name, labels={"time": stage.unique})
    obj["metadata"]["generation"] = 100
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    created = await stage.pods.create(obj)
    stage.later(lambda: stage.pods.patch(name, {"metadata": {"finalizers": None}}))
    same(created["metadata"]["generation"], 1, "the generation at first")
    await pod_ready(stage, name)
    await stage.pods.delete(name, gracePeriodSeconds=30)
    same((await stage.pods.get(name))["metadata"]["generation"], 2, "the generation at the end")


@case(
    f"{_GENERATION} issue 500 podspec updates and verify generation and observedGeneration "
    "eventually converge [MinimumKubeletVersion:1.34] [Conformance]",
    timeout_s=240,
)
async def many_generations(stage: Stage) -> None:
    """The kubelet comes to the last of many changes."""
    name = "pod-generation"
    await stage.pods.create(pod(name))
    await pod_ready(stage, name)
    for number in range(_UPDATES):
        toleration = {"key": f"key-{number}", "operator": "Exists", "effect": "NoSchedule"}

        def add(obj: JsonObject, toleration: JsonObject = toleration) -> None:
            obj["spec"].setdefault("tolerations", []).append(toleration)

        await stage.pods.update(name, add)
        await asyncio.sleep(0)
    found = (await stage.pods.get(name))["metadata"]["generation"]
    same(found, _UPDATES + 1, "the generation in the end")
    await _observed(stage, name, _UPDATES + 1)


def _failing(name: str) -> JsonObject:
    obj = pod(name)
    obj["spec"]["containers"] = [
        {"name": "bin-false", "image": BUSYBOX_IMAGE, "command": ["/bin/false"]}
    ]
    return told(obj, exit_code="1")


_FAILS: Final = "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod"


@case(f"{_FAILS} should have an terminated reason [Conformance] [NodeConformance]")
async def failing(stage: Stage) -> None:
    """What ended with a code tells of it, and why."""
    await stage.pods.create(_failing("bin-false"))

    async def ended() -> bool:
        status = (await stage.pods.get("bin-false"))["status"]
        state = (status.get("containerStatuses") or [{"state": {}}])[0]
        found = state["state"].get("terminated") or state.get("lastState", {}).get("terminated")
        check(found, f"it has ended: {state}")
        same((found["exitCode"], found["reason"]), (1, "Error"), "its code and reason")
        return True

    await eventually("the container has ended", ended)


@case(f"{_FAILS} should be possible to delete [Conformance] [NodeConformance]")
async def failing_deleted(stage: Stage) -> None:
    """A Pod whose container never lives can be deleted."""
    await stage.pods.create(_failing("bin-false"))
    await stage.pods.delete("bin-false")
    await eventually("the Pod is gone", lambda: stage.pods.gone("bin-false"), within_s=60)
