"""Which old value a new one comes from, and whether anything has changed since.

Maps and objects are correlated by key, lists only if their schema says that they are maps, then by
the values of their keys. What is not correlatable has no old value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kube.json_types import JsonObject

_SCALARS = (str, bool, int, float)


class MapList:
    """A list of type map, searchable by the keys of an element."""

    __slots__ = ("_found", "_keys")

    def __init__(self, schema: JsonObject, items: Any) -> None:
        self._keys: tuple[str, ...] = ()
        self._found: dict[Any, Any] = {}
        if schema.get("x-kubernetes-list-type") != "map" or not isinstance(items, list):
            return
        self._keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        for item in items:
            key = self._key(item)
            if key is not None:
                self._found.setdefault(key, item)

    def get(self, item: Any) -> Any:
        """Return the element with the same keys, or None."""
        if not self._found:
            return None
        key = self._key(item)
        return None if key is None else self._found.get(key)

    def _key(self, item: Any) -> Any:
        if not isinstance(item, dict) or not self._keys:
            return None
        values = [item.get(name) for name in self._keys]
        if not all(isinstance(value, _SCALARS) for value in values):
            return None
        return tuple((type(value), value) for value in values)


def keeps_old(schema: JsonObject) -> bool:
    """Tell whether the fields of an object of this schema have old values."""
    return schema.get("x-kubernetes-map-type") in (None, "", "granular", "atomic")


def unchanged(schema: JsonObject | None, new: Any, old: Any) -> bool:
    """Tell whether a value is what it was; elements of map lists may have moved."""
    if isinstance(new, list) and isinstance(old, list):
        if len(new) != len(old):
            return False
        if schema is None or schema.get("x-kubernetes-list-type") != "map":
            return exactly(new, old)
        olds = MapList(schema, old)
        items = schema.get("items")
        return all(
            (was := olds.get(item)) is not None and unchanged(items, item, was) for item in new
        )
    if isinstance(new, dict) and isinstance(old, dict):
        if len(new) != len(old):
            return False
        return all(
            key in old and unchanged(_below(schema, key), value, old[key])
            for key, value in new.items()
        )
    return exactly(new, old)


def exactly(new: Any, old: Any) -> bool:
    """Tell whether two values are the same JSON: true is not 1."""
    if type(new) is not type(old):
        return False
    if type(new) is list:
        return len(new) == len(old) and all(map(exactly, new, old))
    if type(new) is dict:
        return len(new) == len(old) and all(
            key in old and exactly(value, old[key]) for key, value in new.items()
        )
    return bool(new == old)


def _below(schema: JsonObject | None, key: str) -> JsonObject | None:
    if schema is None:
        return None
    child = (schema.get("properties") or {}).get(key)
    if child is None:
        child = schema.get("additionalProperties")
    return child if isinstance(child, dict) else None


class Ratchet:
    """A place in an object that is judged, and what is needed to tell whether it has changed.

    A fault of what has not changed is none: it was there before the rule was. Nothing is compared
    before a fault is found. Without a schema it has no old value, and `parent`, the nearest above
    that may have one, is asked.
    """

    __slots__ = ("_answer", "_known", "new", "old", "parent", "schema")

    def __init__(
        self, schema: JsonObject | None, new: Any, old: Any, parent: Ratchet | None
    ) -> None:
        self.schema = schema
        self.new = new
        self.old = old
        self.parent = parent
        self._answer = False
        self._known = False

    def forgives(self) -> bool:
        """Tell whether this place, or the nearest above that has an old value, is unchanged."""
        if not self._known:
            self._known = True
            place: Ratchet | None = self
            while place is not None and place.schema is None:
                place = place.parent
            if place is not None and place is not self:
                self._answer = place.forgives()
            elif place is not None:
                self._answer = unchanged(place.schema, place.new, place.old)
        return self._answer

    def within(self) -> Ratchet:
        """Return a place that only the ones above this can forgive."""
        return Ratchet(None, None, None, self.parent)

    def at_key(self, key: str, *, root: bool) -> Ratchet | None:
        """Return the place of a field; `root`: of the whole object, whose kind never counts."""
        if self.schema is None:
            return self
        if root and key in ("apiVersion", "kind"):
            return None
        schema = _below(self.schema, key)
        if (
            schema is None
            or not isinstance(self.new, dict)
            or not isinstance(self.old, dict)
            or key not in self.old
        ):
            return Ratchet(None, None, None, self)
        return Ratchet(schema, self.new.get(key), self.old[key], self)

    def at_items(self, pairs: Iterable[tuple[Any, Any]]) -> Iterable[Ratchet]:
        """Yield the places of a list's elements; `pairs` are each and its old value or None."""
        items = self.schema.get("items") if self.schema is not None else None
        for new, old in pairs:
            if self.schema is None:
                yield self
            elif old is None or not isinstance(items, dict):
                yield Ratchet(None, None, None, self)
            else:
                yield Ratchet(items, new, old, self)
