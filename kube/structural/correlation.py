"""Finding the old self of each part of a changed object, and whether it changed.

Fields correlate by name, items of lists that are maps by their keys; other lists only as a whole.
What the schema does not know has no old self, so an object with such fields counts as changed.
"""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject
from kube.structural.enums import deep_equal
from kube.structural.nodes import LIST_KEYS, LIST_TYPE, child_of, items_of

_SCALARS: Final = frozenset({bool, int, float, str})


class Correlated:
    """A value, its old self, and their schema.

    Attributes:
        value: the new value.
        old: the old one, None if it was null.
        schema: of both.
    """

    __slots__ = ("_children", "_keyed", "_unchanged", "old", "schema", "value")

    def __init__(self, value: Any, old: Any, schema: JsonObject) -> None:
        self.value = value
        self.old = old
        self.schema = schema
        self._children: dict[str | int, Correlated] = {}
        self._keyed: dict[Any, Any] | None = None
        self._unchanged: bool | None = None

    def key(self, name: str) -> Correlated | None:
        """Return the field `name`, None if it has no old self."""
        known = self._children.get(name)
        if known is not None:
            return known
        if self.value.__class__ is not dict or self.old.__class__ is not dict:
            return None
        schema = child_of(self.schema, name)
        if schema is None or name not in self.value or name not in self.old:
            return None
        made = self._children[name] = Correlated(self.value[name], self.old[name], schema)
        return made

    def index(self, index: int) -> Correlated | None:
        """Return the item at `index`, None if it has no old self."""
        known = self._children.get(index)
        if known is not None:
            return known
        items = items_of(self.schema)
        old = self._old_item(index)
        if old is None or items is None:
            return None
        made = self._children[index] = Correlated(self.value[index], old, items)
        return made

    def _old_item(self, index: int) -> Any:
        if self.value.__class__ is not list or self.old.__class__ is not list:
            return None
        if self.schema.get(LIST_TYPE) != "map":
            return None
        if self._keyed is None:
            self._keyed = {}
            for item in self.old:
                key = self._key_of(item)
                if key is not None:
                    self._keyed.setdefault(key, item)
        key = self._key_of(self.value[index])
        return None if key is None else self._keyed.get(key)

    def _key_of(self, item: Any) -> tuple[Any, ...] | None:
        if item.__class__ is not dict:
            return None
        found = []
        for name in self.schema.get(LIST_KEYS) or ():
            value = item.get(name)
            if value.__class__ not in _SCALARS:
                return None
            found.append((value.__class__, value))
        return tuple(found) or None

    def is_unchanged(self) -> bool:
        """Tell whether the value is what it was; the order of items with keys does not count."""
        if self._unchanged is None:
            self._unchanged = self._compare()
        return self._unchanged

    def _compare(self) -> bool:
        value, old = self.value, self.old
        if value is None or old is None:
            return value is old
        if value.__class__ is list and old.__class__ is list:
            return len(value) == len(old) and self._same_items()
        if value.__class__ is dict and old.__class__ is dict:
            if len(value) != len(old):
                return False
            children = (self.key(name) for name in value)
            return all(child is not None and child.is_unchanged() for child in children)
        return deep_equal(value, old)

    def _same_items(self) -> bool:
        for index in range(len(self.value)):
            child = self.index(index)
            if child is None:
                return self._keyed is None and deep_equal(self.value, self.old)
            if not child.is_unchanged():
                return False
        return True
