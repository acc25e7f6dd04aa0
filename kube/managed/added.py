"""The set of a value that was not there before: all of it, and everything in it.

It is what comparing with nothing finds, at the cost of a look at each struct's keys: how a struct's
children are called, in which order, and which of them are one field, is worked out once for each
combination of keys. What pods and nodes get with their first status is found so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from kube.managed.atoms import Shape, element_of, is_atomic, shape_of, type_of_child, type_of_items
from kube.managed.elements import SELF, field_element
from kube.managed.sets import MEMBER, FieldSet, sorted_node
from kube.schema.model import Kind, Struct, Type

_PLANS_MAX: Final = 2048
_SCALARS: Final = frozenset(Kind) - {Kind.ANY, Kind.UNION, Kind.STRUCT, Kind.MAP, Kind.LIST}


class _Plan(NamedTuple):
    """The node of a struct with certain keys.

    Attributes:
        leaves: the node if nothing had anything below it, to be copied.
        below: what may have: key, element, type.
    """

    leaves: FieldSet
    below: tuple[tuple[str, str, Type], ...]


def added_node(type_: Type, value: Any) -> FieldSet:
    """Return the node of a value that is new.

    Raises:
        TypedError: an item of a list has no name.
    """
    shape = shape_of(type_, value)
    if shape is Shape.SCALAR or is_atomic(type_, shape):
        return MEMBER
    if shape is Shape.LIST:
        return _of_items(type_, value) if value.__class__ is list and value else MEMBER
    if value.__class__ is not dict or not value:
        return MEMBER
    struct = type_.struct if type_.kind is Kind.STRUCT else None
    # Keys that no schema names are not remembered: clients make them up.
    if struct is not None and struct.fields.keys() >= value.keys():
        leaves, below = _plan(struct, tuple(value))
        if not below:
            return leaves
        node = dict(leaves)
        for name, element, child in below:
            node[element] = added_node(child, value[name])
        return node
    children = {
        field_element(name): added_node(type_of_child(type_, name), item)
        for name, item in value.items()
    }
    return {SELF: MEMBER, **sorted_node(children)}


@lru_cache(maxsize=_PLANS_MAX)
def _plan(struct: Struct, names: tuple[str, ...]) -> _Plan:
    fields = struct.fields
    ordered = sorted_node({field_element(name): MEMBER for name in names})
    below = []
    for element in ordered:
        child = fields[element[2:]].type
        shape = shape_of(child, None)
        is_open = child.kind in {Kind.ANY, Kind.UNION}
        if child.kind not in _SCALARS and (is_open or not is_atomic(child, shape)):
            below.append((element[2:], element, child))
    return _Plan({SELF: MEMBER, **ordered}, tuple(below))


def _of_items(type_: Type, items: list[Any]) -> FieldSet:
    item_type = type_of_items(type_)
    node: dict[str, Any] = {}
    for item in items:
        element = element_of(type_, item)
        # Items that are there twice are owned as a whole.
        node[element] = MEMBER if element in node else added_node(item_type, item)
    return {SELF: MEMBER, **(sorted_node(node) if len(node) > 1 else node)}
