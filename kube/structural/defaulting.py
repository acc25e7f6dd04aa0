"""Filling in defaults, and taking out nulls that may not be there.

A null of a field that is not nullable counts as absent: it goes, or becomes the field's default.
In lists such a null stays (validation refuses it) unless the items have a default. Defaults are
copied, and are themselves completed by the defaults below them. Walks change the object in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson

from kube.json_types import JsonObject
from kube.structural.nodes import Lazy, child_of, items_of, properties_of, values_of

Walk: TypeAlias = Callable[[Any], None]
_Copy: TypeAlias = Callable[[], Any]


def copier(value: Any) -> _Copy:
    """Return what makes a fresh copy of a JSON value."""
    if value.__class__ is dict or value.__class__ is list:
        if not value:
            return type(value)
        text = orjson.dumps(value)
        return lambda: orjson.loads(text)
    return lambda: value


def _defaults_of(schema: JsonObject) -> list[tuple[str, bool, _Copy]]:
    return [
        (name, bool(field.get("nullable")), copier(field["default"]))
        for name, field in properties_of(schema).items()
        if field.get("default") is not None
    ]


def walk_of(schema: JsonObject) -> Walk:
    """Return how to complete values of a schema; others than objects and lists are left alone."""
    values = values_of(schema)
    rest = walk_of(values) if values is not None else None
    below: Lazy[Walk | None] = Lazy(schema, walk_of, rest)
    defaults = _defaults_of(schema)
    items = items_of(schema)
    in_list: list[Walk] = []

    def walk(value: Any) -> None:
        if value.__class__ is list:
            if items is not None:
                if not in_list:
                    in_list.append(_list_walk(items))
                in_list[0](value)
            return
        if None in value.values():
            _drop_nulls(schema, value)
        for name, nullable, copy in defaults:
            if name not in value or (value[name] is None and not nullable):
                value[name] = copy()
        for key, child in value.items():
            kind = child.__class__
            if (kind is dict or kind is list) and (look := below[key]) is not None:
                look(child)

    return walk


def _drop_nulls(schema: JsonObject, value: JsonObject) -> None:
    named = properties_of(schema)
    for key in [key for key, child in value.items() if child is None]:
        child = child_of(schema, key)
        if child is None or child.get("nullable"):
            continue
        default = child.get("default")
        if default is None:
            del value[key]
        elif key not in named:
            value[key] = copier(default)()


def _list_walk(items: JsonObject) -> Walk:
    look = walk_of(items)
    default = items.get("default")
    copy = copier(default) if default is not None and not items.get("nullable") else None

    def walk(value: list[Any]) -> None:
        if copy is not None:
            for index, item in enumerate(value):
                if item is None:
                    value[index] = copy()
        for item in value:
            if item.__class__ is dict or item.__class__ is list:
                look(item)

    return walk
