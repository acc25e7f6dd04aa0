"""Field sets that were written under another schema: what became atomic is owned as a whole.

Upstream's `ReconcileFieldSetWithSchema`. What turns from atomic to granular is treated as if it had
always been granular.
"""

from __future__ import annotations

from typing import Any

from kube.managed.atoms import (
    Shape,
    fields_of,
    is_atomic,
    is_deduced,
    shape_of,
    type_of_items,
    type_of_rest,
)
from kube.managed.elements import SELF
from kube.managed.sets import MEMBER, FieldSet, is_member
from kube.schema.model import Kind, Type


def reconcile(type_: Type, fields: FieldSet) -> FieldSet:
    """Return a set as it has to be under `type_`; the very same one where nothing changes."""
    changed: dict[str, Any] = {}
    for name, node in fields.items():
        if name == SELF:
            continue
        child = _child_type(type_, name)
        if child is None:
            continue
        after = _node_under(child, node)
        if after is not node:
            changed[name] = after
    return {**fields, **changed} if changed else fields


def _child_type(type_: Type, name: str) -> Type | None:
    """Return the type of what an element leads to, None where the schema knows of none."""
    if name[0] == "f" and type_.kind is not Kind.LIST:
        field = fields_of(type_).get(name[2:])
        return field.type if field is not None else type_of_rest(type_)
    return type_of_items(type_) if type_.kind is Kind.LIST else type_of_rest(type_)


def _node_under(type_: Type, node: FieldSet) -> FieldSet:
    if is_deduced(type_):
        return node
    shape = shape_of(type_, None)
    if shape is Shape.SCALAR:
        return node
    if is_atomic(type_, shape):
        is_whole = is_member(node) and not node
        return node if is_whole else MEMBER
    return reconcile(type_, node)
