"""ConfigMaps, Secrets, Leases and others that upstream's node group looks after."""

from __future__ import annotations

import base64
from typing import Any, Final

from conformance.checks import eventually, has, refused, same
from conformance.operations import annotating, check_discovery, check_operations
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import PAUSE_IMAGE, pod
from conformance.stage import Stage
from kube.json_types import JsonObject

_WHEN: Final = "2026-01-01T00:00:00.000000Z"


@case("[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]")
async def empty_key(stage: Stage) -> None:
    """A key has a name."""
    obj = {"metadata": {"name": "configmap-test-emptykey"}, "data": {"": "value-1"}}
    await refused("Invalid", stage.config_maps.create(obj))


@case("[sig-node] ConfigMap should update ConfigMap successfully [Conformance] [NodeConformance]")
async def config_map_update(stage: Stage) -> None:
    """An update is what is there afterwards."""
    maps = stage.config_maps
    await maps.create({"metadata": {"name": "configmap-test"}, "data": {"data-1": "value-1"}})

    def change(obj: JsonObject) -> None:
        obj["data"] = {"data": "value"}

    await maps.update("configmap-test", change)
    same((await maps.get("configmap-test"))["data"], {"data": "value"}, "data")


@case("[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]")
async def config_map_lifecycle(stage: Stage) -> None:
    """Create, patch, find in all namespaces, delete by label; a watch tells of each."""
    maps, name = stage.config_maps, f"test-configmap-{stage.unique}"
    labels = {"test-configmap-static": stage.unique}
    selector = f"test-configmap-static={stage.unique}"
    async with maps.watch(labelSelector=selector) as watch:
        await maps.create(
            {"metadata": {"name": name, "labels": labels}, "data": {"valueName": "value"}}
        )
        await watch.expect("ADDED", lambda obj: obj["metadata"]["name"] == name)
        patch: Any = {
            "metadata": {"labels": {"test-configmap": "patched"}},
            "data": {"valueName": "value1"},
        }
        await maps.patch(name, patch, STRATEGIC)
        await watch.expect("MODIFIED", lambda obj: obj["data"]["valueName"] == "value1")
        found = await maps.get(name)
        has(found["metadata"]["labels"], {"test-configmap": "patched"}, "labels")
        same(found["data"]["valueName"], "value1", "data")
        same(await maps.anywhere().names(labelSelector=selector), [name], "in all namespaces")
        await maps.delete_all(selector)
        await watch.expect("DELETED")
    same(await maps.names(labelSelector=selector), [], "ConfigMaps left")


@case("[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]")
async def empty_secret_key(stage: Stage) -> None:
    """Neither a Secret's."""
    secrets = stage.of("v1", "secrets", "Secret")
    obj = {"metadata": {"name": "secret-emptykey-test"}, "data": {"": "dmFsdWUtMQo="}}
    await refused("Invalid", secrets.create(obj))


@case("[sig-node] Secrets should patch a secret [Conformance]")
async def secret_patch(stage: Stage) -> None:
    """A patch of data and labels; deletion by label."""
    secrets, name = stage.of("v1", "secrets", "Secret"), f"test-secret-{stage.unique}"
    selector = f"testsecret-constant={stage.unique}"
    await secrets.create(
        {
            "metadata": {"name": name, "labels": {"testsecret-constant": stage.unique}},
            "data": {"key": base64.b64encode(b"value").decode()},
            "type": "Opaque",
        }
    )
    same(await secrets.anywhere().names(labelSelector=selector), [name], "in all namespaces")
    value = base64.b64encode(b"value1").decode()
    patch: Any = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": value}}
    await secrets.patch(name, patch, STRATEGIC)
    found = await secrets.get(name)
    same(found["data"]["key"], value, "data")
    has(found["metadata"]["labels"], {"testsecret": "true"}, "labels")
    await secrets.delete_all(selector)
    same(await secrets.anywhere().names(labelSelector=selector), [], "Secrets left")


