"""The steps of upstream's common test of a resource (its CRUD specs).

Create, get, update, update of the status; then for each kind of patch a fresh object, patched in
its spec and in its status; list and deletecollection. All the while two watches, of all namespaces
and of one, must tell of the same, with revisions that never go back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.checks import check, eventually, has, same
from conformance.resource import APPLY, JSON_PATCH, MERGE, STRATEGIC, Resource
from conformance.stage import Stage
from kube.json_types import JsonObject

_LABEL = "e2e-test.kubernetes.io"


@dataclass(frozen=True, slots=True)
class Crud:
    """How one type is created and changed.

    Attributes:
        initial: the object, without a status.
        spec: what is merged into it by updates and patches.
        spec_operations: the same as a JSON patch.
        status: what is merged by updates and patches of the status; None for none.
        status_operations: the same as a JSON patch.
        name: of the object.
    """

    initial: JsonObject
    spec: JsonObject
    spec_operations: list[JsonObject]
    status: JsonObject | None = None
    status_operations: list[JsonObject] | None = None
    name: Callable[[str], str] = lambda unique: f"test-{unique}"


async def check_crud(stage: Stage, resource: Resource, steps: Crud) -> None:
    """Put a type through the steps."""
    listing = await stage.api.get(f"/apis/{resource.group_version}")
    has([entry["name"] for entry in listing["resources"]], resource.plural, "resources")
    selector = f"{_LABEL}={stage.unique}"
    name = steps.name(stage.unique)
    metadata = {**steps.initial.get("metadata", {}), "name": name}
    metadata["labels"] = {**metadata.get("labels", {}), _LABEL: stage.unique}
    initial = {**steps.initial, "metadata": metadata}
    stage.remove(resource, name)
    before = await resource.anywhere().fetch_list(labelSelector=selector)
    same(before["items"], [], "objects before the first was created")
    revision = before["metadata"]["resourceVersion"]
    async with resource.anywhere().watch(labelSelector=selector, resourceVersion=revision) as watch:
        created = await resource.create(initial, fieldValidation="Strict")
        await watch.expect("ADDED", lambda obj: obj["metadata"]["name"] == name)
        gotten = await resource.get(name)
        same(gotten["metadata"]["uid"], created["metadata"]["uid"], "uid")
        updated = await resource.update(name, lambda obj: _merge(obj, steps.spec))
        check(
            int(updated["metadata"]["resourceVersion"])
            > int(created["metadata"]["resourceVersion"]),
            "an update raises the resourceVersion",
        )
        await watch.until("MODIFIED", what="after the update")
        if steps.status is not None:
            status = steps.status
            await resource.update(name, lambda obj: _merge(obj, status), "status")
            await watch.until("MODIFIED", lambda obj: obj.get("status"), what="with a status")
            same((await resource.get(name, "status"))["kind"], resource.kind, "kind of /status")
        for how in (STRATEGIC, APPLY, MERGE, JSON_PATCH):
            await _delete(resource, name)
            await watch.until("DELETED", what="before the next kind of patch")
            fresh = await resource.create(initial)
            await _patch(resource, fresh, steps, how)
        await watch.until("MODIFIED", what="after the last patch")
        same(await resource.names(labelSelector=selector), [name], "the list by label")
        await resource.delete_all(selector)
        await watch.until("DELETED", what="after deletecollection")
    await eventually("the object is gone", lambda: resource.gone(name))


async def _patch(resource: Resource, fresh: JsonObject, steps: Crud, how: str) -> None:
    name = fresh["metadata"]["name"]
    query = {"fieldValidation": "Strict"}
    if how == APPLY:
        query |= {"fieldManager": "test-apply", "force": "true"}
    if how == JSON_PATCH:
        await resource.patch(name, steps.spec_operations, how, **query)
        if steps.status_operations:
            await resource.patch(name, steps.status_operations, how, "status", **query)
        return
    await resource.patch(name, _whole(fresh, steps.spec), how, **query)
    if steps.status is not None:
        await resource.patch(name, _whole(fresh, steps.status), how, "status", **query)


def _whole(existing: JsonObject, patch: JsonObject) -> JsonObject:
    """Return a patch that also says which object is meant."""
    own = existing["metadata"]
    metadata = {**patch.get("metadata", {}), "name": own["name"], "uid": own["uid"]}
    if "namespace" in own:
        metadata["namespace"] = own["namespace"]
    typed = {"apiVersion": existing["apiVersion"], "kind": existing["kind"]}
    return {**patch, **typed, "metadata": metadata}


def _merge(obj: JsonObject, change: JsonObject) -> None:
    for name, value in change.items():
        present: Any = obj.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            _merge(present, value)
        else:
            obj[name] = value


async def _delete(resource: Resource, name: str) -> None:
    await resource.delete(name)
    await eventually("the object is gone", lambda: resource.gone(name))
