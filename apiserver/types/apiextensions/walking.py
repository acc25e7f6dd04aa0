"""All parts of an openAPIV3Schema, wherever they stand, and whether each is made as one can be.

What may be one of several things (a schema, a list of them, true) is not told apart by decoding;
`misshapen` finds what is none of them, and until it has been asked only schemas are walked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kube.json_types import JsonObject

_OR_BOOL: Final = ("additionalProperties", "additionalItems")


def parts_of(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield a schema and each schema within it, outermost first."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += reversed([child for child in _below(part) if child.__class__ is dict])


def _below(schema: JsonObject) -> Iterator[Any]:
    items = schema.get("items")
    yield from items if isinstance(items, list) else [items]
    for key in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(key) or ()
    yield schema.get("not")
    yield from (schema.get("properties") or {}).values()
    for key in _OR_BOOL:
        yield schema.get(key)
    for key in ("patternProperties", "definitions", "dependencies"):
        yield from (schema.get(key) or {}).values()


def misshapen(schema: JsonObject) -> tuple[str, Any] | None:
    """Return a key of some part whose value is nothing that may stand there, and the value."""
    for part in parts_of(schema):
        items = part.get("items")
        several = items if isinstance(items, list) else [{} if items is None else items]
        if any(item.__class__ is not dict for item in several):
            return "items", items
        for key in _OR_BOOL:
            value = part.get(key)
            if value is not None and value.__class__ not in {bool, dict}:
                return key, value
        for value in (part.get("dependencies") or {}).values():
            if value.__class__ not in {dict, list}:
                return "dependencies", value
    return None
