"""How the parts of an openAPIV3Schema are read, whoever reads them.

A schema is the JSON of a CustomResourceDefinition's version, as stored. It is never changed, and a
part that is missing reads as an empty one. Walks are made of a schema piece by piece, when an
object first has something there: a definition with ten thousand fields costs what is used of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kube.json_types import JsonObject

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"
RULES: Final = "x-kubernetes-validations"
META_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})

_NO_PROPERTIES: Final[dict[str, JsonObject]] = {}
Made = TypeVar("Made")


def properties_of(schema: JsonObject) -> dict[str, JsonObject]:
    """Return the schemas of named fields."""
    return schema.get("properties") or _NO_PROPERTIES


def items_of(schema: JsonObject | None) -> JsonObject | None:
    """Return the schema of a list's items, None if there is none (or several)."""
    items = schema.get("items") if schema is not None else None
    return items if isinstance(items, dict) else None


def values_of(schema: JsonObject) -> JsonObject | None:
    """Return the schema of the values of a map, None if it has none."""
    values = schema.get("additionalProperties")
    return values if isinstance(values, dict) else None


def takes_any_key(schema: JsonObject) -> bool:
    """Tell whether the schema says something of keys that are no named fields."""
    return schema.get("additionalProperties") is not None


def child_of(schema: JsonObject, key: str) -> JsonObject | None:
    """Return the schema of what stands at a key."""
    found = properties_of(schema).get(key)
    return found if found is not None else values_of(schema)


def joined(key: str, path: str) -> str:
    """Return the path of something below `key`; an index follows without a dot."""
    return f"{key}{path}" if path.startswith("[") else f"{key}.{path}"


class Lazy(dict[str, Made], Generic[Made]):
    """What is made of the named fields of a schema, each when it is first looked up.

    Args of the constructor:
        schema: whose named fields.
        make: what to make of a field's schema.
        rest: what any other key has; such keys are not kept.
    """

    __slots__ = ("_make", "_properties", "_rest")

    def __init__(self, schema: JsonObject, make: Callable[[JsonObject], Made], rest: Made) -> None:
        super().__init__()
        self._properties = properties_of(schema)
        self._make = make
        self._rest = rest

    def __missing__(self, key: str) -> Made:
        schema = self._properties.get(key)
        if schema is None:
            return self._rest
        made = self[key] = self._make(schema)
        return made
