"""Quantities and semantic versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import total_ordering
from typing import Any, Final

from kube import quantity
from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.types import opaque, type_of
from kube.cel.values import INT_MAX, INT_MIN, Opaque, traversal

_VERSION: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?",
    re.ASCII,
)
_TEXT_MAX: Final = 1024


@total_ordering
class Quantity(Opaque):
    """An amount, as `quantity('1Gi')` gives it."""

    __slots__ = ("amount",)
    type_name = "kubernetes.Quantity"

    def __init__(self, amount: quantity.Quantity) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __lt__(self, other: Quantity) -> bool:
        return self.amount < other.amount

    def __hash__(self) -> int:
        return hash(self.amount)


@total_ordering
class Semver(Opaque):
    """A version; builds do not count when two are compared."""

    __slots__ = ("numbers", "pre")
    type_name = "kubernetes.Semver"

    def __init__(self, numbers: tuple[int, int, int], pre: tuple[Any, ...]) -> None:
        self.numbers = numbers
        self.pre = pre

    @property
    def _key(self) -> Any:
        # A version without a pre-release comes after all that have one.
        return (self.numbers, not self.pre, self.pre)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key == other._key

    def __lt__(self, other: Semver) -> bool:
        return bool(self._key < other._key)

    def __hash__(self) -> int:
        return hash(self._key)


def declare(to: Declarations) -> None:
    """Declare the functions of quantities and versions."""
    once = lambda text, *_: traversal(len(text))  # noqa: E731
    kind = "kubernetes.Quantity"
    to.types[kind] = type_of(opaque(kind))
    to.types["kubernetes.Semver"] = type_of(opaque("kubernetes.Semver"))
    to.function("quantity", "string_to_quantity", f"string -> {kind}", _quantity, once)
    to.function("isQuantity", "is_quantity_string", "string -> bool", _succeeds(_quantity), once)
    to.method("sign", "quantity_sign", f"{kind} -> int", _sign)
    to.method("asInteger", "quantity_get_int", f"{kind} -> int", _as_integer)
    to.method("isInteger", "quantity_is_integer", f"{kind} -> bool", _succeeds(_as_integer))
    to.method(
        "asApproximateFloat", "quantity_get_float", f"{kind} -> double", lambda a: float(a.amount)
    )
    for name, work in (("add", lambda a, b: a + b), ("sub", lambda a, b: a - b)):
        to.method(name, f"quantity_{name}", f"{kind}, {kind} -> {kind}", _combine(work))
        to.method(name, f"quantity_{name}_int", f"{kind}, int -> {kind}", _combine(work))
    for each in (kind, "kubernetes.Semver"):
        prefix = each.rpartition(".")[2].lower()
        to.method(
            "isGreaterThan",
            f"{prefix}_is_greater_than",
            f"{each}, {each} -> bool",
            lambda a, b: a > b,
        )
        to.method(
            "isLessThan", f"{prefix}_is_less_than", f"{each}, {each} -> bool", lambda a, b: a < b
        )
        to.method(
            "compareTo",
            f"{prefix}_compare_to",
            f"{each}, {each} -> int",
            lambda a, b: (a > b) - (a < b),
        )
    to.function("semver", "string_to_semver", "string -> kubernetes.Semver", parse_semver, once)
    to.function(
        "semver", "string_bool_to_semver", "string, bool -> kubernetes.Semver", parse_semver, once
    )
    to.function("isSemver", "is_semver_string", "string -> bool", _succeeds(parse_semver), once)
    to.function(
        "isSemver", "is_semver_string_bool", "string, bool -> bool", _succeeds(parse_semver), once
    )
    for at, name in enumerate(("major", "minor", "patch")):
        to.method(name, f"semver_{name}", "kubernetes.Semver -> int", _number(at))


def _succeeds(work: Callable[..., Any]) -> Callable[..., bool]:
    def succeeds(*args: Any) -> bool:
        try:
            work(*args)
        except CelError:
            return False
        return True

    return succeeds


def _number(at: int) -> Callable[[Semver], int]:
    return lambda version: version.numbers[at]


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantity.parse(text))
    except quantity.QuantityError as exc:
        raise CelError(str(exc)) from None


def _combine(work: Callable[[Any, Any], quantity.Quantity]) -> Callable[[Quantity, Any], Quantity]:
    def combine(left: Quantity, right: Any) -> Quantity:
        other = right.amount if isinstance(right, Quantity) else quantity.Quantity(right)
        return Quantity(work(left.amount, other))

    return combine


def _sign(value: Quantity) -> int:
    nanos = value.amount.nanos
    return (nanos > 0) - (nanos < 0)


def _as_integer(value: Quantity) -> int:
    whole, rest = divmod(value.amount.nanos, 10**9)
    if rest or not INT_MIN <= whole <= INT_MAX:
        raise CelError("cannot convert value to integer")
    return whole


def parse_semver(text: str, *options: bool) -> Semver:
    normalize = any(options)
    if not text:
        raise CelError("Version string empty")
    if len(text) > _TEXT_MAX:
        raise CelError("Version string too long")
    match = _VERSION.fullmatch(_normal(text) if normalize else text)
    if match is None:
        raise CelError(f'Invalid semantic version "{text}"')
    pre = match[4].split(".") if match[4] else []
    for part in (*pre, *(match[5].split(".") if match[5] else ())):
        if not part:
            raise CelError("Prerelease is empty" if part in pre else "Build meta data is empty")
    for part in pre:
        if part.isdigit() and len(part) > 1 and part[0] == "0":
            raise CelError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
    # Numbers come before words, as their first element is smaller.
    ranked = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre)
    return Semver((int(match[1]), int(match[2]), int(match[3])), ranked)


def _normal(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for at, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[at] = stripped if stripped[:1].isdigit() else "0" + stripped
    if len(parts) < 3:
        if any(char in parts[-1] for char in "+-"):
            raise CelError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)