@case("[sig-node] Lease lease API should be available [Conformance]")
async def leases(stage: Stage) -> None:
    """Create, update, patch, delete by label and by name."""
    resource, name = stage.of("coordination.k8s.io/v1", "leases", "Lease"), "lease"
    spec: Any = {
        "holderIdentity": "holder",
        "leaseDurationSeconds": 30,
        "acquireTime": _WHEN,
        "renewTime": "2026-01-01T00:00:05.000000Z",
        "leaseTransitions": 0,
    }
    await resource.create({"metadata": {"name": name}, "spec": spec})
    same((await resource.get(name))["spec"], spec, "the spec")
    changed = {**spec, "holderIdentity": "holder2", "leaseTransitions": 1}
    await resource.update(name, lambda obj: obj.update(spec=changed))
    same((await resource.get(name))["spec"], changed, "the spec updated")
    patched = {**changed, "holderIdentity": "holder3", "leaseTransitions": 2}
    wanted: Any = {"spec": {"holderIdentity": "holder3", "leaseTransitions": 2}}
    await resource.patch(name, wanted, STRATEGIC)
    same((await resource.get(name))["spec"], patched, "the spec patched")
    labels = {"deletecollection": "true"}
    await resource.create({"metadata": {"name": "lease2", "labels": labels}, "spec": spec})
    same(sorted(await resource.names()), ["lease", "lease2"], "Leases")
    await resource.delete_all("deletecollection=true")
    same(await resource.names(), ["lease"], "Leases after the deletion by label")
    await resource.delete(name)
    await resource.absent(name)


@case("[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]")
async def nodes(stage: Stage) -> None:
    """Create, get, patch, list by label, update, delete."""
    resource, name = stage.cluster("v1", "nodes", "Node"), f"e2e-fake-node-{stage.unique}"
    capacity = {"cpu": "4", "memory": "16Gi", "pods": "10"}
    ready = {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}
    obj = {
        "metadata": {"name": name, "labels": {"beta.kubernetes.io/os": "linux"}},
        "spec": {"unschedulable": True},
        "status": status,
    }
    created = await resource.create(obj)
    stage.remove(resource, name)
    same(created["metadata"]["name"], name, "the name")
    await resource.get(name)
    patched = await resource.patch(name, {"metadata": {"labels": {name: "patched"}}})
    same(patched["metadata"]["labels"][name], "patched", "the label patched")
    same(await resource.names(labelSelector=f"{name}=patched"), [name], "Nodes by label")

    def change(node: JsonObject) -> None:
        node["metadata"]["labels"][name] = "updated"

    updated = await resource.update(name, change)
    same(updated["metadata"]["labels"][name], "updated", "the label updated")
    await resource.delete(name)
    await eventually("the Node is gone", lambda: resource.gone(name))


def _templates(stage: Stage) -> Resource:
    return stage.of("v1", "podtemplates", "PodTemplate")


def _template(name: str, labels: dict[str, str]) -> JsonObject:
    spec = {"containers": [{"name": "nginx", "image": PAUSE_IMAGE}]}
    return {"metadata": {"name": name, "labels": labels}, "template": {"spec": spec}}


@case("[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]")
async def template_lifecycle(stage: Stage) -> None:
    """Create, list, patch, get, delete."""
    templates, name = _templates(stage), f"nginx-pod-template-{stage.unique}"
    selector = f"podtemplate-static={stage.unique}"
    await templates.create(_template(name, {"podtemplate-static": stage.unique}))
    same(await templates.anywhere().names(labelSelector=selector), [name], "in all namespaces")
    await templates.patch(name, {"metadata": {"labels": {"podtemplate": "patched"}}}, STRATEGIC)
    found = await templates.get(name)
    same(found["metadata"]["labels"]["podtemplate"], "patched", "the label")
    await templates.delete(name)
    same(await templates.anywhere().names(labelSelector=selector), [], "templates left")


@case("[sig-node] PodTemplates should delete a collection of pod templates [Conformance]")
async def template_collection(stage: Stage) -> None:
    """Templates are deleted by label."""
    templates, selector = _templates(stage), "podtemplate-set=true"
    for number in (1, 2, 3):
        await templates.create(_template(f"test-podtemplate-{number}", {"podtemplate-set": "true"}))
    same(len(await templates.items(labelSelector=selector)), 3, "templates")
    await templates.delete_all(selector)

    async def none_left() -> bool:
        return not await templates.items(labelSelector=selector)

    await eventually("the templates are gone", none_left)


