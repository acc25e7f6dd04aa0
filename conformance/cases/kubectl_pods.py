"""kubectl's commands for Pods that run, and for those who make them."""

from __future__ import annotations

from typing import Any, Final

import orjson

from conformance.checks import check, eventually, has, same
from conformance.kubectl import kubectl
from conformance.registry import case
from conformance.samples import controller, pod
from conformance.stage import Stage
from conformance.workloads import BUSYBOX_IMAGE, HTTPD_IMAGE, at_once, pod_ready, pods_ready
from kube.json_types import JsonObject

_NAME: Final = "agnhost-primary"
_LABELS: Final = {"app": "agnhost", "role": "primary"}
_SELECTOR: Final = "app=agnhost,role=primary"
_PORT: Final = 6379


async def _create(stage: Stage, kind: str, obj: JsonObject) -> None:
    text = orjson.dumps({"apiVersion": "v1", "kind": kind, **obj}).decode()
    await kubectl(stage, "create", "-f", "-", stdin=text)


async def _controller(stage: Stage) -> str:
    """Create a ReplicationController by kubectl; return its Pod's name once that runs."""
    obj = at_once(controller(_NAME, 1, _LABELS), HTTPD_IMAGE)
    obj["metadata"]["labels"] = _LABELS
    obj["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": _PORT}]
    await _create(stage, "ReplicationController", obj)
    name: str = (await pods_ready(stage, _SELECTOR, 1))[0]["metadata"]["name"]
    return name


@case("[sig-cli] Kubectl client Kubectl label should update the label on a resource [Conformance]")
async def label(stage: Stage) -> None:
    """A label is put on a Pod, shown in a column, and taken off."""
    await _create(stage, "Pod", pod("pause", labels={"name": "pause"}))
    await pod_ready(stage, "pause")
    value = "testing-label-value"
    await kubectl(stage, "label", "pods", "pause", f"testing-label={value}")
    has((await kubectl(stage, "get", "pod", "pause", "-L", "testing-label")).stdout, value, "get")
    await kubectl(stage, "label", "pods", "pause", "testing-label-")
    shown = (await kubectl(stage, "get", "pod", "pause", "-L", "testing-label")).stdout
    check(value not in shown, f"the label is gone: {shown}")


@case("[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc [Conformance]")
async def patch(stage: Stage) -> None:
    """An annotation is patched into a Pod that a controller made."""
    name = await _controller(stage)
    text = orjson.dumps({"metadata": {"annotations": {"x": "y"}}}).decode()
    await kubectl(stage, "patch", "pod", name, "-p", text)
    has((await stage.pods.get(name))["metadata"]["annotations"], {"x": "y"}, "annotations")


@case(
    "[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image "
    "[Conformance]"
)
async def replace(stage: Stage) -> None:
    """What was read of a Pod is written back with another image."""
    name = "e2e-test-httpd-pod"
    await kubectl(stage, "run", name, f"--image={HTTPD_IMAGE}", f"--labels=run={name}")
    await pod_ready(stage, name)
    text = (await kubectl(stage, "get", "pod", name, "-o", "json")).stdout
    has(text, name, "kubectl get")
    changed = text.replace(HTTPD_IMAGE, BUSYBOX_IMAGE, 1)
    await kubectl(stage, "replace", "-f", "-", stdin=changed)
    found: Any = await stage.pods.get(name)
    same(found["spec"]["containers"][0]["image"], BUSYBOX_IMAGE, "the image")


async def _describes(stage: Stage, lines: tuple[tuple[str, ...], ...], *what: str) -> None:
    """Demand that `kubectl describe` prints lines that have all of some words, in this order."""

    async def look() -> bool:
        printed = iter((await kubectl(stage, "describe", *what)).stdout.splitlines())
        for words in lines:
            found = any(all(word in line for word in words) for line in printed)
            check(found, f"kubectl describe {' '.join(what)} prints {words}")
        return True

    await eventually(f"kubectl describes {what}", look)


