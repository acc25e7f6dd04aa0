"""The steps that upstream takes with every API: discovery, and each verb once.

Upstream's specs named "should support ... API operations" differ in their objects and their patch;
the order of verbs, the three objects, and what is expected of each verb are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any

from conformance.checks import check, eventually, has, same
from conformance.resource import MERGE, Resource
from conformance.stage import Stage
from kube.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class Operations:
    """How one type is put through its verbs.

    Attributes:
        template: what is created, three times; named by the server unless `name` is given.
        patch: a merge patch; an annotation where nothing else is to be seen.
        patched: looks whether an object has been patched.
        update: changes an object.
        updated: looks whether it has been.
        name: returns the name of the nth object, where the server makes none.
    """

    template: JsonObject
    patch: JsonObject
    patched: Callable[[JsonObject], object]
    update: Callable[[JsonObject], Any]
    updated: Callable[[JsonObject], object]
    name: Callable[[int], str] | None = None


def annotating(template: JsonObject, *, name: Callable[[int], str] | None = None) -> Operations:
    """Return operations that change annotations only."""

    def mark(obj: JsonObject) -> None:
        obj["metadata"].setdefault("annotations", {})["updated"] = "true"

    return Operations(
        template,
        {"metadata": {"annotations": {"patched": "true"}}},
        lambda obj: annotation(obj, "patched") == "true",
        mark,
        lambda obj: annotation(obj, "updated") == "true",
        name,
    )


def setting(template: JsonObject, path: Sequence[str], patched: Any, updated: Any) -> Operations:
    """Return operations that change annotations, and a field of the spec to one value and another.

    Args:
        template: see Operations.
        path: leads from the spec to the field.
        patched: what the patch sets.
        updated: what the update sets.
    """
    steps = annotating(template)
    *holders, field = path
    merged: JsonObject = {field: patched}
    for holder in reversed(holders):
        merged = {holder: merged}

    def holder_of(obj: JsonObject) -> JsonObject:
        found: JsonObject = reduce(getitem, holders, obj["spec"])
        return found

    def mark(obj: JsonObject) -> None:
        steps.update(obj)
        holder_of(obj)[field] = updated

    return Operations(
        template,
        {**steps.patch, "spec": merged},
        lambda obj: steps.patched(obj) and holder_of(obj)[field] == patched,
        mark,
        lambda obj: steps.updated(obj) and holder_of(obj)[field] == updated,
    )


def annotation(obj: JsonObject, name: str) -> str | None:
    """Return an object's annotation, None if there is none."""
    found: str | None = (obj["metadata"].get("annotations") or {}).get(name)
    return found


async def check_discovery(stage: Stage, group_version: str, *plurals: str) -> None:
    """Demand that the three discovery documents tell of a group, its version and resources."""
    group, _, version = group_version.partition("/")
    groups = (await stage.api.get("/apis"))["groups"]
    found = [entry for entry in groups if entry["name"] == group]
    same(len(found), 1, f"groups named {group} in /apis")
    has([entry["version"] for entry in found[0]["versions"]], version, f"versions of {group}")
    document = await stage.api.get(f"/apis/{group}")
    same(document["name"], group, f"the name in /apis/{group}")
    has([entry["version"] for entry in document["versions"]], version, f"/apis/{group}")
    resources = await stage.api.get(f"/apis/{group_version}")
    same(resources["groupVersion"], group_version, f"groupVersion of /apis/{group_version}")
    names = [entry["name"] for entry in resources["resources"]]
    for plural in plurals:
        has(names, plural, f"resources of {group_version}")


async def check_operations(stage: Stage, resource: Resource, steps: Operations) -> JsonObject:
    """Put a type through create, get, list, watch, patch, update, delete and deletecollection.

    Returns:
        The object as it was after the update.
    """
    selector = f"e2e-operations={stage.unique}"
    stage.remove_all(resource, selector)
    created = [await resource.create(_nth(steps, stage.unique, number)) for number in range(3)]
    name = created[-1]["metadata"]["name"]
    gotten = await resource.get(name)
    same(gotten["metadata"]["uid"], created[-1]["metadata"]["uid"], "uid of the object gotten")
    listed = await resource.fetch_list(labelSelector=selector)
    same(len(listed["items"]), 3, "objects in the filtered list")
    if resource.namespace is not None:
        same(len(await resource.anywhere().items(labelSelector=selector)), 3, "in all namespaces")
    revision = listed["metadata"]["resourceVersion"]
    async with resource.watch(resourceVersion=revision, labelSelector=selector) as watch:
        patched = await resource.patch(name, steps.patch, MERGE)
        check(steps.patched(patched), "what the patch was to change")
        updated = await resource.update(name, steps.update)
        check(steps.updated(updated), "what the update was to change")
        # A controller may have written a status in between: that is a change, too.
        while not steps.patched(await watch.expect("MODIFIED", what="with what was patched")):
            pass
    await resource.delete(name)
    await eventually("the object is gone", lambda: resource.gone(name))
    same(len(await _lasting(resource, selector)), 2, "objects after one was deleted")
    await resource.delete_all(selector)
    await eventually("the collection is gone", lambda: _none_left(resource, selector))
    return updated


async def check_status(stage: Stage, resource: Resource, template: JsonObject) -> None:
    """Demand that /status can be read, patched and updated."""
    name = f"status-{stage.unique}"
    created = await resource.create({**template, "metadata": {"name": name}})
    stage.remove(resource, name)
    gotten = await resource.get(name, "status")
    same(gotten["kind"], resource.kind, "kind of /status")
    same(gotten["metadata"]["uid"], created["metadata"]["uid"], "uid of /status")
    condition = {
        "type": "PatchStatusFailed",
        "status": "False",
        "reason": "e2e",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "message": "",
    }
    patched = await resource.patch(name, {"status": {"conditions": [condition]}}, part="status")
    kinds = [entry["type"] for entry in patched["status"]["conditions"]]
    same(kinds, ["PatchStatusFailed"], "conditions patched")

    def change(obj: JsonObject) -> None:
        obj["status"]["conditions"].append({**condition, "type": "StatusUpdateFailed"})

    updated = await resource.update(name, change, "status")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    has(kinds, "StatusUpdateFailed", "conditions updated")


def _nth(steps: Operations, unique: str, number: int) -> JsonObject:
    metadata = dict(steps.template.get("metadata") or {})
    metadata["labels"] = {**metadata.get("labels", {}), "e2e-operations": unique}
    if steps.name is None:
        metadata.setdefault("generateName", f"{unique}-")
    else:
        metadata["name"] = steps.name(number)
    return {**steps.template, "metadata": metadata}


async def _lasting(resource: Resource, selector: str) -> list[JsonObject]:
    """Return the objects that are not only waiting for their finalizers."""
    items = await resource.items(labelSelector=selector)
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


async def _none_left(resource: Resource, selector: str) -> bool:
    return not await _lasting(resource, selector)
