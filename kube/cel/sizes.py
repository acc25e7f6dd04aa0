"""Ranges of sizes and costs, as estimates have them: they saturate where 64 bits end."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from kube.cel.types import SIZE_MAX

_FLOAT_MAX: Final = float(1 << 64)


class Range(NamedTuple):
    """The least and the most that something may be."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        """Return the range of a sum."""
        return Range(min(SIZE_MAX, self.least + other.least), min(SIZE_MAX, self.most + other.most))

    def times(self, other: Range) -> Range:
        """Return the range of a product."""
        return Range(min(SIZE_MAX, self.least * other.least), min(SIZE_MAX, self.most * other.most))

    def scaled(self, factor: float) -> Range:
        """Return the range of a product with a constant, rounded up."""
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        """Return the range that holds both."""
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(value: int, factor: float) -> int:
    product = math.ceil(float(value) * factor)
    return SIZE_MAX if product >= _FLOAT_MAX else product


def fixed(value: int) -> Range:
    """Return the range of what is known."""
    return Range(value, value)


ZERO: Final = Range(0, 0)
ONE: Final = Range(1, 1)
UNKNOWN: Final = Range(0, SIZE_MAX)


class Entries(NamedTuple):
    """The sizes of the keys and values of a container."""

    kind: str
    key: Range
    value: Range

    def union(self, other: Entries | None) -> Entries | None:
        """Return what holds for either of two containers."""
        if other is None:
            return None
        return Entries(self.kind, self.key.union(other.key), self.value.union(other.value))
