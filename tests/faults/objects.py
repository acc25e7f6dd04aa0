"""The objects that a campaign's clients share: small ones, of each partition and way to be made."""

from __future__ import annotations

from typing import Any, Final

from tests.integration.kill_model import Key

_GROUPS: Final = {
    "configmaps": "/api/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "pods": "/api/v1",
    "services": "/api/v1",
}
RESOURCES: Final = tuple(_GROUPS)
_KINDS: Final = {
    "configmaps": "ConfigMap",
    "leases": "Lease",
    "pods": "Pod",
    "services": "Service",
}
_SPECS: Final[dict[str, dict[str, Any]]] = {
    "configmaps": {"data": {"text": "t" * 200}},
    "leases": {"spec": {"holderIdentity": "h"}},
    # Nobody schedules them: only clients of the campaign may write.
    "pods": {"spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "i"}]}},
    "services": {"spec": {"ports": [{"port": 80}]}},
}


def collection(resource: str, namespace: str) -> str:
    """Return the path of a type's objects, in one namespace or ("") in all."""
    space = f"/namespaces/{namespace}" if namespace else ""
    return f"{_GROUPS[resource]}{space}/{resource}"


def new_object(key: Key, mark: str) -> dict[str, Any]:
    """Return an object that carries a mark, and the label that follows from it."""
    metadata = {
        "name": key.name,
        "namespace": key.namespace,
        "labels": {"load": "yes", "tier": mark[-1]},
        "annotations": {"mark": mark},
    }
    return {
        "apiVersion": _GROUPS[key.resource].removeprefix("/apis/").removeprefix("/api/"),
        "kind": _KINDS[key.resource],
        "metadata": metadata,
        **_SPECS[key.resource],
    }


def mark_of(content: Any) -> str:
    """Return the mark that an object carries."""
    mark: str = content["metadata"]["annotations"]["mark"]
    return mark
