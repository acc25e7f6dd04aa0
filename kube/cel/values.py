"""The values of expressions: JSON's as they are, and those that JSON lacks.

null, bool, int, double, string, list and map are Python's None, bool, int, float, str, list and
dict, so that objects need no conversion. Every other kind of value is a class of its own, and no
class stands for two: what a value is, its class decides.
"""

from __future__ import annotations

import math
from functools import total_ordering
from typing import Any, Final

from kube.cel.errors import CelError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
NANOS: Final = 1_000_000_000
TIMESTAMP_MIN_S: Final = -62135596800
TIMESTAMP_MAX_S: Final = 253402300799
DURATION_NANOS_MAX: Final = INT_MAX


class Uint(int):
    """An unsigned integer."""

    __slots__ = ()


@total_ordering
class Duration:
    """A span of time in nanoseconds."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not INT_MIN <= nanos <= INT_MAX:
            raise CelError("integer overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanos == other.nanos

    def __lt__(self, other: Duration) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)


@total_ordering
class Timestamp:
    """A moment: nanoseconds since 1970, from the year 1 to the year 9999."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not TIMESTAMP_MIN_S <= nanos // NANOS <= TIMESTAMP_MAX_S:
            raise CelError("timestamp overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanos == other.nanos

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)


class Optional:
    """A value that may be absent; `NONE` is the absent one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


NONE: Final = Optional(None)


class TypeValue:
    """A type as a value: what `type(x)` gives, and `int` names."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Opaque:
    """The base of library values; `type_name` is what CEL calls them."""

    __slots__ = ()
    type_name = ""


KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Duration: "duration",
    Timestamp: "timestamp",
    Optional: "optional_type",
    TypeValue: "type",
}
TYPE_NAMES: Final = {
    "null": "null_type",
    "duration": "google.protobuf.Duration",
    "timestamp": "google.protobuf.Timestamp",
}
_NUMBERS: Final = frozenset({int, float, Uint})


def kind_of(value: object) -> str:
    """Return the kind of a value; of opaque ones, the name of their type."""
    kind = KINDS.get(type(value))
    return kind if kind is not None else str(getattr(value, "type_name", "dyn"))


def type_value(value: object) -> TypeValue:
    """Return what `type(value)` is."""
    kind = kind_of(value)
    return TypeValue(TYPE_NAMES.get(kind, kind))


def equal(left: Any, right: Any) -> bool:
    """Tell whether two values are equal: numbers by amount, all else only within a kind."""
    kind = type(left)
    if kind is type(right):
        if kind in (list, dict) and left != right:
            # Python calls equal all that CEL does, and true and 1 besides: so this settles most.
            return False
        if kind is list:
            return len(left) == len(right) and all(map(equal, left, right))
        if kind is dict:
            return len(left) == len(right) and all(
                key in right and equal(value, right[key]) for key, value in left.items()
            )
        if kind is Optional:
            if left is NONE or right is NONE:
                return left is right
            return equal(left.value, right.value)
        return bool(left == right)
    if kind in _NUMBERS and type(right) in _NUMBERS:
        return bool(left == right)
    return False


def size_of(value: object) -> int:
    """Return how large a value is to cost: its elements or characters, one for what has none."""
    kind = type(value)
    if kind in (str, list, dict, bytes):
        return len(value)  # type: ignore[arg-type]
    if kind is Optional and value is not NONE:
        return size_of(value.value)  # type: ignore[attr-defined]
    return 1


def check_int(value: int) -> int:
    """Return an integer that fits.

    Raises:
        CelError: it has more than 64 bits.
    """
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError("integer overflow")


def check_uint(value: int) -> Uint:
    """Return an unsigned integer that fits.

    Raises:
        CelError: it is negative or has more than 64 bits.
    """
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise CelError("unsigned integer overflow")


def traversal(size: int, factor: float = 0.1) -> int:
    """Return what going over a text of `size` characters costs."""
    return math.ceil(size * factor)


def traversal_cost(value: Any, *_: Any) -> int:
    """Return what going through a value costs, all that is in it included."""
    kind = type(value)
    if kind in (str, bytes):
        return len(value) // 10
    if kind is list:
        return sum(map(traversal_cost, value))
    if kind is dict:
        return sum(traversal_cost(key) + traversal_cost(item) for key, item in value.items())
    return 1


def no_such_overload() -> CelError:
    """Return the error of a call whose arguments have kinds that no overload takes."""
    return CelError("no such overload")
