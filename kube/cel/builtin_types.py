"""Types of built-in objects, from their definitions, for whoever checks expressions against them.

Definitions may contain themselves, so an object's fields are filled in after it is made.
"""

from __future__ import annotations

from typing import Final

from kube.cel.names import RESERVED, escape
from kube.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    CelType,
    TypeField,
    list_of,
    map_of,
)
from kube.schema.model import Kind, Struct, Type

_KINDS: Final = {
    Kind.STRING: STRING,
    Kind.BOOL: BOOL,
    Kind.INT32: INT,
    Kind.INT64: INT,
    Kind.FLOAT: DOUBLE,
    Kind.BYTES: BYTES,
    Kind.QUANTITY: STRING,
    Kind.TIME: TIMESTAMP,
    Kind.MICRO_TIME: TIMESTAMP,
}


def builtin_type(type_: Type) -> CelType:
    """Return the type of what a definition describes; dynamic where it does not say."""
    return _typed(type_, {})


def _typed(type_: Type, made: dict[int, CelType]) -> CelType:
    match type_.kind:
        case Kind.STRUCT if type_.struct is not None:
            return _struct(type_.struct, made)
        case Kind.LIST if type_.items is not None:
            return list_of(_typed(type_.items, made))
        case Kind.MAP if type_.items is not None:
            return map_of(STRING, _typed(type_.items, made))
    return _KINDS.get(type_.kind, DYN)


def _struct(struct: Struct, made: dict[int, CelType]) -> CelType:
    found = made.get(id(struct))
    if found is not None:
        return found
    name = struct.name or f"object{len(made)}"
    found = made[id(struct)] = CelType("object", name)
    for json_name, each in struct.fields.items():
        cel_name = escape(json_name)
        if cel_name is not None:
            found.fields[cel_name] = TypeField(json_name, _typed(each.type, made))
            if json_name in RESERVED:
                found.fields.setdefault(json_name, found.fields[cel_name])
    return found
