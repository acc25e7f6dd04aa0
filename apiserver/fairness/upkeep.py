"""Keeps the default levels and schemas: makes what is missing, and updates what is ours to update.

As upstream's ensurer: mandatory objects are always made right; a suggested one is made again when
it is missing, and brought up to date unless its annotation `apf.kubernetes.io/autoupdate-spec` says
false (or is missing, and its spec was edited). What is annotated true and is none of ours, an older
version made: it is deleted.
"""

from __future__ import annotations

import copy
from enum import Enum
from typing import Final

from apiserver.fairness.defaults import (
    AUTO_UPDATE,
    MANDATORY_LEVELS,
    MANDATORY_SCHEMAS,
    SUGGESTED_LEVELS,
    SUGGESTED_SCHEMAS,
)
from apiserver.fairness.model import EXEMPT, LEVELS, SCHEMAS
from kube.json_types import JsonObject

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
DEFAULTS: Final[dict[str, tuple[tuple[JsonObject, ...], tuple[JsonObject, ...]]]] = {
    SCHEMAS: (SUGGESTED_SCHEMAS, MANDATORY_SCHEMAS),
    LEVELS: (SUGGESTED_LEVELS, MANDATORY_LEVELS),
}
"""By storage resource: suggested and mandatory objects."""


class Task(Enum):
    """What is to be done with an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


def tasks(storage: str, present: dict[str, JsonObject]) -> list[tuple[Task, JsonObject]]:
    """Return what is to be done about one type.

    Args:
        storage: the type.
        present: its objects by name.

    Returns:
        What to do, with the object as it shall be (of a delete: as it is).
    """
    found: list[tuple[Task, JsonObject]] = []
    suggested, mandatory = DEFAULTS[storage]
    for wanted, always in [(one, False) for one in suggested] + [(one, True) for one in mandatory]:
        current = present.get(wanted["metadata"]["name"])
        if current is None:
            found.append((Task.CREATE, copy.deepcopy(wanted)))
        elif (updated := _updated(current, wanted, always=always)) is not None:
            found.append((Task.UPDATE, updated))
    ours = {one["metadata"]["name"] for one in suggested + mandatory}
    found.extend(
        (Task.DELETE, obj)
        for name, obj in present.items()
        if name not in ours and _annotation(obj) is True
    )
    return found


def _updated(current: JsonObject, wanted: JsonObject, *, always: bool) -> JsonObject | None:
    """Return the object as it shall be, None if it is so already."""
    annotated = _annotation(current)
    ours = always
    if not ours:
        untouched = current["metadata"].get("generation") == 1
        ours = untouched if annotated is None else annotated
    spec = _wanted_spec(current, wanted)
    is_stale = ours and current.get("spec") != spec
    if annotated is ours and not is_stale:
        return None
    updated = copy.deepcopy(current)
    annotations = updated["metadata"].setdefault("annotations", {})
    if annotated is not ours:
        annotations[AUTO_UPDATE] = "true" if ours else "false"
    if is_stale:
        updated["spec"] = copy.deepcopy(spec)
    return updated


def _wanted_spec(current: JsonObject, wanted: JsonObject) -> JsonObject:
    """Return the spec to have: what is set of the exempt level's seats is the cluster's own."""
    spec: JsonObject = wanted["spec"]
    kept = current.get("spec", {}).get("exempt")
    if wanted["metadata"]["name"] == EXEMPT and "exempt" in spec and kept is not None:
        return {**spec, "exempt": kept}
    return spec


def _annotation(obj: JsonObject) -> bool | None:
    text = (obj["metadata"].get("annotations") or {}).get(AUTO_UPDATE)
    return True if text in _TRUE else False if text in _FALSE else None
