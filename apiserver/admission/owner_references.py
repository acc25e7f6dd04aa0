"""OwnerReferencesPermissionEnforcement: owners are named by those who might delete.

Who changes owner references must be able to delete the object; who lets one block its owner's
deletion, to write the owner's finalizers. Off by default, as upstream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Any

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.authz import Attributes as Asked
from apiserver.authz import Authorizer
from apiserver.resources import Catalog, Resource
from kube.json_types import JsonObject
from kube.kinds import split_group_version


class OwnerReferencesPermissionEnforcement(Plugin):
    """See the module's head."""

    name = "OwnerReferencesPermissionEnforcement"
    validates = True
    allows_twins = False

    def __init__(self, authorizer: Authorizer, catalog: Catalog) -> None:
        self._authorizer = authorizer
        self._catalog = catalog

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin. The status of pods is left alone: it changes no owners."""
        is_status = resource.storage == "pods" and subresource == "status"
        return operation in {CREATE, UPDATE} and not is_status

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        new, old = _owners(attributes.obj), _owners(attributes.old)
        return None if new == old else self._check(attributes, new, old)

    async def _check(self, attributes: Attributes, new: list[Any], old: list[Any]) -> None:
        resource = attributes.resource
        own = Asked(
            "delete",
            resource.group,
            resource.version,
            resource.plural,
            attributes.subresource,
            attributes.namespace,
            attributes.name,
        )
        decision = await self._authorizer.decide_at_last(attributes.user, own)
        if not decision.allowed:
            raise attributes.forbidden(
                f"cannot set an ownerRef on a resource you can't delete: {decision.reason}, <nil>"
            )
        blocking = {one["uid"] for one in old if one.get("blockOwnerDeletion")}
        for owner in new:
            if owner.get("blockOwnerDeletion") and owner["uid"] not in blocking:
                await self._check_owner(attributes, owner)

    async def _check_owner(self, attributes: Attributes, owner: JsonObject) -> None:
        asked = list(self._finalizers_of(attributes, owner))
        if not asked:
            raise attributes.forbidden(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                f"APIVersion {owner['apiVersion']} Kind {owner['kind']}"
            )
        for one in asked:
            decision = await self._authorizer.decide_at_last(attributes.user, one)
            if not decision.allowed:
                raise attributes.forbidden(
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you "
                    f"can't set finalizers on: {decision.reason}, <nil>"
                )

    def _finalizers_of(self, attributes: Attributes, owner: JsonObject) -> Iterator[Asked]:
        try:
            key = split_group_version(owner["apiVersion"])
        except ValueError:
            return
        for resource in self._catalog.by_version.get(key, {}).values():
            if resource.kind == owner["kind"]:
                space = attributes.namespace if resource.namespaced else ""
                plural = resource.plural
                yield Asked("update", *key, plural, "finalizers", space, owner["name"])


def _owners(obj: JsonObject | None) -> list[Any]:
    return ((obj or {}).get("metadata") or {}).get("ownerReferences") or []
