"""Lists that are sets or maps: no item twice, no key twice.

Only what the schema's own structure says counts (not what stands under allOf and so on). Items are
compared as JSON values; an item of a map without the key counts as one with no key.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kube.field import FieldError, duplicate, invalid
from kube.json_types import JsonObject
from kube.structural import search
from kube.structural.nodes import LIST_KEYS, LIST_TYPE
from kube.structural.search import Walk
from kube.structural.verdict import ordered

_NO_KEY: Final = object()


def walk_of(schema: JsonObject) -> Walk | None:
    """Return how to find the lists of a value whose items must differ; None: there are none."""
    return search.walk_of(schema, lambda part: part.get(LIST_TYPE) in {"set", "map"})


def check(schema: JsonObject, value: Any, path: str) -> list[FieldError]:
    """Be the visit of a walk: return which items of a list repeat others."""
    if value.__class__ is not list:
        return []
    if schema.get(LIST_TYPE) == "set":
        return _set_errors(value, path)
    return _map_errors(value, tuple(schema.get(LIST_KEYS) or ()), path)


def _identity(value: Any) -> Any:
    """Return what equal values share: types count, so that 1, 1.0 and true differ."""
    if value.__class__ is dict or value.__class__ is list:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return (value.__class__, value)


def _repeated(values: list[Any]) -> list[int]:
    """Return where values stand for the second time."""
    seen: dict[Any, int] = {}
    found = []
    for index, value in enumerate(values):
        identity = _identity(value)
        times = seen[identity] = seen.get(identity, 0) + 1
        if times == 2:
            found.append(index)
    return found


def _set_errors(items: list[Any], path: str) -> list[FieldError]:
    if len(items) < 2:
        return []
    return [duplicate(f"{path}[{index}]", ordered(items[index])) for index in _repeated(items)]


def _map_errors(items: list[Any], keys: tuple[str, ...], path: str) -> list[FieldError]:
    for index, item in enumerate(items):
        if item is not None and item.__class__ is not dict:
            text = "must be an object for an array of list-type map"
            return [invalid(f"{path}[{index}]", ordered(item), text)]
    if len(items) < 2:
        return []
    if len(keys) == 1:
        key = keys[0]
        found = [item.get(key, _NO_KEY) if item else _NO_KEY for item in items]
        return [
            duplicate(f"{path}[{at}]", {} if found[at] is _NO_KEY else {key: ordered(found[at])})
            for at in _repeated(found)
        ]
    several = [{key: item[key] for key in keys if key in item} if item else {} for item in items]
    return [duplicate(f"{path}[{at}]", ordered(several[at])) for at in _repeated(several)]
