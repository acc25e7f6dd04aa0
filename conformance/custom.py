"""Custom resource definitions that cases make, and wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from conformance.checks import CaseFailed, eventually
from conformance.resource import Resource
from conformance.stage import Stage
from kube.json_types import JsonObject

ALLOW_ALL: Final[JsonObject] = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
}


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom resource that the server serves.

    Attributes:
        definition: as created.
        resource: its first version.
    """

    definition: JsonObject
    resource: Resource

    @property
    def name(self) -> str:
        """The definition's name."""
        return str(self.definition["metadata"]["name"])

    @property
    def plural(self) -> str:
        """The resource's name."""
        return self.resource.plural

    @property
    def kind(self) -> str:
        """The kind of its objects."""
        return self.resource.kind

    @property
    def group(self) -> str:
        """Its group."""
        return self.resource.group_version.partition("/")[0]

    def version(self, name: str) -> Resource:
        """Return another version of it."""
        own = self.resource
        return Resource(own.api, f"{self.group}/{name}", own.plural, own.kind, own.namespace)


def definitions(stage: Stage) -> Resource:
    """Return the type of custom resource definitions."""
    return stage.cluster(
        "apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition"
    )


def version(name: str, schema: JsonObject | None = None, **more: Any) -> JsonObject:
    """Return a served version of a definition."""
    whole = {"openAPIV3Schema": schema if schema is not None else ALLOW_ALL}
    return {"name": name, "served": True, "storage": True, "schema": whole, **more}


def definition(
    group: str, kind: str, *versions: JsonObject, scope: str = "Cluster", **spec: Any
) -> JsonObject:
    """Return a definition; the first version is the one that is stored."""
    singular = kind.lower()
    stored = [
        {**entry, "storage": number == 0}
        for number, entry in enumerate(versions or [version("v1")])
    ]
    names = {
        "plural": f"{singular}s",
        "singular": singular,
        "kind": kind,
        "listKind": f"{kind}List",
    }
    return {
        "metadata": {"name": f"{singular}s.{group}"},
        "spec": {"group": group, "names": names, "scope": scope, "versions": stored, **spec},
    }


async def custom_resource(
    stage: Stage, group: str, kind: str, *versions: JsonObject, scope: str = "Cluster", **spec: Any
) -> Custom:
    """Create a definition, wait until it is served, and have it deleted in the end."""
    crds = definitions(stage)
    wanted = definition(group, kind, *versions, scope=scope, **spec)
    created = await crds.create(wanted)
    stage.remove(crds, created["metadata"]["name"])
    stored = created["spec"]["versions"][0]["name"]
    names = created["spec"]["names"]
    namespace = stage.namespace if scope == "Namespaced" else None
    resource = Resource(stage.api, f"{group}/{stored}", names["plural"], names["kind"], namespace)
    await wait_established(stage, created["metadata"]["name"])
    await eventually("the custom resource can be listed", lambda: _listed(resource))
    return Custom(created, resource)


async def wait_established(stage: Stage, name: str) -> JsonObject:
    """Return a definition when it says that it is served."""

    async def look() -> JsonObject:
        found = await definitions(stage).get(name)
        for condition in (found.get("status") or {}).get("conditions") or []:
            if condition.get("type") == "Established" and condition.get("status") == "True":
                return found
        raise CaseFailed(f"{name} is not established")

    return await eventually("the definition is established", look)


async def _listed(resource: Resource) -> bool:
    await resource.fetch_list()
    return True
