"""Namespaces: their metadata, status and finalizers, and what goes with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from conformance.checks import check, eventually, has, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import pod
from conformance.stage import Stage
from kube.json_types import JsonObject

_FINALIZER: Final = "e2e.example.com/fakeFinalizer"
_GONE_S: Final = 60.0


@case("[sig-api-machinery] Namespaces should patch a Namespace [Conformance] [Serial]")
async def patch(stage: Stage) -> None:
    """A strategic merge patch adds a label."""
    name = (await stage.new_namespace("nspatchtest"))["metadata"]["name"]
    wanted = {"metadata": {"labels": {"testLabel": "testValue"}}}
    await stage.namespaces.patch(name, wanted, STRATEGIC)
    labels = (await stage.namespaces.get(name))["metadata"]["labels"]
    same(labels["testLabel"], "testValue", "the label")


@case("[sig-api-machinery] Namespaces should apply an update to a Namespace [Conformance] [Serial]")
async def update(stage: Stage) -> None:
    """An update adds a label."""

    def change(obj: JsonObject) -> None:
        obj["metadata"]["labels"][stage.namespace] = "updated"

    updated = await stage.namespaces.update(stage.namespace, change)
    same(updated["metadata"]["labels"].get(stage.namespace), "updated", "the label")


@case(
    "[sig-api-machinery] Namespaces should apply changes to a namespace status [Conformance] "
    "[Serial]"
)
async def status(stage: Stage) -> None:
    """The status can be read, patched and updated; conditions stay as they were written."""
    namespaces, name = stage.namespaces, stage.namespace
    same((await namespaces.get(name, "status"))["status"]["phase"], "Active", "phase")
    condition = {
        "type": "StatusPatch",
        "status": "True",
        "reason": "E2E",
        "message": "Patched by an e2e test",
    }
    wanted = {
        "metadata": {"annotations": {"e2e-patched-ns-status": name}},
        "status": {"conditions": [condition]},
    }
    patched = await namespaces.patch(name, wanted, part="status")
    same(patched["metadata"]["annotations"]["e2e-patched-ns-status"], name, "the annotation")
    last = patched["status"]["conditions"][-1]
    has(last, {"type": "StatusPatch", "reason": "E2E"}, "the condition patched")
    same(last["message"], "Patched by an e2e test", "its message")

    def change(obj: JsonObject) -> None:
        more = {**condition, "type": "StatusUpdate", "message": "Updated by an e2e test"}
        obj["status"].setdefault("conditions", []).append(more)

    updated = await namespaces.update(name, change, "status")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    same(kinds[-1], "StatusUpdate", "the condition updated")
    same(updated["status"]["conditions"][-1]["message"], "Updated by an e2e test", "its message")


@case(
    "[sig-api-machinery] Namespaces should apply a finalizer to a Namespace [Conformance] [Serial]"
)
async def finalizer(stage: Stage) -> None:
    """Finalizers of the spec are changed by /finalize alone."""
    name = (await stage.new_namespace("e2e-ns"))["metadata"]["name"]
    namespaces = stage.namespaces

    def add(obj: JsonObject) -> None:
        obj["spec"].setdefault("finalizers", []).append(_FINALIZER)

    def take(obj: JsonObject) -> None:
        obj["spec"]["finalizers"] = [
            entry for entry in obj["spec"]["finalizers"] if entry != _FINALIZER
        ]

    await _finalize(namespaces, name, add)
    has((await namespaces.get(name))["spec"]["finalizers"], _FINALIZER, "finalizers")
    await _finalize(namespaces, name, take)
    left = (await namespaces.get(name))["spec"].get("finalizers") or []
    check(_FINALIZER not in left, f"the finalizer is gone from {left}")


async def _finalize(namespaces: Resource, name: str, change: Callable[[JsonObject], None]) -> None:
    obj = await namespaces.get(name)
    change(obj)
    await namespaces.replace(obj, "finalize")


@case(
    "[sig-api-machinery] Namespaces should ensure that all services are removed when a namespace "
    "is deleted [Conformance] [Serial]"
)
async def services_go(stage: Stage) -> None:
    """A namespace's Services go with it, and are not there when it is made again."""
    name = (await stage.new_namespace("nsdeletetest"))["metadata"]["name"]
    await _default_account(stage, name)
    services = stage.of("v1", "services", "Service").within(name)
    ports = [{"port": 80, "targetPort": 80}]
    spec = {"ports": ports, "selector": {"foo": "bar", "baz": "blah"}}
    await services.create({"metadata": {"name": "test-service"}, "spec": spec})
    await _delete_and_make_again(stage, name)
    await services.absent("test-service")


@case(
    "[sig-api-machinery] Namespaces should ensure that all pods are removed when a namespace is "
    "deleted [Conformance] [Serial]",
    local=True,
)
async def pods_go(stage: Stage) -> None:
    """So do its Pods; no kubelet has to run them for that."""
    name = (await stage.new_namespace("nsdeletetest"))["metadata"]["name"]
    await _default_account(stage, name)
    pods = stage.pods.within(name)
    await pods.create(pod("test-pod"))
    await _delete_and_make_again(stage, name)
    await pods.absent("test-pod")


async def _default_account(stage: Stage, namespace: str) -> None:
    accounts = stage.of("v1", "serviceaccounts", "ServiceAccount").within(namespace)
    await eventually("the namespace has its service account", lambda: accounts.get("default"))


async def _delete_and_make_again(stage: Stage, name: str) -> None:
    namespaces = stage.namespaces
    await namespaces.delete(name)
    await eventually("the namespace is gone", lambda: namespaces.gone(name), within_s=_GONE_S)
    await namespaces.create({"metadata": {"name": name}})


@case(
    "[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first "
    "[Conformance]",
    local=True,
)
async def pods_go_first(stage: Stage) -> None:
    """While a Pod is held by a finalizer, nothing else of its namespace is deleted."""
    name = (await stage.new_namespace("nsdeletetest"))["metadata"]["name"]
    await _default_account(stage, name)
    pods, maps = stage.pods.within(name), stage.config_maps.within(name)
    held = pod("test-pod")
    held["metadata"]["finalizers"] = ["e2e.example.com/finalizer"]
    await pods.create(held)
    await maps.create({"metadata": {"name": "test-configmap"}})
    await stage.namespaces.delete(name)

    async def deleting() -> bool:
        return "deletionTimestamp" in (await pods.get("test-pod"))["metadata"]

    await eventually("the Pod is being deleted", deleting)
    # Time enough for one who does not keep the order.
    await asyncio.sleep(2)
    found = await maps.get("test-configmap")
    check("deletionTimestamp" not in found["metadata"], "the ConfigMap waits for the Pod")
    await pods.patch("test-pod", {"metadata": {"finalizers": None}})
    namespaces = stage.namespaces
    await eventually("the namespace is gone", lambda: namespaces.gone(name), within_s=_GONE_S)
