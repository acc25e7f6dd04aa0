"""Writes that give other values to scalars which are there already, in one part of an object.

So leases are renewed, replicas scaled and counters counted. What such a write has changed is told
by names alone, without looking at types: who manages it is found out once for these names.
"""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject
from kube.managed.atoms import Shape, is_atomic, type_of_child
from kube.managed.compare import ABSENT, BY_KEY, HEAD, NO_KEYS, SCALARS
from kube.managed.elements import field_element
from kube.managed.sets import MEMBER, FieldSet, sorted_node
from kube.managed.updater import NOBODYS_METADATA
from kube.schema.model import Type

_PLAIN: Final[frozenset[type]] = frozenset({str, int, float, bool})


def changed_part(old: JsonObject, new: JsonObject) -> str | None:
    """Return the one part of an object in which anything differs that somebody may manage.

    Args:
        old: the object before.
        new: the object after.

    Returns:
        "": nothing differs. None: more parts do, or metadata, or a part has gone.
    """
    part, more = "", 0
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is value or name in HEAD:
            continue
        if before.__class__ is value.__class__ and before == value:
            continue
        if part:
            return None
        part, more = name, before is ABSENT
    if len(new) != len(old) + more:
        return None
    before, after = old.get("metadata") or NO_KEYS, new.get("metadata") or NO_KEYS
    return part if _is_same_metadata(before, after) else None


def renewed_names(old: Any, new: Any) -> tuple[str, ...] | None:
    """Return which scalars of a part have another value; None: something else differs.

    Args:
        old: the part before.
        new: the part after.
    """
    if old.__class__ is not dict or new.__class__ is not dict or len(old) != len(new):
        return None
    found = []
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
        if before is value:
            continue
        if before.__class__ is not value.__class__ or before != value:
            return False
    return True


def named_set(type_: Type, part: str, names: tuple[str, ...]) -> FieldSet | None:
    """Return the set of some scalars of a part; None: these fields are no scalars.

    Args:
        type_: of whole objects.
        part: of the object.
        names: that `renewed_names` has found.
    """
    child = type_of_child(type_, part)
    if child.kind not in BY_KEY or is_atomic(child, Shape.MAP):
        return None
    if not all(type_of_child(child, name).kind in SCALARS for name in names):
        return None
    return {field_element(part): sorted_node({field_element(name): MEMBER for name in names})}
