"""Admission that a default server does for everybody: namespaces' life, and defaults of pods.

The seam for the configurable plugins: the verbs call `admit_create`, `admit_update` and
`admit_delete` where upstream's chain runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apiserver.authn import User
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.types.pods.admission_defaults import admit_pod, admit_pod_update
from kube import status as st
from kube.json_types import JsonObject
from storage.record import Record

IMMORTAL_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public"})
_TERMINATING: Final = b"\x01status.phase=Terminating\x01"
_ALLOWED_ANYWAY: Final = frozenset({"authorization.k8s.io/localsubjectaccessreviews"})
_NAMESPACES: Final = "namespaces"


def admit_create(user: User, resource: Resource, obj: JsonObject) -> None:
    """Admit a new object whose namespace was checked, completing it in place."""
    complete = _COMPLETE.get(resource.storage)
    if complete is not None:
        complete(user, obj)


def admit_update(resource: Resource, new: JsonObject, old: JsonObject) -> None:
    """Admit a change of an object's main resource, completing it in place."""
    if resource.storage == "pods":
        admit_pod_update(new, old)


async def check_namespace(server: Server, resource: Resource, obj: JsonObject) -> None:
    """NamespaceLifecycle: nothing is created in a namespace that is absent or terminating.

    One in `server.live_namespaces` need not be looked at.

    Raises:
        StatusError: 404 or 403 with cause NamespaceTerminating.
    """
    metadata = obj["metadata"]
    namespace = metadata["namespace"]
    if resource.storage in _ALLOWED_ANYWAY:
        return
    record = server.store.get(_NAMESPACES, "", namespace)
    if record is None:
        record = await _find_namespace(server, namespace)
    if _TERMINATING in record.meta:
        raise _terminating(resource, metadata.get("name", ""), namespace)
    server.live_namespaces.add(namespace)


async def _find_namespace(server: Server, namespace: str) -> Record:
    """Look again, consistently: another server may have just created it."""
    namespaces = server.catalog.by_storage[_NAMESPACES]
    return await server.read(namespaces, "", namespace)


def _terminating(resource: Resource, name: str, namespace: str) -> st.StatusError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = st.forbidden(resource.group, resource.plural, name, why)
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    error.status["details"]["causes"] = [cause]
    return error


def admit_delete(resource: Resource, name: str) -> None:
    """Refuse to delete the namespaces that a cluster is made of.

    Raises:
        StatusError: 403.
    """
    if resource.storage == _NAMESPACES and name in IMMORTAL_NAMESPACES:
        why = "this namespace may not be deleted"
        raise st.forbidden(resource.group, resource.plural, name, why)


def _complete_pod(_user: User, obj: JsonObject) -> None:
    admit_pod(obj)


def _complete_signing_request(user: User, obj: JsonObject) -> None:
    """A CertificateSigningRequest says who made it, whatever its author writes there."""
    spec = obj["spec"]
    spec["username"] = user.name
    spec["groups"] = list(user.groups)
    for key, value in (("uid", user.uid), ("extra", user.extra)):
        if value:
            spec[key] = value
        else:
            spec.pop(key, None)


_COMPLETE: Final[dict[str, Callable[[User, JsonObject], None]]] = {
    "pods": _complete_pod,
    "certificates.k8s.io/certificatesigningrequests": _complete_signing_request,
}
