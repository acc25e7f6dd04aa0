"""Comparing two states of an object: which fields one removed, changed and added.

Upstream's `Compare`, on which all tracking of updates rests. Equal parts are told by comparing
dicts, which C does, so the cost is that of what has changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.added import added_node
from kube.managed.atoms import (
    Shape,
    element_of,
    is_atomic,
    shape_of,
    type_of_child,
    type_of_items,
)
from kube.managed.elements import SELF, field_element
from kube.managed.sets import EMPTY, MEMBER, FieldSet, sorted_node
from kube.schema.model import MAP, Kind, Type


class Absent(Enum):
    """What stands for a value that is not there, as null is a value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Comparison(NamedTuple):
    """What differs, no field being in two of the sets.

    Attributes:
        removed: was there and is no more.
        modified: is there still, with another value.
        added: is new.
    """

    removed: FieldSet = EMPTY
    modified: FieldSet = EMPTY
    added: FieldSet = EMPTY

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.removed or self.modified or self.added)

    @property
    def taken(self) -> FieldSet:
        """What whoever made the change answers for from now on."""
        return sets.union(self.modified, self.added)


SAME: Final = Comparison()
_Nodes = tuple[FieldSet | None, FieldSet | None, FieldSet | None]
_NOTHING: Final[_Nodes] = (None, None, None)
_REMOVED: Final[_Nodes] = (MEMBER, None, None)
_MODIFIED: Final[_Nodes] = (None, MEMBER, None)
_ADDED: Final[_Nodes] = (None, None, MEMBER)
HEAD: Final = frozenset({"apiVersion", "kind", "metadata"})
_NONE: Final[frozenset[str]] = frozenset()
NO_KEYS: Final[dict[str, Any]] = {}
BY_KEY: Final = frozenset({Kind.STRUCT, Kind.MAP})
SCALARS: Final = frozenset(Kind) - {Kind.ANY, Kind.UNION, Kind.STRUCT, Kind.MAP, Kind.LIST}


def compare(type_: Type, old: Any, new: Any) -> Comparison:
    """Return what differs between two objects of a type.

    Raises:
        TypedError: one of them does not fit its schema.
    """
    if old == new:
        return SAME
    return Comparison(*(_root(node) for node in _compare(type_, old, new)))


def compare_objects(type_: Type, old: Any, new: Any, nobodys: frozenset[str]) -> Comparison:
    """Return what differs between two whole objects of a type, in what somebody may manage.

    Args:
        type_: of whole objects.
        old: the object before.
        new: the object after.
        nobodys: fields of metadata that are passed over, as are apiVersion and kind.

    Raises:
        TypedError: one of them does not fit its schema.
    """
    parts = _Parts()
    _put_differences(parts, type_, old, new, HEAD)
    before, after = old.get("metadata") or NO_KEYS, new.get("metadata") or NO_KEYS
    if before != after:
        inner = _Parts()
        _put_differences(inner, type_of_child(type_, "metadata"), before, after, nobodys)
        parts.put("f:metadata", inner.nodes())
    removed, modified, added = parts.nodes()
    return Comparison(removed or EMPTY, modified or EMPTY, added or EMPTY)


def changed_values(type_: Type, old: Any, new: Any, nobodys: frozenset[str]) -> FieldSet | None:
    """Return what has another value in a whole object where nothing has come or gone.

    That is what most writes do. It is `compare_objects` but without making sets of what cannot
    be. None: something has, or it takes a closer look.

    Raises:
        TypedError: an object does not fit its schema.
    """
    found = _other_values(type_, old, new, HEAD)
    if found is None:
        return None
    before, after = old.get("metadata") or NO_KEYS, new.get("metadata") or NO_KEYS
    inner = _other_values(type_of_child(type_, "metadata"), before, after, nobodys)
    if inner is None:
        return None
    return sorted_node({**found, "f:metadata": inner}) if inner else found


def changed_in_part(type_: Type, name: str, old: Any, new: Any) -> FieldSet | None:
    """Return the same where one part of an object is all that differs.

    Args:
        type_: of whole objects.
        name: of the part.
        old: the part before; ABSENT: it is new.
        new: the part after.

    Raises:
        TypedError: an object does not fit its schema.
    """
    if old is ABSENT:
        return None
    child = type_of_child(type_, name)
    inner = MEMBER if child.kind in SCALARS else _other_value(child, old, new)
    return None if inner is None else {field_element(name): inner}


