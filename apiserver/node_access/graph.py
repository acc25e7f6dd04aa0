"""Which objects concern a node: those that pods on it refer to, and what these lead to.

A node's pods are followed from its first question on, by the index of `spec.nodeName`: a node that
asks nothing costs nothing, and a pod that comes or goes costs what it refers to.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from apiserver.following import Following
from apiserver.node_access.references import Reference, pod_references, volume_secrets
from kube.json_types import JsonObject
from storage.store_view import StoreView
from storage.watcher import Scope

NODES_MAX: Final = 10_000
_CLAIMS: Final = "persistentvolumeclaims"
_OF_ONE_NODE: Final = ("storage.k8s.io/volumeattachments", "resource.k8s.io/resourceslices")


class NodePods:
    """What the pods of one node refer to; a Sink."""

    def __init__(self) -> None:
        self._by_pod: dict[tuple[str, str], set[Reference]] = {}
        self._pods: dict[Reference, int] = {}

    def __contains__(self, reference: Reference) -> bool:
        return reference in self._pods

    def of(self, resource: str) -> list[Reference]:
        """Return all references to objects of a type."""
        return [reference for reference in self._pods if reference.resource == resource]

    def put(self, storage: str, obj: JsonObject) -> None:
        """See Sink."""
        metadata = obj["metadata"]
        self.drop(storage, metadata["namespace"], metadata["name"])
        references = pod_references(obj)
        self._by_pod[metadata["namespace"], metadata["name"]] = references
        for reference in references:
            self._pods[reference] = self._pods.get(reference, 0) + 1

    def drop(self, _storage: str, namespace: str, name: str) -> None:
        """See Sink."""
        for reference in self._by_pod.pop((namespace, name), ()):
            left = self._pods[reference] - 1
            if left:
                self._pods[reference] = left
            else:
                del self._pods[reference]

    def clear(self, _storage: str) -> None:
        """See Sink."""
        self._by_pod.clear()
        self._pods.clear()


class NodeGraph:
    """Finds out whether an object concerns a node."""

    def __init__(self, store: StoreView) -> None:
        self._store = store
        self._nodes: dict[str, tuple[Following, NodePods]] = {}

    def leads_to(self, node: str, reference: Reference) -> bool:
        """Tell whether a node may know of an object.

        Raises:
            StorageError: the replica cannot be read.
        """
        if reference.resource == "persistentvolumes":
            return self._is_used(node, reference.name)
        if reference.resource in _OF_ONE_NODE:
            obj = self._read(reference.resource, "", reference.name)
            return bool((obj.get("spec") or {}).get("nodeName") == node)
        pods = self._pods_of(node)
        if reference in pods:
            return True
        return reference.resource == "secrets" and reference in self._volume_secrets(pods)

    def _pods_of(self, node: str) -> NodePods:
        known = self._nodes.pop(node, None)
        if known is None:
            pods = NodePods()
            scope = Scope("pods", field=("spec.nodeName", node))
            known = Following(self._store, [scope], pods), pods
            if len(self._nodes) >= NODES_MAX:
                self._nodes.pop(next(iter(self._nodes)))[0].close()
        self._nodes[node] = known  # the one asked last goes last
        known[0].settle()
        return known[1]

    def _is_used(self, node: str, volume: str) -> bool:
        claim = (self._read("persistentvolumes", "", volume).get("spec") or {}).get("claimRef")
        if not claim:
            return False
        space, name = claim.get("namespace", ""), claim.get("name", "")
        return Reference(_CLAIMS, space, name) in self._pods_of(node)

    def _volume_secrets(self, pods: NodePods) -> set[Reference]:
        found: set[Reference] = set()
        for claim in pods.of(_CLAIMS):
            bound = self._read(_CLAIMS, claim.namespace, claim.name).get("spec") or {}
            if name := bound.get("volumeName"):
                volume = self._read("persistentvolumes", "", name)
                owner: dict[str, Any] = (volume.get("spec") or {}).get("claimRef") or {}
                if (owner.get("namespace"), owner.get("name")) == claim[1:]:
                    found |= volume_secrets(volume, claim.namespace)
        return found

    def _read(self, resource: str, namespace: str, name: str) -> JsonObject:
        record = self._store.get(resource, namespace, name)
        found: JsonObject = {} if record is None else orjson.loads(record.body)
        return found
