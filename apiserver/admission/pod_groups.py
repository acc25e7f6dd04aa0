"""What a PodGroup refers to has to be there, and what is about to go gets nothing more.

Upstream has these behind a feature gate that is off by default, together with the types; here, the
types are served, so their rules hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from apiserver.admission.attributes import CREATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.resources import Resource
from kube.field import quote
from kube.json_types import JsonObject
from kube.status import StatusError

if TYPE_CHECKING:
    from apiserver.server import Server

_GROUPS: Final = "scheduling.k8s.io/podgroups"
_COMPOSITE: Final = "scheduling.k8s.io/compositepodgroups"
_WORKLOADS: Final = "scheduling.k8s.io/workloads"


class PodGroupWorkloadExists(Plugin):
    """A PodGroup's workload exists, and has the template that it names."""

    name = "PodGroupWorkloadExists"
    validates = True

    def __init__(self, server: Server) -> None:
        self._server = server

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == _GROUPS and not subresource and operation == CREATE

    async def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        reference = attributes.obj["spec"].get("workloadRef")
        if not reference:
            return
        name, template = reference.get("workloadName", ""), reference.get("templateName", "")
        workload = await self._workload(attributes, name)
        templates = (workload.get("spec") or {}).get("podGroupTemplates") or ()
        if not any(one.get("name") == template for one in templates):
            raise attributes.forbidden(
                f"PodGroup rejected: PodGroupTemplate {quote(template)} not found in Workload "
                f"{quote(name)}"
            )

    async def _workload(self, attributes: Attributes, name: str) -> JsonObject:
        server = self._server
        resource = server.catalog.by_storage[_WORKLOADS]
        record = server.peek(resource, attributes.namespace, name)
        if record is None:
            # Another server may have just created it.
            try:
                record = await server.read(resource, attributes.namespace, name)
            except StatusError as error:
                if error.code != 404:
                    raise
                why = f"PodGroup rejected: Workload {quote(name)} not found"
                raise attributes.forbidden(why) from error
        found: JsonObject = orjson.loads(record.body)
        return found


class PodGroupProtection(Plugin):
    """A group that is being deleted gets no more members."""

    name = "PodGroupProtection"
    validates = True

    def __init__(self, server: Server) -> None:
        self._server = server

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        is_member = resource.storage in {"pods", _GROUPS, _COMPOSITE}
        return is_member and not subresource and operation == CREATE

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        if attributes.resource.storage == "pods":
            storage, kind = _GROUPS, "PodGroup"
            name = (spec.get("schedulingGroup") or {}).get("podGroupName")
        else:
            storage, kind = _COMPOSITE, "CompositePodGroup"
            name = spec.get("parentCompositePodGroupName")
        resource = self._server.catalog.by_storage.get(storage)
        if not name or resource is None:
            return
        record = self._server.peek(resource, attributes.namespace, name)
        if record is not None and "deletionTimestamp" in orjson.loads(record.body)["metadata"]:
            raise attributes.forbidden(
                f"cannot create {attributes.resource.kind} referencing {kind} {quote(name)} "
                "because it is being deleted"
            )
