"""Custom resource definitions as objects: watch, list, status, defaults."""

from __future__ import annotations

import asyncio
from typing import Any

from conformance.checks import eventually, has, same
from conformance.custom import (
    Custom,
    custom_resource,
    definition,
    definitions,
    version,
    wait_established,
)
from conformance.operations import check_discovery
from conformance.registry import case
from conformance.resource import JSON_PATCH
from conformance.stage import Stage
from kube.json_types import JsonObject

_LISTED = 10


@case(
    "[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] "
    "CustomResourceDefinition Watch watch on custom resource definition objects [Conformance]"
)
async def watch_objects(stage: Stage) -> None:
    """Two watches, each of one custom object by its name, hear what happens to it alone."""
    custom = await custom_resource(stage, f"{stage.unique}.example.com", "Noxu")
    noxus = custom.resource
    fields = [f"metadata.name=name{number}" for number in (1, 2)]
    async with (
        noxus.watch(fieldSelector=fields[0]) as first,
        noxus.watch(fieldSelector=fields[1]) as second,
    ):
        pairs = ((first, "name1"), (second, "name2"))
        for watch, name in pairs:
            await noxus.create(_instance(name))
            seen = await watch.expect("ADDED")
            same(seen["metadata"]["name"], name, "the name of what was added")
        for watch, name in pairs:
            await noxus.patch(name, {"dummy": "test"})
            await watch.expect("MODIFIED", lambda obj: obj["dummy"] == "test")
        for watch, name in pairs:
            await noxus.delete(name)
            await watch.expect("DELETED")


def _instance(name: str) -> JsonObject:
    return {"metadata": {"name": name}, "content": {"key": "value"}, "num": {"num1": 1}}


@case(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple "
    "CustomResourceDefinition creating/deleting custom resource definition objects works "
    "[Conformance]"
)
async def create_and_delete(stage: Stage) -> None:
    """A definition is served soon, and can be deleted."""
    custom = await custom_resource(stage, f"{stage.unique}.example.com", "Foo")
    crds = definitions(stage)
    await crds.delete(custom.name)
    await eventually("the definition is gone", lambda: crds.gone(custom.name))


@case(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple "
    "CustomResourceDefinition listing custom resource definition objects works [Conformance]"
)
async def list_and_delete(stage: Stage) -> None:
    """Those with a label are listed and deleted, and no others."""
    crds, label = definitions(stage), f"e2e-list-test-uuid={stage.unique}"
    stage.remove_all(crds, label)

    async def create(number: int, labels: dict[str, str]) -> JsonObject:
        wanted = definition(f"n{number}.{stage.unique}.example.com", "Foo")
        wanted["metadata"]["labels"] = labels
        created = await crds.create(wanted)
        await wait_established(stage, created["metadata"]["name"])
        return created

    labels = {"e2e-list-test-uuid": stage.unique}
    created = await asyncio.gather(*(create(number, labels) for number in range(_LISTED)))
    other = (await create(_LISTED, {}))["metadata"]["name"]
    stage.remove(crds, other)
    listed = {item["metadata"]["name"]: item for item in await crds.items(labelSelector=label)}
    same(sorted(listed), sorted(obj["metadata"]["name"] for obj in created), "names in the list")
    for obj in created:
        same(listed[obj["metadata"]["name"]]["spec"], obj["spec"], "the spec in the list")
    await crds.delete_all(label)

    async def none_left() -> bool:
        return not await crds.items(labelSelector=label)

    await eventually("the labelled definitions are gone", none_left)
    await crds.get(other)


@case(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple "
    "CustomResourceDefinition getting/updating/patching custom resource definition status "
    "sub-resource works [Conformance]"
)
async def status(stage: Stage) -> None:
    """The status can be read, updated and patched."""
    custom = await custom_resource(stage, f"{stage.unique}.example.com", "Foo")
    crds = definitions(stage)
    same((await crds.get(custom.name, "status"))["spec"], custom.definition["spec"], "the spec")

    def change(obj: JsonObject) -> None:
        obj["status"]["conditions"].append(_condition("updated"))

    updated = await crds.update(custom.name, change, "status")
    messages = [entry.get("message") for entry in updated["status"]["conditions"]]
    has(messages, "updated", "messages of the conditions updated")
    operation: Any = {"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}
    patched = await crds.patch(custom.name, [operation], JSON_PATCH, "status")
    messages = [entry.get("message") for entry in patched["status"]["conditions"]]
    has(messages, "patched", "messages of the conditions patched")


def _condition(message: str) -> JsonObject:
    """Return a condition as Go encodes it: types, states and times that were left empty."""
    return {"type": "", "status": "", "lastTransitionTime": None, "message": message}


@case(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should "
    "include custom resource definition resources in discovery documents [Conformance]"
)
async def discovery(stage: Stage) -> None:
    """The documents tell of definitions."""
    await check_discovery(stage, "apiextensions.k8s.io/v1", "customresourcedefinitions")


@case(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom "
    "resource defaulting for requests and from storage works [Conformance]"
)
async def defaulting(stage: Stage) -> None:
    """Defaults fill in what is created, and what is read; what was stored with one keeps it."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    group = f"{stage.unique}.example.com"
    custom = await custom_resource(stage, group, "Foo", version("v1", schema))
    foos = custom.resource
    await foos.create({"metadata": {"name": "cr-1"}})
    await _patch_schema(stage, custom, {"op": "add", "path": "a/default", "value": "A"})

    async def defaulted(name: str) -> str | None:
        found: str | None = (await foos.get("cr-1")).get(name)
        return found

    same(await eventually("a has its default", lambda: defaulted("a")), "A", "a of cr-1")
    created = await foos.create({"metadata": {"name": "cr-2"}})
    same(created.get("a"), "A", "a of the new object")
    await _patch_schema(
        stage,
        custom,
        {"op": "remove", "path": "a/default"},
        {"op": "add", "path": "b/default", "value": "B"},
    )
    same(await eventually("b has its default", lambda: defaulted("b")), "B", "b of cr-1")
    same(await defaulted("a"), None, "a of cr-1, whose default was never stored")
    second = await foos.get("cr-2")
    has(second, {"a": "A", "b": "B"}, "cr-2, whose a was stored")


async def _patch_schema(stage: Stage, custom: Custom, *operations: JsonObject) -> None:
    within = "/spec/versions/0/schema/openAPIV3Schema/properties/"
    patch = [{**entry, "path": within + entry["path"]} for entry in operations]
    await definitions(stage).patch(custom.name, patch, JSON_PATCH)
