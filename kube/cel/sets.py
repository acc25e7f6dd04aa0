"""Lists that their schema calls sets or maps: compared regardless of order, joined as such.

As upstream does for `x-kubernetes-list-type`: `a == b` if each has what the other has; `a + b` is
`a` in its order, with what `b` has besides; in a map list, elements of `b` take the place of those
of `a` with the same keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kube.cel.types import CelType
from kube.cel.values import equal

Key = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class SetWork:
    """How an operator works on such lists, and what that costs."""

    work: Callable[[Any, Any], Any]
    cost: Callable[[Any, Any], int]


def set_work(function: str, type_: CelType) -> SetWork | None:
    """Return how an operator works on lists of a type; None: as on all lists."""
    if type_.list_type not in ("set", "map"):
        return None
    key = _key_of(type_)
    match function:
        case "_==_":
            return SetWork(lambda a, b: _same(a, b, key), _cost)
        case "_!=_":
            return SetWork(lambda a, b: not _same(a, b, key), _cost)
        case "_+_":
            return SetWork(lambda a, b: _union(a, b, key), _cost)
        case _:
            return None


def _cost(left: Any, right: Any) -> int:
    return 1 + len(left) + len(right)


def _key_of(type_: CelType) -> Key:
    if type_.list_type == "set":
        return lambda item: item if type(item) is str else orjson.dumps(item, default=repr)
    names = type_.list_keys
    return lambda item: (
        tuple(repr(item.get(name)) for name in names) if type(item) is dict else repr(item)
    )


def _same(left: Any, right: Any, key: Key) -> bool:
    if type(left) is not list or type(right) is not list:
        return equal(left, right)
    if len(left) != len(right):
        return False
    others = {key(item): item for item in right}
    return all((k := key(item)) in others and equal(item, others[k]) for item in left)


def _union(left: list[Any], right: list[Any], key: Key) -> list[Any]:
    joined = {key(item): item for item in left}
    joined.update((key(item), item) for item in right)
    return list(joined.values())
