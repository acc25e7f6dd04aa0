"""Preemption: who makes room for whom, and what is said of it."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Final

from conformance.cases.scheduler_predicates import (
    asking,
    free_nodes,
    labelled,
    offer,
    only_on,
)
from conformance.checks import CaseFailed, check, eventually, same
from conformance.registry import case
from conformance.samples import workload
from conformance.stage import Stage
from conformance.watching import EVENT_S_MAX, Watch
from conformance.workloads import at_once, condition, pod_ready, pods_ready
from kube.json_types import JsonObject
from kube.status import StatusError

_RESOURCE: Final = "scheduling.k8s.io/foo"
_PATH_RESOURCE: Final = "example.com/fakecpu"
_STABLE_S: Final = 5.0
_PRIORITIES: Final = {"low": 1, "medium": 100, "high": 1_000}


async def _classes(stage: Stage) -> dict[str, str]:
    """Make priority classes of the case's own; return their names."""
    classes = stage.cluster("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass")
    names = {level: f"{stage.unique}-{level}" for level in _PRIORITIES}
    for level, value in _PRIORITIES.items():
        stage.remove(classes, names[level])
        await classes.create({"metadata": {"name": names[level]}, "value": value})
    return names


async def _fill(stage: Stage, classes: dict[str, str]) -> list[str]:
    """Fill each node with two Pods, the first of all of low priority; return their names."""
    names: list[str] = []
    for number, node in enumerate(await free_nodes(stage)):
        await offer(stage, node, _RESOURCE, "5")
        for place in range(2):
            priority = classes["medium" if names else "low"]
            names.append(f"pod{number}-{place}")
            obj = asking(
                names[-1], _RESOURCE, "2", affinity=only_on(node), priorityClassName=priority
            )
            await stage.pods.create(obj)
    for name in names:
        await pod_ready(stage, name)
    return names


async def _is_going(stage: Stage, name: str) -> bool:
    """Return whether a Pod is gone, or is being deleted."""
    try:
        return "deletionTimestamp" in (await stage.pods.get(name))["metadata"]
    except StatusError as error:
        if error.reason != "NotFound":
            raise
        return True


async def _check_victims(stage: Stage, names: list[str]) -> None:
    going = {name for name in names if await _is_going(stage, name)}
    same(going, {names[0]}, "Pods preempted")


@case(
    "[sig-scheduling] SchedulerPreemption validates basic preemption works [Conformance] [Serial]"
)
async def basic(stage: Stage) -> None:
    """A Pod of high priority takes the place of the one of low, and of no other."""
    classes = await _classes(stage)
    names = await _fill(stage, classes)
    await stage.pods.create(
        asking("preemptor-pod", _RESOURCE, "2", priorityClassName=classes["high"])
    )
    await pod_ready(stage, "preemptor-pod")
    await _check_victims(stage, names)


@case(
    "[sig-scheduling] SchedulerPreemption validates lower priority pod preemption by critical pod "
    "[Conformance] [Serial]"
)
async def critical(stage: Stage) -> None:
    """A critical Pod of the system takes the place of the one of low priority."""
    names = await _fill(stage, await _classes(stage))
    system = stage.pods.within("kube-system")
    name = f"critical-pod-{stage.unique}"
    stage.later(lambda: system.delete(name, gracePeriodSeconds=0))
    await system.create(asking(name, _RESOURCE, "2", priorityClassName="system-cluster-critical"))

    async def runs() -> bool:
        return bool((await system.get(name))["status"].get("phase") == "Running")

    await eventually("the critical Pod runs", runs)
    await _check_victims(stage, names)


@case(
    "[sig-scheduling] SchedulerPreemption validates pod disruption condition is added to the "
    "preempted pod [Conformance] [Serial]"
)
async def told(stage: Stage) -> None:
    """A Pod that makes room says so in a condition, which a finalizer leaves time to read."""
    classes = await _classes(stage)
    node = (await free_nodes(stage))[0]
    await offer(stage, node, _RESOURCE, "1")
    finalizer = "example.com/test-finalizer"
    victim = asking("victim-pod", _RESOURCE, "1", priorityClassName=classes["low"])
    victim["metadata"]["finalizers"] = [finalizer]
    await stage.pods.create(victim)

    async def let_go() -> None:
        await stage.pods.patch("victim-pod", {"metadata": {"finalizers": None}})

    stage.later(let_go)
    await pod_ready(stage, "victim-pod")
    await stage.pods.create(
        asking("preemptor-pod", _RESOURCE, "1", priorityClassName=classes["high"])
    )

    async def disrupted() -> JsonObject:
        found = await stage.pods.get("victim-pod")
        check("deletionTimestamp" in found["metadata"], "the victim is being deleted")
        return condition(found, "DisruptionTarget") or {}

    found = await eventually("the victim says why", disrupted)
    same(found["status"], "True", "the condition's status")
    same(found["reason"], "PreemptionByScheduler", "the condition's reason")


@case(
    "[sig-scheduling] SchedulerPreemption PreemptionExecutionPath runs ReplicaSets to verify "
    "preemption running path [Conformance] [Serial]"
)
async def path(stage: Stage) -> None:
    """Of three ReplicaSets on one node, those of the lowest priorities make room, once each."""
    classes = stage.cluster("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass")
    for number in range(1, 5):
        name = f"{stage.unique}-p{number}"
        stage.remove(classes, name)
        await classes.create({"metadata": {"name": name}, "value": number})
    node = (await free_nodes(stage))[0]
    label = await labelled(stage, node, "here")
    await offer(stage, node, _PATH_RESOURCE, "1000")
    revision = (await stage.pods.fetch_list())["metadata"]["resourceVersion"]
    async with stage.pods.watch(resourceVersion=revision) as watch:
        for number, amount in ((1, "200"), (2, "300"), (3, "450")):
            await _replica_set(stage, number, amount, label)
        spec = {"priorityClassName": f"{stage.unique}-p4", "nodeSelector": {label: "here"}}
        await stage.pods.create(
            asking("pod4", _PATH_RESOURCE, "500", labels={"name": "pod4"}, **spec)
        )
        await pod_ready(stage, "pod4")
        made = Counter[str]()
        # Two of the first and the second: what was there, and what took its place.
        while made != {"rs-pod1": 2, "rs-pod2": 2, "rs-pod3": 1, "pod4": 1}:
            await _count(watch, made)
        with suppress(CaseFailed):
            while True:
                await _count(watch, made, within_s=_STABLE_S)
    expected = {"rs-pod1": 2, "rs-pod2": 2, "rs-pod3": 1, "pod4": 1}
    same(dict(made), expected, "Pods made, of each ReplicaSet")


async def _count(watch: Watch, made: Counter[str], within_s: float = EVENT_S_MAX) -> None:
    event = await watch.next(within_s=within_s)
    if event.type == "ADDED":
        made[event.object["metadata"]["labels"]["name"]] += 1


async def _replica_set(stage: Stage, number: int, amount: str, label: str) -> None:
    name = f"rs-pod{number}"
    obj = at_once(workload(name, 1, {"name": name}))
    spec = obj["spec"]["template"]["spec"]
    amounts = {_PATH_RESOURCE: amount}
    spec["priorityClassName"] = f"{stage.unique}-p{number}"
    spec["nodeSelector"] = {label: "here"}
    spec["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    await stage.of("apps/v1", "replicasets", "ReplicaSet").create(obj)
    await pods_ready(stage, f"name={name}", 1)
