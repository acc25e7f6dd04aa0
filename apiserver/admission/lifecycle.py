"""NamespaceLifecycle: nothing is created in a namespace that is absent or terminating.

A cluster's own namespaces are not deleted, either.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from apiserver.admission.attributes import CREATE, DELETE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.resources import Resource

if TYPE_CHECKING:
    from apiserver.server import Server

IMMORTAL_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public"})
_TERMINATING: Final = b"\x01status.phase=Terminating\x01"
_ALLOWED_ANYWAY: Final = frozenset({"authorization.k8s.io/localsubjectaccessreviews"})
_NAMESPACES: Final = "namespaces"


class NamespaceLifecycle(Plugin):
    """See the module's head. A namespace in `server.live_namespaces` need not be looked at."""

    name = "NamespaceLifecycle"
    mutates = True
    sees_specs = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_live = server.live_namespaces.has

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        if resource.storage == _NAMESPACES:
            return operation == DELETE and not subresource
        return (
            operation == CREATE and resource.namespaced and resource.storage not in _ALLOWED_ANYWAY
        )

    def admit(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        if attributes.operation == DELETE:
            if attributes.name in IMMORTAL_NAMESPACES:
                raise attributes.forbidden("this namespace may not be deleted")
            return None
        namespace = attributes.namespace
        if not namespace or self._is_live(namespace):
            return None
        record = self._server.store.get(_NAMESPACES, "", namespace)
        if record is None:
            return self._look_again(attributes)
        self._check(attributes, record.meta)
        return None

    async def _look_again(self, attributes: Attributes) -> None:
        """Look consistently: another server may have just created it."""
        server = self._server
        namespaces = server.catalog.by_storage[_NAMESPACES]
        record = await server.read(namespaces, "", attributes.namespace)
        self._check(attributes, record.meta)

    def _check(self, attributes: Attributes, meta: bytes) -> None:
        namespace = attributes.namespace
        if _TERMINATING not in meta:
            self._server.live_namespaces.add(namespace)
            return
        error = attributes.forbidden(
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        error.status["details"]["causes"] = [cause]
        raise error
