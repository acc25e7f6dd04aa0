"""Who is interested in an event: watchers by scope, so that an event costs only its own.

Each watcher stands in one bucket, that of its narrowest criterion (object, then field value, then
namespace, then the whole resource); the rest of its scope is tested on the few events it gets.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Any

from storage.event import Event
from storage.record import field_needle, field_value
from storage.watcher import Scope, Watcher

_Bucket = dict[Watcher, None]


class _ResourceScopes:
    __slots__ = ("all", "count", "names", "namespaces", "objects", "values")

    def __init__(self) -> None:
        self.count = 0
        self.all: _Bucket = {}
        self.namespaces: dict[Hashable, _Bucket] = {}
        self.objects: dict[Hashable, _Bucket] = {}
        self.names: dict[Hashable, _Bucket] = {}
        self.values: dict[bytes, dict[Hashable, _Bucket]] = {}

    def table_of(self, scope: Scope) -> tuple[dict[Any, Any], Hashable]:
        """Return the dictionary and the key of the bucket of a scope; `all` has none."""
        if scope.name is not None:
            if scope.namespace is not None:
                return self.objects, (scope.namespace, scope.name)
            return self.names, scope.name
        if scope.field is not None:
            field, value = scope.field
            return self.values.setdefault(field_needle(field), {}), value.encode()
        return self.namespaces, scope.namespace


class ScopeIndex:
    """A set of watchers that can be found by event. It must not change while it dispatches.

    Attributes:
        resources: that someone watches.
    """

    def __init__(self) -> None:
        self._resources: dict[str, _ResourceScopes] = {}
        self._watchers: dict[Watcher, None] = {}
        self.resources: Collection[str] = self._resources.keys()

    def __len__(self) -> int:
        return len(self._watchers)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(self._watchers)

    def __contains__(self, watcher: Watcher) -> bool:
        return watcher in self._watchers

    def add(self, watcher: Watcher) -> None:
        """Let `dispatch` find a watcher."""
        scope = watcher.scope
        scopes = self._resources.setdefault(scope.resource, _ResourceScopes())
        scopes.count += 1
        self._watchers[watcher] = None
        if _is_whole(scope):
            scopes.all[watcher] = None
            return
        table, key = scopes.table_of(scope)
        table.setdefault(key, {})[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """Take a watcher out."""
        scope = watcher.scope
        scopes = self._resources[scope.resource]
        del self._watchers[watcher]
        scopes.count -= 1
        if not scopes.count:
            del self._resources[scope.resource]
        elif _is_whole(scope):
            del scopes.all[watcher]
        else:
            table, key = scopes.table_of(scope)
            del table[key][watcher]
            if not table[key]:
                del table[key]
                if not table and scope.name is None and scope.field is not None:
                    del scopes.values[field_needle(scope.field[0])]

    def interested_count(self, resource: str, namespace: str, name: str) -> int:
        """Return how many watchers a write of this object reaches, whatever its fields are.

        Those that watch one value of a field are left out: there are few for any one object.
        """
        scopes = self._resources.get(resource)
        if scopes is None:
            return 0
        count = len(scopes.all)
        for bucket in (
            scopes.namespaces.get(namespace),
            scopes.objects.get((namespace, name)),
            scopes.names.get(name),
        ):
            if bucket is not None:
                count += len(bucket)
        return count

    def dispatch(self, event: Event) -> None:
        """Offer an event to every watcher whose scope it matches."""
        record = event.record
        scopes = self._resources.get(record.resource)
        if scopes is None:
            return
        for watcher in scopes.all:
            watcher.offer(event)
        namespace, name = record.namespace, record.name
        if scopes.namespaces:
            for watcher in scopes.namespaces.get(namespace, ()):
                watcher.offer(event)
        if scopes.objects:
            _offer(scopes.objects.get((namespace, name)), event)
        if scopes.names:
            _offer(scopes.names.get(name), event)
        for needle, values in scopes.values.items():
            after = field_value(record.meta, needle)
            _offer(values.get(after), event)
            previous = event.previous
            if previous is not None and previous.meta != record.meta:
                before = field_value(previous.meta, needle)
                if before != after:
                    _offer(values.get(before), event)


def _is_whole(scope: Scope) -> bool:
    return scope.namespace is None and scope.name is None and scope.field is None


def _offer(bucket: _Bucket | None, event: Event) -> None:
    if bucket is None:
        return
    for watcher in bucket:
        if _rest_matches(watcher.scope, event):
            watcher.offer(event)


def _rest_matches(scope: Scope, event: Event) -> bool:
    if scope.namespace is not None and scope.namespace != event.record.namespace:
        return False
    if scope.field is None or scope.name is None:
        return True
    needle, value = field_needle(scope.field[0]), scope.field[1].encode()
    if field_value(event.record.meta, needle) == value:
        return True
    return event.previous is not None and field_value(event.previous.meta, needle) == value
