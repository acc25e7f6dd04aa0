"""Operators: arithmetic that never wraps, comparison across numbers, equality, `in`, `[]`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.values import (
    NONE,
    Duration,
    Optional,
    Timestamp,
    Uint,
    check_int,
    check_uint,
    equal,
    no_such_overload,
    size_of,
    traversal,
    traversal_cost,
)

_ORDERED: Final = {
    "bool": "bool",
    "int": "int64",
    "uint": "uint64",
    "double": "double",
    "string": "string",
    "bytes": "bytes",
    "timestamp": "timestamp",
    "duration": "duration",
}
# Comparing what is nested takes about a quarter of what a step of an expression takes.
_NESTED_PER_UNIT: Final = 4
# No list has as many elements; nor is NaN below it.
_PLACES_MAX: Final = 1 << 40
_NUMERIC: Final = ("int", "uint", "double")


def _smaller_size(left: Any, right: Any) -> int:
    return traversal(min(size_of(left), size_of(right)))


def _both_sizes(left: Any, right: Any) -> int:
    return traversal(len(left) + len(right))


def _deep_cost(left: Any, right: Any) -> int:
    """Upstream's price of an equality, and what a look into nested values takes besides."""
    cost = _smaller_size(left, right)
    if type(left) in (list, dict) and type(left) is type(right) and len(left) == len(right):
        return cost + traversal_cost(left) // _NESTED_PER_UNIT
    return cost


def declare(to: Declarations) -> None:
    """Declare the operators."""
    _declare_comparisons(to)
    _declare_sums(to)
    _declare_products(to)
    to.function("_==_", "equals", "A, A -> bool", equal, _deep_cost)
    to.function("_!=_", "not_equals", "A, A -> bool", lambda a, b: not equal(a, b), _deep_cost)
    to.function("!_", "logical_not", "bool -> bool", operator.not_)
    to.function("@in", "in_list", "A, list(A) -> bool", is_in, _search_cost)
    to.function("@in", "in_map", "A, map(A, B) -> bool", is_in)
    for name, overload, both in (
        ("_&&_", "logical_and", operator.and_),
        ("_||_", "logical_or", operator.or_),
    ):
        to.function(name, overload, "bool, bool -> bool", both)
    to.function("_?_:_", "conditional", "bool, A, A -> A", lambda c, a, b: a if c else b)
    to.function("_[_]", "index_list", "list(A), int -> A", index)
    to.function("_[_]", "index_map", "map(A, B), A -> B", index)
    to.function(
        "_[_]",
        "optional_list_index_int",
        "optional_type(list(A)), int -> optional_type(A)",
        _through(index_optional),
    )
    to.function(
        "_[_]",
        "optional_map_index_value",
        "optional_type(map(A, B)), A -> optional_type(B)",
        _through(index_optional),
    )
    to.function("@not_strictly_false", "not_strictly_false", "bool -> bool", lambda value: value)


def _declare_comparisons(to: Declarations) -> None:
    for name, word, compare in (
        ("_<_", "less", operator.lt),
        ("_<=_", "less_equals", operator.le),
        ("_>_", "greater", operator.gt),
        ("_>=_", "greater_equals", operator.ge),
    ):
        for kind, short in _ORDERED.items():
            cost = _smaller_size if kind in ("string", "bytes") else None
            to.function(name, f"{word}_{short}", f"{kind}, {kind} -> bool", compare, cost)
        for left in _NUMERIC:
            for right in _NUMERIC:
                if left != right:
                    overload = f"{word}_{_ORDERED[left]}_{_ORDERED[right]}"
                    to.function(name, overload, f"{left}, {right} -> bool", compare)


