"""Nodes, pods and leases as tests want them, and a server that takes down what is asked of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import orjson

from kube import times
from kube.client import Patch
from kube.informers.changes import Change, Told, key_of
from kube.informers.informer import Delta
from kube.informers.store import Indexer, Store
from kube.status import StatusError
from runtime.clock import SimulatedClock


def node(name: str = "n", ready: str = "", **more: Any) -> dict[str, Any]:
    """Return a node; `ready` empty: its kubelet has not said anything."""
    clock_s = int(more.pop("created_s", 1_700_000_000))
    metadata = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": times.format_seconds(clock_s),
        "labels": dict(more.pop("labels", {})),
    }
    made: dict[str, Any] = {"metadata": metadata, "spec": dict(more.pop("spec", {})), "status": {}}
    conditions = [condition("Ready", ready, **more)] if ready else []
    made["status"]["conditions"] = conditions
    return made


def condition(kind: str, status: str, **more: Any) -> dict[str, Any]:
    """Return a condition."""
    at = "2023-11-14T22:13:20Z"
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
    } | more


def lease(name: str, renewed: str, holds_s: int = 40) -> Told:
    """Return what the watch tells of a lease."""
    metadata = {"name": name, "namespace": "kube-node-lease"}
    spec = {"renewTime": renewed, "leaseDurationSeconds": holds_s}
    obj = {"metadata": metadata, "spec": spec}
    return Told(Change.MODIFIED, obj, b"")


def pod(name: str = "p", where: str = "n", **more: Any) -> dict[str, Any]:
    """Return a pod that is ready."""
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
        },
        "spec": {"nodeName": where, **more},
        "status": {"phase": "Running", "conditions": [condition("Ready", "True")]},
    }


class Server:
    """Takes down requests, and keeps what it was given: enough of an API for a controller.

    Attributes:
        objects: by path.
        asked: method and path of each write.
        refusals: codes for the next writes, by method.
    """

    def __init__(self, clock: SimulatedClock | None = None) -> None:
        self.clock = clock or SimulatedClock()
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.refusals: dict[str, list[int]] = {}

    async def request(self, method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any]:
        """Answer as an API server would that checks nothing but revisions."""
        base = path.removesuffix("/status")
        if method == "GET":
            if base not in self.objects:
                raise StatusError(404, "NotFound", f"{base} not found")
            return copy.deepcopy(self.objects[base])
        document = body.document if isinstance(body, Patch) else body
        self.asked.append((method, path, document))
        if self.refusals.get(method):
            raise StatusError(self.refusals[method].pop(0), "Refused", "refused")
        if method == "DELETE":
            return self.objects.pop(base, {})
        known = self.objects.get(base, {})
        if method == "PATCH":
            document = _merge(known, document)
        elif known and path != base:
            document = {**known, "status": document["status"]}
        revision = int(known.get("metadata", {}).get("resourceVersion", "0")) + 1
        document = copy.deepcopy(document)
        document["metadata"]["resourceVersion"] = str(revision)
        self.objects[base] = document
        return copy.deepcopy(document)

    def writes(self, method: str, path: str = "") -> list[Any]:
        """Return the bodies of the writes to a path."""
        return [body for how, where, body in self.asked if how == method and path in where]


def _merge(known: Any, change: Any) -> Any:
    if not isinstance(known, dict) or not isinstance(change, dict):
        return change
    merged = dict(known)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


class Said:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def note(self, involved: dict[str, Any], reason: str, message: str) -> None:
        """Take a note."""
        self.told.append((involved["name"], reason, message))

    warn = note


class Feed:
    """Plays an informer: a store, and handlers that are told of each change.

    Attributes:
        store: what there is.
    """

    def __init__(self, indexers: dict[str, Indexer] | None = None) -> None:
        self.store = Store(indexers)
        self._handlers: list[Any] = []

    def on_changes(self, handler: Any) -> None:
        """Have a handler told."""
        self._handlers.append(handler)

    def put(self, *objects: dict[str, Any]) -> None:
        """Tell of objects as they are now."""
        for obj in objects:
            raw = orjson.dumps(obj)
            key = key_of(obj)
            before = self.store.put(key, orjson.loads(raw), raw)
            change = Change.ADDED if before is None else Change.MODIFIED
            delta = Delta(change, key, orjson.loads(raw), before.raw if before else b"")
            self._tell([delta])

    def drop(self, *objects: dict[str, Any]) -> None:
        """Tell of objects that are gone."""
        for obj in objects:
            self.store.drop(key_of(obj))
            self._tell([Delta(Change.DELETED, key_of(obj), obj)])

    def _tell(self, deltas: Sequence[Delta]) -> None:
        for handler in self._handlers:
            handler(deltas)
