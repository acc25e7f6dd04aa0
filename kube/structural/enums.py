"""Equality of JSON values as Go compares them, and membership in an enum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def deep_equal(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are the same; 1, 1.0 and true are three."""
    if left.__class__ is not right.__class__:
        return False
    if left.__class__ is dict:
        return len(left) == len(right) and all(
            key in right and deep_equal(child, right[key]) for key, child in left.items()
        )
    if left.__class__ is list:
        return len(left) == len(right) and all(map(deep_equal, left, right))
    return bool(left == right)


def is_member(value: Any, allowed: Sequence[Any]) -> bool:
    """Tell whether a value is one of an enum's.

    Numbers are converted to the kind of the enum's value first, as upstream does (so 1.5 passes for
    the whole number 1); null is never a member.
    """
    if value is None:
        return False
    return any(_matches(value, candidate) for candidate in allowed)


def _matches(value: Any, candidate: Any) -> bool:
    match value, candidate:
        case bool(), _:
            return value is candidate
        case ((int() | float()), bool()):
            return False
        case float(), int():
            return int(value) == candidate if abs(value) < 2.0**63 else False
        case int(), float():
            return float(value) == candidate
        case int(), str():
            # Go converts a number to the character of that code.
            return candidate == (chr(value) if 0 <= value < 0x110000 else "\ufffd")
        case _:
            return deep_equal(value, candidate)
