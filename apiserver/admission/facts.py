"""What plugins look at besides the object: small sets of objects, as the replica has them.

Whoever decides calls `settle` first (apiserver.following): nothing is decided on what was before.
Namespaces and service accounts, of which there may be many, are read where they are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from apiserver.following import Following
from kube.json_types import JsonObject
from storage.record import label_value
from storage.store_view import StoreView
from storage.watcher import Scope

INGRESS_CLASSES: Final = "networking.k8s.io/ingressclasses"
LIMIT_RANGES: Final = "limitranges"
PRIORITY_CLASSES: Final = "scheduling.k8s.io/priorityclasses"
QUOTAS: Final = "resourcequotas"
RUNTIME_CLASSES: Final = "node.k8s.io/runtimeclasses"
STORAGE_CLASSES: Final = "storage.k8s.io/storageclasses"
_KEPT: Final = (
    INGRESS_CLASSES,
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    QUOTAS,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
)
ANNOUNCED: Final = (
    INGRESS_CLASSES,
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
    "namespaces",
)
"""Types whose writes are acknowledged once all workers go by them. Not quotas: to charge one is a
conditional write, which finds out by itself what is stale."""
_POD_CLASSES: Final = frozenset({PRIORITY_CLASSES, RUNTIME_CLASSES})
_NONE: Final[dict[str, JsonObject]] = {}
Labels = dict[str, str]


class Facts:
    """See the module's head; a Sink.

    Attributes:
        pod_classes: changes whenever a class does that pods name.
        bounds: changes whenever a namespace gets its first quota or limits, or loses the last.
    """

    def __init__(self, store: StoreView) -> None:
        self._store = store
        self._following = Following(store, [Scope(storage) for storage in _KEPT], self)
        self._objects: dict[tuple[str, str], dict[str, JsonObject]] = {}
        self.pod_classes = self.bounds = 0

    def settle(self) -> None:
        """Take in what has changed.

        Raises:
            StorageError: the replica cannot be read.
        """
        self._following.settle()

    def find(self, storage: str, name: str, namespace: str = "") -> JsonObject | None:
        """Return one of the objects kept; it must not be changed."""
        self.settle()
        return self._objects.get((storage, namespace), _NONE).get(name)

    def all_of(self, storage: str, namespace: str = "") -> Iterable[JsonObject]:
        """Return those of a namespace, "" for cluster-scoped ones; they must not be changed."""
        self.settle()
        return self._objects.get((storage, namespace), _NONE).values()

    def read(self, storage: str, namespace: str, name: str) -> JsonObject | None:
        """Return any object as the replica has it."""
        record = self._store.get(storage, namespace, name)
        found: JsonObject | None = None if record is None else orjson.loads(record.body)
        return found

    def labels(self, storage: str, namespace: str, name: str, keys: Iterable[str]) -> Labels | None:
        """Return which of some labels an object has, without parsing it; None: there is none."""
        record = self._store.get(storage, namespace, name)
        if record is None:
            return None
        found = ((key, label_value(record.meta, key)) for key in keys)
        return {key: value for key, value in found if value is not None}

    def changed_revision(self, storage: str) -> int:
        """Return when an object of a type changed last."""
        return self._store.changed_revision(storage)

    def put(self, storage: str, obj: JsonObject) -> None:
        """See Sink."""
        metadata = obj["metadata"]
        key = storage, metadata.get("namespace", "")
        known = self._objects.get(key)
        if known is None:
            known = self._objects[key] = {}
            self.bounds += 1
        known[metadata["name"]] = obj
        self.pod_classes += storage in _POD_CLASSES

    def drop(self, storage: str, namespace: str, name: str) -> None:
        """See Sink."""
        known = self._objects.get((storage, namespace))
        if known is None or known.pop(name, None) is None:
            return
        self.pod_classes += storage in _POD_CLASSES
        if not known:
            del self._objects[storage, namespace]
            self.bounds += 1

    def clear(self, storage: str) -> None:
        """See Sink."""
        for key in [key for key in self._objects if key[0] == storage]:
            del self._objects[key]
        self.pod_classes += 1
        self.bounds += 1


def newest_default(candidates: Iterable[JsonObject], *annotations: str) -> str | None:
    """Return the name of the class that is marked as default: of several the newest, then by name.

    Args:
        candidates: classes.
        annotations: those that mark one by "true".
    """
    marked = [
        one["metadata"]
        for one in candidates
        if any((one["metadata"].get("annotations") or {}).get(key) == "true" for key in annotations)
    ]
    if not marked:
        return None
    newest = max(metadata.get("creationTimestamp", "") for metadata in marked)
    names = (m["name"] for m in marked if m.get("creationTimestamp", "") == newest)
    return str(min(names))
