"""Taking out of an object what its schema does not know, and telling where that was.

Unknown fields go, unless the schema says `x-kubernetes-preserve-unknown-fields`; below named fields
of such a place pruning starts again. What an embedded resource has as apiVersion, kind and metadata
is not looked at here. A walk changes the object in place and returns the paths of what is gone,
relative to where it started, or None: who prunes nothing pays for no path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kube.json_types import JsonObject
from kube.structural.nodes import (
    EMBEDDED,
    META_FIELDS,
    PRESERVE,
    Lazy,
    items_of,
    joined,
    takes_any_key,
    values_of,
)

Walk: TypeAlias = Callable[[Any], list[str] | None]


def _leave(_value: Any) -> None:
    """Keep everything."""


def _empty(value: Any) -> list[str] | None:
    """Prune where there is no schema: objects lose all their fields."""
    if value.__class__ is dict:
        found = list(value)
        value.clear()
        return found or None
    return _in_list(value, _empty)


def _in_list(value: list[Any], walk: Walk) -> list[str] | None:
    found: list[str] | None = None
    for index, item in enumerate(value):
        if (item.__class__ is dict or item.__class__ is list) and (below := walk(item)):
            found = (found or []) + [joined(f"[{index}]", path) for path in below]
    return found


def walk_of(schema: JsonObject, *, is_root: bool = False) -> Walk:
    """Return how to prune objects and lists of a schema.

    Args:
        schema: the schema of the value.
        is_root: the value is a whole custom resource.
    """
    if schema.get(PRESERVE):
        return _preserving(schema, is_root=is_root)
    rest = _rest_of(schema) if takes_any_key(schema) else None
    below = _below(schema, rest, is_root=is_root)
    return _value_walk(below, items_of(schema), walk_of, _empty)


def _rest_of(schema: JsonObject) -> Walk:
    values = values_of(schema)
    return walk_of(values) if values is not None else _empty


def _below(schema: JsonObject, rest: Walk | None, *, is_root: bool) -> Lazy[Walk | None]:
    below: Lazy[Walk | None] = Lazy(schema, walk_of, rest)
    if is_root or schema.get(EMBEDDED):
        below.update(dict.fromkeys(META_FIELDS, _leave))
    return below


def _value_walk(
    below: Lazy[Walk | None],
    items: JsonObject | None,
    walk_of_items: Callable[[JsonObject], Walk],
    without_items: Walk,
) -> Walk:
    """Return the walk of an object or a list; what is for items is made for the first list."""
    in_object = _object_walk(below)
    walk_item: list[Walk] = []

    def walk(value: Any) -> list[str] | None:
        if value.__class__ is dict:
            return in_object(value)
        if not walk_item:
            walk_item.append(walk_of_items(items) if items is not None else without_items)
        return _in_list(value, walk_item[0])

    return walk


def _object_walk(below: Lazy[Walk | None]) -> Callable[[JsonObject], list[str] | None]:
    def walk(value: JsonObject) -> list[str] | None:
        found: list[str] | None = None
        gone: list[str] | None = None
        for key, child in value.items():
            look = below[key]
            if look is None:
                gone = [*(gone or ()), key]
            elif (child.__class__ is dict or child.__class__ is list) and (paths := look(child)):
                found = (found or []) + [joined(key, path) for path in paths]
        if gone is None:
            return found
        for key in gone:
            del value[key]
        return gone + (found or [])

    return walk


def _preserving(schema: JsonObject, *, is_root: bool = False) -> Walk:
    """Return how to prune where unknown fields are kept."""
    rest = _rest_of(schema) if takes_any_key(schema) else _leave
    below = _below(schema, rest, is_root=is_root)
    # Items inherit it: only their named fields are pruned.
    return _value_walk(below, items_of(schema), _preserving, _leave)
