"""What a schema says of lists and maps (`x-kubernetes-list-type` and so on), and whether it may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject
from kube.structural.nodes import LIST_KEYS, LIST_TYPE, MAP_TYPE, items_of, properties_of

_LIST_TYPES: Final = ("atomic", "set", "map")
_MAP_TYPES: Final = ("atomic", "granular")


def has_set_of_structs(schema: JsonObject) -> bool:
    """Tell whether a schema is that of a set whose items have parts of their own."""
    return next(_set_errors(schema, ""), None) is not None


def topology_errors(
    schema: JsonObject, path: str, *, require_atomic_sets: bool
) -> Iterator[FieldError]:
    """Find faults in what a schema says of its list or map.

    Args:
        schema: the schema of a list, a map, or anything else.
        path: where it stands.
        require_atomic_sets: whether items of sets must have no parts of their own.
    """
    map_type, list_type = schema.get(MAP_TYPE), schema.get(LIST_TYPE)
    if map_type is not None:
        yield from _type_errors(schema, path, "object", MAP_TYPE)
        if map_type not in _MAP_TYPES:
            yield not_supported(f"{path}.{MAP_TYPE}", map_type, _MAP_TYPES)
    if list_type is not None:
        yield from _type_errors(schema, path, "array", LIST_TYPE)
    if require_atomic_sets and schema.get("type") == "array":
        yield from _set_errors(schema, path)
    if list_type is not None and list_type not in _LIST_TYPES:
        yield not_supported(f"{path}.{LIST_TYPE}", list_type, _LIST_TYPES)
    if schema.get(LIST_KEYS):
        text = f"must be map if {LIST_KEYS} is non-empty"
        if list_type is None:
            yield required(f"{path}.{LIST_TYPE}", text)
        elif list_type != "map":
            yield invalid(f"{path}.{LIST_TYPE}", list_type, text)
    if list_type == "map":
        yield from _map_errors(schema, path)


def _type_errors(schema: JsonObject, path: str, wanted: str, key: str) -> Iterator[FieldError]:
    named = schema.get("type") or ""
    text = f"must be {wanted} if {key} is specified"
    if not named:
        yield required(f"{path}.type", text)
    elif named != wanted:
        yield invalid(f"{path}.type", named, text)


def _set_errors(schema: JsonObject, path: str) -> Iterator[FieldError]:
    items = items_of(schema)
    if schema.get(LIST_TYPE) != "set" or items is None:
        return
    text = f"must be atomic as item of a list with {LIST_TYPE}=set"
    if items.get("type") == "array" and items.get(LIST_TYPE) not in {None, "atomic"}:
        yield invalid(f"{path}.items.{LIST_TYPE}", items.get(LIST_TYPE), text)
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        # As upstream, which shows the items' list type here.
        yield invalid(f"{path}.items.{MAP_TYPE}", items.get(LIST_TYPE), text)


def _map_errors(schema: JsonObject, path: str) -> Iterator[FieldError]:
    keys: list[str] = schema.get(LIST_KEYS) or []
    items: Any = schema.get("items")
    if not keys:
        text = f"must not be empty if {LIST_TYPE} is map"
        yield required(f"{path}.{LIST_KEYS}", text)
    if items is None:
        text = f"must have a schema if {LIST_TYPE} is map"
        yield required(f"{path}.items", text)
    elif not isinstance(items, dict):
        text = f"must only have a single schema if {LIST_TYPE} is map"
        yield invalid(f"{path}.items", items, text)
    elif items.get("type") != "object":
        text = f"must be object if parent array's {LIST_TYPE} is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", text)
    else:
        yield from _key_errors(keys, items, path)


def _key_errors(keys: list[str], items: JsonObject, path: str) -> Iterator[FieldError]:
    for index, key in enumerate(keys):
        found = properties_of(items).get(key)
        if found is None:
            text = "entries must all be names of item properties"
            yield invalid(f"{path}.{LIST_KEYS}", keys, text)
        elif found.get("type") in {"array", "object"}:
            text = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            yield invalid(f"{path}.items.properties[{key}].type", items["type"], text)
        if key in keys[:index]:
            yield invalid(f"{path}.{LIST_KEYS}", keys, "must not contain duplicate entries")


def map_list_errors(schema: JsonObject, path: str) -> list[FieldError]:
    """Find items that may be null, and keys that may be absent.

    Args:
        schema: the schema of a list, or anything else.
        path: where it stands.
    """
    items, list_type = items_of(schema), schema.get(LIST_TYPE)
    if items is None or list_type not in {"set", "map"}:
        return []
    errors: list[FieldError] = []
    if items.get("nullable"):
        text = f"cannot be nullable when {LIST_TYPE} is {list_type}"
        errors.append(forbidden(f"{path}.items.nullable", text))
    if list_type == "set":
        return errors
    needed = items.get("required") or ()
    for key in schema.get(LIST_KEYS) or ():
        found = properties_of(items).get(key)
        if found is None:
            continue
        where = f"{path}.items.properties[{key}]"
        text = f"this property is in {LIST_KEYS}, so it"
        if key not in needed and found.get("default") is None:
            more = "must have a default or be a required property"
            errors.append(required(f"{where}.default", f"{text} {more}"))
        if found.get("nullable"):
            errors.append(forbidden(f"{where}.nullable", f"{text} cannot be nullable"))
    return errors