@case("[sig-node] PodTemplates should replace a pod template [Conformance]")
async def template_replace(stage: Stage) -> None:
    """An update adds an annotation."""
    templates = _templates(stage)
    await templates.create(_template("template", {"e2e": stage.unique}))

    def change(obj: JsonObject) -> None:
        obj["metadata"]["annotations"] = {"updated": "true"}

    updated = await templates.update("template", change)
    same(updated["metadata"]["annotations"]["updated"], "true", "the annotation")


@case(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource "
    "requests and limits for memory and cpu [Conformance]"
)
async def quality(stage: Stage) -> None:
    """Limits that are the requests are a guarantee."""
    amounts = {"cpu": "100m", "memory": "100Mi"}
    obj = pod("pod-qos-class")
    obj["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    await stage.pods.create(obj)
    same((await stage.pods.get("pod-qos-class"))["status"]["qosClass"], "Guaranteed", "qosClass")


def _classes(stage: Stage) -> Resource:
    return stage.cluster("node.k8s.io/v1", "runtimeclasses", "RuntimeClass")


@case("[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]")
async def runtime_classes(stage: Stage) -> None:
    """RuntimeClasses have all verbs."""
    await check_discovery(stage, "node.k8s.io/v1", "runtimeclasses")
    await check_operations(stage, _classes(stage), annotating({"handler": "fakehandler"}))


@case(
    "[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass "
    "[Conformance] [NodeConformance]"
)
async def no_runtime_class(stage: Stage) -> None:
    """A class that is not is refused at once."""
    request = stage.pods.create(pod("test-runtimeclass", runtimeClassName="nonexistent"))
    await refused("Forbidden", request)


@case(
    "[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [Conformance] "
    "[NodeConformance]"
)
async def deleted_runtime_class(stage: Stage) -> None:
    """So is one that is no more."""
    classes, name = _classes(stage), f"deleted-{stage.unique}"
    await classes.create({"metadata": {"name": name}, "handler": "fakehandler"})
    await classes.delete(name)

    async def rejected() -> bool:
        obj = pod("", runtimeClassName=name)
        obj["metadata"] = {"generateName": "test-runtimeclass-"}
        await refused("Forbidden", stage.pods.create(obj))
        return True

    await eventually("a Pod of the deleted class is refused", rejected)


async def _scheduled(stage: Stage, **runtime_class: Any) -> JsonObject:
    """Return a Pod of a runtime class once it has a node; that it starts is not asked for."""
    classes, name = _classes(stage), f"preconfigured-{stage.unique}"
    stage.remove(classes, name)
    obj = {"metadata": {"name": name}, "handler": "test-handler", **runtime_class}
    await classes.create(obj)
    await stage.pods.create(pod("test-runtimeclass", runtimeClassName=name))

    async def placed() -> JsonObject:
        found = await stage.pods.get("test-runtimeclass")
        return found if found["spec"].get("nodeName") else {}

    return await eventually("the Pod has a node", placed)


@case(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead "
    "[Conformance] [NodeConformance]"
)
async def runtime_class_without_overhead(stage: Stage) -> None:
    """A class that says nothing of overhead adds none."""
    same((await _scheduled(stage))["spec"].get("overhead") or {}, {}, "the overhead")


@case(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its "
    "Overhead [Conformance] [NodeConformance]"
)
async def runtime_class_with_overhead(stage: Stage) -> None:
    """What a class says of overhead is in the Pod."""
    overhead = {"cpu": "10m", "memory": "1Mi"}
    found = await _scheduled(stage, overhead={"podFixed": overhead})
    same(found["spec"].get("overhead"), overhead, "the overhead")


@case(
    "[sig-node] Sysctls [LinuxOnly] should reject invalid sysctls [Conformance] [NodeConformance]"
)
async def sysctls(stage: Stage) -> None:
    """Each name that cannot be is told, and the good one is not."""
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    context: Any = {"sysctls": [{"name": name, "value": "bar"} for name in names]}
    error = await refused("Invalid", stage.pods.create(pod("sysctl", securityContext=context)))
    for bad in ('Invalid value: "foo-"', 'Invalid value: "bar.."'):
        has(str(error), bad, "the refusal")
    for good in ("safe-and-unsafe", "kernel.shmmax"):
        same(f'"{good}"' in str(error), False, f"{good} is told as invalid")
