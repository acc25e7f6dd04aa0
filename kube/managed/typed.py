"""Objects with a schema: their field set, their faults, and what is left without some fields.

Upstream's `ToFieldSet`, `Validate` and `RemoveItems`. Walkers follow objects, never schemas.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kube.managed import sets
from kube.managed.atoms import (
    Shape,
    TypedError,
    element_of,
    fields_of,
    is_atomic,
    shape_of,
    type_of_child,
    type_of_items,
    type_of_rest,
)
from kube.managed.elements import SELF, field_element, shown
from kube.managed.sets import EMPTY, MEMBER, FieldSet, sorted_node
from kube.patch.plain import go_text, go_type
from kube.schema.model import Kind, Type

_NUMERIC: Final = frozenset({Kind.INT32, Kind.INT64, Kind.FLOAT})
_TEXTS: Final = frozenset({Kind.STRING, Kind.BYTES})


def field_set(type_: Type, value: Any) -> FieldSet:
    """Return every leaf and every item that an object mentions.

    Raises:
        TypedError: it does not fit its schema.
    """
    found = _fields(type_, value)
    return {name: node for name, node in found.items() if name != SELF} if found else EMPTY


def _fields(type_: Type, value: Any) -> FieldSet | None:
    """Return the node of a value, None if nothing in it is a member."""
    shape = shape_of(type_, value)
    if shape is Shape.SCALAR or is_atomic(type_, shape):
        return MEMBER
    if shape is Shape.LIST:
        return _fields_of_items(type_, value) if value.__class__ is list else None
    if value.__class__ is not dict:
        return None
    named = fields_of(type_)
    children: dict[str, Any] = {}
    for name, item in value.items():
        node = _fields(type_of_child(type_, name), item)
        if item is None or item == {} or name not in named:
            node = _as_member(node)
        if node is not None:
            children[field_element(name)] = node
    return sorted_node(children) or None


def _as_member(node: FieldSet | None) -> FieldSet:
    if not node:
        return MEMBER
    return node if SELF in node else {SELF: MEMBER, **node}


def _fields_of_items(type_: Type, items: list[Any]) -> FieldSet | None:
    element_type = type_of_items(type_)
    children: dict[str, Any] = {}
    for item in items:
        element = element_of(type_, item)
        # Items that are there twice are owned as a whole.
        children[element] = (
            MEMBER if element in children else _as_member(_fields(element_type, item))
        )
    return sorted_node(children) or None


def with_named_fields(type_: Type, fields: FieldSet) -> FieldSet:
    """Return a set with the struct fields that lead to its members as members too."""
    named = fields_of(type_)
    result: dict[str, Any] = {}
    for name, node in fields.items():
        if name == SELF or not node:
            result[name] = node
            continue
        if name[0] == "f":
            below = with_named_fields(type_of_child(type_, name[2:]), node)
            result[name] = _as_member(below) if name[2:] in named else below
        else:
            result[name] = with_named_fields(type_of_items(type_), node)
    return result


def without(type_: Type, value: Any, fields: FieldSet) -> Any:
    """Return a value less the items and fields of a set; None where nothing is left.

    What is not touched is shared with the value given.
    """
    shape = shape_of(type_, value)
    if shape is Shape.SCALAR:
        return value
    if not value or is_atomic(type_, shape):
        return None
    if shape is Shape.LIST:
        return _items_without(type_, value, fields) if value.__class__ is list else None
    if value.__class__ is not dict:
        return None
    kept: dict[str, Any] = {}
    for name, item in value.items():
        node = fields.get(field_element(name))
        if node is None:
            kept[name] = item
        elif not sets.is_member(node):
            kept[name] = without(type_of_child(type_, name), item, node)
    return kept or None


def _items_without(type_: Type, items: list[Any], fields: FieldSet) -> list[Any] | None:
    kept = []
    for item in items:
        node = fields.get(element_of(type_, item))
        if node is None:
            kept.append(item)
        elif not sets.is_member(node):
            kept.append(without(type_of_items(type_), item, node))
    return kept or None


def check(type_: Type, value: Any) -> None:
    """Check that an applied configuration fits its schema.

    Raises:
        TypedError: with every fault and its path, in upstream's words.
    """
    faults = list(_faults(type_, value))
    if len(faults) == 1:
        raise TypedError(_worded(faults[0]))
    if faults:
        raise TypedError("\n".join(["errors:", *(f"  {_worded(fault)}" for fault in faults)]))


def _worded(fault: tuple[str, str]) -> str:
    path, text = fault
    return f"{path}: {text}" if path else text


def _faults(type_: Type, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    shape = shape_of(type_, value)
    if shape is Shape.SCALAR:
        text = _scalar_fault(type_.kind, value)
        return [("", text)] if text else []
    if shape is Shape.LIST:
        if not isinstance(value, list):
            return [("", f"expected list, got &{{{go_text(value)}}}")]
        return _item_faults(type_, value)
    if not isinstance(value, dict):
        return [("", f"expected map, got &{{{go_text(value)}}}")]
    named, rest = fields_of(type_), type_of_rest(type_)
    faults = []
    for name, item in value.items():
        field = named.get(name)
        item_type = field.type if field is not None else rest
        if item_type is None:
            faults.append((f".{name}", "field not declared in schema"))
            break
        faults += [(f".{name}{path}", text) for path, text in _faults(item_type, item)]
    return faults


def _item_faults(type_: Type, items: list[Any]) -> list[tuple[str, str]]:
    atomic = is_atomic(type_, Shape.LIST)
    item_type = type_of_items(type_)
    faults: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        where = f"[{index}]"
        if not atomic:
            try:
                element = element_of(type_, item)
            except TypedError as error:
                return [*faults, ("", f"element {index}: {error}")]
            where = shown(element)
            if element in seen:
                faults.append(("", f"duplicate entries for key {where}"))
            seen.add(element)
        faults += [(f"{where}{path}", text) for path, text in _faults(item_type, item)]
    return faults


def _scalar_fault(kind: Kind, value: Any) -> str:
    found = value.__class__
    if kind in _NUMERIC:
        is_fit = found is int or found is float
        return "" if is_fit else f"expected numeric (int or float), got {go_type(value)}"
    if kind in _TEXTS:
        # Upstream shows the Go value that wraps it.
        text = f"expected string, got &value.valueUnstructured{{Value:{_go_literal(value)}}}"
        return "" if found is str else text
    if kind is Kind.BOOL:
        return "" if found is bool else f"expected boolean, got &{{{go_text(value)}}}"
    is_fit = found is not dict and found is not list
    return "" if is_fit else f"expected any scalar, got &{{{go_text(value)}}}"


def _go_literal(value: Any) -> str:
    """Return a value as Go's %#v prints it."""
    match value:
        case dict():
            pairs = (f'"{key}":{_go_literal(value[key])}' for key in sorted(value))
            return f"map[string]interface {{}}{{{', '.join(pairs)}}}"
        case list():
            return f"[]interface {{}}{{{', '.join(map(_go_literal, value))}}}"
        case None:
            return "interface {}(nil)"
        case _:
            return orjson.dumps(value).decode()