@case(
    "[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant "
    "information for rc and pods [Conformance]"
)
async def describe(stage: Stage) -> None:
    """A Pod, its controller, a Service, a node and a namespace are told of in full."""
    name = await _controller(stage)
    ports = [{"port": _PORT, "targetPort": _PORT}]
    metadata = {"name": _NAME, "labels": _LABELS}
    service = {"metadata": metadata, "spec": {"ports": ports, "selector": _LABELS}}
    await _create(stage, "Service", service)
    head = (("Name:", _NAME), ("Namespace:", stage.namespace))
    labels = (("Labels:", "app=agnhost"), ("role=primary",), ("Annotations:",))
    await _describes(stage, (*head, ("Node:",), *labels[:2], *_POD), "pod", name)
    selector = ("Selector:", _SELECTOR)
    await _describes(stage, (*head, selector, *labels, *_CONTROLLER), "rc", _NAME)
    await _describes(stage, (*head, *labels, *_SERVICE), "service", _NAME)
    node = (await stage.cluster("v1", "nodes", "Node").names())[0]
    await _describes(stage, (("Name:", node), *_NODE), "node", node)
    space = (("Name:", stage.namespace), ("Labels:",), ("Annotations:",), ("Status:", "Active"))
    await _describes(stage, space, "namespace", stage.namespace)


_POD: Final = (
    ("Annotations:",),
    ("Status:", "Running"),
    ("IP:",),
    ("Controlled By:", f"ReplicationController/{_NAME}"),
    ("Image:", HTTPD_IMAGE),
    ("State:", "Running"),
    ("QoS Class:", "BestEffort"),
)
_CONTROLLER: Final = (
    ("Replicas:", "1 current", "1 desired"),
    ("Pods Status:", "1 Running", "0 Waiting", "0 Succeeded", "0 Failed"),
    ("Pod Template:",),
    ("Image:", HTTPD_IMAGE),
    ("Events:",),
)
_SERVICE: Final = (
    ("Selector:", "app=agnhost", "role=primary"),
    ("Type:", "ClusterIP"),
    ("IP:",),
    ("Port:", "<unset>", f"{_PORT}/TCP"),
    ("Endpoints:",),
    ("Session Affinity:", "None"),
)
_NODE: Final = (
    ("Labels:",),
    ("Annotations:",),
    ("CreationTimestamp:",),
    ("Conditions:",),
    ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"),
    ("Addresses:",),
    ("Capacity:",),
    ("Kernel Version:",),
    ("OS Image:",),
    ("Container Runtime Version:",),
    ("Kubelet Version:",),
    ("Pods:",),
)


@case(
    "[sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]",
    local=True,
)
async def expose(stage: Stage) -> None:
    """A controller and a Service are exposed; that the container printed a line is left out."""
    await _controller(stage)
    target = f"--target-port={_PORT}"
    await kubectl(stage, "expose", "rc", _NAME, "--name=rm2", "--port=1234", target)
    await _exposed(stage, "rm2", 1234)
    await kubectl(stage, "expose", "service", "rm2", "--name=rm3", "--port=2345", target)
    await _exposed(stage, "rm3", 2345)


async def _exposed(stage: Stage, name: str, port: int) -> None:
    """Demand that a Service has a port, and one endpoint behind it."""
    spec = (await stage.of("v1", "services", "Service").get(name))["spec"]
    found = [(entry["port"], entry["targetPort"]) for entry in spec["ports"]]
    same(found, [(port, _PORT)], f"ports of {name}")
    endpoints = stage.of("v1", "endpoints", "Endpoints")

    async def look() -> bool:
        subsets = (await endpoints.get(name)).get("subsets") or []
        addresses = [len(subset.get("addresses") or []) for subset in subsets]
        same(addresses, [1], f"endpoints of {name}")
        return bool(subsets[0]["ports"][0]["port"] == _PORT)

    await eventually(f"{name} has its endpoint", look)
