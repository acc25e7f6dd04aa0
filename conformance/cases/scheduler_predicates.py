"""Where the scheduler puts Pods, and where it does not: resources, selectors, ports."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import CaseSkipped, check, eventually, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import pod
from conformance.stage import Stage
from conformance.workloads import condition, pod_ready
from kube.json_types import JsonObject
from kube.quantity import parse

_PORT: Final = 54_322


def nodes_of(stage: Stage) -> Resource:
    """Return the cluster's nodes."""
    return stage.cluster("v1", "nodes", "Node")


async def free_nodes(stage: Stage) -> list[str]:
    """Return the names of nodes that take any Pod.

    Raises:
        CaseSkipped: there are none.
    """
    found = [
        node["metadata"]["name"]
        for node in await nodes_of(stage).items()
        if not node["spec"].get("unschedulable") and not node["spec"].get("taints")
    ]
    if not found:
        raise CaseSkipped("there are no nodes")
    return sorted(found)


async def offer(stage: Stage, node: str, resource: str, amount: str) -> None:
    """Have a node offer an extended resource until the case is over."""
    nodes = nodes_of(stage)

    async def give(quantity: str | None) -> None:
        amounts = {resource: quantity}
        patch = {"status": {"capacity": amounts, "allocatable": amounts}}
        await nodes.patch(node, patch, part="status")

    stage.later(lambda: give(None))
    await give(amount)


def asking(name: str, resource: str, amount: str, **spec: Any) -> JsonObject:
    """Return a Pod that asks for an extended resource."""
    obj = pod(name, **spec)
    amounts = {resource: amount}
    obj["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    obj["spec"]["terminationGracePeriodSeconds"] = 0
    return obj


def only_on(node: str) -> JsonObject:
    """Return an affinity to one node."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


async def unschedulable(stage: Stage, name: str) -> None:
    """Wait until the scheduler has found no place for a Pod."""

    async def look() -> bool:
        found = await stage.pods.get(name)
        check(not found["spec"].get("nodeName"), f"{name} is on no node")
        scheduled = condition(found, "PodScheduled")
        return scheduled is not None and scheduled.get("reason") == "Unschedulable"

    await eventually(f"there is no place for {name}", look)


async def labelled(stage: Stage, node: str, value: str) -> str:
    """Give a node a label of the case's own until the case is over; return its name."""
    label = f"{stage.unique}.example.com/e2e"
    nodes = nodes_of(stage)
    stage.later(lambda: nodes.patch(node, {"metadata": {"labels": {label: None}}}))
    await nodes.patch(node, {"metadata": {"labels": {label: value}}})
    return label


@case(
    "[sig-scheduling] SchedulerPredicates validates resource limits of pods that are allowed to "
    "run [Conformance] [Serial]"
)
async def resources(stage: Stage) -> None:
    """When 7/10 of each node's CPU are taken, what wants half of the largest has no place."""
    nodes = await free_nodes(stage)
    offered = {
        item["metadata"]["name"]: _milli(item["status"]["allocatable"]["cpu"])
        for item in await nodes_of(stage).items()
        if item["metadata"]["name"] in nodes
    }
    left = dict(offered)
    for item in await stage.pods.anywhere().items():
        node = item["spec"].get("nodeName")
        if node in left and item["status"].get("phase") not in ("Succeeded", "Failed"):
            left[node] -= _requested_milli(item)
    for node in nodes:
        cpu = f"{left[node] * 7 // 10}m"
        await stage.pods.create(asking(f"filler-{node}", "cpu", cpu, affinity=only_on(node)))
    for node in nodes:
        same((await pod_ready(stage, f"filler-{node}"))["spec"]["nodeName"], node, "its node")
    half = f"{max(offered.values()) // 2}m"
    await stage.pods.create(asking("additional-pod", "cpu", half))
    await unschedulable(stage, "additional-pod")


def _milli(quantity: str) -> int:
    return parse(quantity).milli_value


def _requested_milli(item: JsonObject) -> int:
    containers = item["spec"]["containers"]
    requests = [one.get("resources", {}).get("requests", {}) for one in containers]
    return sum(_milli(each["cpu"]) for each in requests if "cpu" in each)


@case(
    "[sig-scheduling] SchedulerPredicates validates that NodeSelector is respected if not matching "
    "[Conformance] [Serial]"
)
async def selector_without_match(stage: Stage) -> None:
    """No node has the label: no node is taken."""
    await free_nodes(stage)
    await stage.pods.create(pod("restricted-pod", nodeSelector={"label": f"no-{stage.unique}"}))
    await unschedulable(stage, "restricted-pod")


@case(
    "[sig-scheduling] SchedulerPredicates validates that NodeSelector is respected if matching "
    "[Conformance] [Serial]"
)
async def selector_with_match(stage: Stage) -> None:
    """One node has the label: it is taken."""
    node = (await free_nodes(stage))[-1]
    label = await labelled(stage, node, "42")
    await stage.pods.create(pod("with-labels", nodeSelector={label: "42"}))
    same((await pod_ready(stage, "with-labels"))["spec"]["nodeName"], node, "its node")


def _with_port(name: str, label: str, **port: Any) -> JsonObject:
    obj = pod(name, nodeSelector={label: "90"})
    obj["spec"]["containers"][0]["ports"] = [{"containerPort": 8080, "hostPort": _PORT, **port}]
    return obj


@case(
    "[sig-scheduling] SchedulerPredicates validates that there exists conflict between pods with "
    "same hostPort and protocol but one using 0.0.0.0 hostIP [Conformance] [Serial]"
)
async def ports(stage: Stage) -> None:
    """A port on all addresses leaves none for a Pod that wants it on one."""
    node = (await free_nodes(stage))[-1]
    label = await labelled(stage, node, "90")
    # Without an address it is all of them.
    await stage.pods.create(_with_port("pod4", label))
    await pod_ready(stage, "pod4")
    await stage.pods.create(_with_port("pod5", label, hostIP="127.0.0.1"))
    await unschedulable(stage, "pod5")


@case(
    "[sig-network] HostPort validates that there is no conflict between pods with same hostPort "
    "but different hostIP and protocol [LinuxOnly] [Conformance]",
    local=True,
)
async def ports_beside(stage: Stage) -> None:
    """Another address, or another protocol, is another port; that they answer is left out."""
    node = (await free_nodes(stage))[-1]
    label = await labelled(stage, node, "90")
    found = (await nodes_of(stage).get(node))["status"]["addresses"]
    address = next(entry["address"] for entry in found if entry["type"] == "InternalIP")
    if address == "127.0.0.1":
        # A simulated node's is this machine's.
        address = "127.0.0.2"
    await stage.pods.create(_with_port("pod1", label, hostIP="127.0.0.1"))
    await stage.pods.create(_with_port("pod2", label, hostIP=address))
    await stage.pods.create(_with_port("pod3", label, hostIP=address, protocol="UDP"))
    for name in ("pod1", "pod2", "pod3"):
        same((await pod_ready(stage, name))["spec"]["nodeName"], node, f"the node of {name}")
