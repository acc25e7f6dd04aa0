"""Arithmetic of amounts by name, as quotas and containers have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kube.quantity import Quantity, parse_value

Amounts = dict[str, Quantity]
ZERO: Final = Quantity(0)


def read(given: Mapping[str, object] | None) -> Amounts:
    """Return decoded JSON amounts.

    Raises:
        QuantityError: one of them is none.
    """
    return {name: parse_value(value) for name, value in (given or {}).items()}


def write(amounts: Amounts) -> dict[str, str]:
    """Return amounts as JSON has them."""
    return {name: str(value) for name, value in amounts.items()}


def add(one: Amounts, other: Amounts) -> Amounts:
    """Return the sums of both."""
    total = dict(one)
    for name, value in other.items():
        total[name] = total[name] + value if name in total else value
    return total


def most(one: Amounts, other: Amounts) -> Amounts:
    """Return the larger amount of each name."""
    total = dict(one)
    for name, value in other.items():
        if name not in total or total[name] < value:
            total[name] = value
    return total


def growth(after: Amounts, before: Amounts) -> Amounts:
    """Return by how much there is more than before; what shrinks is nothing."""
    grown = {}
    for name, value in after.items():
        left = value - before.get(name, ZERO)
        grown[name] = left if left > ZERO else ZERO
    return grown


def masked(amounts: Amounts, names: Iterable[str]) -> Amounts:
    """Return only the amounts of some names."""
    wanted = set(names)
    return {name: value for name, value in amounts.items() if name in wanted}


def without_zeros(amounts: Amounts) -> Amounts:
    """Return the amounts that are something."""
    return {name: value for name, value in amounts.items() if not value.is_zero()}


def shown(amounts: Amounts) -> str:
    """Return amounts for a message."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