def _other_values(
    type_: Type, old: JsonObject, new: JsonObject, passed_over: frozenset[str]
) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is value or (before.__class__ is value.__class__ and before == value):
            continue
        if name in passed_over:
            continue
        if before is ABSENT:
            return None
        child = type_of_child(type_, name)
        if child.kind in SCALARS:
            found[field_element(name)] = MEMBER
            continue
        inner = _other_value(child, before, value)
        if inner is None:
            return None
        found[field_element(name)] = inner
    if not (old.keys() <= new.keys() or old.keys() <= new.keys() | passed_over):
        return None
    return sorted_node(found) if len(found) > 1 else found


def _other_value(type_: Type, old: Any, new: Any) -> FieldSet | None:
    """Return the node of a map or list that differs; None: it takes a closer look."""
    if not old or not new or old.__class__ is not new.__class__:
        return None
    if type_.kind is Kind.LIST:
        if is_atomic(type_, Shape.LIST):
            return MEMBER
        pairs = _changed_pairs(type_, old, new)
        if pairs is None:
            return None
        item_type = type_of_items(type_)
        found = {}
        for before, after in pairs:
            inner = _other_values(item_type, before, after, _NONE)
            if not inner:
                return None
            found[element_of(type_, after)] = inner
        return sorted_node(found) if found else None
    if type_.kind in BY_KEY:
        if is_atomic(type_, Shape.MAP):
            return MEMBER
        return _other_values(type_, old, new, _NONE) or None
    return None


def taken_node(type_: Type, old: Any, new: Any) -> FieldSet | None:
    """Return the node of what a change of a value takes: what is new or has another value.

    Args:
        type_: of the value.
        old: before.
        new: after.

    Returns:
        None: nothing.

    Raises:
        TypedError: one of them does not fit its schema.
    """
    _, modified, added = _compare(type_, old, new)
    if modified is None or added is None:
        return added if modified is None else modified
    return sets.union_nodes(modified, added)


def _put_differences(
    parts: _Parts, type_: Type, old: Any, new: Any, passed_over: frozenset[str]
) -> None:
    """Find what differs in the keys of a struct or map."""
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is value or (before.__class__ is value.__class__ and before == value):
            continue
        if name in passed_over:
            continue
        child = type_of_child(type_, name)
        if child.kind in SCALARS:
            parts.put(field_element(name), _ADDED if before is ABSENT else _MODIFIED)
            continue
        found = _compare(child, before, value)
        if found is not _NOTHING:
            parts.put(field_element(name), found)
    for name, value in old.items():
        if name not in new and name not in passed_over:
            found = _compare(type_of_child(type_, name), value, ABSENT)
            parts.put(field_element(name), found)


def _root(node: FieldSet | None) -> FieldSet:
    if not node:
        return EMPTY
    return {name: below for name, below in node.items() if name != SELF} if SELF in node else node


def _compare(type_: Type, old: Any, new: Any) -> _Nodes:
    if old is ABSENT:
        return None, None, added_node(type_, new)
    if old is new or (old.__class__ is new.__class__ and old == new):
        return _NOTHING
    if new is ABSENT:
        return _by_shape(shape_of(type_, old), type_, old, new)
    shape = shape_of(type_, new)
    if (before := shape_of(type_, old)) is not shape:
        # What has no type of its own may turn from one kind of thing into another.
        was = _by_shape(before, type_, old, new)
        return _together(was, _by_shape(shape, type_, old, new))
    return _by_shape(shape, type_, old, new)


def _together(left: _Nodes, right: _Nodes) -> _Nodes:
    removed, modified, added = (
        theirs if ours is None else ours if theirs is None else sets.union_nodes(ours, theirs)
        for ours, theirs in zip(left, right, strict=True)
    )
    return removed, modified, added


def _leaf(old: Any, new: Any) -> _Nodes:
    if new is ABSENT:
        return _REMOVED
    return _NOTHING if old == new and _is_alike(old, new) else _MODIFIED


