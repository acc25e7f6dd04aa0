"""The types of custom objects in the model that all walkers of objects share.

What a schema says of merging is kept: kinds of lists and maps, keys and their defaults, where
unknown fields are preserved (which all parts below inherit). Metadata, at the root and of embedded
resources, is the built-in type. Values are never normalized by these types: custom objects keep
what they say.
"""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject
from kube.schema.compile import builtin_schemas
from kube.schema.model import ATOMIC, Field, Kind, Struct, Type
from kube.structural.embedded import METADATA
from kube.structural.nodes import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    items_of,
    properties_of,
    values_of,
)

_SCALARS: Final = {
    "boolean": Kind.BOOL,
    "integer": Kind.INT64,
    "number": Kind.FLOAT,
    "string": Kind.STRING,
}


def type_of(schema: JsonObject, *, preserve: bool = False, is_root: bool = False) -> Type:
    """Return the type of values of a schema.

    Args:
        schema: the schema.
        preserve: unknown fields are kept, as the schema around this one says.
        is_root: values are whole custom resources.
    """
    preserve = preserve or bool(schema.get(PRESERVE))
    made = _made(schema, preserve=preserve, is_root=is_root)
    made.nullable = bool(schema.get("nullable"))
    made.embedded = is_root or bool(schema.get(EMBEDDED))
    made.source = schema
    return made


def _made(schema: JsonObject, *, preserve: bool, is_root: bool) -> Type:
    if schema.get(INT_OR_STRING):
        return Type(Kind.INT_OR_STRING)
    named = schema.get("type") or ""
    if is_root or named == "object" or (not named and properties_of(schema)):
        return _object_type(schema, preserve=preserve, is_root=is_root)
    if named == "array":
        items = items_of(schema)
        made = Type(
            Kind.LIST,
            items=type_of(items, preserve=preserve) if items is not None else Type(Kind.ANY),
        )
        made.list_type = schema.get(LIST_TYPE) or ATOMIC
        made.list_keys = tuple(schema.get(LIST_KEYS) or ())
        return made
    return Type(_SCALARS.get(named, Kind.ANY))


def _object_type(schema: JsonObject, *, preserve: bool, is_root: bool) -> Type:
    is_whole = is_root or bool(schema.get(EMBEDDED))
    named, rest = properties_of(schema), schema.get("additionalProperties")
    map_type = schema.get(MAP_TYPE) or ""
    if not named and not is_whole and rest is not False:
        values = values_of(schema)
        items = type_of(values, preserve=preserve) if values is not None else Type(Kind.ANY)
        made = Type(Kind.MAP, items=items)
        made.map_type = map_type
        return made
    struct = Struct("", "", map_type)
    needed = schema.get("required") or ()
    for name, child in named.items():
        field = _field(name, type_of(child, preserve=preserve))
        field.default = child.get("default")
        field.required = name in needed
        struct.fields[name] = field
    if is_whole:
        for name in ("apiVersion", "kind"):
            struct.fields[name] = _field(name, Type(Kind.STRING))
        metadata = Type(Kind.STRUCT, struct=builtin_schemas().struct(METADATA))
        struct.fields["metadata"] = _field("metadata", metadata)
    made = Type(Kind.STRUCT, struct=struct)
    made.preserve_unknown = rest is True or (preserve and rest is None)
    return made


def _field(name: str, type_: Type) -> Field:
    field = Field(name, type_)
    # Nothing is written for a field that was not set.
    field.pointer = True
    return field
