"""Objects in memory that are exactly what the replica has, without a task that keeps them so.

Whoever asks calls `settle` first, which takes in what was dispatched since: the events of a watcher
lie there in the same step in which the replica moves on, so nobody decides on what was before.
Where the watcher has fallen behind (storage/watch_hub.py) its type is read anew, if it has changed.

Nearly always there is nothing: that is known without a look at the watchers, as these say when they
have news. Invariant: while it is not due, all of them are live and hold nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import orjson

from kube.json_types import JsonObject
from storage.event import Event, EventKind
from storage.record import field_needle, field_value
from storage.scan import Query
from storage.store_view import StoreView
from storage.watcher import Scope, Watcher, WatcherState

_CAPACITY: Final = 2000
"""Events that wait for somebody to ask; with more, what there is is read anew."""
_SYNCED: Final = WatcherState.SYNCED


class Sink(Protocol):
    """Where objects are kept."""

    def put(self, storage: str, obj: JsonObject) -> None:
        """Take an object as it is now."""
        ...

    def drop(self, storage: str, namespace: str, name: str) -> None:
        """Forget an object; one that is not here is no fault."""
        ...

    def clear(self, storage: str) -> None:
        """Forget all objects of a type."""
        ...


class _Part:
    """One scope: its watcher, and the last revision whose effect the sink has."""

    __slots__ = ("scope", "seen", "watcher")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.watcher: Watcher | None = None
        self.seen = 0


class Following:
    """Keeps a sink in step with the objects of some scopes."""

    def __init__(self, store: StoreView, scopes: Sequence[Scope], sink: Sink) -> None:
        self._store = store
        self._sink = sink
        self._parts = tuple(_Part(scope) for scope in scopes)
        self._is_due = True
        self._tell: Callable[[], None] | None = None

    def when_due(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever `settle` may have something to take in; it must not fail."""
        self._tell = tell
        if self._is_due:
            tell()

    def settle(self) -> bool:
        """Take in what has happened; return whether that was anything.

        Raises:
            StorageError: the replica cannot be read; what was known before is still there.
        """
        if not self._is_due:
            return False
        self._is_due = False
        changed = False
        try:
            for part in self._parts:
                if _has_news(part.watcher):
                    changed |= self._settle(part)
        finally:
            if any(_has_news(part.watcher) for part in self._parts):
                self._mark_due()
        return changed

    def close(self) -> None:
        """Follow no longer."""
        for part in self._parts:
            if part.watcher is not None:
                part.watcher.close()
                part.watcher = None
        self._mark_due()

    def _mark_due(self) -> None:
        self._is_due = True
        if self._tell is not None:
            self._tell()

    def _settle(self, part: _Part) -> bool:
        watcher = part.watcher
        if watcher is not None:
            if watcher.state is _SYNCED:
                self._take(part, watcher.take())
                return True
            if watcher.state is WatcherState.CATCHING_UP:
                changed = self._store.changed_revision(part.scope.resource)
                if changed <= part.seen:
                    return False
            part.watcher = None
            watcher.close()
        self._read(part)
        return True

    def _take(self, part: _Part, events: Sequence[Event]) -> None:
        sink, scope = self._sink, part.scope
        for event in events:
            record = event.record
            gone = event.kind is EventKind.DELETE
            if gone or not _is_in(scope, record.meta):
                sink.drop(scope.resource, record.namespace, record.name)
            else:
                sink.put(scope.resource, orjson.loads(record.body))
            part.seen = event.revision

    def _read(self, part: _Part) -> None:
        store, sink, scope = self._store, self._sink, part.scope
        revision = store.current_revision(scope.resource)
        watcher = store.watch(scope, from_revision=revision, capacity=_CAPACITY)
        query = Query(scope.resource, namespace=scope.namespace, index=scope.field)
        try:
            with store.scan(query) as scan:
                records = [record for chunk in scan for record in chunk]
        except BaseException:
            watcher.close()
            raise
        sink.clear(scope.resource)
        for record in records:
            sink.put(scope.resource, orjson.loads(record.body))
        part.watcher, part.seen = watcher, revision
        watcher.on_news = self._mark_due


def _has_news(watcher: Watcher | None) -> bool:
    return watcher is None or watcher.state is not _SYNCED or bool(len(watcher))


def _is_in(scope: Scope, meta: bytes) -> bool:
    """Tell whether an object is (still) in a scope: its events come for its previous value, too."""
    if scope.field is None:
        return True
    name, value = scope.field
    return field_value(meta, field_needle(name)) == value.encode()
