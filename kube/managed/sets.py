"""Field sets: which fields of an object, as a tree of path elements.

A set is what JSON has in `fieldsV1`, so decoding and encoding cost nothing:

    {"f:spec": {"f:replicas": {}, "f:ports": {".": {}, "k:{\\"port\\":80}": {"f:name": {}}}}}

holds spec.replicas, spec.ports and the name of port 80, but neither spec nor the port itself. A
node is a member of its set if it has nothing in it, or a "." in it.

Invariants: sets are never changed, so they share their parts; their elements are canonical and in
order, "." first; there is no node without a member in or below it. The root is no member.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from kube.managed.elements import SELF, ElementError, UnknownKind, canonical, in_order, shown

FieldSet: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str, ...]

MEMBER: Final[FieldSet] = {}
"""A node that is a member and has no children."""
EMPTY: Final[FieldSet] = {}
"""The root of a set without members."""
DEPTH_MAX: Final = 250


class SetError(ValueError):
    """What stands in fieldsV1 is no field set."""


def parse(fields: Any) -> FieldSet:
    """Return a set from what a client wrote: canonical, elements of unknown kinds left out.

    Raises:
        SetError: it is malformed.
    """
    return {name: node for name, node in _parse_node(fields, 0).items() if name != SELF}


def _parse_node(fields: Any, depth: int) -> FieldSet:
    if fields.__class__ is not dict:
        raise SetError(f"expected an object of fields, not {fields!r:.100}")
    if depth > DEPTH_MAX:
        raise SetError("exceeded max depth")
    children: dict[str, Any] = {}
    is_member = False
    for text, below in fields.items():
        if text == SELF:
            is_member = True
            continue
        try:
            element = canonical(text)
        except UnknownKind:
            continue
        except ElementError as error:
            raise SetError(f"parsing key as path element: {error}") from error
        node = _parse_node(below, depth + 1)
        if element in children:
            node = union_nodes(children[element], node)
        children[element] = node
    return _node(sorted_node(children), is_member=is_member or not children)


def _node(children: dict[str, Any], *, is_member: bool) -> dict[str, Any]:
    return {SELF: MEMBER, **children} if is_member and children else children


def sorted_node(children: dict[str, Any]) -> dict[str, Any]:
    """Return children in canonical order."""
    names = list(children)
    ordered = in_order(names)
    return children if names == ordered else {name: children[name] for name in ordered}


def is_member(node: FieldSet) -> bool:
    """Tell whether a node itself belongs to its set."""
    return not node or SELF in node


def of_paths(paths: Iterable[Path]) -> FieldSet:
    """Return the set of these paths."""
    found: FieldSet = EMPTY
    for path in paths:
        node: FieldSet = MEMBER
        for element in reversed(path):
            node = {element: node}
        found = union(found, node)
    return found


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return what is in either set."""
    if not left:
        return right
    return _merged(left, right) if right else left


def union_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the union of two nodes, a member if one of them is."""
    if left is right or left == right:
        return left
    if not right:
        return left if SELF in left or not left else {SELF: MEMBER, **left}
    if not left:
        return right if SELF in right else {SELF: MEMBER, **right}
    return _merged(left, right)


def _merged(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return the union of two nodes with something in them."""
    merged = dict(left)
    is_sorted = True
    for element, node in right.items():
        known = merged.get(element)
        if known is None:
            is_sorted = False
            merged[element] = node
        elif element != SELF:
            merged[element] = union_nodes(known, node)
    if is_sorted:
        return merged
    own = merged.pop(SELF, None)
    return _node(sorted_node(merged), is_member=own is not None)


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return what is in both sets."""
    if len(right) < len(left):
        names = in_order(name for name in right if name != SELF and name in left)
    else:
        names = [name for name in left if name != SELF and name in right]
    found: dict[str, Any] = {}
    for name in names:
        ours, theirs = left[name], right[name]
        both = is_member(ours) and is_member(theirs)
        below = intersection(ours, theirs) if ours and theirs else EMPTY
        if both or below:
            found[name] = _node(dict(below), is_member=both)
    return found


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return what is in `left` only; what is below something of `right` stays."""
    if not right or not left:
        return left
    changed: dict[str, FieldSet | None] = {}
    for name, theirs in right.items():
        ours = left.get(name)
        if ours is None or name == SELF:
            continue
        stays = is_member(ours) and not is_member(theirs)
        below = difference(ours, theirs) if ours else EMPTY
        children = {key: node for key, node in below.items() if key != SELF}
        if children or stays:
            after: FieldSet | None = _node(children, is_member=stays)
            if after == ours:
                continue
        else:
            after = None
        changed[name] = after
    return _replaced(left, changed)


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Return what is in `left` only, without what is below members of `right`."""
    changed: dict[str, FieldSet | None] = {}
    for name, theirs in right.items():
        ours = left.get(name)
        if ours is None or name == SELF:
            continue
        if is_member(theirs):
            changed[name] = None
        elif ours:
            own = is_member(ours)
            below = {k: n for k, n in recursive_difference(ours, theirs).items() if k != SELF}
            changed[name] = _node(below, is_member=own) if below or own else None
    return _replaced(left, changed)


def _replaced(left: FieldSet, changed: dict[str, FieldSet | None]) -> FieldSet:
    if not changed:
        return left
    result: dict[str, Any] = {}
    for name, node in left.items():
        after = changed.get(name, node)
        if after is not None:
            result[name] = after
    return result


def contains(fields: FieldSet, others: FieldSet) -> bool:
    """Tell whether all of another set is in a set."""
    for name, theirs in others.items():
        ours = fields.get(name)
        if ours is None:
            return False
        if not theirs:
            if ours and SELF not in ours:
                return False
        elif name != SELF and not (ours and contains(ours, theirs)):
            return False
    return True


def overlap(fields: FieldSet, others: FieldSet) -> bool:
    """Tell whether two sets have a member in common."""
    for name, theirs in others.items():
        ours = fields.get(name)
        if ours is None or name == SELF:
            continue
        if is_member(ours) and is_member(theirs):
            return True
        if ours and theirs and overlap(ours, theirs):
            return True
    return False


def has(fields: FieldSet, path: Path) -> bool:
    """Tell whether a path is a member."""
    node: FieldSet | None = fields
    for element in path:
        node = node.get(element) if node is not None else None
    return node is not None and bool(path) and is_member(node)


def paths_of(fields: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """Yield every member: at each level first those there, then those below, as upstream."""
    for name, node in fields.items():
        if name != SELF and is_member(node):
            yield (*prefix, name)
    for name, node in fields.items():
        if node:
            yield from paths_of(node, (*prefix, name))


def show_path(path: Path) -> str:
    """Return a path as conflicts name it: `.spec.containers[name="a"].image`."""
    return "".join(map(shown, path))