def _is_alike(old: Any, new: Any) -> bool:
    """Tell true from 1, which Python does not."""
    return (old.__class__ is bool) == (new.__class__ is bool)


def _by_shape(shape: Shape, type_: Type, old: Any, new: Any) -> _Nodes:
    if shape is Shape.SCALAR or is_atomic(type_, shape):
        return _leaf(old, new)
    expected: type = list if shape is Shape.LIST else dict
    before: Any = old if old.__class__ is expected else None
    after: Any = new if new.__class__ is expected else None
    if not before and not after:
        # Empty and null differ, though there is nothing in either.
        return _leaf(old, new)
    if shape is Shape.LIST:
        parts = _compare_items(type_, before or [], after or [])
    else:
        parts = _compare_keys(type_, before or {}, after or {})
    removed, modified, added = parts
    if new is ABSENT:
        removed = {SELF: MEMBER, **removed} if removed else MEMBER
    return removed, modified, added


class _Parts:
    """Gathers what differs in the children of a value."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.removed: dict[str, Any] = {}
        self.modified: dict[str, Any] = {}
        self.added: dict[str, Any] = {}

    def put(self, element: str, found: _Nodes) -> None:
        removed, modified, added = found
        if removed is not None:
            self.removed[element] = removed
        if modified is not None:
            self.modified[element] = modified
        if added is not None:
            self.added[element] = added

    def nodes(self) -> _Nodes:
        removed, modified, added = self.removed, self.modified, self.added
        return (
            (sorted_node(removed) if len(removed) > 1 else removed) or None,
            (sorted_node(modified) if len(modified) > 1 else modified) or None,
            (sorted_node(added) if len(added) > 1 else added) or None,
        )


def _compare_keys(type_: Type, old: dict[str, Any], new: dict[str, Any]) -> _Nodes:
    parts = _Parts()
    _put_differences(parts, type_, old, new, _NONE)
    return parts.nodes()


def _by_element(type_: Type, items: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(type_, item), []).append(item)
    return found


def _changed_pairs(type_: Type, old: list[Any], new: list[Any]) -> list[tuple[Any, Any]] | None:
    """Return the items that changed, where both lists have the same items in the same places.

    That is how most updates leave a list, and it spares finding out the names of all items. None:
    it is not so, or not certain.
    """
    names = type_.list_keys
    if type_.list_type != MAP or len(old) != len(new):
        return None
    seen = set()
    changed = []
    for before, after in zip(old, new, strict=True):
        if before.__class__ is not dict or after.__class__ is not dict:
            return None
        keys = tuple([after.get(name) for name in names])
        if None in keys or keys != tuple([before.get(name) for name in names]):
            return None
        seen.add(str(keys))
        if before != after:
            changed.append((before, after))
    return changed if len(seen) == len(new) else None


def _compare_items(type_: Type, old: list[Any], new: list[Any]) -> _Nodes:
    pairs = _changed_pairs(type_, old, new)
    if pairs is None:
        return _compare_by_element(type_, old, new)
    item_type = type_of_items(type_)
    parts = _Parts()
    for was, now in pairs:
        parts.put(element_of(type_, now), _compare(item_type, was, now))
    return parts.nodes()


def _compare_by_element(type_: Type, old: list[Any], new: list[Any]) -> _Nodes:
    before, after = _by_element(type_, old), _by_element(type_, new)
    item_type = type_of_items(type_)
    parts = _Parts()
    for element in {**before, **after}:
        olds, news = before.get(element, ()), after.get(element, ())
        if len(olds) <= 1 and len(news) <= 1:
            was = olds[0] if olds else ABSENT
            found = _compare(item_type, was, news[0] if news else ABSENT)
        else:
            found = _compare_doubles(item_type, olds, news)
        parts.put(element, found)
    return parts.nodes()


def _compare_doubles(item_type: Type, olds: Any, news: Any) -> _Nodes:
    """Compare items of which one side has several alike: those are owned as a whole."""
    if len(olds) >= 2 and len(news) >= 2:
        return _NOTHING if olds == news else _MODIFIED
    if len(olds) >= 2:
        added = _compare(item_type, ABSENT, news[0])[2] if news else None
        return MEMBER, None, added
    removed = _compare(item_type, olds[0], ABSENT)[0] if olds else None
    return removed, None, MEMBER
