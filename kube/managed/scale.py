"""Managers of a scale subresource: whoever manages an object's replicas manages its Scale's.

Upstream's `ScaleHandler`. A Scale is not stored; its managers are those of the object, seen through
the one field that both have, and what becomes of them by a write is brought back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kube.managed import sets
from kube.managed.entries import UPDATE, Identity, Managers, Owned
from kube.managed.sets import FieldSet, Path

SCALE_VERSION: Final = "autoscaling/v1"
REPLICAS: Final[Path] = ("f:spec", "f:replicas")


@lru_cache(maxsize=1024)
def _only(path: Path) -> FieldSet:
    return sets.of_paths([path])


def _in_version(who: Identity, version: str) -> Identity:
    return who._replace(version=version) if who.operation == UPDATE else who


def to_scale(managers: Managers, path: Path = REPLICAS) -> Managers:
    """Return the managers of an object's Scale.

    Args:
        managers: of the object.
        path: of the replicas in the object.
    """
    return {
        _in_version(who, SCALE_VERSION): Owned(SCALE_VERSION, _only(REPLICAS), owned.time)
        for who, owned in managers.items()
        if sets.has(owned.fields, path)
    }


def to_object(managers: Managers, scale: Managers, version: str, path: Path = REPLICAS) -> Managers:
    """Return the managers of an object whose Scale was written.

    Args:
        managers: of the object before.
        scale: of the Scale afterwards.
        version: of the object, in which the write was made.
        path: of the replicas in the object.
    """
    replicas_only = _only(path)
    left = {who: owned for who, owned in scale.items() if sets.has(owned.fields, REPLICAS)}
    after: Managers = {}
    for who, owned in managers.items():
        there = _in_version(who, SCALE_VERSION)
        if sets.has(owned.fields, path) and left.pop(there, None) is None:
            # Whoever scaled has taken it.
            rest = sets.difference(owned.fields, replicas_only)
            if rest:
                after[who] = owned._replace(fields=rest)
        else:
            after[who] = owned
    for who in left:
        here = _in_version(who, version)
        known = after.get(here)
        if known is None:
            # Upstream gives it no time: it looks for one under the name that it has there.
            after[here] = Owned(version, replicas_only)
        else:
            after[here] = known._replace(fields=sets.union(known.fields, replicas_only))
    return after
