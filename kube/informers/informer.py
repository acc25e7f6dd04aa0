"""An informer: one watch of a type for all who want it, and a store of what there is.

Handlers are called with slices of changes, in the loop that reads the watch, and must only take
note: the work is done by the workers of their queues. The store is as new as the last change of the
slice when they are called. An object that is not changed is not told twice; one that was replaced
by another of its name while nobody looked is told as DELETED and ADDED.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from kube.client import ApiClient, Query
from kube.informers.changes import Change, Told, key_of
from kube.informers.reflector import Reflector
from kube.informers.relay import Relay
from kube.informers.store import Indexer, Store
from kube.json_types import JsonObject
from runtime.tasks import TaskScope
from runtime.turns import Turns


class Delta(NamedTuple):
    """One change.

    Attributes:
        change: what happened.
        key: "namespace/name", or "name".
        object: as it is now; of one that is gone, its last known state. All handlers share it.
        before: its JSON before a MODIFIED, else empty.
    """

    change: Change
    key: str
    object: JsonObject
    before: bytes = b""


Handler = Callable[[Sequence[Delta]], None]
Observer = Callable[[Change, JsonObject], None]


class Informer:
    """See the module's head; made by `Informers`.

    Attributes:
        store: what there is; complete once `synced` is set.
    """

    def __init__(self, reflector: Callable[[Informer], Reflector], name: str) -> None:
        self.store = Store()
        self._handlers: list[Handler] = []
        self._name = name
        self._reflector = reflector(self)
        self._is_started = False

    @property
    def synced(self) -> asyncio.Event:
        """Set once all there was at the start has been told."""
        return self._reflector.synced

    def on_changes(self, handler: Handler) -> None:
        """Have `handler` told of all there is and every change; before the start only."""
        assert not self._is_started, f"{self._name} has told what there was already"
        self._handlers.append(handler)

    def on_each(self, observe: Observer) -> None:
        """Have `observe` told as `on_changes` does, one change at a time."""

        def handle(deltas: Sequence[Delta]) -> None:
            for delta in deltas:
                observe(delta.change, delta.object)

        self.on_changes(handle)

    def join(self, handler: Handler) -> Iterator[None]:
        """Have `handler` told of every change from the first step on, and in steps of all there is.

        It may be told of a change, or the end, of an object before it is told of the object, and
        of one as ADDED twice.
        """
        self._handlers.append(handler)
        for keys in self.store.slices():
            found = ((key, self.store.get(key)) for key in keys)
            handler([Delta(Change.ADDED, key, obj) for key, obj in found if obj is not None])
            yield

    def leave(self, handler: Handler) -> None:
        """Have `handler` told of nothing any more."""
        if handler in self._handlers:
            self._handlers.remove(handler)

    def start(self, scope: TaskScope) -> None:
        """Start to watch, once."""
        if not self._is_started:
            self._is_started = True
            scope.spawn(self._reflector.run(), name=f"watch of {self._name}")

    def begin(self) -> None:
        """Be told all there is; see Sink."""
        self.store.begin()

    def take(self, events: Sequence[Told]) -> None:
        """Take the next events; see Sink."""
        deltas: list[Delta] = []
        for told in events:
            self._apply(told, deltas)
        self._tell(deltas)

    def sweep(self) -> Iterator[None]:
        """Forget what is gone; see Sink."""
        for keys in self.store.old():
            deltas = []
            for key in keys:
                raw = self.store.drop(key)
                assert raw is not None
                deltas.append(Delta(Change.DELETED, key, orjson.loads(raw)))
            self._tell(deltas)
            yield

    def _apply(self, told: Told, deltas: list[Delta]) -> None:
        obj, store = told.object, self.store
        key = key_of(obj)
        if told.change is Change.DELETED:
            # One that we never saw, or were told of twice, changes nothing.
            if store.drop(key) is not None:
                deltas.append(Delta(Change.DELETED, key, obj))
            return
        before = store.put(key, obj, told.raw)
        if before is None:
            deltas.append(Delta(Change.ADDED, key, obj))
        elif before.revision != obj["metadata"].get("resourceVersion", ""):
            if told.change is Change.ADDED:
                last = orjson.loads(before.raw)
                if last["metadata"].get("uid") != obj["metadata"].get("uid"):
                    deltas.append(Delta(Change.DELETED, key, last))
                    deltas.append(Delta(Change.ADDED, key, obj))
                    return
            deltas.append(Delta(Change.MODIFIED, key, obj, before.raw))

    def _tell(self, deltas: Sequence[Delta]) -> None:
        if deltas:
            for handle in tuple(self._handlers):
                handle(deltas)


class Informers:
    """The informers of a process: those who ask for the same get the same."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._turns = Turns(1)
        self._made: dict[tuple[object, ...], Informer] = {}
        self._relays: dict[str, Relay] = {}

    @property
    def turns(self) -> Turns:
        """Whose turn it is, for reflectors that have a sink of their own."""
        return self._turns

    def of(
        self,
        path: str,
        *,
        query: Query | None = None,
        metadata_only: bool = False,
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """Return the informer of a collection, made now if there is none.

        Args:
            path: of the collection, over all namespaces or in one.
            query: selectors.
            metadata_only: whether objects come without spec and status.
            indexers: how to find objects beside by their keys; names are shared by all who ask.
        """
        known = (path, tuple(sorted((query or {}).items())), metadata_only)
        informer = self._made.get(known)
        if informer is None:
            informer = self._made[known] = Informer(
                lambda sink: Reflector(
                    self._client,
                    path,
                    sink,
                    query=query,
                    metadata_only=metadata_only,
                    turns=self._turns,
                ),
                path,
            )
        if indexers:
            informer.store.add_indexers(indexers)
        return informer

    def known(self, path: str) -> Informer | None:
        """Return the informer of a collection's whole objects, if somebody has asked for it."""
        return self._made.get((path, (), False))

    def relay(self, path: str) -> Relay:
        """Return what tells several sinks of a collection, made now if there is none."""
        made = self._relays.get(path)
        if made is None:
            made = self._relays[path] = Relay(self._client, path, self._turns)
        return made

    def known_relay(self, path: str) -> Relay | None:
        """Return the same, if somebody has asked for it."""
        return self._relays.get(path)

    def start(self, scope: TaskScope) -> None:
        """Start those that are not started yet, relays aside."""
        for informer in self._made.values():
            informer.start(scope)

    async def wait_synced(self) -> None:
        """Return when all have been told what there was."""
        for informer in self._made.values():
            await informer.synced.wait()
