"""Lists and sets: Kubernetes' sum, min, indexOf, includes ...; CEL's sort, flatten, sets ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.values import (
    NONE,
    Duration,
    Optional,
    Uint,
    check_int,
    check_uint,
    equal,
    kind_of,
    no_such_overload,
    traversal_cost,
)

_COMPARABLE: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_RANGE_MAX: Final = 1_000_000


def _length(value: list[Any], *_: Any) -> int:
    return 1 + len(value)


def _pairs(left: list[Any], right: list[Any]) -> int:
    return 1 + max(len(left), traversal_cost(left)) * len(right)


def _square(items: list[Any], *_: Any) -> int:
    return _pairs(items, items)


def _copied(_: list[Any], start: int, end: int) -> int:
    return 1 + max(0, end - start) // 16


def declare(to: Declarations) -> None:
    """Declare the functions of lists and sets."""
    for kind in _COMPARABLE:
        signature = f"list({kind}) ->"
        to.method(
            "isSorted",
            f"list_{kind}_is_sorted_bool",
            f"{signature} bool",
            _is_sorted,
            traversal_cost,
        )
        to.method(
            "max",
            f"list_{kind}_max_{kind}",
            f"{signature} {kind}",
            _best("max", max),
            traversal_cost,
        )
        to.method(
            "min",
            f"list_{kind}_min_{kind}",
            f"{signature} {kind}",
            _best("min", min),
            traversal_cost,
        )
        to.method("sort", f"list_{kind}_sort", f"{signature} list({kind})", _sort, _length)
        to.method(
            "@sortByAssociatedKeys",
            f"list_{kind}_sortByAssociatedKeys",
            f"list(T), list({kind}) -> list(T)",
            _sort_by,
            _length,
        )
    for kind, total in (
        ("int", _sum_int),
        ("uint", _sum_uint),
        ("double", _sum_double),
        ("duration", _sum_duration),
    ):
        to.method(
            "sum", f"list_{kind}_sum_{kind}", f"list({kind}) -> {kind}", total, traversal_cost
        )
    to.method("indexOf", "list_a_index_of_int", "list(A), A -> int", _index_of, traversal_cost)
    to.method(
        "lastIndexOf",
        "list_a_last_index_of_int",
        "list(A), A -> int",
        _last_index_of,
        traversal_cost,
    )
    to.method("includes", "list_includes_dyn_dyn", "dyn, dyn -> bool", _includes, traversal_cost)
    to.method("slice", "list_slice", "list(T), int, int -> list(T)", _slice, _copied)
    to.method("flatten", "list_flatten", "list(list(T)) -> list(T)", _flatten, traversal_cost)
    to.method(
        "flatten", "list_flatten_int", "list(dyn), int -> list(dyn)", _flatten, traversal_cost
    )
    to.method("reverse", "list_reverse", "list(T) -> list(T)", lambda items: items[::-1], _length)
    to.method("distinct", "list_distinct", "list(T) -> list(T)", _distinct, _square)
    to.method(
        "first",
        "list_first",
        "list(T) -> optional_type(T)",
        lambda items: Optional(items[0]) if items else NONE,
    )
    to.method(
        "last",
        "list_last",
        "list(T) -> optional_type(T)",
        lambda items: Optional(items[-1]) if items else NONE,
    )
    to.function(
        "lists.range",
        "lists_range",
        "int -> list(int)",
        _range,
        lambda count: max(1, min(count, _RANGE_MAX)),
    )
    to.function(
        "sets.contains", "list_sets_contains_list", "list(T), list(T) -> bool", _contains, _pairs
    )
    to.function(
        "sets.intersects",
        "list_sets_intersects_list",
        "list(T), list(T) -> bool",
        _intersects,
        _pairs,
    )
    to.function(
        "sets.equivalent",
        "list_sets_equivalent_list",
        "list(T), list(T) -> bool",
        lambda a, b: _contains(a, b) and _contains(b, a),
        lambda a, b: 2 * _pairs(a, b) - 1,
    )
    to.function(
        "cel.@mapInsert", "@mapInsert_map_key_value", "map(K, V), K, V -> map(K, V)", _insert
    )
    to.function(
        "cel.@mapInsert", "@mapInsert_map_map", "map(K, V), map(K, V) -> map(K, V)", _insert_all
    )


def _is_sorted(items: list[Any]) -> bool:
    return all(items[at] <= items[at + 1] for at in range(len(items) - 1))


def _best(name: str, choose: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def best(items: list[Any]) -> Any:
        if not items:
            raise CelError(f"{name} called on empty list")
        return choose(items)

    return best


_sum_int: Final = lambda items: check_int(sum(items))  # noqa: E731
_sum_uint: Final = lambda items: check_uint(sum(items))  # noqa: E731
_sum_double: Final = lambda items: float(sum(items))  # noqa: E731
_sum_duration: Final = lambda items: Duration(sum(item.nanos for item in items))  # noqa: E731


def _index_of(items: list[Any], needle: Any) -> int:
    return next((at for at, item in enumerate(items) if equal(item, needle)), -1)


def _last_index_of(items: list[Any], needle: Any) -> int:
    found = _index_of(items[::-1], needle)
    return -1 if found < 0 else len(items) - 1 - found


def _includes(target: Any, needle: Any) -> bool:
    if type(target) is list:
        return any(equal(item, needle) for item in target)
    return equal(target, needle)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise CelError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise CelError(
            f"cannot slice({start}, {end}), start index must be less than or equal to end index"
        )
    if end > len(items):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    while depth and any(type(item) is list for item in items):
        depth -= 1
        items = [part for item in items for part in (item if type(item) is list else [item])]
    return items


def _sort(items: list[Any]) -> list[Any]:
    return _sort_by(items, items)


def _sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    kinds = {kind_of(key) for key in keys}
    if len(kinds) > 1:
        raise CelError("list elements must have the same type")
    if kinds and not kinds <= set(_COMPARABLE):
        raise CelError("list elements must be comparable")
    if len(items) != len(keys):
        raise no_such_overload()
    return [items[at] for at in sorted(range(len(keys)), key=keys.__getitem__)]


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not _includes(kept, item):
            kept.append(item)
    return kept


def _range(count: int) -> list[int]:
    if count > _RANGE_MAX:
        raise CelError("lists.range() size is too large")
    return list(range(count))


def _contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(_includes(items, item) for item in wanted)


def _intersects(items: list[Any], others: list[Any]) -> bool:
    return any(_includes(items, item) for item in others)


def _insert(target: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    return _insert_all(target, {key: value})


def _insert_all(target: dict[Any, Any], others: dict[Any, Any]) -> dict[Any, Any]:
    """Add to the map that a macro builds, which nobody else has seen yet."""
    for key, value in others.items():
        if key in target:
            raise CelError(f"insert failed: key {key} already exists")
        if not isinstance(key, str | int | bool | Uint):
            raise CelError("unsupported key type")
        target[key] = value
    return target
