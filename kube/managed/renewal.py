"""Writes that give other values to scalars which are there already, in one part of an object.

So leases are renewed, replicas scaled and counters counted. What such a write has changed is told
by names alone, without looking at types: who manages it is found out once for these names.
"""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject
from kube.managed.atoms import Shape, is_atomic, type_of_child
from kube.managed.compare import ABSENT, SCALARS
from kube.managed.elements import field_element
from kube.managed.sets import MEMBER, FieldSet, sorted_node
from kube.managed.updater import NOBODYS_METADATA
from kube.schema.model import Kind, Type

_HEAD: Final = frozenset({"apiVersion", "kind", "metadata"})
_PLAIN: Final[frozenset[type]] = frozenset({str, int, float, bool})
_BY_KEY: Final = frozenset({Kind.STRUCT, Kind.MAP})
_NO_KEYS: Final[JsonObject] = {}


def renewed_names(old: JsonObject, new: JsonObject) -> tuple[str, ...] | None:
    """Return which scalars have another value: the part of the object they are in, then theirs.

    Args:
        old: the object before.
        new: the object after.

    Returns:
        (): nothing differs that anybody may manage. None: more does, or something is new or gone.
    """
    if len(old) != len(new):
        return None
    part, was, now = "", _NO_KEYS, _NO_KEYS
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is value or name in _HEAD:
            continue
        if before.__class__ is not dict or value.__class__ is not dict:
            if before.__class__ is not value.__class__ or before != value:
                return None
        elif before != value:
            if part:
                return None
            part, was, now = name, before, value
    if not _is_same_metadata(old.get("metadata") or _NO_KEYS, new.get("metadata") or _NO_KEYS):
        return None
    if not part:
        return ()
    return _renewed(part, was, now) if len(was) == len(now) else None


def _renewed(part: str, old: JsonObject, new: JsonObject) -> tuple[str, ...] | None:
    found = [part]
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is value:
            continue
        if before.__class__ is not value.__class__:
            return None
        if before != value:
            if value.__class__ not in _PLAIN:
                return None
            found.append(name)
    return tuple(found)


def _is_same_metadata(old: JsonObject, new: JsonObject) -> bool:
    """Tell whether metadata are the same in what somebody may manage."""
    names = new.keys() - NOBODYS_METADATA
    if old.keys() - NOBODYS_METADATA != names:
        return False
    for name in names:
        before, value = old[name], new[name]
        if before.__class__ is not value.__class__ or before != value:
            return False
    return True


def named_set(type_: Type, names: tuple[str, ...]) -> FieldSet | None:
    """Return the set of what `renewed_names` has found; None: these fields are no scalars.

    Args:
        type_: of whole objects.
        names: not ().
    """
    part, *inner = names
    child = type_of_child(type_, part)
    if child.kind not in _BY_KEY or is_atomic(child, Shape.MAP):
        return None
    if not all(type_of_child(child, name).kind in SCALARS for name in inner):
        return None
    return {field_element(part): sorted_node({field_element(name): MEMBER for name in inner})}
