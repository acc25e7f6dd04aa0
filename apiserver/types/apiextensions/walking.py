"""All parts of an openAPIV3Schema, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

from kube.json_types import JsonObject


def parts_of(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield a schema and each schema within it, outermost first."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += reversed(list(_below(part)))


def _below(schema: JsonObject) -> Iterator[JsonObject]:
    items = schema.get("items")
    yield from items if isinstance(items, list) else [items] if items is not None else []
    for key in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(key) or ()
    if schema.get("not") is not None:
        yield schema["not"]
    yield from (schema.get("properties") or {}).values()
    for key in ("additionalProperties", "additionalItems"):
        if isinstance(schema.get(key), dict):
            yield schema[key]
    for key in ("patternProperties", "definitions"):
        yield from (schema.get(key) or {}).values()
    for child in (schema.get("dependencies") or {}).values():
        if isinstance(child, dict):
            yield child