def _declare_sums(to: Declarations) -> None:
    to.function("_+_", "add_int64", "int, int -> int", lambda a, b: check_int(a + b))
    to.function("_+_", "add_uint64", "uint, uint -> uint", lambda a, b: check_uint(a + b))
    to.function("_+_", "add_double", "double, double -> double", operator.add)
    to.function("_+_", "add_string", "string, string -> string", operator.add, _both_sizes)
    to.function("_+_", "add_bytes", "bytes, bytes -> bytes", operator.add, _both_sizes)
    to.function("_+_", "add_list", "list(A), list(A) -> list(A)", operator.add, _list_cost)
    to.function(
        "_+_",
        "add_timestamp_duration",
        "timestamp, duration -> timestamp",
        lambda a, b: Timestamp(a.nanos + b.nanos),
    )
    to.function(
        "_+_",
        "add_duration_timestamp",
        "duration, timestamp -> timestamp",
        lambda a, b: Timestamp(a.nanos + b.nanos),
    )
    to.function(
        "_+_",
        "add_duration_duration",
        "duration, duration -> duration",
        lambda a, b: Duration(a.nanos + b.nanos),
    )
    to.function("_-_", "subtract_int64", "int, int -> int", lambda a, b: check_int(a - b))
    to.function("_-_", "subtract_uint64", "uint, uint -> uint", lambda a, b: check_uint(a - b))
    to.function("_-_", "subtract_double", "double, double -> double", operator.sub)
    to.function(
        "_-_",
        "subtract_timestamp_timestamp",
        "timestamp, timestamp -> duration",
        lambda a, b: Duration(a.nanos - b.nanos),
    )
    to.function(
        "_-_",
        "subtract_timestamp_duration",
        "timestamp, duration -> timestamp",
        lambda a, b: Timestamp(a.nanos - b.nanos),
    )
    to.function(
        "_-_",
        "subtract_duration_duration",
        "duration, duration -> duration",
        lambda a, b: Duration(a.nanos - b.nanos),
    )
    to.function("-_", "negate_int64", "int -> int", lambda a: check_int(-a))
    to.function("-_", "negate_double", "double -> double", operator.neg)


def _search_cost(needle: Any, items: list[Any]) -> int:
    if type(needle) in (list, dict):
        return len(items) * (1 + traversal_cost(needle) // _NESTED_PER_UNIT)
    return len(items)


def _list_cost(left: list[Any], right: list[Any]) -> int:
    # Upstream's lists share what they are joined of; ours are copied, quickly.
    return 1 + (len(left) + len(right)) // 64


def _declare_products(to: Declarations) -> None:
    to.function("_*_", "multiply_int64", "int, int -> int", lambda a, b: check_int(a * b))
    to.function("_*_", "multiply_uint64", "uint, uint -> uint", lambda a, b: check_uint(a * b))
    to.function("_*_", "multiply_double", "double, double -> double", operator.mul)
    to.function("_/_", "divide_int64", "int, int -> int", divide)
    to.function("_/_", "divide_uint64", "uint, uint -> uint", _wrapped(divide))
    to.function("_/_", "divide_double", "double, double -> double", divide_double)
    to.function("_%_", "modulo_int64", "int, int -> int", modulo)
    to.function("_%_", "modulo_uint64", "uint, uint -> uint", _wrapped(modulo))


def _wrapped(work: Callable[[int, int], int]) -> Callable[[int, int], Uint]:
    return lambda left, right: Uint(work(left, right))


def divide(left: int, right: int) -> int:
    """Divide towards zero."""
    if right == 0:
        raise CelError("division by zero")
    quotient = abs(left) // abs(right)
    return check_int(quotient if (left < 0) == (right < 0) else -quotient)


def divide_double(left: float, right: float) -> float:
    """Divide as IEEE 754 does, also by zero."""
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return float("nan")
    return float("inf") if (left > 0) == (math.copysign(1, right) > 0) else float("-inf")


def modulo(left: int, right: int) -> int:
    """Return the remainder, with the sign of the dividend."""
    if right == 0:
        raise CelError("modulus by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def is_in(needle: Any, hay: Any) -> bool:
    """Tell whether a list has an element or a map a key."""
    if type(hay) is dict:
        return type(needle) in (str, int, bool, float, Uint) and needle in hay
    if type(needle) is str:
        return needle in hay
    return any(equal(needle, item) for item in hay)


def index(container: Any, key: Any) -> Any:
    """Return an element of a list or a value of a map."""
    if type(container) is dict:
        if type(key) in (list, dict):
            raise CelError("unsupported key type")
        if key not in container:
            raise CelError(f"no such key: {_shown(key)}")
        return container[key]
    if type(container) is not list or type(key) not in (int, Uint, float):
        raise no_such_overload()
    at = int(key) if abs(key) < _PLACES_MAX else -1
    if not 0 <= at < len(container) or at != key:
        raise CelError(f"index out of bounds: {key}")
    return container[at]


def _shown(key: Any) -> str:
    return str(key).lower() if type(key) is bool else str(key)


def index_optional(container: Any, key: Any) -> Optional:
    """Return an element that may be absent, as `container[?key]` does."""
    if type(container) is dict:
        return Optional(container[key]) if is_in(key, container) else NONE
    if type(container) is not list or type(key) not in (int, Uint):
        raise no_such_overload()
    return Optional(container[key]) if 0 <= key < len(container) else NONE


def _through(work: Callable[[Any, Any], Optional]) -> Callable[[Optional, Any], Optional]:
    return lambda holder, key: NONE if holder is NONE else work(holder.value, key)


optional_index = _through(index_optional)
"""`holder[?key]`: what is below something that may be absent."""
