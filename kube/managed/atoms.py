"""How a type's values merge: what upstream calls atoms, derived from our one schema model.

A value is a scalar, a list or a map. Lists are atomic (one field), or their items are known by keys
or by value; maps and structs are atomic or granular. What has no type of its own is deduced from
the value: scalars and lists are one field, maps are granular, or one field too where the schema
says so (`RawExtension`). Struct fields have types of their own; keys of a map share one.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from kube.managed.elements import key_element, value_element, value_text
from kube.schema.model import ATOMIC, MAP, SET, Field, Kind, Struct, Type


class Shape(Enum):
    """What a value is merged as."""

    SCALAR = "scalar"
    LIST = "list"
    MAP = "map"


class TypedError(ValueError):
    """A value does not fit its schema, so its fields have no names; worded as upstream."""


DEDUCED: Final = Type(Kind.ANY)
"""The type of what no schema describes."""
UNTYPED: Final = Type(Kind.ANY)
"""The same, but even its maps are one field."""
UNTYPED.map_type = ATOMIC
_NO_FIELDS: Final[dict[str, Field]] = {}
_DEDUCED_KINDS: Final = frozenset({Kind.ANY, Kind.UNION})
_SHAPES: Final = {Kind.STRUCT: Shape.MAP, Kind.MAP: Shape.MAP, Kind.LIST: Shape.LIST}
_MISSING: Final = object()


def shape_of(type_: Type, value: Any) -> Shape:
    """Return what `value` is merged as; where the type leaves it open, null counts as a map."""
    if type_.kind in _DEDUCED_KINDS:
        if value.__class__ is list:
            return Shape.LIST
        return Shape.MAP if value.__class__ is dict or value is None else Shape.SCALAR
    return _SHAPES.get(type_.kind, Shape.SCALAR)


def is_deduced(type_: Type) -> bool:
    """Tell whether values of this type may be anything."""
    return type_.kind in _DEDUCED_KINDS


def is_atomic(type_: Type, shape: Shape) -> bool:
    """Tell whether a list or map of this type is one field."""
    if shape is Shape.MAP:
        return type_.map_type == ATOMIC
    return type_.list_type not in {SET, MAP}


def fields_of(type_: Type) -> dict[str, Field]:
    """Return the named fields of a struct; none for anything else."""
    return type_.struct.fields if type_.kind is Kind.STRUCT and type_.struct else _NO_FIELDS


def type_of_rest(type_: Type) -> Type | None:
    """Return the type of keys that are no named fields; None: there may be none."""
    if type_.kind is Kind.MAP:
        return type_.items
    if type_.kind is Kind.STRUCT:
        return DEDUCED if type_.preserve_unknown else None
    return UNTYPED if type_.map_type == ATOMIC else DEDUCED


def type_of_child(type_: Type, name: str) -> Type:
    """Return the type of a field or map key; what should not be there is deduced."""
    field = fields_of(type_).get(name)
    return field.type if field is not None else type_of_rest(type_) or DEDUCED


def type_of_items(type_: Type) -> Type:
    """Return the type of a list's items."""
    return type_.items if type_.kind is Kind.LIST and type_.items is not None else UNTYPED


def element_of(type_: Type, item: Any) -> str:
    """Return the path element of an item of a list that is not atomic.

    Raises:
        TypedError: it has none.
    """
    if type_.list_type == MAP:
        return _keyed_element(type_, item)
    match item:
        case dict():
            raise TypedError("associative list without keys has an element that's a map type")
        case list():
            raise TypedError("not supported: associative list with lists as elements")
        case None:
            raise TypedError("associative list without keys has an element that's an explicit null")
        case _:
            return value_element(item)


def _keyed_element(type_: Type, item: Any) -> str:
    if item is None:
        raise TypedError("associative list with keys may not have a null element")
    if item.__class__ is not dict:
        raise TypedError("associative list with keys may not have non-map elements")
    names = type_.list_keys
    if len(names) == 1:
        value = item.get(names[0], _MISSING)
        if value is not _MISSING:
            return f'k:{{"{names[0]}":{value_text(value)}}}'
    known = fields_of(type_of_items(type_))
    keys = []
    for name in names:
        value = item.get(name, _MISSING)
        if value is _MISSING:
            field = known.get(name)
            if field is None or field.default is None:
                continue
            value = field.default
        keys.append((name, value))
    if not keys:
        shown = " ".join(f'"{name}"' for name in names)
        raise TypedError(
            f"associative list with keys has an element that omits all key fields [{shown}] "
            "(and doesn't have default values for any key fields)"
        )
    return key_element(sorted(keys))


def root_type(struct: Struct) -> Type:
    """Return the type of whole objects of a struct."""
    return Type(Kind.STRUCT, struct=struct, go_type=struct.go_name)
